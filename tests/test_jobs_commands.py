"""What operators see and do of the queue: the backlog's part on both databases, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from commands import environment, run

from bot.cli import app
from bot.model import Job, Repository, Trigger
from bot.store.base import Claim, Delivery, Ending, Retry, Scan
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def job(repository: str, ref: str = "main", trigger: Trigger = Trigger.PUSH, **hints: Any) -> Job:
    return Job(forge="github", repository=repository, ref=ref, trigger=trigger, **hints)


def claimed(store: Store, wish: Job) -> Claim:
    store.inbox.want((wish,), NOW)
    claims = {claim.job.repository: claim for claim in store.backlog.claim("w", 99, NOW)}
    return claims[wish.repository]


def scanned(store: Store, repository: str, ref: str) -> None:
    """Let a branch of the git forge have been looked at."""
    seen = Scan(head="a" * 40, rules="", paths=(), references=(), refs=(), held=0, at=NOW)
    store.repositories.scanned("git", repository, ref, seen)


def ended(store: Store, wish: Job, ending: Ending, now: datetime = NOW) -> None:
    store.backlog.settle(claimed(store, wish).run, ending, f"It {ending.value}.", now)


class TestWaits:
    def test_what_runs_comes_first_and_then_the_most_urgent(self, store: Store) -> None:
        running = claimed(store, job("acme/running", trigger=Trigger.SWEEP))
        store.inbox.want((job("acme/swept", trigger=Trigger.SWEEP),), NOW)
        store.inbox.want((job("acme/pushed", head="a" * 40, number=3),), NOW + MINUTE)
        waits = store.backlog.waits(9)
        assert [(one.job.repository, one.running, one.worker) for one in waits] == [
            ("acme/running", True, "w"),
            ("acme/pushed", False, ""),
            ("acme/swept", False, ""),
        ]
        assert waits[1].job == job("acme/pushed", head="a" * 40, number=3)
        assert (waits[1].since, waits[1].due, waits[1].attempts) == (NOW + MINUTE, NOW + MINUTE, 0)
        assert store.backlog.waits(1) == waits[:1]
        assert waits[0].job == running.job

    def test_what_was_put_off_says_why(self, store: Store) -> None:
        for wish, named in ((job("acme/a"), True), (job("acme/b"), False)):
            again = Retry(due=NOW + DAY, named=named)
            run = claimed(store, wish).run
            store.backlog.settle(run, Ending.POSTPONED, f"Away with {wish.repository}.", NOW, retry=again)
        ended(store, job("acme/c"), Ending.FAILED)
        store.inbox.want((job("acme/c"),), NOW)
        assert {one.job.repository: one.detail for one in store.backlog.waits(9)} == {
            "acme/a": "Away with acme/a.",
            "acme/b": "Away with acme/b.",
            "acme/c": "",
        }


class TestStuck:
    def test_only_the_last_word_on_a_ref_counts(self, store: Store) -> None:
        ended(store, job("acme/a"), Ending.FAILED)
        ended(store, job("acme/b"), Ending.PARKED, NOW + MINUTE)
        ended(store, job("acme/fixed"), Ending.FAILED)
        ended(store, job("acme/fixed"), Ending.PUBLISHED, NOW + MINUTE)
        ended(store, job("acme/again"), Ending.PARKED)
        store.inbox.want((job("acme/again"),), NOW)
        ended(store, job("acme/fine"), Ending.NOTHING)
        stuck = store.backlog.stuck(9)
        assert [(run.job.repository, run.ending) for run in stuck] == [
            ("acme/b", Ending.PARKED),
            ("acme/a", Ending.FAILED),
        ]
        assert stuck[0].detail == "It parked."
        assert store.backlog.stuck(1) == stuck[:1]

    @pytest.mark.parametrize("refs", [("", "main"), ("main", "")])
    @pytest.mark.parametrize("forge", ["github", "git"])
    def test_the_default_branch_is_one_branch_whoever_names_it(
        self, store: Store, refs: tuple[str, str], forge: str
    ) -> None:
        for name in ("acme/a", "acme/other"):
            if forge == "github":
                branch = "main" if name == "acme/a" else "trunk"
                there = Repository(name=name, id=name, default_branch=branch, head="a" * 40)
                store.repositories.record("github", there, NOW)
            else:
                scanned(store, name, "main" if name == "acme/a" else "trunk")
            failing, fine = (replace(job(name, ref), forge=forge) for ref in refs)
            ended(store, failing, Ending.FAILED)
            ended(store, fine, Ending.NOTHING, NOW + MINUTE)
        assert [run.job.repository for run in store.backlog.stuck(9)] == ["acme/other"]
        store.inbox.want((replace(job("acme/other", "trunk" if refs[0] == "" else ""), forge=forge),), NOW)
        left = [run.job.repository for run in store.backlog.stuck(9)]
        assert left == ([] if refs[0] == "" else ["acme/other"])


class TestRetry:
    def test_what_is_stuck_is_wanted_again_as_it_was(self, store: Store) -> None:
        ended(
            store, job("acme/a", "refs/pull/7/head", Trigger.PULL_REQUEST, number=7, head="a"), Ending.PARKED
        )
        ended(store, job("acme/a", "dev"), Ending.FAILED)
        ended(store, job("acme/b"), Ending.FAILED)
        assert store.backlog.retry("acme/a", None, NOW) == 2
        assert [run.job.repository for run in store.backlog.stuck(9)] == ["acme/b"]
        wants = {one.job.ref: one.job for one in store.backlog.waits(9)}
        again = job("acme/a", "refs/pull/7/head", Trigger.PULL_REQUEST, number=7)
        assert wants == {"refs/pull/7/head": again, "dev": job("acme/a", "dev")}
        assert store.backlog.retry("acme/nothing", None, NOW) == 0

    def test_what_waits_for_its_time_is_due(self, store: Store) -> None:
        for ref in ("main", "dev"):
            claim = claimed(store, job("acme/a", ref))
            late = Retry(due=NOW + DAY, named=True)
            store.backlog.settle(claim.run, Ending.POSTPONED, "", NOW, retry=late)
        assert store.backlog.claim("w", 9, NOW) == ()
        assert store.backlog.retry("acme/a", "main", NOW) == 1
        (claim,) = store.backlog.claim("w", 9, NOW)
        assert claim.job.ref == "main"
        assert store.backlog.retry("acme/a", None, NOW) == 1

    def test_what_only_runs_is_left_alone(self, store: Store) -> None:
        claimed(store, job("acme/a"))
        assert store.backlog.retry("acme/a", None, NOW) == 0


class TestCancel:
    def test_what_waits_is_forgotten_and_recorded(self, store: Store) -> None:
        store.inbox.want((job("acme/a"), job("acme/a", "dev"), job("acme/b")), NOW)
        off = store.backlog.cancel("acme/a", "dev", NOW)
        assert (off.waiting, off.running) == (1, ())
        assert [one.job.ref for one in store.backlog.waits(9) if one.job.repository == "acme/a"] == ["main"]
        assert store.backlog.cancel("acme/a", None, NOW).waiting == 1
        assert [one.job.repository for one in store.backlog.waits(9)] == ["acme/b"]
        assert store.inbox.tallies() == {"cancelled": 2}
        assert store.backlog.stuck(9) == ()

    def test_what_runs_is_marked_and_what_waits_behind_it_forgotten(self, store: Store) -> None:
        claim = claimed(store, job("acme/a"))
        store.inbox.want((job("acme/a"),), NOW)
        off = store.backlog.cancel("acme/a", None, NOW)
        assert (off.waiting, off.running) == (0, (claim.run,))
        marked = store.backlog.find(claim.run)
        assert marked is not None
        assert marked.cancelled
        # Until its step ends the repository is its own: nothing may overlap.
        store.inbox.want((job("acme/a", "dev"),), NOW)
        assert store.backlog.claim("w", 9, NOW) == ()
        store.backlog.settle(claim.run, Ending.CANCELLED, "", NOW)
        (dev,) = store.backlog.claim("w", 9, NOW)
        assert (dev.job.ref, dev.cancelled) == ("dev", False)

    def test_what_its_engine_never_runs_is_gone(self, store: Store) -> None:
        claim = claimed(store, job("acme/a"))
        store.backlog.cancel("acme/a", None, NOW)
        store.backlog.release(claim.run)
        assert store.backlog.waits(9) == ()

    def test_a_push_after_it_survives_a_release(self, store: Store) -> None:
        claim = claimed(store, job("acme/a"))
        store.backlog.cancel("acme/a", None, NOW)
        store.inbox.receive(Delivery(source="x", id="1", jobs=(job("acme/a", head="b"),)), NOW)
        store.backlog.release(claim.run)
        (again,) = store.backlog.claim("w", 9, NOW)
        assert (again.job.head, again.cancelled) == ("b", False)


# --- the command --------------------------------------------------------------------------


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A queue with something of everything, and no worker anywhere."""
    url = f"sqlite:///{tmp_path / 'moorline.db'}"
    monkeypatch.setenv("MOORLINE_DATABASE_URL", url)
    with Store(url) as store:
        ended(store, job("acme/parked"), Ending.PARKED)
        ended(store, job("acme/failed"), Ending.FAILED)
        claimed(store, job("acme/running"))
        store.inbox.want((job("acme/waiting", "de\x1bv"), job("acme/waiting", "")), NOW)
        yield store


