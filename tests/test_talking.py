"""Who may say what, and that it is done once: in memory, with people of every role."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conversing import BRANCH, NAME, ROLES, World
from hosted import Heard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_answers import is_harmless
from test_markdown import HOSTILE

from bot.commands import FORMS, Verb, role_name
from bot.config import parse
from bot.errors import ForgeError, TransientError
from bot.forges.base import Comment, Reaction, RequestState, Role
from bot.model import Conclusion, Decision, ImageReference, Manifest, Resolution, Trigger, Unresolved
from bot.runs import Manners
from bot.store.base import Pause, ProposalState
from bot.store.sql import Store

FLOATING = {"Dockerfile": b"FROM node:22\nFROM redis:7\n"}


@pytest.fixture(params=["github", "gitlab"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store, name=request.param)
        made.create(FLOATING)
        yield made


def effects(world: World) -> list[str]:
    """Return what the audit log says of commands."""
    return [
        str(one.evidence["effect"])
        for one in world.store.audit.entries(0, 1000)
        if one.what.startswith("command.")
    ]


def state(world: World) -> object:
    """Return all that a command may change."""
    store = world.store
    return (
        store.decisions.of(world.name, NAME, world.now),
        store.conversations.pause(world.name, NAME, world.now),
        store.proposals.declined(world.name, NAME, "main"),
        store.proposals.counts(),
        [(one.number, one.state, one.head) for one in world.forge.projects[NAME].requests.values()],
        store.backlog.waits(10),
    )


# --- who may say what ---------------------------------------------------------------------


@pytest.mark.parametrize("who", list(ROLES))
@pytest.mark.parametrize("verb", list(Verb))
def test_the_forge_s_role_decides(tmp_path: Path, verb: Verb, who: str) -> None:
    """Every command by every role: whoever may not changes nothing, is told politely, and is logged."""
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store)
        world.create(FLOATING)
        before, role, least = state(world), ROLES[who], FORMS[verb].least
        heard = world.say(f"@moorline {FORMS[verb].example}", who)
        if role is Role.NONE:
            assert (heard.reactions, heard.answers, effects(world)) == ([], [], [])
        elif role < least:
            assert heard.reactions == [Reaction.SEEN, Reaction.REFUSED]
            [answer] = heard.answers
            assert f"needs the role `{least.name.lower()}`" in answer
            assert effects(world) == ["refused"]
            [entry] = [one for one in store.audit.entries(0, 99) if one.what.startswith("command.")]
            assert (entry.who, entry.what) == (f"github:{who}", f"command.{verb.value}")
        else:
            assert Reaction.SEEN in heard.reactions
            assert effects(world) != ["refused"]
            return
        assert state(world) == before


def test_the_role_is_asked_when_the_command_runs(world: World) -> None:
    comment = world.forge.say(NAME, 1, "@moorline pause", "wes")
    world.forge.projects[NAME].roles["wes"] = Role.READ
    world.run(world.heard(comment))
    assert effects(world) == ["refused"]


# --- what is not listened to --------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"bot": True},
        {"edited": True},
        {"created": datetime(2026, 2, 28, 11, tzinfo=UTC)},
        {"author": "us"},
    ],
)
def test_bots_edits_and_old_words_are_not_commands(world: World, said: dict[str, object]) -> None:
    if said.get("author") == "us":
        said = {"author": world.forge.account()}
    comment = world.forge.say(NAME, 1, "@moorline pause", "ada", **said)
    world.run(replace(world.heard(comment), number=1))
    heard = world.forge.projects[NAME].heard[comment.ref]
    assert (heard.reactions, heard.answers, effects(world)) == ([], [], [])
    assert world.store.conversations.pause(world.name, NAME, world.now) is None


def test_a_comment_elsewhere_than_told_is_not_listened_to(world: World) -> None:
    comment = world.forge.say(NAME, 1, "@moorline pause", "ada")
    world.run(replace(world.heard(comment), number=7))
    assert effects(world) == []


def test_a_comment_that_was_taken_back_is_not_acted_on(world: World) -> None:
    comment = world.forge.say(NAME, 1, "@moorline pause", "ada")
    del world.forge.projects[NAME].heard[comment.ref]
    world.run(world.heard(comment))
    assert effects(world) == []


def test_a_comment_runs_once_however_often_it_is_told(world: World) -> None:
    heard = world.say("@moorline snooze 7d", "wes")
    pause = world.store.conversations.pause(world.name, NAME, world.now)
    for _ in range(3):
        world.run(world.heard(heard.comment))
    assert len(heard.answers) == 1
    assert world.store.conversations.pause(world.name, NAME, world.now) == pause
    assert effects(world) == ["snoozed"]


def test_a_thousand_words_of_our_own_start_nothing(world: World) -> None:
    before = state(world)
    asked = dict(world.forge.asked)
    for number in range(1000):
        comment = world.forge.say(
            NAME, 1, f"@moorline snooze {number % 300 + 1}d", author=world.forge.account()
        )
        assert world.runs.plan(world.heard(comment)) is None
    assert state(world) == before
    changed = {what for what, count in world.forge.asked.items() if count != asked.get(what, 0)}
    assert changed == {"said"}  # nothing but the comment was asked for


# --- crashes ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["react", "answer", "close"])
@pytest.mark.parametrize(
    "text", ["@moorline close", "@moorline ignore node:22 because x", "@moorline status"]
)
def test_a_killed_answer_is_given_once(world: World, what: str, text: str) -> None:
    """Killed right after the forge did it, each time that it does: the next start goes on."""
    comment = world.forge.say(NAME, 1, text, "wes")
    job = world.heard(comment)
    plan = world.runs.plan(job)
    assert plan is not None

    def killed(done: str) -> None:
        if done == what:
            raise KeyboardInterrupt

    world.forge.fail = killed
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt) if what != "close" or "close" in text else _nothing():
            world.runs.publish(plan)
    world.forge.fail = lambda _what: None
    again = world.runs.plan(job)  # the engine may plan anew as well
    assert again == plan
    world.runs.publish(plan)
    world.runs.publish(plan)
    world.work()
    heard = world.forge.projects[NAME].heard[comment.ref]
    assert len(heard.answers) == 1
    assert heard.reactions == [Reaction.SEEN, Reaction.DONE]
    assert len(effects(world)) == 1
    if "close" in text:
        assert world.forge.projects[NAME].requests[1].state is RequestState.CLOSED
        assert world.store.proposals.counts()["closed"] == 1


class _nothing:  # noqa: N801 - stands where a context manager does
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_what_was_asked_for_is_done_although_nobody_may_speak(world: World) -> None:
    """The conversation was locked meanwhile, or the comment taken back."""
    comment = world.forge.say(NAME, 1, "@moorline close", "wes")
    plan = world.runs.plan(world.heard(comment))
    assert plan is not None

    def locked(what: str) -> None:
        if what in ("react", "answer"):
            raise ForgeError("The conversation is locked.")

    world.forge.fail = locked
    world.runs.publish(plan)
    assert world.forge.projects[NAME].requests[1].state is RequestState.CLOSED


def test_a_forge_that_is_down_is_waited_for(world: World) -> None:
    comment = world.forge.say(NAME, 1, "@moorline close", "wes")
    plan = world.runs.plan(world.heard(comment))
    assert plan is not None

    def down(what: str) -> None:
        if what == "react":
            raise TransientError("Down.")

    world.forge.fail = down
    with pytest.raises(TransientError):
        world.runs.publish(plan)
    world.forge.fail = lambda _what: None
    world.runs.publish(plan)
    heard = world.forge.projects[NAME].heard[comment.ref]
    assert len(heard.answers) == 1
    assert world.forge.projects[NAME].requests[1].state is RequestState.CLOSED


# --- decisions ----------------------------------------------------------------------------


def test_an_ignore_is_bound_to_the_digest(world: World) -> None:
    world.say("@moorline ignore node:22 because it moves")
    [decision] = world.store.decisions.of(world.name, NAME, world.now)
    assert decision.reference == "docker.io/library/node:22"
    assert decision.digest is not None
    assert decision.digest.encode() not in world.proposed(group="moorline/pin/")
    moved = world.tag("node:22", "two")
    world.run(world.job())
    assert moved.digest.encode() in world.proposed(group="moorline/pin/")


def test_an_ignore_ends_with_its_last_day(world: World) -> None:
    world.say("@moorline ignore node:22 until 2026-03-02 because it moves")
    [decision] = world.store.decisions.of(world.name, NAME, world.now)
    assert decision.until == datetime(2026, 3, 2, 23, 59, 59, 999999, UTC)
    assert decision.digest is not None
    world.now = datetime(2026, 3, 3, 0, 0, 1, tzinfo=UTC)
    world.run(world.job())
    assert decision.digest.encode() in world.proposed()
    assert len(world.open) == 1  # and nobody is asked to keep it any longer


def test_an_ignore_is_no_way_around_a_refusal(tmp_path: Path) -> None:
    policy = b"registries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store, server=parse("policy.yml", policy, policy=True))
        world.create({"README": b"x\n"})
        request = world.forge.propose(NAME, FLOATING)
        world.judge(request.number)
        checks = world.forge.projects[NAME].checks
        assert checks[request.head].conclusion is Conclusion.FAILURE
        heard = world.say("@moorline ignore node because we may", number=request.number)
        assert heard.reactions[-1] is Reaction.DONE
        assert checks[request.head].conclusion is Conclusion.FAILURE


def test_nobody_here_may_except_from_what_the_server_insists_on(tmp_path: Path) -> None:
    policy = "registries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"
    for delegate in ("", "delegate: [allow]\n"):
        with Store(f"sqlite:///{tmp_path}/{len(delegate)}.db") as store:
            world = World(store, server=parse("policy.yml", (policy + delegate).encode(), policy=True))
            world.create(FLOATING)
            request = world.forge.propose(NAME, {"README": b"x\n"})
            heard = world.say("@moorline allow node:22 until 2026-04-01 because x", "ada", request.number)
            if delegate:
                assert heard.reactions[-1] is Reaction.DONE
                assert world.open
            else:
                assert heard.reactions[-1] is Reaction.REFUSED
                assert "insists" in heard.answers[0]
                # Nor does a decision that found its way into the store.
                node = world.images.resolutions["node:22"]
                assert isinstance(node, Resolution)
                told = Decision(
                    by="eve",
                    what="allow",
                    reference="docker.io/library/node:22",
                    digest=node.digest,
                    until=None,
                    because="x",
                    checks=("registries",),
                )
                store.decisions.add("github", NAME, told, world.now)
                world.run(world.job())
                assert not world.open


def test_allowing_holds_for_one_digest(tmp_path: Path) -> None:
    policy = (
        b"delegate: [allow]\nregistries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"
    )
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store, server=parse("policy.yml", policy, policy=True))
        world.create(FLOATING)
        request = world.forge.propose(NAME, {"README": b"x\n"})
        world.say("@moorline allow node:22 until 2026-04-01 because x", "mia", request.number)
        assert b"node:22@sha256:" in world.proposed(group="moorline/pin/")
        assert b"redis:7@" not in world.proposed(group="moorline/pin/")
        assert b"check: registries" in world.proposed(".moorline.yml", "configuration")
        world.tag("node:22", "two")
        world.run(world.job())
        assert not [one for one in world.open if one.branch == BRANCH]


DELEGATED = "delegate: [allow]\nregistries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"


@pytest.fixture(params=["github", "gitlab"])
def excused(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, int]]:
    """A request with a misspelled image of a registry that is not on the list, which a maintainer allows."""
    with Store(f"sqlite:///{tmp_path}/excused.db") as store:
        server = parse("policy.yml", DELEGATED.encode(), policy=True)
        world = World(store, name=request.param, server=server)
        world.create({"README": b"x\n"})
        made = world.tag("ngnix:1")
        files = {"compose.yml": f"services:\n  a:\n    image: ngnix:1@{made.digest}\n".encode()}
        asked = world.forge.propose(NAME, {"README": b"x\n", **files})
        world.judge(asked.number)
        assert checked(world, asked.number) is Conclusion.FAILURE
        word = "@moorline allow ngnix:1 until 2026-04-01 because the registry is fine"
        [answer] = world.say(word, "mia", asked.number).answers
        assert "may pass `registries` until 2026-04-01" in answer
        assert "excused from registries" in answer
        assert checked(world, asked.number) is not Conclusion.FAILURE
        yield world, asked.number


def test_another_check_that_comes_to_refuse_it_is_not_excused(excused: tuple[World, int]) -> None:
    world, number = excused
    world.server = parse("policy.yml", f"{DELEGATED}    typosquat: require\n".encode(), policy=True)
    world.judge(number)
    assert checked(world, number) is Conclusion.FAILURE
    world.now += timedelta(minutes=1)
    # A second word excuses what holds it by then, and takes nothing of the first one away.
    world.say("@moorline allow ngnix:1 until 2026-04-01 because it is spelled so", "mia", number)
    assert checked(world, number) is not Conclusion.FAILURE
    made = world.store.decisions.of(world.name, NAME, world.now)
    assert {check for one in made for check in one.checks} == {"registries", "typosquat"}
    entries = [one for one in world.store.audit.entries(0, 99) if one.what == "command.allow"]
    assert entries[0].evidence["checks"] == ("registries",)
    assert entries[1].evidence["checks"] == ("registries", "typosquat")


@pytest.mark.parametrize("name", ["ngnix:1", "ngnix", "docker.io/library/ngnix:1", "ngnix:1@DIGEST"])
def test_an_allow_is_taken_back_at_once(excused: tuple[World, int], name: str) -> None:
    world, number = excused
    [decision] = world.store.decisions.of(world.name, NAME, world.now)
    name = name.replace("DIGEST", decision.digest or "")
    heard = world.say(f"@moorline disallow {name}", "wes", number)
    assert heard.reactions[-1] is Reaction.REFUSED
    assert checked(world, number) is not Conclusion.FAILURE
    heard = world.say(f"@moorline disallow {name}", "mia", number)
    assert heard.reactions[-1] is Reaction.DONE
    assert "may not pass `registries` any more" in heard.answers[0]
    assert checked(world, number) is Conclusion.FAILURE
    assert not world.store.decisions.of(world.name, NAME, world.now)
    *_, entry = [one for one in world.store.audit.entries(0, 99) if one.what == "command.disallow"]
    assert entry.evidence["ended"] == (f"docker.io/library/ngnix:1 registries {decision.digest}",)
    [again] = world.say(f"@moorline disallow {name}", "mia", number).answers
    assert "nothing to take back" in again


def test_whatever_else_an_allow_let_pass_is_judged_again(excused: tuple[World, int]) -> None:
    """Said on one request, it is taken back for the others that bring the same image in."""
    world, number = excused
    project = world.forge.projects[NAME]
    other = world.forge.propose(NAME, {**project.commits[project.requests[number].head], "more": b"1"})
    clean = world.forge.propose(NAME, {"README": b"y\n"})
    for one in (other, clean):
        world.judge(one.number)
        assert checked(world, one.number) is not Conclusion.FAILURE
    asked = world.forge.asked["request"]
    world.say("@moorline disallow ngnix:1", "mia", clean.number)
    assert checked(world, number) is checked(world, other.number) is Conclusion.FAILURE
    assert world.forge.asked["request"] - asked <= 6  # nobody else is asked about


@pytest.mark.parametrize("name", ["ngnix:2", "nginx", f"ngnix:1@sha256:{'0' * 64}"])
def test_what_is_not_meant_stays_allowed(excused: tuple[World, int], name: str) -> None:
    world, number = excused
    [answer] = world.say(f"@moorline disallow {name}", "mia", number).answers
    assert "nothing to take back" in answer
    assert "docker.io/library/ngnix:1@sha256:" in answer
    assert world.store.decisions.of(world.name, NAME, world.now)


@pytest.mark.parametrize("name", ["ngnix:1", "ngnix", "docker.io/library/ngnix"])
def test_what_is_gone_from_every_file_can_be_taken_back(excused: tuple[World, int], name: str) -> None:
    world, number = excused
    project = world.forge.projects[NAME]
    request = project.requests[number]
    head = world.forge.push(NAME, {"README": b"x\n", "compose.yml": b"services: {}\n"}, request.branch)
    project.requests[number] = replace(request, head=head)
    world.judge(number)
    world.say(f"@moorline disallow {name}", "mia", number)
    assert not world.store.decisions.of(world.name, NAME, world.now)


def test_of_allow_and_disallow_in_one_comment_the_later_counts(excused: tuple[World, int]) -> None:
    world, number = excused
    allow, disallow = "@moorline allow ngnix:1 until 2026-04-01 because x", "@moorline disallow ngnix:1"
    world.say(f"{disallow}\n{allow}", "mia", number)
    assert world.store.decisions.of(world.name, NAME, world.now)
    world.say(f"{allow}\n{disallow}", "mia", number)
    assert not world.store.decisions.of(world.name, NAME, world.now)
    world.say("@moorline ignore ngnix:1 because x\n@moorline pin ngnix:1", "wes", number)
    assert not world.store.decisions.of(world.name, NAME, world.now)


# --- what reviewers decline ---------------------------------------------------------------


@pytest.fixture(params=["github", "gitlab"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, int]]:
    """An exception of what the default branch has, and the proposal that would keep it."""
    with Store(f"sqlite:///{tmp_path}/lasting.db") as store:
        world = World(store, name=request.param, server=parse("policy.yml", DELEGATED.encode(), policy=True))
        world.create(FLOATING)
        asked = world.forge.propose(NAME, {**FLOATING, "more": b"x\n"})
        world.say("@moorline allow node:22 until 2026-04-01 because x", "mia", asked.number)
        [kept] = [one for one in world.open if "configuration" in one.branch]
        yield world, kept.number


def ours(world: World) -> list[str]:
    return sorted("configuration" if "configuration" in one.branch else "pin" for one in world.open)


@pytest.mark.parametrize("how", ["person", "command"])
def test_whoever_closes_the_lasting_proposal_declines_the_decision(
    lasting: tuple[World, int], how: str
) -> None:
    world, number = lasting
    assert ours(world) == ["configuration", "pin"]
    if how == "person":
        world.forge.settle(NAME, number, RequestState.CLOSED)
        world.judge(number)
    else:
        world.say("@moorline close", "wes", number)
    assert not world.store.decisions.of(world.name, NAME, world.now)
    assert ours(world) == []  # the pin that the exception let pass goes with it
    # Whoever may only write can open it again, or ask for it, and brings nothing back.
    if how == "person":
        world.forge.settle(NAME, number, RequestState.OPEN)
        world.judge(number)
        [*_, (_, said)] = world.forge.projects[NAME].comments
        assert "whoever may say `allow` can say it again" in said
    for word in ("recreate", "pin", "pin all"):
        [answer] = world.say(f"@moorline {word}", "wes", number).answers
        assert f"needs the role `{role_name(Role.MAINTAIN, world.name)}`" in answer
        assert not world.store.decisions.of(world.name, NAME, world.now)
        assert ours(world) == []
    world.say("@moorline recreate", "mia", number)
    assert world.store.decisions.of(world.name, NAME, world.now)
    assert ours(world) == ["configuration", "pin"]


@pytest.mark.parametrize("word", ["recreate", "pin", "open"])
def test_disallow_ends_what_was_declined_for_good(lasting: tuple[World, int], word: str) -> None:
    world, number = lasting
    world.say("@moorline close", "mia", number)
    [answer] = world.say("@moorline disallow node:22", "mia", 2).answers
    assert "may not pass `registries` any more" in answer
    for who in ("wes", "mia") if word != "open" else ("somebody",):
        if word == "open":
            world.forge.settle(NAME, number, RequestState.OPEN)
            world.judge(number)
        else:
            heard = world.say(f"@moorline {word}", who, number)
            assert "taken back" in heard.answers[0] or word == "pin"
        assert not world.store.decisions.of(world.name, NAME, world.now)
        assert ours(world) == []


def test_whoever_may_write_brings_back_no_more_than_what_floats(lasting: tuple[World, int]) -> None:
    """Of a proposal that would keep both, the ignore comes back, and the exception does not."""
    world, number = lasting
    world.say("@moorline ignore redis:7 because it floats", "wes", 2)
    world.say("@moorline close", "wes", number)
    assert not world.store.decisions.of(world.name, NAME, world.now)
    [answer] = world.say("@moorline recreate", "wes", number).answers
    assert f"bringing that back needs the role `{role_name(Role.MAINTAIN, world.name)}`" in answer
    assert [one.what for one in world.store.decisions.of(world.name, NAME, world.now)] == ["ignore"]
    assert b"allow" not in world.proposed(".moorline.yml", "configuration")


def test_a_word_that_is_said_again_holds_and_is_proposed_again(lasting: tuple[World, int]) -> None:
    world, number = lasting
    world.say("@moorline close", "wes", number)
    world.say("@moorline allow node:22 until 2026-05-01 because y", "mia", 2)
    assert ours(world) == ["configuration", "pin"]


def test_the_lasting_proposal_follows_what_is_taken_back(lasting: tuple[World, int]) -> None:
    world, number = lasting
    world.say("@moorline allow redis:7 until 2026-05-01 because y", "mia", 2)
    assert b"redis" in world.proposed(".moorline.yml", "configuration")
    world.say("@moorline disallow node:22", "mia", 2)
    assert b"node" not in world.proposed(".moorline.yml", "configuration")
    world.say("@moorline pause")
    [answer] = world.say("@moorline disallow redis:7", "mia", 2).answers
    assert f"do not merge {'!' if world.name == 'gitlab' else '#'}{number}" in answer
    world.say("@moorline resume")
    assert ours(world) == []


def test_a_line_that_was_merged_and_taken_out_again_ends_the_decision(lasting: tuple[World, int]) -> None:
    world, number = lasting
    world.forge.settle(NAME, number, RequestState.MERGED)
    world.run(world.job())
    assert world.store.decisions.of(world.name, NAME, world.now)
    assert ours(world) == ["pin"]
    world.forge.push(NAME, FLOATING)
    world.run(world.job())
    assert not world.store.decisions.of(world.name, NAME, world.now)
    assert ours(world) == []
    [entry] = [one for one in world.store.audit.entries(0, 99) if one.what == "decision.ended"]
    assert entry.who == "moorline"


@pytest.fixture
def choosy(tmp_path: Path) -> Iterator[World]:
    """A server whose registries are few, from which maintainers may except."""
    policy = (
        b"delegate: [allow]\nregistries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"
    )
    with Store(f"sqlite:///{tmp_path}/choosy.db") as store:
        world = World(store, server=parse("policy.yml", policy, policy=True))
        world.create({"README": b"x\n"})
        yield world


MOVED = {"compose.yml": b"services:\n  a:\n    image: evil.example/x:1\n"}


def moved_behind(world: World, text: str, by: str = "mia") -> tuple[Manifest, Manifest, int]:
    """Judge a tag, say something, and let it move, be pushed to and judged again before that is heard."""
    seen = world.tag("evil.example/x:1")
    request = world.forge.propose(NAME, MOVED)
    world.judge(request.number)
    world.now += timedelta(minutes=5)
    text = text.replace("SEEN", seen.digest)
    comment = world.forge.say(NAME, request.number, text, by)
    moved = world.tag("evil.example/x:1", "two")
    head = world.forge.push(NAME, {**MOVED, "more": b"1"}, request.branch)
    world.forge.projects[NAME].requests[request.number] = replace(request, head=head)
    world.now += timedelta(seconds=10)
    world.judge(request.number)
    world.now += timedelta(seconds=10)
    world.run(world.heard(comment))
    return seen, moved, request.number


@pytest.mark.parametrize(
    ("rest", "until"),
    [
        ("allow evil.example/x:1 until 2026-04-01 because we read it", "until 2026-04-01 "),
        ("ignore evil.example/x:1 because we read it", ""),
        ("unpin evil.example/x because we read it", ""),
    ],
)
def test_nothing_is_decided_of_a_digest_that_came_after_the_word(
    choosy: World, rest: str, until: str
) -> None:
    _, moved, number = moved_behind(choosy, f"@moorline {rest}")
    assert not choosy.store.decisions.of("github", NAME, choosy.now)
    assert effects(choosy) == ["unseen"]
    [heard] = choosy.forge.projects[NAME].heard.values()
    assert heard.reactions[-1] is Reaction.REFUSED
    verb, name, *_ = rest.split()
    again = f"{verb} {name}@{moved.digest} {until}because we read it"
    assert f"`{again}`" in heard.answers[0]
    choosy.now += timedelta(minutes=1)
    choosy.judge(number)  # whoever names the digest need not be faster than the next look
    choosy.say(f"@moorline {again}", "mia", number)
    [decision] = choosy.store.decisions.of("github", NAME, choosy.now)
    assert decision.digest == moved.digest


def test_what_was_seen_and_named_is_all_that_is_allowed(choosy: World) -> None:
    word = "@moorline allow evil.example/x:1@SEEN until 2026-04-01 because we read it"
    _, moved, _ = moved_behind(choosy, word)
    assert moved.digest not in {one.digest for one in choosy.store.decisions.of("github", NAME, choosy.now)}


def test_a_young_look_at_the_request_hides_no_older_one_of_the_base(choosy: World) -> None:
    """The attacker takes the reference out again: what the base has is not what was seen."""
    choosy.tag("evil.example/x:1", "old")
    choosy.forge.push(NAME, MOVED, "main")
    choosy.run(choosy.job())
    choosy.tag("evil.example/x:1")
    request = choosy.forge.propose(NAME, {**MOVED, "more": b"1"})
    choosy.judge(request.number)
    choosy.now += timedelta(minutes=5)
    word = "@moorline allow evil.example/x:1 until 2026-04-01 because we read it"
    comment = choosy.forge.say(NAME, request.number, word, "mia")
    head = choosy.forge.push(NAME, {"README": b"x\n"}, request.branch)
    choosy.forge.projects[NAME].requests[request.number] = replace(request, head=head)
    choosy.now += timedelta(seconds=10)
    choosy.judge(request.number)
    choosy.run(choosy.heard(comment))
    assert effects(choosy) == ["unseen"]


def test_what_was_looked_up_while_somebody_spoke_was_not_seen(
    choosy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look began before the comment, and the registry answered after it."""
    choosy.tag("evil.example/x:1")
    request = choosy.forge.propose(NAME, MOVED)
    resolve = choosy.images.resolve
    word = "@moorline allow evil.example/x:1 until 2026-04-01 because we read it"
    said: list[Comment] = []

    def slow(reference: ImageReference) -> Resolution | Unresolved:
        if not said:
            choosy.now += timedelta(seconds=30)
            said.append(choosy.forge.say(NAME, request.number, word, "mia"))
            choosy.now += timedelta(seconds=30)
        return resolve(reference)

    monkeypatch.setattr(choosy.images, "resolve", slow)
    choosy.judge(request.number)
    choosy.run(choosy.heard(said[0]))
    assert effects(choosy) == ["unseen"]


