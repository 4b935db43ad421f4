"""Conversations on real databases: a comment is heard once, and what it comes to is done as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest

from bot.model import Decision, Edit, Job, Pinned, Proposal, Repository, Span, Trigger
from bot.store.base import (
    Answer,
    Deed,
    LastLook,
    Looked,
    Override,
    Pause,
    ProposalState,
)
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "acme/app"
ANSWER = Answer(
    forge="github",
    repository=NAME,
    ref="comment/issue/9",
    number=7,
    asker="ada",
    asker_id="5",
    url="https://forge.example/9",
    reaction="done",
    body="Done.",
)
IGNORE = Decision(by="ada", what="ignore", reference="node:22", digest=None, until=None, because="why not")
PIN = Pinned(path="Dockerfile", where="FROM", reference="docker.io/library/node:22")
JOB = Job(forge="github", repository=NAME, ref="main", trigger=Trigger.COMMENT)
LOOKED = Looked(
    path="Dockerfile",
    line=1,
    value="node:22",
    spelling="docker.io/library/node:22",
    names=("node:22",),
    pinned=PIN,
    kind="image",
    outcome="hold",
    skip="",
    note="",
    reasons=("too young",),
    written="",
    target="sha256:" + "a" * 64,
    held_by=("age",),
    insisted=(),
)


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def proposal(store: Store) -> str:
    made = Proposal(
        repository=NAME,
        base="main",
        commit="c" * 40,
        group="all",
        branch="moorline/pin/main",
        title="t",
        body="b",
        message="m",
        edits=(Edit(path="Dockerfile", span=Span(0, 1), expected=b"a", replacement=b"b"),),
        digest="d" * 64,
        pins=(PIN,),
    )
    return store.proposals.store("github", made, "", NOW)


def test_a_deed_is_done_once_and_as_a_whole(store: Store) -> None:
    deed = Deed(
        answer=ANSWER,
        decisions=(IGNORE,),
        pause=Pause(by="ada", since=NOW),
        override=Override(commit="e" * 40, number=7, base="main", by="ada", because="fire", at=NOW),
        jobs=(JOB,),
        entries=(("command.ignore", {"reference": "node:22"}),),
    )
    assert store.conversations.heard("github", NAME, ANSWER.ref) is None
    id_ = store.conversations.carry_out(deed, NOW)
    assert store.conversations.carry_out(replace(deed, decisions=(IGNORE, IGNORE)), NOW) == id_
    assert store.conversations.heard("github", NAME, ANSWER.ref) == id_
    assert store.decisions.of("github", NAME, NOW) == (IGNORE,)
    assert store.conversations.pause("github", NAME, NOW) == deed.pause
    assert store.conversations.overrides("github", NAME, "main") == (deed.override,)
    assert store.conversations.overrides("github", NAME, "prod") == ()
    assert [claim.job for claim in store.backlog.claim("w", 5, NOW)] == [JOB]
    [entry] = store.audit.entries(0, 9)
    assert (entry.who, entry.what, entry.subject) == ("github:ada", "command.ignore", f"github {NAME} 7")
    assert store.audit.broken() is None
    kept = store.conversations.answer(id_)
    assert kept is not None
    assert (kept.answer, kept.begun, kept.ended) == (ANSWER, None, None)
    assert store.conversations.answer("none") is None


def test_of_many_that_hear_a_comment_at_once_one_acts(store: Store) -> None:
    found: list[str] = []
    deed = Deed(answer=ANSWER, decisions=(IGNORE,))
    threads = [
        threading.Thread(target=lambda: found.append(store.conversations.carry_out(deed, NOW)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(store.decisions.of("github", NAME, NOW)) == 1


def test_an_answer_is_begun_and_ended_once(store: Store) -> None:
    id_ = store.conversations.carry_out(Deed(answer=ANSWER), NOW)
    assert store.conversations.said_since("github", NAME, NOW) == 0
    store.conversations.begin(id_, NOW)
    store.conversations.begin(id_, NOW + timedelta(hours=1))
    store.conversations.end(id_, NOW + timedelta(hours=2))
    kept = store.conversations.answer(id_)
    assert kept is not None
    assert (kept.begun, kept.ended) == (NOW, NOW + timedelta(hours=2))
    assert store.conversations.said_since("github", NAME, NOW) == 1
    assert store.conversations.said_since("github", NAME, NOW + timedelta(seconds=1)) == 0
    assert store.conversations.said_since("github", "acme/other", NOW) == 0


def test_a_pause_ends_by_itself_or_by_a_word(store: Store) -> None:
    talk = store.conversations
    until = NOW + timedelta(days=7)
    talk.carry_out(Deed(answer=ANSWER, pause=Pause(by="ada", since=NOW, until=until)), NOW)
    assert talk.pause("github", NAME, until - timedelta(seconds=1)) is not None
    assert talk.pause("github", NAME, until) is None
    talk.carry_out(
        Deed(answer=replace(ANSWER, ref="comment/issue/10"), pause=Pause(by="bob", since=NOW)), NOW
    )
    pause = talk.pause("github", NAME, until + timedelta(days=1000))
    assert pause is not None
    assert pause.by == "bob"
    talk.carry_out(Deed(answer=replace(ANSWER, ref="comment/issue/11"), resumes=True), NOW)
    assert talk.pause("github", NAME, NOW) is None


def test_what_was_ignored_or_declined_is_taken_back(store: Store) -> None:
    store.decisions.add("github", NAME, IGNORE, NOW)
    allow = replace(IGNORE, what="allow", digest="sha256:" + "a" * 64, checks=("age",))
    store.decisions.add("github", NAME, allow, NOW)
    store.decisions.add("github", NAME, replace(IGNORE, reference="redis:7"), NOW)
    id_ = proposal(store)
    store.proposals.mark(id_, ProposalState.CLOSED, NOW, number=7)
    assert store.proposals.declined("github", NAME, "main") == {PIN}
    store.conversations.carry_out(Deed(answer=ANSWER, unignored=("node:22",), undeclined=(PIN,)), NOW)
    assert store.proposals.declined("github", NAME, "main") == set()
    assert [(one.what, one.reference) for one in store.decisions.of("github", NAME, NOW)] == [
        ("allow", "node:22"),
        ("ignore", "redis:7"),
    ]


def test_a_proposal_is_reopened_made_again_and_taken_over(store: Store) -> None:
    id_ = proposal(store)
    store.proposals.mark(id_, ProposalState.PUBLISHED, NOW, commit="1" * 40, number=7)
    store.conversations.carry_out(Deed(answer=ANSWER, stale=(id_,)), NOW)
    stored = store.proposals.get(id_)
    assert stored is not None
    assert (stored.proposal.digest, stored.state) == ("", ProposalState.PUBLISHED)
    other = replace(ANSWER, ref="comment/issue/10")
    store.conversations.carry_out(Deed(answer=other, adopted=((id_, "2" * 40),)), NOW)
    assert store.proposals.commits("github", NAME, "moorline/pin/main") == {"1" * 40, "2" * 40}
    store.proposals.mark(id_, ProposalState.CLOSED, NOW)
    other = replace(ANSWER, ref="comment/issue/11")
    store.conversations.carry_out(Deed(answer=other, reopened=(id_,)), NOW)
    assert store.proposals.declined("github", NAME, "main") == set()


def test_a_look_is_remembered_and_what_is_held_before_all_else(store: Store) -> None:
    look = LastLook(commit="c" * 40, at=NOW, references=(LOOKED, replace(LOOKED, line=2)))
    store.conversations.looked("github", NAME, "main", look)
    assert store.conversations.look("github", NAME, "main") == look
    assert store.conversations.look("github", NAME, "dev") is None
    quiet = replace(LOOKED, held_by=(), skip="pinned")
    many = (*(replace(quiet, line=n) for n in range(2500)), LOOKED)
    store.conversations.looked("github", NAME, "main", replace(look, references=many))
    found = store.conversations.look("github", NAME, "main")
    assert found is not None
    assert (len(found.references), found.more) == (2000, 501)
    assert found.references[-1] == LOOKED


def test_of_two_words_on_one_thing_the_later_one_counts(store: Store) -> None:
    other = replace(IGNORE, digest="sha256:" + "a" * 64)
    for number, because in enumerate(("one", "two")):
        deed = Deed(
            answer=replace(ANSWER, ref=f"comment/issue/{number + 1}"),
            decisions=(replace(IGNORE, because=because), replace(other, because=because)),
        )
        store.conversations.carry_out(deed, NOW)
    made = store.decisions.of("github", NAME, NOW)
    assert [(one.digest is None, one.because) for one in made] == [(True, "two"), (False, "two")]


def test_it_all_goes_along_with_a_new_name(store: Store) -> None:
    there = Repository(name=NAME, id="1", default_branch="main", head="c" * 40)
    store.repositories.record("github", there, NOW)
    deed = Deed(
        answer=ANSWER,
        pause=Pause(by="ada", since=NOW),
        override=Override(commit="e" * 40, number=7, base="main", by="ada", because="fire", at=NOW),
        words=("pause",),
        said=NOW,
    )
    id_ = store.conversations.carry_out(deed, NOW)
    store.conversations.looked(
        "github", NAME, "main", LastLook(commit="c" * 40, at=NOW, references=(LOOKED,))
    )
    store.repositories.record("github", replace(there, name="acme/new"), NOW)
    talk = store.conversations
    assert talk.heard("github", "acme/new", ANSWER.ref) == id_
    assert talk.pause("github", "acme/new", NOW) is not None
    assert talk.overrides("github", "acme/new", "main")
    assert talk.look("github", "acme/new", "main") is not None
    assert talk.pause("github", NAME, NOW) is None
    assert talk.words("github", "acme/new", NOW) == {"pause": NOW}


def test_the_last_word_on_a_topic_is_the_one_that_was_said_last(store: Store) -> None:
    later, talk = NOW + timedelta(minutes=1), store.conversations
    for number, said in enumerate((later, NOW)):
        deed = Deed(answer=replace(ANSWER, ref=f"comment/issue/{number}"), words=("pause", "x"), said=said)
        talk.carry_out(deed, later)
    assert talk.words("github", NAME, NOW) == {"pause": later, "x": later}
    assert talk.words("github", NAME, later + timedelta(seconds=1)) == {}
    assert talk.words("github", "acme/other", NOW) == {}
    store.backlog.forget(later)
    assert talk.words("github", NAME, NOW)
    store.backlog.forget(later + timedelta(seconds=1))
    assert not talk.words("github", NAME, NOW)


def test_what_is_over_is_forgotten_in_time(store: Store) -> None:
    deed = Deed(
        answer=ANSWER,
        pause=Pause(by="ada", since=NOW, until=NOW + timedelta(days=1)),
        override=Override(commit="e" * 40, number=7, base="main", by="ada", because="fire", at=NOW),
    )
    id_ = store.conversations.carry_out(deed, NOW)
    look = LastLook(commit="c" * 40, at=NOW, references=())
    store.conversations.looked("github", NAME, "main", look)
    store.conversations.looked("github", NAME, "refs/pull/7/head", look)
    store.backlog.forget(NOW - timedelta(days=1))
    assert store.conversations.answer(id_) is not None
    store.backlog.forget(NOW + timedelta(days=30))
    talk = store.conversations
    assert talk.answer(id_) is None
    assert talk.heard("github", NAME, ANSWER.ref) is None
    assert not talk.overrides("github", NAME, "main")
    assert talk.look("github", NAME, "main") is not None
    assert talk.look("github", NAME, "refs/pull/7/head") is None


def test_our_one_comment_of_a_topic_is_known(store: Store) -> None:
    talk = store.conversations
    assert talk.sticky("github", NAME, 7, "aside") == ""
    talk.stuck("github", NAME, 7, "aside", "11", NOW)
    talk.stuck("github", NAME, 7, "aside", "12", NOW)
    assert talk.sticky("github", NAME, 7, "aside") == "12"
    assert talk.sticky("github", NAME, 8, "aside") == ""
    talk.stuck("github", NAME, 7, "aside", "", NOW)
    assert talk.sticky("github", NAME, 7, "aside") == ""


def test_what_is_found_again_is_as_old_as_it_was(store: Store) -> None:
    talk = store.conversations
    look = LastLook(commit="c" * 40, at=NOW, references=(LOOKED,), verdict="failure: x")

    def again(days: int, **said: object) -> datetime | None:
        talk.looked("github", NAME, "main", replace(look, at=NOW + timedelta(days=days), **said))  # type: ignore[arg-type]  # a test names the fields
        found = talk.look("github", NAME, "main")
        return found.known if found is not None else None

    worded = replace(LOOKED, reasons=("seen for 3 days",), note="other words")
    assert again(0) == again(1) == again(2, references=(worded,)) == NOW
    assert again(3, references=(replace(LOOKED, target="sha256:" + "b" * 64),)) == NOW + timedelta(days=3)
    assert again(4) == NOW + timedelta(days=4)  # what was otherwise in between is news
    assert again(5, verdict="failure: y") == NOW + timedelta(days=5)
    assert again(6, verdict="failure: y", commit="d" * 40) == NOW + timedelta(days=6)
    assert again(7, verdict="failure: y", commit="d" * 40, references=()) == NOW + timedelta(days=7)


DIGEST = "sha256:" + "a" * 64
ALLOW = replace(IGNORE, what="allow", digest=DIGEST, checks=("age", "registries"))


def held(store: Store) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.what, one.checks) for one in store.decisions.of("github", NAME, NOW)]


def test_an_exception_ends_check_by_check(store: Store) -> None:
    store.decisions.add("github", NAME, ALLOW, NOW)
    store.decisions.add("github", NAME, IGNORE, NOW)
    store.decisions.end("gitlab", NAME, ALLOW.lines)
    store.decisions.end("github", NAME, (replace(ALLOW.lines[0], reference="node:22 age sha256:0"),))
    assert held(store) == [("allow", ("age", "registries")), ("ignore", ())]
    store.decisions.end("github", NAME, ALLOW.lines[:1])
    assert held(store) == [("allow", ("registries",)), ("ignore", ())]
    store.decisions.end("github", NAME, (*ALLOW.lines, *IGNORE.lines))
    assert held(store) == []


def test_an_exception_without_checks_excuses_nothing_and_is_not_shown(store: Store) -> None:
    store.decisions.add("github", NAME, replace(ALLOW, checks=()), NOW)
    assert held(store) == []


def test_a_later_word_takes_no_check_away(store: Store) -> None:
    for number, checks in enumerate((("age", "registries"), ("age", "typosquat"))):
        deed = Deed(
            answer=replace(ANSWER, ref=f"comment/issue/{number + 1}"),
            decisions=(replace(ALLOW, checks=checks, because=str(number)),),
        )
        store.conversations.carry_out(deed, NOW)
    made = store.decisions.of("github", NAME, NOW)
    assert [(one.checks, one.because) for one in made] == [
        (("registries",), "0"),
        (("age", "typosquat"), "1"),
    ]
    deed = Deed(answer=replace(ANSWER, ref="comment/issue/9"), ended=ALLOW.lines)
    store.conversations.carry_out(deed, NOW)
    assert held(store) == [("allow", ("typosquat",))]


def test_what_somebody_declined_to_keep_does_not_hold(store: Store) -> None:
    store.decisions.add("github", NAME, ALLOW, NOW)
    store.decisions.add("github", NAME, IGNORE, NOW)
    job = Job(forge="github", repository=NAME, ref="main", trigger=Trigger.PUSH)
    id_ = proposal(store)
    stored = store.proposals.get(id_)
    assert stored is not None
    pins = (ALLOW.lines[1], *IGNORE.lines)
    kept = store.proposals.store(
        "github", replace(stored.proposal, pins=pins, group="configuration"), "", NOW
    )
    store.proposals.mark(kept, ProposalState.CLOSED, NOW, number=8)
    assert held(store) == [("allow", ("age",))]
    store.conversations.carry_out(Deed(answer=ANSWER, undeclined=pins, jobs=(job,)), NOW)
    assert held(store) == [("allow", ("age", "registries")), ("ignore", ())]


def test_that_the_configuration_has_a_decision_is_remembered(store: Store) -> None:
    store.decisions.add("github", NAME, ALLOW, NOW)
    store.decisions.stood("github", NAME, ALLOW.lines[:1])
    assert [one.stood for one in store.decisions.of("github", NAME, NOW)] == [False]
    store.decisions.stood("github", NAME, ALLOW.lines)
    assert [one.stood for one in store.decisions.of("github", NAME, NOW)] == [True]
