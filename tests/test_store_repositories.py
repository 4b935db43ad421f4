"""Repositories, scans, decisions and accounts on real databases: names are reused, ids are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import databases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.model import Decision, Edit, Job, Pinned, Proposal, Repository, Span, Trigger
from bot.store.base import Delivery, Ending, ProposalState, Referenced, Scan
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
APP = Repository(name="acme/app", id="1", default_branch="main", head="a" * 40)
NODE = Referenced(
    path="Dockerfile",
    line=1,
    kind="image",
    name="docker.io/library/node",
    version="22",
    digest="sha256:1",
    pinned=False,
)
SCAN = Scan(
    head="a" * 40,
    rules="r1",
    paths=("Dockerfile", "\ud800"),
    references=(NODE, replace(NODE, path="x/Dockerfile", version="20", pinned=True)),
    refs=("release/*",),
    held=1,
    at=NOW,
)
PIN = Pinned(path="Dockerfile", where="FROM", reference="node:22")


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def proposal(repository: str, digest: str = "d1", base: str = "main", group: str = "all") -> Proposal:
    return Proposal(
        repository=repository,
        base=base,
        commit="c" * 40,
        group=group,
        branch=f"moorline/{base}/{group}",
        title="Pin 1 image",
        body="Body",
        message="Pin",
        edits=(Edit(path="Dockerfile", span=Span(5, 9), expected=b"node", replacement=b"node"),),
        digest=digest,
        pins=(PIN,),
    )


def job(repository: str, ref: str = "main", head: str = "") -> Job:
    return Job(forge="github", repository=repository, ref=ref, trigger=Trigger.PUSH, head=head)


def remember(store: Store, name: str) -> tuple[str, str]:
    """Put something about a repository into every table; return the ids of two proposals."""
    store.repositories.scanned("github", name, "main", SCAN)
    ids = []
    for number, state in ((7, ProposalState.CLOSED), (8, ProposalState.PUBLISHED)):
        id_ = store.proposals.store("github", proposal(name, f"d{number}"), "", NOW)
        store.proposals.mark(id_, ProposalState.PUBLISHED, NOW, commit=str(number) * 40, number=number)
        store.proposals.mark(id_, state, NOW)
        ids.append(id_)
    store.decisions.add("github", name, decision(), NOW)
    store.inbox.want((job(name, "stuck"),), NOW)
    (claim,) = store.backlog.claim("w", 1, NOW)
    store.backlog.settle(claim.run, Ending.FAILED, "broken", NOW)
    return ids[0], ids[1]


def decision(until: datetime | None = None) -> Decision:
    return Decision(
        by="alice",
        what="allow",
        reference="node:22",
        digest="sha256:1",
        until=until,
        because="x\0",
        checks=("age",),
    )


def everything(store: Store, name: str) -> dict[str, object]:
    """Return what is believed of the repository that has a name."""
    found = {
        "scan": store.repositories.scan("github", name, "main"),
        "where": [one for one in store.repositories.where(NODE.name) if one[1] == name],
        "standing": [one.id for one in store.proposals.standing("github", name)],
        "declined": store.proposals.declined("github", name, "main"),
        "number": store.proposals.by_number("github", name, 7),
        "commits": store.proposals.commits("github", name, "moorline/main/all"),
        "decisions": store.decisions.of("github", name, NOW),
        "stuck": [run for run in store.backlog.stuck(9) if run.job.repository == name],
    }
    return {key: value for key, value in found.items() if value}


class TestRecord:
    def test_what_a_forge_says_is_remembered(self, store: Store) -> None:
        assert store.repositories.get("github", "acme/app") is None
        known = store.repositories.record("github", APP, NOW)
        assert (known.repository, known.gone, known.seen) == (APP, False, NOW)
        assert store.repositories.get("github", "acme/app") == known
        moved = replace(APP, head="b" * 40, archived=True)
        assert store.repositories.record("github", moved, NOW + MINUTE).repository == moved
        assert store.repositories.get("gitlab", "acme/app") is None

    def test_what_has_no_id_is_known_by_its_name(self, store: Store) -> None:
        plain = replace(APP, id="")
        for name in ("/srv/a.git", "/srv/b.git"):
            store.repositories.record("git", replace(plain, name=name), NOW)
        assert [one.repository.name for one in store.repositories.all("git")] == ["/srv/a.git", "/srv/b.git"]

    def test_an_id_that_is_not_told_is_not_forgotten(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        assert (
            store.repositories.record("github", replace(APP, id="", head="b" * 40), NOW).repository.id == "1"
        )

    def test_an_id_that_is_told_later_is_learnt_without_losing_anything(self, store: Store) -> None:
        store.repositories.record("github", replace(APP, id=""), NOW)
        remember(store, "acme/app")
        before = everything(store, "acme/app")
        store.repositories.record("github", APP, NOW)
        assert everything(store, "acme/app") == before

    def test_nothing_new_writes_nothing(self, store: Store) -> None:
        known = store.repositories.record("github", APP, NOW)
        assert store.repositories.record("github", APP, NOW + MINUTE) == known
        assert store.repositories.record("github", APP, NOW + DAY).seen == NOW + DAY

    def test_owners_are_told_apart_by_their_whole_name(self, store: Store) -> None:
        names = ("acme/app", "acme-2/app", "acme_/x", "Acme/app", "acmex/y", "acme/group/app")
        for number, name in enumerate(names):
            store.repositories.record("github", replace(APP, name=name, id=str(number)), NOW)
        of = [one.repository.name for one in store.repositories.all("github", "acme")]
        assert of == ["acme/app", "acme/group/app"]
        assert [one.repository.name for one in store.repositories.all("github", "acme_")] == ["acme_/x"]
        assert len(store.repositories.all("github")) == len(names)

    def test_gone_and_back(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        _, published = remember(store, "acme/app")
        store.repositories.gone("github", "acme/app", NOW)
        assert store.repositories.all("github") == ()
        assert store.repositories.where(NODE.name) == ()
        # It stands on the forge as it did, and is looked at again when we may see it.
        [stored] = store.proposals.standing("github", "acme/app")
        assert (stored.id, stored.state) == (published, ProposalState.PUBLISHED)
        assert not [one for one in store.backlog.waits(9) if one.job.repository == "acme/app"]
        known = store.repositories.get("github", "acme/app")
        assert known is not None
        assert known.gone
        store.repositories.record("github", APP, NOW + MINUTE)
        assert len(store.repositories.all("github")) == 1
        assert store.proposals.declined("github", "acme/app", "main") == {PIN}
        assert {one.job.ref for one in store.backlog.waits(9)} == {"main"}

    def test_one_that_was_never_seen_may_be_gone(self, store: Store) -> None:
        store.repositories.gone("github", "acme/secret", NOW)
        known = store.repositories.get("github", "acme/secret")
        assert known is not None
        assert known.gone
        assert store.repositories.all("github") == ()


class TestNames:
    def test_everything_goes_along_when_it_is_renamed_or_transferred(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        remember(store, "acme/app")
        store.inbox.want((job("acme/app", "dev", "d" * 40),), NOW)
        before = everything(store, "acme/app")
        assert len(before) == 8
        known = store.repositories.record("github", replace(APP, name="other/new"), NOW + MINUTE)
        assert known.repository.name == "other/new"
        assert store.repositories.get("github", "acme/app") is None
        assert everything(store, "acme/app") == {}
        after = everything(store, "other/new")
        assert set(after) == set(before)
        for key in ("scan", "standing", "declined", "commits", "decisions"):
            assert after[key] == before[key]
        wants = {one.job.repository: one.job for one in store.backlog.waits(9)}
        assert wants["other/new"] == job("other/new", "dev", "d" * 40)
        # Whoever wanted the old name may have meant one that has it by now: that is looked at, too.
        assert wants["acme/app"] == job("acme/app", "dev")

    def test_the_audit_log_tells_of_other_names_and_owners(self, store: Store) -> None:
        for number, there in enumerate(
            (
                APP,
                replace(APP, name="acme/new"),
                replace(APP, name="other/new"),
                replace(APP, name="other/new", head="f" * 40),
                replace(APP, name="other/new", id="2"),
                replace(APP, name="acme/again"),
            )
        ):
            store.repositories.record("github", there, NOW + number * MINUTE)
        told = [(one.what, one.subject, dict(one.evidence)) for one in store.audit.entries(0, 10)]
        assert told == [
            ("repository.renamed", "github acme/new", {"before": "acme/app", "id": "1"}),
            ("repository.transferred", "github other/new", {"before": "acme/new", "id": "1"}),
            ("repository.replaced", "github other/new", {"before": "1", "id": "2"}),
            # What it was called meanwhile nobody told us.
            ("repository.renamed", "github acme/again", {"before": "", "id": "1"}),
        ]
        assert store.audit.broken() is None

    def test_a_reused_name_inherits_nothing(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        remember(store, "acme/app")
        store.inbox.want((job("acme/app", "dev", "d" * 40),), NOW)
        store.repositories.record("github", replace(APP, id="2"), NOW + MINUTE)
        assert everything(store, "acme/app") == {}
        assert store.repositories.where(NODE.name) == ()
        assert store.repositories.scans("github") == {}
        (one,) = store.backlog.waits(9)
        assert one.job == job("acme/app", "dev")
        (known,) = store.repositories.all("github")
        assert (known.repository.id, known.repository.name) == ("2", "acme/app")

    def test_who_lost_its_name_has_its_memory_when_it_is_heard_of(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        remember(store, "acme/app")
        before = everything(store, "acme/app")
        store.repositories.record("github", replace(APP, id="2"), NOW)
        remember(store, "acme/app")
        store.repositories.record("github", replace(APP, name="acme/old"), NOW)
        after = everything(store, "acme/old")
        assert after["standing"] == before["standing"]
        assert set(after) == set(before)
        assert everything(store, "acme/app")["standing"] != before["standing"]

    @pytest.mark.parametrize("first", [0, 1])
    def test_two_may_swap_their_names(self, store: Store, first: int) -> None:
        other = replace(APP, name="acme/other", id="2")
        for one in (APP, other):
            store.repositories.record("github", one, NOW)
            remember(store, one.name)
        before = {name: everything(store, name)["standing"] for name in ("acme/app", "acme/other")}
        swapped = [replace(APP, name="acme/other"), replace(other, name="acme/app")]
        for one in (swapped[first], swapped[1 - first]):
            store.repositories.record("github", one, NOW)
        assert everything(store, "acme/other")["standing"] == before["acme/app"]
        assert everything(store, "acme/app")["standing"] == before["acme/other"]
        assert {one.repository.id for one in store.repositories.all("github")} == {"1", "2"}

    def test_where_both_names_have_something_the_new_one_counts(self, store: Store) -> None:
        """A run under the new name may be quicker than the news of it."""
        store.repositories.record("github", APP, NOW)
        remember(store, "acme/app")
        newer = replace(SCAN, head="b" * 40, references=())
        store.repositories.scanned("github", "acme/new", "main", newer)
        id_ = store.proposals.store("github", proposal("acme/new", "d9"), "", NOW)
        store.proposals.mark(id_, ProposalState.PUBLISHED, NOW, number=8)
        store.repositories.record("github", replace(APP, name="acme/new"), NOW)
        assert store.repositories.scan("github", "acme/new", "main") == newer
        assert [one.id for one in store.proposals.standing("github", "acme/new")] == [id_]

    def test_a_run_that_goes_on_keeps_the_repository_to_itself(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        store.inbox.want((job("acme/app", head="a" * 40),), NOW)
        (running,) = store.backlog.claim("w", 1, NOW)
        store.inbox.want((job("acme/new", head="b" * 40), job("acme/new", "dev")), NOW)
        store.repositories.record("github", replace(APP, name="acme/new"), NOW)
        assert store.backlog.claim("w", 9, NOW) == ()
        claim = store.backlog.find(running.run)
        assert claim is not None
        assert claim.job.repository == "acme/new"
        assert store.backlog.settle(running.run, Ending.NOTHING, "", NOW)
        wants = {one.job.ref: one.job for one in store.backlog.waits(9)}
        assert wants == {"main": job("acme/new", head="b" * 40), "dev": job("acme/new", "dev")}

    def test_what_waits_under_both_names_is_one(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        old = replace(job("acme/app", head="b" * 40), before="a" * 40, changed=("x",))
        new = replace(job("acme/new", head="c" * 40), before="b" * 40, changed=("y",))
        store.inbox.receive(Delivery(source="github", id="1", jobs=(old,)), NOW)
        store.inbox.receive(Delivery(source="github", id="2", jobs=(new,)), NOW + MINUTE)
        store.repositories.record("github", replace(APP, name="acme/new"), NOW)
        waits = {one.job.repository: one for one in store.backlog.waits(9)}
        assert waits["acme/new"].job == replace(new, before="a" * 40, changed=("x", "y"))
        assert waits["acme/new"].since == NOW

    def test_two_that_run_end_each_for_itself(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        store.inbox.want((job("acme/app"), job("acme/new")), NOW)
        claims = store.backlog.claim("w", 9, NOW)
        store.repositories.record("github", replace(APP, name="acme/new"), NOW)
        for claim in claims:
            assert store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
        assert store.inbox.waiting() == 0

    def test_what_waits_behind_a_run_under_the_new_name_is_told_of_the_old(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        store.inbox.want((job("acme/new"),), NOW)
        (running,) = store.backlog.claim("w", 9, NOW)
        store.inbox.want((job("acme/app", head="b" * 40),), NOW)
        store.repositories.record("github", replace(APP, name="acme/new"), NOW)
        store.backlog.settle(running.run, Ending.NOTHING, "", NOW)
        heads = {claim.job.repository: claim.job.head for claim in store.backlog.claim("w", 9, NOW)}
        assert heads == {"acme/new": "b" * 40, "acme/app": ""}

    def test_workers_that_hear_of_it_at_once_agree(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        remember(store, "acme/app")
        swaps = [replace(APP, name="acme/new"), replace(APP, id="2"), replace(APP, name="acme/new")]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda one: store.repositories.record("github", one, NOW), swaps * 4))
        names = {one.repository.id: one.repository.name for one in store.repositories.all("github")}
        assert names == {"1": "acme/new", "2": "acme/app"}
        assert len(everything(store, "acme/new")) == 8


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(heard=st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("abc")), min_size=1, max_size=12))
def test_whatever_the_order_memory_follows_the_id(
    sqlite: Store, heard: list[tuple[str, str]], counter: Iterator[int]
) -> None:
    forge = f"forge{next(counter)}"
    names: dict[str, str] = {}
    marks: Counter[str] = Counter()
    for identity, name in heard:
        sqlite.repositories.record(forge, replace(APP, id=identity, name=name), NOW)
        names = {one: other for one, other in names.items() if one != identity and other != name}
        names[identity] = name
        sqlite.decisions.add(forge, name, replace(decision(), by=identity), NOW)
        marks[identity] += 1
        for one, held in names.items():
            assert Counter(made.by for made in sqlite.decisions.of(forge, held, NOW)) == {one: marks[one]}
        known = {one.repository.id: one.repository.name for one in sqlite.repositories.all(forge)}
        assert known == names


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'names.db'}") as opened:
        yield opened


@pytest.fixture
def counter() -> Iterator[int]:
    """Numbers for forges, so that examples share a database and nothing in it."""
    return count()


class TestScans:
    def test_a_scan_replaces_the_one_before(self, store: Store) -> None:
        assert store.repositories.scan("github", "acme/app", "main") is None
        store.repositories.scanned("github", "acme/app", "main", SCAN)
        assert store.repositories.scan("github", "acme/app", "main") == SCAN
        later = replace(SCAN, head="b" * 40, references=(NODE,), at=NOW + DAY)
        store.repositories.scanned("github", "acme/app", "main", later)
        store.repositories.scanned("github", "acme/app", "dev", SCAN)
        assert store.repositories.scan("github", "acme/app", "main") == later
        assert store.repositories.scans("github") == {
            ("acme/app", "main"): ("b" * 40, "r1"),
            ("acme/app", "dev"): ("a" * 40, "r1"),
        }
        assert store.repositories.scans("gitlab") == {}

    def test_from_an_image_to_whoever_uses_it(self, store: Store) -> None:
        store.repositories.scanned("github", "acme/app", "main", SCAN)
        store.repositories.scanned("gitlab", "acme/lib", "main", replace(SCAN, references=(NODE,)))
        everywhere = store.repositories.where("docker.io/library/node")
        assert [(forge, name, one.path) for forge, name, one in everywhere] == [
            ("github", "acme/app", "Dockerfile"),
            ("github", "acme/app", "x/Dockerfile"),
            ("gitlab", "acme/lib", "Dockerfile"),
        ]
        assert store.repositories.where(NODE.name, "20") == (("github", "acme/app", SCAN.references[1]),)
        assert store.repositories.where("docker.io/library/nod") == ()

    def test_a_head_that_changes_nothing_is_taken_for_scanned(self, store: Store) -> None:
        store.repositories.scanned("github", "acme/app", "main", SCAN)
        assert store.repositories.moved("github", "acme/app", "main", "a" * 40, "b" * 40)
        assert not store.repositories.moved("github", "acme/app", "main", "a" * 40, "c" * 40)
        assert not store.repositories.moved("github", "acme/app", "dev", "a" * 40, "c" * 40)
        assert not store.repositories.moved("github", "acme/app", "main", "", "c" * 40)
        scan = store.repositories.scan("github", "acme/app", "main")
        assert scan == replace(SCAN, head="b" * 40)

    @pytest.mark.parametrize(
        "huge",
        [
            replace(SCAN, paths=tuple(map(str, range(20_001)))),
            replace(SCAN, references=(NODE,) * 20_001),
            replace(SCAN, refs=("x",) * 1001),
        ],
    )
    def test_what_cannot_be_kept_whole_is_not_kept(self, store: Store, huge: Scan) -> None:
        """Half of it would call a file irrelevant that is not."""
        store.repositories.scanned("github", "acme/app", "main", SCAN)
        store.repositories.scanned("github", "acme/app", "main", huge)
        assert store.repositories.scan("github", "acme/app", "main") is None
        assert store.repositories.where(NODE.name) == ()

    def test_hostile_texts_are_kept_as_far_as_they_can_be(self, store: Store) -> None:
        hostile = replace(NODE, path="a\0\ud800", name="n" * 9000, version="\0", digest="d" * 900)
        store.repositories.scanned("github", "acme/app\0", "main", replace(SCAN, references=(hostile,)))
        (place,) = store.repositories.where("n" * 4096)
        assert "\0" not in place[1] + place[2].path


class TestPeople:
    def test_decisions_hold_until_their_time(self, store: Store) -> None:
        short, long = decision(NOW + MINUTE), decision()
        store.decisions.add("github", "acme/app", short, NOW)
        store.decisions.add("github", "acme/app", long, NOW)
        kept = [replace(one, because="x\N{REPLACEMENT CHARACTER}") for one in (short, long)]
        assert list(store.decisions.of("github", "acme/app", NOW)) == kept
        assert list(store.decisions.of("github", "acme/app", NOW + MINUTE)) == kept[1:]
        assert store.decisions.of("gitlab", "acme/app", NOW) == ()

    def test_what_a_comment_says_at_length_is_cut(self, store: Store) -> None:
        long = replace(decision(), what="w" * 99, digest="d" * 999, reference="r" * 9999)
        store.decisions.add("github", "acme/app", long, NOW)
        (kept,) = store.decisions.of("github", "acme/app", NOW)
        assert (len(kept.what), len(kept.digest or ""), len(kept.reference)) == (32, 128, 2000)

    def test_accounts_are_known_by_id_and_login(self, store: Store) -> None:
        assert store.accounts.of("github") == frozenset()
        store.accounts.record("github", "1", "moorline[bot]")
        store.accounts.record("github", "1", "renamed[bot]")
        store.accounts.record("github", "2", "")
        store.accounts.record("gitlab", "3", "moorline")
        assert store.accounts.of("github") == {"1", "2", "renamed[bot]"}


class TestRetention:
    def test_what_piles_up_goes_and_what_counts_stays(self, store: Store) -> None:
        store.repositories.record("github", APP, NOW)
        closed, published = remember(store, "acme/app")
        lost = replace(APP, name="acme/lost", id="2")
        store.repositories.record("github", lost, NOW)
        remember(store, "acme/lost")
        store.repositories.gone("github", "acme/lost", NOW)
        store.decisions.add("github", "acme/app", decision(NOW + MINUTE), NOW)
        store.audit.add("operator", "x", "y", {}, NOW)
        store.ledger("acme")
        newer = store.proposals.store("github", proposal("acme/app", "d9"), "", NOW)
        store.proposals.mark(newer, ProposalState.PUBLISHED, NOW, number=9)
        assert store.backlog.forget(NOW) == 0
        removed = store.backlog.forget(NOW + DAY)
        assert store.proposals.get(published) is None
        assert store.proposals.get(closed) is not None
        assert store.proposals.get(newer) is not None
        assert store.proposals.commits("github", "acme/app", "moorline/main/all") == {"7" * 40, "8" * 40}
        assert store.repositories.scan("github", "acme/app", "main") == SCAN
        assert store.repositories.scan("github", "acme/lost", "main") is None
        assert store.repositories.where(NODE.name, "22") == (("github", "acme/app", NODE),)
        for name in ("acme/app", "acme/lost"):
            assert store.proposals.declined("github", name, "main") == {PIN}
            assert len(store.decisions.of("github", name, NOW)) == 1
        assert store.audit.head()[0] == 1
        assert store.backlog.runs(9) == ()
        # Two runs, a superseded proposal, three openings that were not the first, a decision, a
        # scan with two references.
        assert removed == 2 + 1 + 3 + 1 + 3
        assert store.backlog.forget(NOW + DAY) == 0
        assert store.proposals.published_since("github", "acme", NOW) == (2, 2)

    def test_many_rows_go_in_small_transactions(self, store: Store) -> None:
        jobs = tuple(job(f"acme/{number}") for number in range(2))
        with store._database.write() as connection:
            for number in range(2050):
                connection.exec_driver_sql(
                    f"INSERT INTO deliveries (source, id, received) VALUES ('git', '{number}', 1)"
                )
        store.inbox.receive(Delivery(source="git", id="new", jobs=jobs), NOW)
        assert store.backlog.forget(NOW) == 2050
