"""What deliveries of GitHub and GitLab come to: golden samples, properties, and what is never believed."""

from __future__ import annotations

import ast
import copy
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from goldens import compare_json
from hypothesis import given, settings
from hypothesis import strategies as st
from webhook_samples import ACCOUNTS, WEBHOOKS, context, name, read, samples, shown

import webhooks
from bot.allowed_owners import AllowedOwners
from bot.errors import StoreError
from bot.model import Trigger
from bot.store.base import Delivery
from webhooks import events, github_events, hints
from webhooks.deliveries import READERS, Contexts, deliver
from webhooks.events import Context, EventError, Irrelevant, Reason, read_object

A, B, Z = "a" * 40, "b" * 40, "0" * 40
ALL = samples("github", "gitlab")


@pytest.mark.parametrize("sample", ALL, ids=name)
def test_a_sample(sample: Path) -> None:
    forge = sample.parent.name
    headers, body = read(sample)
    try:
        made = shown(deliver(forge, headers, body, context(forge)))
    except EventError as error:
        made = {"malformed": str(error)}
    compare_json(sample / "expected.json", made)


@pytest.mark.parametrize("sample", ALL, ids=name)
def test_addresses_are_never_taken(sample: Path) -> None:
    """What a sender says of hosts and URLs changes nothing."""
    forge = sample.parent.name
    headers, body = read(sample)
    elsewhere = body.replace(b"https://", b"http://evil.example/").replace(b"git@", b"evil@")
    lying = headers | {"X-GitHub-Enterprise-Host": "evil.example", "X-Gitlab-Instance": "http://evil.example"}
    results = []
    for sent, content in ((headers, body), (lying, elsewhere)):
        try:
            found = deliver(forge, sent, content, context(forge))
        except EventError as error:
            results.append(str(error))
            continue
        assert "://" not in str(found)
        assert "evil.example" not in str(found)
        results.append(str(found).replace("body:", ""))
    assert results[0] == results[1] or "before-idempotency-keys" in sample.name


def test_every_reason_and_trigger_is_met_by_a_sample() -> None:
    reasons: set[Reason] = set()
    triggers: set[Trigger] = set()
    for sample in ALL:
        headers, body = read(sample)
        try:
            found = deliver(sample.parent.name, headers, body, context(sample.parent.name))
        except EventError:
            continue
        if isinstance(found, Irrelevant):
            reasons.add(found.reason)
        else:
            triggers |= {job.trigger for job in found.jobs}
    assert reasons == set(Reason) - {Reason.DELETED}  # which the plain hook says
    assert triggers == {
        Trigger.PUSH,
        Trigger.PULL_REQUEST,
        Trigger.MERGE_QUEUE,
        Trigger.INSTALLED,
        Trigger.CATCH_UP,
        Trigger.COMMENT,
    }


def test_the_app_asks_for_the_events_that_are_read_and_no_other() -> None:
    manifest = yaml.safe_load((Path(webhooks.__file__).parent.parent / "app.yml").read_text(encoding="utf-8"))
    unasked = {
        "ping",
        "installation",
        "installation_repositories",
        "installation_target",
        "check_run",  # come with the permission to write checks
        "check_suite",
    }
    assert set(manifest["default_events"]) | unasked == set(github_events._READERS)


def test_readers_do_nothing_but_read() -> None:
    """No files, clock, network, framework or log in what judges a delivery."""
    folder = Path(webhooks.__file__).parent
    allowed = {
        "__future__",
        "base64",
        "binascii",
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "hashlib",
    }
    allowed |= {"hmac", "json", "re", "typing", "bot", "webhooks"}
    for module in ("events", "hints", "git_events", "github_events", "gitlab_events", "signatures"):
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        named = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {one.partition(".")[0] for one in named} <= allowed, module
        ours = {one for one in named if one.startswith("bot.")}
        assert ours <= {"bot.model", "bot.reference", "bot.allowed_owners"}, module


# --- variations of samples ----------------------------------------------------------------


def sample(forge: str, folder: str) -> tuple[dict[str, str], dict[str, Any]]:
    headers, body = read(WEBHOOKS / forge / folder)
    return headers, json.loads(body)