def test_a_pause_is_not_promised_away(world: World) -> None:
    assert "may float" in world.say("@moorline ignore redis:7 because x").answers[0]
    world.say("@moorline pause")
    [said] = world.say("@moorline ignore node:22 because x").answers
    assert "I am paused here, so no proposal" in said


@pytest.mark.parametrize(
    ("config", "name", "words", "made"),
    [
        (b"", "node:22", "a proposal for `.moorline.yml` follows.", True),
        (b"# ours\n", "node:22", "a proposal for `.moorline.yml` follows.", True),
        (b"mode: observe\n", "node:22", "I propose nothing in this repository", False),
        (b"mode: paused\n", "node:22", "I am paused here", False),
        (b"{own: pin}\n", "node:22", "I cannot add a line", False),
        (b"own: pin\n...\n", "node:22", "I cannot add a line", False),
        (b"limits:\n  open: 1\n", "node:22", "when my limits leave room", False),
        (b"limits:\n  open: 2\n", "node:22", "a proposal for `.moorline.yml` follows.", True),
        (b"ignore:\n  - image: 'node:22'\n    because: x\n", "node:22", "says it already", False),
        (b"ignore:\n  - image: 'node:2?'\n    because: x\n", "node:22", "follows.", True),
        (b"", "redis:8", "before `main` has what this is about", False),
    ],
)
def test_what_is_promised_is_kept(world: World, config: bytes, name: str, words: str, *, made: bool) -> None:
    world.tag("redis:8")
    files = {**FLOATING, ".moorline.yml": config} if config else FLOATING
    world.forge.push(NAME, files)
    world.run(world.job())
    request = world.forge.propose(NAME, {**files, "more/Dockerfile": b"FROM redis:8\n"})
    world.judge(request.number)
    world.now += timedelta(minutes=1)
    [answer] = world.say(f"@moorline ignore {name} because x", number=request.number).answers
    assert words in answer
    world.now += timedelta(hours=1)
    world.run(world.job())
    assert any("configuration" in one.branch for one in world.open) is made
    assert ("follows." in answer) is made