def jobs(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    return int(app(["jobs", *arguments], standalone_mode=False))


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ([], ["running", "waiting", "waiting", "failed", "parked"]),
        (["--parked"], ["parked"]),
        (["--failed"], ["failed"]),
        (["--waiting"], ["running", "waiting", "waiting"]),
        (["--failed", "--parked"], ["failed", "parked"]),
    ],
)
def test_the_list_as_json(
    queue: Store, options: list[str], states: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert queue.backlog.waits(1)
    assert jobs("list", "--format", "json", *options) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert sorted(one["state"] for one in document["jobs"]) == sorted(states)
    stuck = [one for one in document["jobs"] if one["state"] == "parked"]
    assert all((one["detail"], one["repository"]) == ("It parked.", "acme/parked") for one in stuck)


@pytest.mark.parametrize(
    ("globs", "repositories"),
    [
        (["acme/waiting"], {"acme/waiting"}),
        (["ACME/*"], {"acme/parked", "acme/failed", "acme/running", "acme/waiting"}),
        (["parked", "acme/f*"], {"acme/parked", "acme/failed"}),
        (["other/*"], set()),
    ],
)
@pytest.mark.usefixtures("queue")
def test_the_list_of_some_repositories(
    globs: list[str], repositories: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs("list", "--format", "json", *(f"--repo={one}" for one in globs)) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["repository"] for one in document["jobs"]} == repositories


def test_the_list_says_why_something_waits(queue: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = claimed(queue, job("acme/late")).run
    late = Retry(due=NOW + DAY, named=True)
    queue.backlog.settle(run, Ending.POSTPONED, "GitHub asks to wait.", NOW, retry=late)
    assert jobs("list", "--waiting", "--format", "json") == 0
    shown = {one["repository"]: one["detail"] for one in json.loads(capsys.readouterr().out)["jobs"]}
    assert shown == {"acme/running": "w", "acme/waiting": "", "acme/late": "GitHub asks to wait."}
    jobs("list")
    assert "2026-03-02 12:00:00Z\t\tGitHub asks to wait." in capsys.readouterr().out


def test_nothing_to_list_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'moorline.db'}"
    monkeypatch.setenv("MOORLINE_DATABASE_URL", url)
    with Store(url):
        assert jobs("list") == 0
        assert jobs("list", "--parked", "--failed", "--repo", "acme/*") == 0
        assert app(["audit"], standalone_mode=False) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "moorline: Nothing waits, runs or is stuck.\n"
        "moorline: Nothing of acme/* failed or is parked.\n"
        "moorline: The audit log is empty.\n"
    )


