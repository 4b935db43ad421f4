"""The verbs where a run is cut off, and what a change brings in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import reports
from git_server import commit_files, git, make_repository, require_git
from hypothesis import given
from hypothesis import strategies as st

from bot import introduced, pipeline
from bot.errors import SupersededError
from bot.forges.git import GitForge
from bot.model import (
    Edit,
    Evidence,
    Finding,
    Outcome,
    Proposal,
    Span,
    State,
    Status,
    Unread,
    UnreadReason,
    UnresolvedReason,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PIN = f"@sha256:{'a' * 64}".encode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    require_git()
    make_repository(tmp_path / "app", {"Dockerfile": b"FROM node:22\n"}, bare=False)
    return tmp_path / "app"


def proposal(repository: Path) -> Proposal:
    return Proposal(
        repository=str(repository),
        base="main",
        commit=git("rev-parse", "main", cwd=repository),
        group="all",
        branch="moorline/pin/main",
        title="Pin",
        body="",
        message="Pin node\n\nMoorline-Digest: 1\n",
        edits=(Edit(path="Dockerfile", span=Span(12, 12), expected=b"", replacement=PIN),),
        digest="1",
    )


def test_publishing_again_changes_nothing(repository: Path) -> None:
    forge, made = GitForge(roots=[str(repository)]), proposal(repository)
    first = pipeline.publish(made, forge, pipeline.Ours())
    assert first.action == "created"
    again = pipeline.publish(made, forge, pipeline.Ours())
    assert (again.action, again.commit) == ("unchanged", first.commit)


def test_what_was_written_before_a_crash_is_known_as_ours_although_the_base_moved(repository: Path) -> None:
    """Else the branch would be taken for somebody else's for good."""
    forge, made = GitForge(roots=[str(repository)]), proposal(repository)
    first = pipeline.publish(made, forge, pipeline.Ours())
    commit_files(repository, {"other": b"x\n"}, "meanwhile")
    again = pipeline.publish(made, forge, pipeline.Ours())
    assert (again.action, again.commit) == ("unchanged", first.commit)
    newer = replace(made, commit=git("rev-parse", "main", cwd=repository))
    assert pipeline.publish(newer, forge, pipeline.Ours(commits={first.commit})).action == "updated"


def test_a_base_that_moved_supersedes(repository: Path) -> None:
    forge, made = GitForge(roots=[str(repository)]), proposal(repository)
    commit_files(repository, {"other": b"x\n"}, "meanwhile")
    with pytest.raises(SupersededError):
        pipeline.publish(made, forge, pipeline.Ours())
    assert forge.branch(str(repository), made.branch) is None


def test_somebody_elses_branch_is_left_alone(repository: Path) -> None:
    forge, made = GitForge(roots=[str(repository)]), proposal(repository)
    git("branch", made.branch, cwd=repository)
    assert pipeline.publish(made, forge, pipeline.Ours()).action == "left-alone"
    assert forge.branch(str(repository), made.branch) == made.commit


# --- trouble that passes ------------------------------------------------------------------


def test_which_trouble_is_worth_another_try() -> None:
    found = reports.finding()
    fine = reports.pinned(found)
    for reason in UnresolvedReason:
        one = reports.unresolved(found, "x")
        assert one.unresolved is not None
        one = replace(one, unresolved=replace(one.unresolved, reason=reason))
        said = pipeline.passing(reports.report(fine, one))
        assert (said is not None) == (
            reason.value in ("timeout", "unreachable", "server-error", "rate-limited", "deferred")
        ), reason
    assert pipeline.passing(reports.report(fine)) is None


def test_evidence_that_could_not_be_had_is_worth_another_try() -> None:
    error = Evidence(check="digest-honesty", digest=reports.DIGEST, status=Status.ERROR, facts={})
    fine = reports.pinned(reports.finding("a\x1b/Dockerfile"))
    held = replace(fine, outcome=Outcome.HOLD, evidence=(error,))
    assert str(pipeline.passing(reports.report(held, held))) == (
        "Some look-ups failed and are tried again: a\N{REPLACEMENT CHARACTER}/Dockerfile:1 and 1 more."
    )
    assert pipeline.passing(reports.report(replace(fine, evidence=(error,)))) is None