def test_a_promise_made_at_another_base_is_kept_as_well(world: World) -> None:
    """The request is for a branch that is not the default one, and the decision lasts there."""
    world.forge.push(NAME, FLOATING, "prod", "main")
    request = world.forge.propose(NAME, {**FLOATING, "more/Dockerfile": b"FROM node:22\n"})
    world.forge.projects[NAME].requests[request.number] = replace(request, base="prod")
    world.judge(request.number)
    world.now += timedelta(minutes=1)
    [answer] = world.say("@moorline ignore node:22 because x", number=request.number).answers
    assert ("follows." in answer) is any("configuration" in one.branch for one in world.open) is True


@pytest.mark.parametrize(
    ("there", "wanted", "added"),
    [
        ("2025-01-01", " until 2026-12-31", True),
        ("2026-03-03", " until 2026-12-31", True),
        ("2026-12-31", " until 2026-12-31", False),
        ("2026-12-31", "", True),
        ("", " until 2026-12-31", False),
    ],
)
def test_a_longer_word_lasts_beside_a_shorter_line(
    world: World, there: str, wanted: str, *, added: bool
) -> None:
    until = f"    until: {there}\n" if there else ""
    line = f"ignore:\n  - image: node:22\n{until}    because: old\n"
    world.forge.push(NAME, {**FLOATING, ".moorline.yml": line.encode()}, "main")
    world.run(world.job())
    world.say(f"@moorline ignore node:22{wanted} because again")
    assert any("configuration" in one.branch for one in world.open) is added