def change(event: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with another value at a path such as `repository.full_name`."""
    made = copy.deepcopy(event)
    *way, last = path.split(".")
    place = made
    for key in way:
        place = place[key]
    place[last] = value
    return made


def outcome(forge: str, headers: dict[str, str], event: object) -> Delivery | Irrelevant:
    return deliver(forge, headers, json.dumps(event).encode(), context(forge))


def only(forge: str, folder: str, path: str = "", value: object = None) -> Any:
    """Return the one job of a sample, or of a variation of it."""
    headers, event = sample(forge, folder)
    found = outcome(forge, headers, change(event, path, value) if path else event)
    assert isinstance(found, Delivery), found
    (job,) = found.jobs
    return job


def commits(number: int, *, files: int = 1, last: str = B) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {
            "id": f"{index:040x}",
            "added": [f"f{index}/{file}" for file in range(files)],
            "modified": [],
            "removed": [],
        }
        for index in range(1, number)
    ]
    return [*made, {"id": last, "added": [], "modified": ["Dockerfile"], "removed": []}]


class TestChangedPaths:
    """A path that is not told must never be taken for one that did not change."""

    def test_complete(self) -> None:
        job = only("github", "push")
        assert job.changed == ("Dockerfile", "docs/fu\u00df.md", "Dockerfile.old")
        assert (job.before, job.head) == (A, B)

    def test_the_same_head_changes_nothing(self) -> None:
        for forge in ("github", "gitlab"):
            headers, event = sample(forge, "push")
            event = change(change(event, "before", B), "commits", [])
            event["total_commits_count"] = 0
            found = outcome(forge, headers, event)
            assert isinstance(found, Delivery)
            assert found.jobs[0].changed == ()

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("created", True),
            ("forced", True),
            ("forced", None),
            ("created", None),
            ("before", Z),
            ("commits", []),
            ("commits", None),
            ("commits", {}),
            ("commits", [None]),
            ("commits", commits(2048)),
            ("commits", commits(2, files=2999)),
            ("commits", commits(2, files=1000)),
            ("commits", commits(2, last=A)),
            ("commits", [{"id": B, "added": ["x"], "modified": []}]),
            ("commits", [{"id": B, "added": [], "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": "x", "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": [1], "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": [""], "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": ["a\x00b"], "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": ["a\ud800b"], "modified": [], "removed": []}]),
            ("commits", [{"id": B, "added": ["a" * 4097], "modified": [], "removed": []}]),
            (
                "commits",
                [{"id": B, "added": [f"{i}{'a' * 4000}" for i in range(20)], "modified": [], "removed": []}],
            ),
        ],
    )
    def test_github_may_not_have_told_all(self, path: str, value: object) -> None:
        job = only("github", "push", path, value)
        assert job.changed is None
        assert job.head == B

    def test_many_commits_of_few_paths_are_complete(self) -> None:
        many = [
            {"id": f"{index:040x}", "added": [], "modified": ["Dockerfile"], "removed": []}
            for index in range(1, 2046)
        ]
        job = only("github", "push", "commits", [*many, *commits(1)])
        assert job.changed == ("Dockerfile",)
        assert len(only("github", "push", "commits", commits(2, files=999)).changed) == 1000

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("total_commits_count", 3),
            ("total_commits_count", None),
            ("total_commits_count", "2"),
            ("before", Z),
            ("commits", []),
        ],
    )
    def test_gitlab_may_not_have_told_all(self, path: str, value: object) -> None:
        assert only("gitlab", "push").changed == ("Dockerfile", ".gitlab-ci.yml")
        job = only("gitlab", "push", path, value)
        assert job.changed is None
        assert job.head == B

    @pytest.mark.parametrize(("number", "known"), [(20, True), (21, False)])
    def test_gitlab_lists_twenty(self, number: int, *, known: bool) -> None:
        headers, event = sample("gitlab", "push")
        event = change(change(event, "commits", commits(number)), "total_commits_count", number)
        found = outcome("gitlab", headers, event)
        assert isinstance(found, Delivery)
        assert (found.jobs[0].changed is not None) is known


HOSTILE_NAMES = [
    None,
    1,
    "",
    "acme",
    "acme/",
    "/app",
    "acme/..",
    "../app",
    "acme/.",
    "acme//app",
    "acme/app/",
    "acme/a b",
    "acme/a\n",
    "acme/a\0",
    "acme/\u202e",
    "acme/\ud800",
    "acme/a?x=1",
    "acme/a#x",
    "acme/%2e%2e",
    "acme/a@b",
    "acme:x@evil.example/app",
    "https://evil.example/acme/app",
    "acme\\app",
    "acme/" + "x" * 2000,
    ["acme/app"],
    {"name": "app"},
]


@pytest.mark.parametrize("value", HOSTILE_NAMES, ids=ascii)
@pytest.mark.parametrize(
    ("forge", "folder", "path"),
    [
        ("github", "push", "repository.full_name"),
        ("github", "pull-request-opened", "repository.full_name"),
        ("github", "comment", "repository.full_name"),
        ("github", "merge-group-requested", "repository.full_name"),
        ("github", "repository-renamed", "repository.full_name"),
        ("gitlab", "push", "project.path_with_namespace"),
        ("gitlab", "merge-request-open", "project.path_with_namespace"),
        ("gitlab", "note", "project.path_with_namespace"),
        ("gitlab", "system-project-create", "path_with_namespace"),
    ],
)
def test_hostile_names_are_refused(forge: str, folder: str, path: str, value: object) -> None:
    headers, event = sample(forge, folder)
    with pytest.raises(EventError):
        outcome(forge, headers, change(event, path, value))


def test_github_has_no_groups() -> None:
    headers, event = sample("github", "push")
    with pytest.raises(EventError):
        outcome("github", headers, change(event, "repository.full_name", "acme/team/app"))


@pytest.mark.parametrize("forge", ["github", "gitlab"])
@pytest.mark.parametrize(
    "ref",
    [
        None,
        "main",
        "",
        "refs/heads/",
        "refs/heads/a..b",
        "refs/heads/-x",
        "refs/heads/a b",
        "refs/heads/a\n",
        "refs/heads/a\u202e",
        "refs/heads/" + "x" * 300,
        "refs/heads/refs/pull/7/head",
        "refs/heads/refs/heads/main",
        "refs/heads/comment/note/9",
        "refs/heads/comment/issue/9",
        ["refs/heads/main"],
    ],
    ids=ascii,
)
def test_hostile_refs_are_refused(forge: str, ref: object) -> None:
    headers, event = sample(forge, "push")
    with pytest.raises(EventError):
        outcome(forge, headers, change(event, "ref", ref))


@pytest.mark.parametrize("forge", ["github", "gitlab"])
@pytest.mark.parametrize("path", ["before", "after"])
@pytest.mark.parametrize("value", [None, "", "main", A[:-1], A.upper(), f"{A}\n", 7, A + A])
def test_hostile_commits_are_refused(forge: str, path: str, value: object) -> None:
    headers, event = sample(forge, "push")
    with pytest.raises(EventError):
        outcome(forge, headers, change(event, path, value))


@pytest.mark.parametrize("value", [None, 0, -1, 2**63, True, 7.0, "7", [7]])
@pytest.mark.parametrize(
    ("forge", "folder", "path"),
    [
        ("github", "pull-request-opened", "pull_request.number"),
        ("github", "comment", "comment.id"),
        ("github", "comment", "issue.number"),
        ("github", "review-comment", "comment.id"),
        ("github", "review", "review.id"),
        ("github", "review", "pull_request.number"),
        ("gitlab", "merge-request-open", "object_attributes.iid"),
        ("gitlab", "note", "object_attributes.id"),
        ("gitlab", "note", "merge_request.iid"),
    ],
)
def test_hostile_numbers_are_refused(forge: str, folder: str, path: str, value: object) -> None:
    headers, event = sample(forge, folder)
    with pytest.raises(EventError):
        outcome(forge, headers, change(event, path, value))


class TestOwnEvents:
    @pytest.mark.parametrize("path", sorted({one.name for one in samples("github")} - {"ping"}))
    def test_nothing_that_our_app_does_starts_work(self, path: str) -> None:
        headers, event = sample("github", path)
        for sender in (
            {"login": "moorline[bot]", "id": 9900, "type": "Bot"},
            {"login": "renamed[bot]", "id": 9900, "type": "Bot"},
            {"login": "moorline[bot]", "id": 1, "type": "Bot"},
            {"login": "moorline[bot]", "id": 1},
            {"login": "moorline", "id": 1, "type": "Bot"},
        ):
            found = outcome("github", headers, {**event, "sender": sender})
            assert isinstance(found, Irrelevant), sender

    def test_a_person_may_be_named_like_us(self) -> None:
        headers, event = sample("github", "push")
        for login, id_ in (("moorline", 1), ("9900", 4100)):
            person = {"login": login, "id": id_, "type": "User"}
            assert isinstance(outcome("github", headers, {**event, "sender": person}), Delivery)
        headers, event = sample("gitlab", "push")
        person = {"user_id": 1, "user_username": "4200"}
        assert isinstance(outcome("gitlab", headers, {**event, **person}), Delivery)

    @pytest.mark.parametrize("account", [{"user_id": 4200}, {"user_username": "moorline-bot"}])
    def test_gitlab_names_who_pushed(self, account: dict[str, object]) -> None:
        headers, event = sample("gitlab", "push")
        found = outcome("gitlab", headers, {**event, **account})
        assert found == Irrelevant(reason=Reason.OWN, event="push")

    def test_a_person_s_act_on_our_merge_request_counts(self) -> None:
        assert only("gitlab", "merge-request-close").number == 7  # of which we are the author


class TestOwners:
    def test_everybody_unless_somebody_is_named(self) -> None:
        headers, body = read(WEBHOOKS / "github" / "push-to-an-owner-that-is-not-served")
        assert isinstance(deliver("github", headers, body, Context()), Delivery)

    def test_of_many_only_those_that_are_served(self) -> None:
        headers, event = sample("github", "installation-created")
        owners = AllowedOwners(entries=("acme/web",))
        found = deliver("github", headers, json.dumps(event).encode(), Context(owners=owners))
        assert isinstance(found, Delivery)
        assert [job.repository for job in found.jobs] == ["acme/web"]

    def test_what_is_given_away_is_found_gone_under_its_old_name(self) -> None:
        headers, event = sample("github", "repository-transferred")
        event = change(event, "repository.full_name", "evil/app")
        for kind in ("user", "organization"):
            changes = {"owner": {"from": {kind: {"login": "acme"}}}}
            found = outcome("github", headers, {**event, "changes": changes})
            assert isinstance(found, Delivery)
            assert [job.repository for job in found.jobs] == ["acme/app"]
        headers, event = sample("gitlab", "system-project-transfer")
        found = outcome("gitlab", headers, {**event, "path_with_namespace": "evil/app"})
        assert isinstance(found, Delivery)
        assert [job.repository for job in found.jobs] == ["acme/old"]

    @pytest.mark.parametrize(
        ("entries", "forge", "repository", "served"),
        [
            ((), "github", "acme/app", True),
            (("acme",), "github", "acme/app", True),
            (("ACME",), "github", "Acme/App", True),
            (("acme",), "github", "acme-evil/app", False),
            (("acme",), "gitlab", "acme/team/app", True),
            (("acme/team",), "gitlab", "acme/team/app", True),
            (("acme/team",), "gitlab", "acme/team2/app", False),
            (("acme/team",), "gitlab", "acme", False),
            (("acme/app",), "github", "acme/app", True),
            (("gitlab:acme",), "github", "acme/app", False),
            (("gitlab:acme", "github:acme"), "github", "acme/app", True),
            (("acme",), "github", "evil/acme", False),
        ],
    )
    def test_names(self, entries: tuple[str, ...], forge: str, repository: str, *, served: bool) -> None:
        assert AllowedOwners(entries=entries).serves(forge, repository) is served

    def test_an_owner_of_whom_something_is_served(self) -> None:
        owners = AllowedOwners(entries=("acme/app", "gitlab:other/app"))
        assert owners.touches("github", "ACME")
        assert not owners.touches("github", "ac")
        assert not owners.touches("github", "other")
        assert AllowedOwners().touches("github", "anybody")


class TestIds:
    def id_of(self, forge: str, headers: dict[str, str], body: bytes) -> str:
        return READERS[forge].identify({key.lower(): value for key, value in headers.items()}, body)

    def test_recursive_hooks_share_an_event_s_uuid(self) -> None:
        """Two deliveries of one cascade are two; one that is sent again is one."""
        headers, body = read(WEBHOOKS / "gitlab" / "push-before-idempotency-keys")
        other = body.replace(A.encode(), b"c" * 40)
        assert self.id_of("gitlab", headers, body) == self.id_of("gitlab", headers, body)
        assert self.id_of("gitlab", headers, body) != self.id_of("gitlab", headers, other)

    def test_the_signed_id_goes_before_the_one_that_is_not(self) -> None:
        headers = {"webhook-id": "a", "Idempotency-Key": "b", "X-Gitlab-Event-UUID": "c"}
        assert self.id_of("gitlab", headers, b"") == "a"
        assert self.id_of("gitlab", {**headers, "webhook-id": ""}, b"") == "b"

    def test_without_any_the_body_is_one(self) -> None:
        for forge in READERS:
            assert self.id_of(forge, {}, b"x").startswith("body:")

    @pytest.mark.parametrize("id_", ["a b", "x" * 129, "\u00e9", "a\n"])
    def test_odd_ones_are_refused(self, id_: str) -> None:
        for forge, header in (
            ("github", "X-GitHub-Delivery"),
            ("gitlab", "Idempotency-Key"),
            ("gitlab", "X-Gitlab-Event-UUID"),
        ):
            with pytest.raises(EventError):
                self.id_of(forge, {header: id_}, b"")


def test_a_body_of_very_many_values_is_refused_unread() -> None:
    begun = time.monotonic()
    with pytest.raises(EventError, match="more values"):
        read_object(b"[" + b"[]," * (8 * 1024 * 1024) + b"[]]")
    assert time.monotonic() - begun < 2
    assert read_object(json.dumps({"message": "x" * 2_000_000}).encode())


def test_a_large_body_takes_no_more_than_a_few_times_its_size() -> None:
    """One character beyond the basic plane would make four bytes of every other."""
    body = b'{"message": "' + b"x" * (8 * 1024 * 1024) + "\U0001f600".encode() + b'"}'
    tracemalloc.start()
    try:
        read_object(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


def test_what_a_large_body_calls_beyond_ascii_is_not_taken_for_a_name() -> None:
    """Its paths are taken for incomplete, its branch for none; the rest is read."""
    headers, event = sample("github", "push")
    event["filler"] = "x" * 1024 * 1024
    found = deliver("github", headers, json.dumps(event, ensure_ascii=False).encode(), Context())
    assert isinstance(found, Delivery)
    assert (found.jobs[0].repository, found.jobs[0].head, found.jobs[0].changed) == ("acme/app", B, None)
    event["ref"] = "refs/heads/f\u00fc"
    with pytest.raises(EventError):
        deliver("github", headers, json.dumps(event, ensure_ascii=False).encode(), Context())


class TestContexts:
    def test_who_we_are_is_asked_once_a_minute(self) -> None:
        asked: list[str] = []
        now = [0.0]

        def accounts(forge: str) -> frozenset[str]:
            asked.append(forge)
            return ACCOUNTS[forge]

        contexts = Contexts(accounts, app="1", clock=lambda: now[0])
        for now[0] in (0.0, 30.0, 59.0):
            assert contexts("github").accounts == ACCOUNTS["github"]
        assert contexts("gitlab").accounts == ACCOUNTS["gitlab"]
        now[0] = 61.0
        assert contexts("github").app == "1"
        assert asked == ["github", "gitlab", "github"]

    def test_while_nobody_knows_it_is_asked_again(self) -> None:
        # GitHub may not tell the id of our own account.
        answers: list[frozenset[str] | Exception] = [frozenset(), StoreError("away"), frozenset({"1", ""})]

        def accounts(_forge: str) -> frozenset[str]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        contexts = Contexts(accounts)
        assert contexts("github").accounts == frozenset()
        with pytest.raises(StoreError):
            contexts("github")
        assert contexts("github").accounts == frozenset({"1"})
        assert contexts("github").accounts == frozenset({"1"})


# --- whatever is sent ---------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(event: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the ways to everything within a document."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(event, dict):
        inner = list(event.items())
    elif isinstance(event, list):
        inner = list(enumerate(event[:3]))
    return [way] + [one for key, value in inner for one in places(value, (*way, key))]


def spoiled(event: Any, way: tuple[str | int, ...], value: object) -> Any:
    if not way:
        return value
    made = copy.copy(event)
    made[way[0]] = spoiled(event[way[0]], way[1:], value)
    return made


def check(found: Delivery | Irrelevant) -> None:
    if isinstance(found, Irrelevant):
        return
    assert 0 < len(found.jobs) <= hints.MOST_JOBS
    assert len({(job.repository, job.ref) for job in found.jobs}) == len(found.jobs)
    for job in found.jobs:
        for text in (job.repository, job.ref, job.head, job.before, *(job.changed or ())):
            text.encode()
            assert text.isprintable()
        assert len(job.repository) <= 1024
        assert len(job.ref) <= 255
        assert not {"..", "."} & set(job.repository.split("/"))


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_spoiled_sample_is_read_or_refused(data: st.DataObject) -> None:
    folder = data.draw(st.sampled_from(ALL))
    forge = folder.parent.name
    headers, body = read(folder)
    event = json.loads(body)
    way = data.draw(st.sampled_from(places(event)))
    try:
        found = outcome(forge, headers, spoiled(event, way, data.draw(JSON)))
    except EventError:
        return
    check(found)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.text(), st.text()), st.binary() | JSON)
def test_anything_is_read_or_refused(forge: str, headers: dict[str, str], content: object) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        check(deliver(forge, headers, body, Context()))
    except EventError as error:
        problem = str(error)
    else:
        problem = ""
    assert len(problem) < 200


def test_reasons_are_a_closed_set() -> None:
    assert all(reason.value.replace("-", "").isalpha() for reason in events.Reason)