def test_the_time_that_a_server_names_is_kept() -> None:
    one, two = (reports.unresolved(reports.finding(line=line), "x") for line in (1, 2))
    assert one.unresolved is not None
    limited = replace(one.unresolved, reason=UnresolvedReason.RATE_LIMITED, retry_after=120.0)
    said = pipeline.passing(reports.report(replace(one, unresolved=limited), two))
    assert said is not None
    assert said.retry_after == 120.0


def test_a_pin_that_was_proposed_is_not_taken_back_for_trouble_that_passes() -> None:
    one = reports.unresolved(reports.finding(), "x")
    assert one.unresolved is not None
    away = replace(one, unresolved=replace(one.unresolved, reason=UnresolvedReason.TIMEOUT))
    edit = Edit(path="Dockerfile", span=Span(5, 12), expected=b"node:20", replacement=b"node:20@x")
    other = replace(edit, expected=b"node:22")
    published = Proposal(
        repository="r",
        base="main",
        commit="c" * 40,
        group="all",
        branch="b",
        title="",
        body="",
        message="",
        edits=(edit,),
        digest="d",
    )
    assert pipeline.unpins(reports.report(away), published)
    assert not pipeline.unpins(reports.report(one), published)  # gone for good: it cannot be vouched for
    assert not pipeline.unpins(reports.report(away), replace(published, edits=(other,)))


# --- what a change brings in --------------------------------------------------------------


def never(_old: str, _new: str) -> bool:
    return False


def test_findings_subtract_one_by_one() -> None:
    one = reports.finding(line=1)
    moved = replace(one, location=replace(one.location, line=9, span=Span(100, 107)))
    assert introduced.findings([moved], [one], renamed=never) == ()
    assert introduced.findings([one, moved], [one], renamed=never) == (moved,)
    assert introduced.findings([one], [], renamed=never) == (one,)


def test_the_same_construct_goes_first() -> None:
    """Of two alike, the one in a place that was there before is the old one."""
    old = reports.finding(where="services.db.image")
    new = reports.finding(where="services.cache.image", line=3)
    assert introduced.findings([new, old], [old], renamed=never) == (new,)


def test_a_state_that_changes_comes_in() -> None:
    one = reports.finding()
    unknown = replace(one, state=State.UNKNOWN)
    assert introduced.findings([one], [unknown], renamed=never) == (one,)


def test_a_name_may_change() -> None:
    old, new = reports.finding("a/Dockerfile"), reports.finding("b/Dockerfile")
    assert introduced.findings([new], [old], renamed=lambda *_: True) == ()
    assert introduced.findings([new, new], [old], renamed=lambda *_: True) == (new,)
    assert introduced.findings([new], [old], renamed=never) == (new,)


SOME = st.lists(
    st.builds(
        reports.finding,
        st.sampled_from(["Dockerfile", "b/Dockerfile"]),
        value=st.sampled_from(["node:20", "node:22"]),
        line=st.integers(1, 3),
        where=st.sampled_from(["FROM", "COPY --from"]),
    ),
    max_size=6,
)


@given(head=SOME, base=SOME)
def test_nothing_new_hides_and_nothing_old_comes_in(head: list[Finding], base: list[Finding]) -> None:
    came = introduced.findings(head, base, renamed=never)
    assert introduced.findings(head, head, renamed=never) == ()
    assert introduced.findings(head, [], renamed=never) == tuple(head)
    for path in ("Dockerfile", "b/Dockerfile"):
        for value in ("node:20", "node:22"):

            def count(some: list[Finding], path: str = path, value: str = value) -> int:
                return sum((one.location.path, one.value) == (path, value) for one in some)

            assert count(list(came)) == max(0, count(head) - count(base))


@pytest.mark.parametrize("reason", list(UnreadReason))
def test_unread_files_that_matter(reason: UnreadReason) -> None:
    one = Unread(path="compose.yaml", reason=reason)
    matters = reason not in (UnreadReason.LEFT_OUT, UnreadReason.SUBMODULE)
    assert bool(introduced.unread([one])) == matters
    assert introduced.unread([one], {(one.path, reason)}, lambda _path: True) == ()
    assert bool(introduced.unread([one], {(one.path, reason)}, lambda _path: False)) == matters