def test_a_closed_proposal_for_the_configuration_stays_closed(world: World) -> None:
    world.say("@moorline ignore node:22 because it moves")
    [one] = [one for one in world.open if "configuration" in one.branch]
    world.say("@moorline close", number=one.number)
    world.run(world.job())
    assert [each.branch for each in world.open] == [BRANCH]


# --- pauses -------------------------------------------------------------------------------


def test_a_paused_repository_proposes_nothing_but_checks_go_on(world: World) -> None:
    world.say("@moorline pause")
    world.tag("node:22", "two")
    head = world.open[0].head
    world.run(world.job())
    assert world.open[0].head == head
    request = world.forge.propose(NAME, {"Dockerfile": b"FROM node:22\nFROM redis:7\nFROM redis:7 AS x\n"})
    world.judge(request.number)
    assert request.head in world.forge.projects[NAME].checks
    world.say("@moorline resume")
    assert world.open[-1].head != head


def test_a_snooze_ends_by_itself(world: World) -> None:
    world.say("@moorline snooze 7d")
    pause = world.store.conversations.pause(world.name, NAME, world.now)
    assert pause is not None
    assert pause.until is not None
    world.tag("node:22", "two")
    head = world.open[0].head
    world.now = pause.until + timedelta(seconds=1)
    world.run(world.job())
    assert world.open[0].head != head