def test_a_job_of_the_whole_forge_has_a_name(queue: Store, capsys: pytest.CaptureFixture[str]) -> None:
    queue.inbox.want((job("", "sweep/1"), job("", "catch-up")), NOW)
    assert jobs("cancel", "", "sweep/1") == 0
    assert jobs("cancel", "") == 0
    assert capsys.readouterr().out == (
        "1 ref of the forge itself sweep/1 called off.\n1 ref of the forge itself called off.\n"
    )


def test_the_list_for_people(queue: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert queue.backlog.waits(1)
    assert jobs("list") == 0
    shown = capsys.readouterr().out
    assert "github acme/parked\tmain\tpush\t2026-03-01 12:00:00Z\t\t\tIt parked." in shown
    assert "(default)" in shown
    assert "\x1b" not in shown


def test_the_list_on_a_terminal(
    queue: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.backlog.waits(1)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    assert jobs("list", "--parked") == 0
    shown = capsys.readouterr().out
    assert "repository" in shown
    assert "github acme/parked" in shown


def test_the_audit_log_fits_a_narrow_terminal(
    queue: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = {"digest": f"sha256:{'0' * 64}", "because": "\u202e" + "a word " * 20}
    queue.audit.add("github:ada", "decision.made", "github acme/a-repository main", evidence, NOW)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert app(["audit"], standalone_mode=False) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [
        "1  2026-03-01 12:00:00Z  github:ada  decision.made",
        "    github acme/a-repository main",
    ]
    assert sum(f"digest=sha256:{'0' * 64}" in line for line in shown) == 1, "it can be copied"
    assert "\u202e" not in "".join(shown)
    assert all(len(line) <= 80 or "sha256:" in line for line in shown)


def test_retry_and_cancel_work_without_a_worker_and_are_written_down(
    queue: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs("retry", "acme/parked", "main") == 0
    assert jobs("cancel", "acme/waiting") == 0
    assert jobs("cancel", "acme/running") == 0
    assert "nothing more is begun" in capsys.readouterr().out
    states = {(one.job.repository, one.running) for one in queue.backlog.waits(9)}
    assert states == {("acme/running", True), ("acme/parked", False)}
    (running,) = queue.backlog.claimed()
    assert running.cancelled
    entries = queue.audit.entries(0, 9)
    assert [(one.who, one.what, one.subject) for one in entries] == [
        ("operator", "jobs.retried", "acme/parked main"),
        ("operator", "jobs.cancelled", "acme/waiting"),
        ("operator", "jobs.cancelled", "acme/running"),
    ]
    assert entries[1].evidence == {"refs": 2, "running": ()}
    assert entries[2].evidence == {"refs": 1, "running": (running.run,)}


@pytest.mark.parametrize(
    "arguments", [["retry", "acme/none"], ["cancel", "acme/none"], ["cancel", "acme/parked"]]
)
def test_where_there_is_nothing_to_do_it_says_so(
    queue: Store, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs(*arguments) == 1
    assert arguments[1] in capsys.readouterr().err
    assert queue.audit.head()[0] == 0


def test_the_command_in_a_process_of_its_own(queue: Store, tmp_path: Path) -> None:
    env = environment(tmp_path, MOORLINE_DATABASE_URL=f"sqlite:///{tmp_path / 'moorline.db'}")
    done = run("jobs", "retry", "acme/failed", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, "1 ref of acme/failed will be looked at next.\n")
    assert queue.backlog.stuck(9)[0].job.repository == "acme/parked"
    done = run("jobs", "list", cwd=tmp_path, env={**env, "MOORLINE_DATABASE_URL": "sqlite:///none.db"})
    assert (done.returncode, "no database" in done.stderr) == (2, True)