def test_the_later_of_two_words_counts(world: World) -> None:
    world.say("@moorline pause\n@moorline resume\n@moorline snooze 3d")
    pause = world.store.conversations.pause(world.name, NAME, world.now)
    assert isinstance(pause, Pause)
    assert pause.until is not None
    world.say("@moorline snooze 9d\n@moorline resume")
    assert world.store.conversations.pause(world.name, NAME, world.now) is None


# --- the glass ----------------------------------------------------------------------------

STRICT = b"guard:\n  floating: fail\n"
MORE = {"Dockerfile": b"FROM node:22\nFROM redis:7\nFROM redis:7 AS more\nFROM node:22 AS y\n"}
BAD = {"Dockerfile": b"FROM node:22\nFROM redis:7\nFROM redis:7 AS more\n"}


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store, server=parse("policy.yml", STRICT, policy=True))
        made.create(FLOATING)
        yield made


def checked(world: World, number: int) -> Conclusion:
    project = world.forge.projects[NAME]
    return project.checks[project.requests[number].head].conclusion


def test_an_override_holds_for_one_head(strict: World) -> None:
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    assert checked(strict, request.number) is Conclusion.FAILURE
    strict.now += timedelta(minutes=1)
    strict.say("@moorline override because it burns", "ada", request.number)
    assert checked(strict, request.number) is Conclusion.SUCCESS
    check = strict.forge.projects[NAME].checks[request.head]
    assert "`ada` broke the glass" in check.summary
    assert "it burns" in check.summary
    [entry] = [one for one in strict.store.audit.entries(0, 99) if one.what == "command.override"]
    assert entry.evidence["commit"] == request.head
    head = strict.forge.push(NAME, MORE, request.branch)
    project = strict.forge.projects[NAME]
    project.requests[request.number] = replace(request, head=head)
    strict.judge(request.number)
    assert checked(strict, request.number) is Conclusion.FAILURE


def test_a_commit_that_slipped_in_is_not_let_pass(strict: World) -> None:
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    comment = strict.forge.say(NAME, request.number, "@moorline override because it burns", "ada")
    head = strict.forge.push(NAME, MORE, request.branch)
    strict.forge.projects[NAME].requests[request.number] = replace(request, head=head)
    strict.now += timedelta(seconds=10)
    strict.judge(request.number)  # the new head has its check before the comment is heard
    strict.run(strict.heard(comment))
    assert checked(strict, request.number) is Conclusion.FAILURE
    assert effects(strict) == ["unseen"]


def test_an_older_head_that_came_back_is_not_let_pass(strict: World) -> None:
    """Both were judged before the comment; the admin saw the newer one."""
    request = strict.forge.propose(NAME, MORE)
    strict.judge(request.number)
    head = strict.forge.push(NAME, BAD, request.branch)
    project = strict.forge.projects[NAME]
    project.requests[request.number] = replace(request, head=head)
    strict.now += timedelta(minutes=1)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    comment = strict.forge.say(NAME, request.number, "@moorline override because it burns", "ada")
    project.requests[request.number] = request  # forced back
    strict.run(strict.heard(comment))
    assert effects(strict) == ["unseen"]
    strict.judge(request.number)
    assert checked(strict, request.number) is Conclusion.FAILURE


def test_a_head_that_cannot_be_judged_may_be_let_pass(strict: World) -> None:
    request = strict.forge.propose(NAME, {**FLOATING, ".moorline.yml": b"mode: nonsense\n"})
    strict.judge(request.number)
    assert checked(strict, request.number) is Conclusion.FAILURE
    strict.now += timedelta(minutes=1)
    strict.say("@moorline override because we repair it next", "ada", request.number)
    assert checked(strict, request.number) is Conclusion.SUCCESS


def test_judging_the_same_again_takes_nothing_from_what_was_seen(strict: World) -> None:
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    comment = strict.forge.say(NAME, request.number, "@moorline override because it burns", "ada")
    for _ in range(2):
        strict.now += timedelta(seconds=5)
        strict.judge(request.number)
    strict.run(strict.heard(comment))
    assert effects(strict) == ["overridden"]
    assert checked(strict, request.number) is Conclusion.SUCCESS


def test_judging_otherwise_is_news_to_whoever_spoke(strict: World) -> None:
    """The commit is the same, and what its tag points to is another image."""
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    comment = strict.forge.say(NAME, request.number, "@moorline override because it burns", "ada")
    strict.tag("redis:7", "two")
    strict.now += timedelta(seconds=5)
    strict.judge(request.number)
    strict.run(strict.heard(comment))
    assert effects(strict) == ["unseen"]


def test_an_override_holds_for_no_other_request_with_the_same_head(strict: World) -> None:
    project = strict.forge.projects[NAME]
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    strict.say("@moorline override because it burns", "ada", request.number)
    assert checked(strict, request.number) is Conclusion.SUCCESS
    strict.forge.push(NAME, FLOATING, "prod", "main")
    project.branches["feature-9"] = request.head
    project.requests[9] = replace(request, number=9, base="prod", branch="feature-9")
    strict.judge(9)
    assert checked(strict, 9) is Conclusion.FAILURE
    strict.say("@moorline override because it burns there as well", "ada", 9)
    assert checked(strict, 9) is Conclusion.SUCCESS


def test_an_override_holds_for_no_other_base(strict: World) -> None:
    project = strict.forge.projects[NAME]
    strict.forge.push(NAME, FLOATING, "prod", "main")
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    strict.now += timedelta(minutes=1)
    strict.say("@moorline override because it burns", "ada", request.number)
    project.requests[request.number] = replace(request, base="prod")
    strict.judge(request.number)
    assert checked(strict, request.number) is Conclusion.FAILURE


# --- the glass, and a merge queue ---------------------------------------------------------

OTHER = {"other/Dockerfile": b"FROM redis:7 AS other\n"}


def queued(world: World, number: int, files: dict[str, bytes], onto: str = "main") -> Conclusion:
    """Let a merge queue make a commit for a request, and return what its check says."""
    project = world.forge.projects[NAME]
    name = f"gh-readonly-queue/main/pr-{number}-{project.branches[onto]}"
    head = world.forge.push(NAME, files, name, onto)
    world.run(world.job(ref=name, head=head, trigger=Trigger.MERGE_QUEUE))
    return project.checks[head].conclusion


def broken(world: World, files: dict[str, bytes], *, by: str = "ada") -> int:
    """Return the number of a request that somebody let pass."""
    request = world.forge.propose(NAME, files)
    world.judge(request.number)
    world.now += timedelta(minutes=1)
    if by:
        world.say(f"@moorline override because {by} has to", by, request.number)
        assert checked(world, request.number) is Conclusion.SUCCESS
    return request.number


def test_what_was_let_pass_passes_the_queue(strict: World) -> None:
    number = broken(strict, BAD)
    strict.forge.push(NAME, {**FLOATING, "README": b"meanwhile\n"})  # the commit is another one
    assert queued(strict, number, {**BAD, "README": b"meanwhile\n"}) is Conclusion.SUCCESS
    [entry] = [one for one in strict.store.audit.entries(0, 99) if one.what == "override.followed"]
    assert entry.subject == f"github {NAME} {number}"


def test_a_group_passes_where_all_of_it_was_let_pass(strict: World) -> None:
    first, second = broken(strict, BAD), broken(strict, {**FLOATING, **OTHER})
    assert queued(strict, first, BAD) is Conclusion.SUCCESS
    assert queued(strict, second, {**BAD, **OTHER}) is Conclusion.SUCCESS


def test_one_of_a_group_that_was_not_let_pass_fails_it(strict: World) -> None:
    number = broken(strict, BAD)
    other = broken(strict, {**FLOATING, **OTHER}, by="")
    assert queued(strict, number, {**BAD, **OTHER}) is Conclusion.FAILURE
    assert queued(strict, other, {**BAD, **OTHER}) is Conclusion.FAILURE


def test_a_clean_request_behind_one_that_was_let_pass_passes(strict: World) -> None:
    broken(strict, BAD)
    clean = broken(strict, {**FLOATING, "README": b"y\n"}, by="")
    assert queued(strict, clean, {**BAD, "README": b"y\n"}) is Conclusion.SUCCESS


def test_what_brings_in_the_same_without_a_word_fails(strict: World) -> None:
    broken(strict, BAD)
    same = broken(strict, BAD, by="")
    assert queued(strict, same, BAD) is Conclusion.FAILURE


def test_what_was_let_pass_and_moved_on_fails_the_queue(strict: World) -> None:
    number = broken(strict, BAD)
    project = strict.forge.projects[NAME]
    request = project.requests[number]
    head = strict.forge.push(NAME, MORE, request.branch)
    project.requests[number] = replace(request, head=head)
    strict.judge(number)
    assert queued(strict, number, MORE) is Conclusion.FAILURE
    assert queued(strict, number, BAD) is Conclusion.FAILURE  # what was said was said of another head


def test_what_was_closed_lets_nothing_pass(strict: World) -> None:
    number = broken(strict, BAD)
    strict.forge.settle(NAME, number, RequestState.CLOSED)
    assert queued(strict, number, BAD) is Conclusion.FAILURE


def test_what_is_at_the_base_can_be_named_on_a_request(strict: World) -> None:
    request = strict.forge.propose(NAME, BAD)
    strict.judge(request.number)
    heard = strict.say("@moorline explain node:22", "rae", request.number)
    assert "`Dockerfile:1`" in heard.answers[0]


def test_an_operator_may_forbid_to_break_the_glass(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(
            store, server=parse("policy.yml", STRICT, policy=True), manners=Manners(overrides=False)
        )
        world.create(FLOATING)
        request = world.forge.propose(NAME, BAD)
        world.judge(request.number)
        world.now += timedelta(minutes=1)
        heard = world.say("@moorline override because it burns", "ada", request.number)
        assert heard.reactions[-1] is Reaction.REFUSED
        assert checked(world, request.number) is Conclusion.FAILURE


# --- taking over --------------------------------------------------------------------------


def test_only_what_stood_there_is_dropped(world: World) -> None:
    """A commit that comes after `recreate` was said is somebody's, and left alone."""
    world.forge.push(NAME, {"Dockerfile": b"FROM scratch\n"}, BRANCH)
    comment = world.forge.say(NAME, 1, "@moorline recreate", "wes")
    plan = world.runs.plan(world.heard(comment))
    assert plan is not None
    world.runs.publish(plan)
    theirs = world.forge.push(NAME, {"Dockerfile": b"FROM scratch AS theirs\n"}, BRANCH)
    with pytest.raises(Exception, match="left alone"):
        world.work()
    assert world.forge.projects[NAME].branches[BRANCH] == theirs


def test_the_notice_of_standing_back_goes_when_we_take_over(world: World) -> None:
    world.forge.push(NAME, {"Dockerfile": b"FROM scratch\n"}, BRANCH)
    world.tag("node:22", "two")
    with pytest.raises(Exception, match="left alone"):
        world.run(world.job())
    assert len(world.forge.projects[NAME].sticky) == 1
    world.say("@moorline recreate")
    assert world.forge.projects[NAME].sticky == {}
    assert b"node:22@sha256:" in world.proposed()


# --- manners ------------------------------------------------------------------------------


def test_answers_are_limited_and_commands_are_not(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store, manners=Manners(answers_per_hour=3))
        world.create(FLOATING)
        heard: list[Heard] = [world.say("@moorline status", "rae") for _ in range(5)]
        assert [len(one.answers) for one in heard] == [1, 1, 0, 0, 0]
        assert all(one.reactions == [Reaction.SEEN, Reaction.DONE] for one in heard)
        assert len(world.say("@moorline status").answers) == 1
        quiet = world.say("@moorline pause")
        assert quiet.answers == []
        assert store.conversations.pause("github", NAME, world.now) is not None
        world.now += timedelta(hours=1)
        assert len(world.say("@moorline status", "rae").answers) == 1


# --- hostile words ------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_do_no_harm(world: World, text: str) -> None:
    forms = ("{}", "ignore {} because x", "ignore node:22 because {}", "explain {}", "pin {}", "snooze {}")
    heard = world.say("\n".join(f"@moorline {form.format(text)}" for form in forms))
    kept = [one.body for one in world.open if "configuration" in one.branch]
    for body in (*heard.answers, *kept):
        is_harmless(body)


ANY = st.lists(
    st.one_of(
        st.sampled_from([one.example for one in FORMS.values()]),
        st.text(max_size=40),
        st.sampled_from(["ignore", "because", "until", "2027-01-01", "node:22", "redis", "all", "7d"]),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY, min_size=1, max_size=4), st.sampled_from(list(ROLES)))
def test_whatever_is_said_is_answered_or_passed_over(strict: World, lines: list[list[str]], who: str) -> None:
    text = "\n".join(f"@moorline {' '.join(words)}" for words in lines)
    heard = strict.say(text, who)
    assert len(heard.answers) <= 1
    assert strict.store.audit.broken() is None
    for one in itertools.islice(strict.open, 5):
        assert one.ours
    assert strict.store.proposals.counts().get(ProposalState.OPEN.value, 0) == 0
