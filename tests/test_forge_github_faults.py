"""The GitHub forge in bad weather: limits, faults, lies, secrets, and what a doctor and the log of deliveries say."""

from __future__ import annotations

import contextlib
import gc
import gzip
import io
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import Authority
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from github_access import key_pair
from github_forging import BRANCH, NEW, OLD, REPOSITORY, Place, both, claims, pin
from github_standin import github
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Asked, Reply, scripted

from bot.errors import (
    ConfigurationError,
    ForgeError,
    MissingError,
    MoorlineError,
    SuspendedError,
    TransientError,
)
from bot.forges.base import Change, Conclusion, Health, Missed, Symptom, Wish
from bot.forges.base import Check as Report
from bot.forges.github import GitHubForge
from bot.forges.github_address import address
from bot.forges.github_app import READS, WRITES
from bot.forges.github_client import Client, Manners, judged
from bot.forges.github_doctor import EVENTS, NEEDED
from bot.forges.github_transport import AmbiguousError, Answer, Transport, clean
from bot.forges.holds import Holds
from bot.forges.pacing import Window
from bot.model import HookState


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        standin.repository(REPOSITORY, {"Dockerfile": OLD})
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    return place.forge()


# --- limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 429])
def test_a_primary_limit_ends_the_run_at_once(place: Place, forge: GitHubForge, status: int) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.exhaust(600, status=status, resource="core")
    place.github.forget()
    with pytest.raises(TransientError) as caught:
        forge.read(REPOSITORY, commit, ["Dockerfile"])
    assert caught.value.retry_after is not None
    assert 590 <= caught.value.retry_after <= 603
    assert len(place.github.requests) == 1
    assert place.paused == []


def proposed(place: Place, forge: GitHubForge, tip: str | None, message: str) -> str:
    """Look, read, write and open, as a run does; return the commit that is proposed."""
    _, head = forge.head(REPOSITORY, "")
    assert forge.snapshot(REPOSITORY, head, claims).files == {"Dockerfile": OLD}
    with forge.publishing(REPOSITORY):
        standing = forge.standing(REPOSITORY, "main", BRANCH)
        assert (standing.base, standing.branch) == (head, tip)
        made = forge.write(place.change(expected=tip, message=message))
        opened = forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b", labels=("pins",)))
    assert (opened.request.head, opened.request.number) == (made, 1)
    assert place.github.head(REPOSITORY, BRANCH) == made
    return made


@both
def test_where_queries_are_used_up_a_proposal_is_made_by_rest_alone(place: Place) -> None:
    forge = place.forge()
    forge.head(REPOSITORY, "")
    place.github.exhaust(600, resource="graphql")
    place.github.forget()
    first = proposed(place, forge, None, "Pin")
    assert place.github.count("POST", "*graphql") == 1
    # A branch that is there is moved by comparing and swapping, or not at all for now.
    place.github.push(REPOSITORY, {"README": b"x\n"})
    assert 590 <= left(lambda: proposed(place, forge, first, "Pin again")) <= 603
    assert place.github.head(REPOSITORY, BRANCH) == first
    # Nor are the heads of a list asked for one by one.
    assert 590 <= left(lambda: list(forge.repositories())) <= 603
    assert place.github.count("POST", "*graphql") == 1
    place.github.world.clock.advance(603)
    second = proposed(place, forge, first, "Pin again")
    assert second != first
    assert place.github.count("POST", "*graphql") > 1
    assert place.paused == []


def test_queries_that_are_used_up_just_before_a_branch_is_made(place: Place, forge: GitHubForge) -> None:
    _, commit = forge.head(REPOSITORY, "")
    forge.snapshot(REPOSITORY, commit, claims)
    with forge.publishing(REPOSITORY):
        forge.standing(REPOSITORY, "main", BRANCH)
        place.github.exhaust(600, resource="graphql")
        made = forge.write(place.change())
    assert place.github.head(REPOSITORY, BRANCH) == made


@pytest.mark.parametrize(
    ("status", "body"), [(502, b""), (503, b"<html>"), (200, b"<html>"), (403, b"<html>")]
)
def test_where_queries_get_no_answer_a_proposal_is_made_by_rest_alone(
    place: Place, forge: GitHubForge, status: int, body: bytes
) -> None:
    fault = place.github.fail("POST", "/graphql", status=status, body=body, times=None)
    first = proposed(place, forge, None, "Pin")
    place.github.push(REPOSITORY, {"README": b"x\n"})
    second = proposed(place, forge, first, "Pin again")
    assert fault.struck == (1 if status == 403 else 3)
    fault.times = 0
    place.github.world.clock.advance(3601)
    place.github.forget()
    assert forge.head(REPOSITORY, "")[1] != second
    assert place.github.asked()[-1] == "POST /graphql"


def test_a_limit_is_reckoned_by_the_server_s_clock(place: Place) -> None:
    ahead = place.forge(clock=lambda: place.github.world.clock.now() + 20)
    ahead.head(REPOSITORY, "")
    place.github.exhaust(600)
    with pytest.raises(TransientError) as caught:
        ahead.head(REPOSITORY, "")
    assert caught.value.retry_after is not None
    assert 595 <= caught.value.retry_after <= 603


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(("told", "meant"), [(30, 30.0), (None, 60.0), (100_000, 7200.0)])
def test_a_secondary_limit(
    place: Place, forge: GitHubForge, status: int, told: int | None, meant: float
) -> None:
    forge.head(REPOSITORY, "")
    place.github.secondary_limit("POST", "*", status=status, retry_after=told)
    place.github.forget()
    with pytest.raises(TransientError) as caught:
        forge.head(REPOSITORY, "")
    assert caught.value.retry_after == meant
    assert not isinstance(caught.value, AmbiguousError)
    assert len(place.github.requests) == 1


def test_a_limit_in_the_middle_of_a_proposal_writes_nothing_twice(place: Place, forge: GitHubForge) -> None:
    commit = place.published(forge)
    place.github.secondary_limit("POST", "*/pulls")
    with forge.publishing(REPOSITORY):
        with pytest.raises(TransientError):
            forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b"))
        place.github.world.clock.advance(60)
        made = forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b"))
    assert made.request.head == commit
    assert len(place.github.pulls(REPOSITORY)) == 1


def left(ask: Callable[[], object]) -> float:
    """Return for how long a limit keeps us away."""
    with pytest.raises(TransientError) as caught:
        ask()
    assert caught.value.retry_after is not None
    assert not isinstance(caught.value, AmbiguousError)
    return caught.value.retry_after


def heads(forge: GitHubForge, owner: str, count: int) -> list[Callable[[], object]]:
    return [partial(forge.head, f"{owner}/app-{number}", "") for number in range(count)]


@pytest.fixture
def several(place: Place) -> Place:
    """A place where `acme` and `other` have eight repositories each."""
    place.github.install("other")
    for owner in ("acme", "other"):
        for number in range(8):
            place.github.repository(f"{owner}/app-{number}", {"Dockerfile": OLD})
    return place


def test_nobody_asks_while_an_hour_is_used_up(several: Place, forge: GitHubForge) -> None:
    hub = several.github
    forge.head("other/app-0", "")
    heads(forge, "acme", 1)[0]()
    hub.exhaust(600)
    hub.forget()
    waits = [left(ask) for ask in heads(forge, "acme", 8)]
    assert len(hub.requests) == 2  # one by GraphQL, one by REST
    assert all(590 <= wait <= 603 for wait in waits)
    hub.world.clock.advance(400)
    assert 190 <= left(heads(forge, "acme", 1)[0]) <= 203
    assert len(hub.requests) == 2
    hub.world.clock.advance(203)
    for ask in heads(forge, "acme", 8):
        ask()


def test_threads_that_come_later_do_not_ask(several: Place, forge: GitHubForge) -> None:
    hub = several.github
    heads(forge, "acme", 1)[0]()
    hub.exhaust(600)
    left(heads(forge, "acme", 1)[0])
    hub.forget()
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(left, heads(forge, "acme", 8)))
    assert hub.requests == []
    assert min(waits) > 580


def test_a_limit_is_that_of_one_installation(several: Place, forge: GitHubForge) -> None:
    several.github.secondary_limit("POST", "*graphql", retry_after=300)
    assert left(heads(forge, "acme", 1)[0]) == 300
    for ask in heads(forge, "other", 8):
        ask()
    assert left(heads(forge, "acme", 1)[0]) <= 300


def test_a_limit_on_queries_lets_rest_go_on(place: Place, forge: GitHubForge) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.exhaust(600, resource="graphql")
    place.github.forget()
    for _ in range(2):
        assert forge.head(REPOSITORY, "")[1] == commit
    assert forge.merge_base(REPOSITORY, commit, commit) == commit
    assert [one.method for one in place.github.requests] == ["POST", *["GET"] * 5]


def test_a_limit_on_rest_lets_queries_go_on(place: Place, forge: GitHubForge) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.exhaust(600, resource="core")
    left(lambda: forge.merge_base(REPOSITORY, commit, commit))
    place.github.forget()
    assert left(lambda: forge.merge_base(REPOSITORY, commit, commit)) > 580
    assert place.github.requests == []
    assert forge.head(REPOSITORY, "")[1] == commit


def test_a_secondary_limit_is_one_on_rest_and_queries_by_whatever_token(
    place: Place, forge: GitHubForge
) -> None:
    commit = place.published(forge)
    place.github.secondary_limit("POST", "*/pulls", retry_after=300)
    with forge.publishing(REPOSITORY):
        assert left(lambda: forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b"))) == 300
    place.github.forget()
    with forge.publishing(REPOSITORY):
        left(lambda: forge.comment(REPOSITORY, 1, "Hello"))
    left(lambda: forge.head(REPOSITORY, ""))
    left(lambda: forge.merge_base(REPOSITORY, commit, commit))
    assert place.github.requests == []
    # The App itself has limits of its own.
    assert [one.account for one in forge._app.installations()] == ["acme"]


def test_a_limit_of_the_app_itself_holds_no_installation(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    place.github.secondary_limit("GET", "/app/installations*", retry_after=300)
    assert left(lambda: list(forge._app.installations())) == 300
    forge.head(REPOSITORY, "")
    place.github.forget()
    assert left(lambda: list(forge._app.installations())) <= 300
    assert place.github.requests == []


def test_a_secondary_limit_that_names_no_time_doubles_while_it_repeats(
    place: Place, forge: GitHubForge
) -> None:
    forge.head(REPOSITORY, "")
    place.github.forget()
    place.github.secondary_limit("POST", "*graphql", retry_after=None, times=9)
    waits = []
    for number in range(9):
        waits.append(left(lambda: forge.head(REPOSITORY, "")))
        assert left(lambda: forge.head(REPOSITORY, "")) <= waits[-1]
        assert place.github.count("POST", "*graphql") == number + 1
        place.github.world.clock.advance(waits[-1])
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    forge.head(REPOSITORY, "")
    place.github.world.clock.advance(3602)
    place.github.secondary_limit("POST", "*graphql", retry_after=None)
    assert left(lambda: forge.head(REPOSITORY, "")) == 60


# --- pace ---------------------------------------------------------------------------------


def test_a_proposal_that_would_be_cut_off_half_way_is_not_begun(several: Place) -> None:
    forge, hub = several.forge(windows=(Window(6, 60.0),)), several.github
    several.published(forge)
    with forge.publishing(REPOSITORY):
        forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b", labels=("pins",)))
    change = several.change(repository="acme/app-0", parent=hub.head("acme/app-0"))
    hub.forget()
    with forge.publishing("acme/app-0"):
        assert 59 <= left(lambda: forge.write(change)) <= 60
    assert {one.method for one in hub.requests if "/repos/acme/app-0" in one.path} == {"GET"}
    # Reading goes on, and others have room of their own.
    assert forge.head("acme/app-0", "")[1] == change.parent
    other = several.change(repository="other/app-0", parent=hub.head("other/app-0"))
    with forge.publishing("other/app-0"):
        forge.write(other)
    hub.world.clock.advance(60)
    with forge.publishing("acme/app-0"):
        forge.write(change)
    assert several.paused == []


def test_what_people_are_told_of_is_never_more_than_allowed(place: Place) -> None:
    forge = place.forge(windows=(Window(5, 60.0), Window(7, 3600.0)))
    place.published(forge)
    with forge.publishing(REPOSITORY):
        number = forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b")).request.number
        for word in ("one", "two", "three", "four"):
            forge.comment(REPOSITORY, number, word)
        assert 59 <= left(lambda: forge.comment(REPOSITORY, number, "five")) <= 60
        place.github.world.clock.advance(61)
        for word in ("five", "six"):
            forge.comment(REPOSITORY, number, word)
        assert 3500 <= left(lambda: forge.comment(REPOSITORY, number, "seven")) <= 3600
    assert place.github.count("POST", "*/comments") == 6


def test_nobody_is_held_back_for_more_than_an_hour(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    place.github.secondary_limit("POST", "*graphql", retry_after=100_000)
    left(lambda: forge.head(REPOSITORY, ""))
    place.github.world.clock.advance(3590)
    assert left(lambda: forge.head(REPOSITORY, "")) <= 10
    place.github.world.clock.advance(10)
    forge.head(REPOSITORY, "")


def test_those_who_asked_before_a_limit_do_not_double_it() -> None:
    now = [1000.0]
    holds = Holds(lambda: now[0])
    assert holds.hold(["a", "b"], None) == 60
    now[0] += 20
    assert holds.hold(["a", "b"], None) == 40
    assert (holds.left("a"), holds.left("b"), holds.left("c")) == (40, 40, None)
    holds.hold(["a"], 5)
    assert holds.left("a") == 40
    now[0] -= 5000  # the clock is set back
    assert holds.left("a") is None


# --- trouble that passes --------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 202, 408, 0])
def test_reads_are_repeated_a_few_times(place: Place, forge: GitHubForge, status: int) -> None:
    _, commit = forge.head(REPOSITORY, "")
    fault = (
        place.github.fail("GET", "*", status=status, times=2)
        if status
        else place.github.cut("GET", "*", times=2)
    )
    assert forge.read(REPOSITORY, commit, ["Dockerfile"]) == {"Dockerfile": OLD}
    assert fault.struck == 2
    assert place.paused == [0.3, 1.2]


def test_reads_are_not_repeated_for_ever(place: Place, forge: GitHubForge) -> None:
    _, commit = forge.head(REPOSITORY, "")
    fault = place.github.fail("GET", "*", status=503, times=None)
    with pytest.raises(TransientError):
        forge.read(REPOSITORY, commit, ["Dockerfile"])
    assert fault.struck == 3


def test_reads_that_take_long_are_not_begun_again() -> None:
    hours = iter(range(0, 100_000, 50))
    paused: list[float] = []
    with scripted() as server:
        server.routes["GET /x"] = Reply(status=503)
        manners = Manners(clock=lambda: float(next(hours)), pause=paused.append)
        with pytest.raises(TransientError):
            Client(transport_to(server.url), Key(), manners).get("/x")
        assert len(server.asked) == 1
    assert paused == []


@both
def test_a_token_that_is_refused_is_renewed_once(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    place.github.world.tokens.clear()
    place.github.forget()
    forge.head(REPOSITORY, "")
    assert [one.status for one in place.github.requests] == [401, 201, 200]
    place.github.fail("POST", "*graphql", status=401, times=None, body=b'{"message":"Bad credentials"}')
    place.github.forget()
    with pytest.raises(ForgeError, match="does not accept who we are: Bad credentials"):
        forge.head(REPOSITORY, "")
    assert [one.status for one in place.github.requests] == [401, 201, 401]


def test_a_write_is_sent_again_where_only_the_token_was_refused(place: Place, forge: GitHubForge) -> None:
    place.published(forge)
    with forge.publishing(REPOSITORY):
        made = forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b"))
        place.github.world.tokens.clear()
        forge.comment(REPOSITORY, made.request.number, "Hello")
    assert len(place.github.comments(REPOSITORY, 1)) == 1


def test_one_token_serves_many_threads_for_an_hour(place: Place, forge: GitHubForge) -> None:
    threads = [threading.Thread(target=forge.head, args=(REPOSITORY, "")) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert place.github.count("POST", "*/access_tokens") == 1
    place.github.world.clock.advance(3600 - 301)
    forge.head(REPOSITORY, "")
    assert place.github.count("POST", "*/access_tokens") == 1
    place.github.world.clock.advance(2)
    forge.head(REPOSITORY, "")
    assert place.github.count("POST", "*/access_tokens") == 2


def test_an_installation_is_looked_up_once_an_hour(place: Place, forge: GitHubForge) -> None:
    place.github.repository("acme/other", {})
    forge.head(REPOSITORY, "")
    forge.head("acme/other", "")
    assert place.github.count("GET", "*/installation") == 1
    place.github.world.clock.advance(3601)
    forge.head(REPOSITORY, "")
    assert place.github.count("GET", "*/installation") == 2


def test_a_suspended_installation_is_said(place: Place, forge: GitHubForge) -> None:
    [installation] = place.github.world.installations.values()
    forge.head(REPOSITORY, "")
    place.github.suspend(installation)
    for one in (forge, place.forge()):
        with pytest.raises(SuspendedError, match=r"suspended.*unsuspend"):
            one.head(REPOSITORY, "")
    assert forge._manners.graphql, "no server that refuses GraphQL"
    place.github.unsuspend(installation)
    assert forge.head(REPOSITORY, "")[0] == "main"


def test_an_uninstalled_app_sees_nothing(place: Place, forge: GitHubForge) -> None:
    [installation] = place.github.world.installations.values()
    forge.head(REPOSITORY, "")
    place.github.uninstall(installation)
    with pytest.raises(MissingError, match=r"not installed.*nstall it"):
        forge.head(REPOSITORY, "")
    place.github.install("acme")
    assert forge.head(REPOSITORY, "")[0] == "main"


def test_an_app_that_was_installed_anew_sees_at_once(place: Place, forge: GitHubForge) -> None:
    """What came of the first installation is void, and what is told of the second must not be lost for it."""
    [installation] = place.github.world.installations.values()
    commit = place.published(forge)
    place.github.uninstall(installation)
    place.github.install("acme")
    assert forge.repository(REPOSITORY).name == REPOSITORY
    with forge.publishing(REPOSITORY):
        forge.delete(REPOSITORY, BRANCH, commit)
    place.github.uninstall(next(iter(place.github.world.installations.values())))
    place.github.install("acme")
    with forge.publishing(REPOSITORY):
        forge.write(place.change())


def test_a_repository_that_was_taken_from_the_installation(place: Place) -> None:
    place.github.repository("acme/other", {"a": b""})
    [installation] = place.github.world.installations.values()
    forge = place.forge()
    forge.head(REPOSITORY, "")
    place.github.select(installation, remove=[REPOSITORY])
    with pytest.raises(MissingError):
        forge.head(REPOSITORY, "")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled",
            "IP allow list",
        ),
        ("Resource not accessible by integration", "moorline doctor"),
        ("This installation has been suspended", "unsuspend"),
        ("Repository was archived so is read-only.", "archived"),
        (
            "refusing to allow a GitHub App to create or update workflow `x` without `workflows` permission",
            "workflows: write",
        ),
        ("Something\nelse\u202e", "Something\N{REPLACEMENT CHARACTER}else"),
    ],
)
def test_refusals_say_what_to_do(said: str, meant: str) -> None:
    answer = Answer(status=403, headers={}, body=json.dumps({"message": said}).encode())
    with pytest.raises(ForgeError) as caught:
        judged(answer, Manners(clock=lambda: 0.0), Transport(address("http://127.0.0.1:1")))
    assert meant in str(caught.value)
    assert not isinstance(caught.value, TransientError)


# --- lies -----------------------------------------------------------------------------------


def blob(**said: Any) -> bytes:
    return json.dumps(
        {"data": {"repository": {"b0": {"oid": "x", "isBinary": False, "isTruncated": False, **said}}}}
    ).encode()


@pytest.mark.parametrize(
    "body",
    [
        blob(text="FROM evil\n"),
        blob(text=OLD.decode(), isTruncated=True),
        blob(text=None),
        blob(text=7),
        blob(text="\ud800"),
        b'{"data":{"repository":{"b0":null}}}',
        b'{"data":{"repository":{}}}',
        b'{"errors":[{"message":"too complex","type":"MAX_NODE_LIMIT_EXCEEDED"}]}',
        b"[]",
        b"<html>",
    ],
)
def test_what_graphql_says_is_held_to_the_tree(place: Place, forge: GitHubForge, body: bytes) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.fail("POST", "/graphql", status=200, body=body)
    assert forge.read(REPOSITORY, commit, ["Dockerfile"]) == {"Dockerfile": OLD}
    assert place.github.count("GET", "*/git/blobs/*") == 1


def test_a_server_that_answers_no_query_is_asked_by_rest(place: Place, forge: GitHubForge) -> None:
    place.github.push(REPOSITORY, {f"d{number}/Dockerfile": b"FROM a:%d\n" % number for number in range(60)})
    _, commit = forge.head(REPOSITORY, "")
    place.github.fail("POST", "/graphql", times=None)
    place.github.forget()
    assert len(forge.snapshot(REPOSITORY, commit, claims).files) == 61
    assert place.github.count("POST", "/graphql") == 8


def test_a_query_that_is_refused_is_not_halved(place: Place, forge: GitHubForge) -> None:
    place.github.push(REPOSITORY, {f"d{number}/Dockerfile": b"FROM a:%d\n" % number for number in range(9)})
    _, commit = forge.head(REPOSITORY, "")
    body = b'{"errors":[{"type":"FORBIDDEN","message":"No."}]}'
    place.github.fail("POST", "/graphql", times=None, status=200, body=body)
    place.github.forget()
    assert len(forge.snapshot(REPOSITORY, commit, claims).files) == 10
    assert place.github.count("POST", "/graphql") == 1


def test_what_rest_says_is_held_to_the_tree(place: Place, forge: GitHubForge) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.switches.graphql = 404
    place.github.fail("GET", "*/git/blobs/*", status=200, body=b"FROM evil\n")
    with pytest.raises(ForgeError, match="is not the file"):
        forge.read(REPOSITORY, commit, ["Dockerfile"])
    assert forge.read(REPOSITORY, commit, ["Dockerfile"]) == {"Dockerfile": OLD}


STRANGE_TREES: list[Any] = [
    None,
    [],
    {},
    {"tree": 7},
    {"tree": [7]},
    {"tree": [{"path": "Dockerfile"}]},
    {"tree": [{"path": "Dockerfile", "mode": "999999", "sha": "a" * 40, "type": "blob"}]},
    {"tree": [{"path": 7, "mode": "100644", "sha": "a" * 40, "type": "blob"}]},
    {"tree": [{"path": "Dockerfile", "mode": "100644", "sha": "../x", "type": "blob"}]},
]


@pytest.mark.parametrize("tree", STRANGE_TREES)
def test_a_tree_that_is_none_is_an_error(place: Place, forge: GitHubForge, tree: Any) -> None:
    _, commit = forge.head(REPOSITORY, "")
    place.github.fail("GET", "*/git/trees/*", status=200, body=json.dumps(tree).encode())
    with pytest.raises(ForgeError, match="no tree"):
        forge.snapshot(REPOSITORY, commit, claims)


@pytest.mark.parametrize(
    "path",
    [
        "../Dockerfile",
        "/Dockerfile",
        "a//Dockerfile",
        ".git/Dockerfile",
        "a/./Dockerfile",
        "\ufffd/Dockerfile",
    ],
)
def test_names_that_no_file_may_have_are_reported(place: Place, forge: GitHubForge, path: str) -> None:
    _, commit = forge.head(REPOSITORY, "")
    entries = [{"path": path, "mode": "100644", "sha": "a" * 40, "type": "blob", "size": 3}]
    body = json.dumps({"sha": "b" * 40, "tree": entries, "truncated": False}).encode()
    place.github.fail("GET", "*/git/trees/*", status=200, body=body)
    made = forge.snapshot(REPOSITORY, commit, claims)
    assert not made.files
    assert [(one.path, one.detail) for one in made.unread] == [(path, "a name that no file may have")]


FIELDS = [
    "sha",
    "tree",
    "path",
    "mode",
    "type",
    "size",
    "truncated",
    "id",
    "node_id",
    "full_name",
    "name",
    "default_branch",
    "owner",
    "login",
    "nameWithOwner",
    "defaultBranchRef",
    "target",
    "oid",
    "base",
    "branch",
    "ref",
    "object",
    "pullRequests",
    "nodes",
    "number",
    "url",
    "html_url",
    "state",
    "isCrossRepository",
    "headRefName",
    "baseRefName",
    "headRefOid",
    "title",
    "body",
    "author",
    "head",
    "user",
    "repo",
    "merged_at",
    "rulesets",
    "totalCount",
    "errors",
    "message",
    "data",
    "b0",
    "b1",
    "text",
    "isBinary",
    "isTruncated",
    "verification",
    "verified",
    "check_runs",
    "app",
    "output",
    "guid",
    "delivered_at",
    "event",
    "status_code",
    "status",
    "permissions",
    "events",
    "account",
    "resources",
    "core",
    "remaining",
    "limit",
    "slug",
    "assignees",
    "merge_base_commit",
    "repositories",
    "suspended_at",
    "ruleset_id",
    "parameters",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a" * 40) | st.just(REPOSITORY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_strange_answers_are_errors_of_ours(data: st.DataObject) -> None:
    """Whatever a server says, nothing is raised but what callers know."""

    def send(_self: Transport, _verb: str, path: str, *_: Any, **__: Any) -> Answer:
        if path.endswith("access_tokens"):
            return Answer(status=201, headers={}, body=b'{"token":"ghs_x"}')
        if path.endswith("/installation"):
            body: Any = {"id": 1, "account": {"login": "acme"}, "permissions": {"contents": "write"}}
            return Answer(status=200, headers={}, body=json.dumps(body).encode())
        said = data.draw(JSON)
        if "graphql" in path and data.draw(st.booleans()):
            said = {"data": {"repository": said, "nodes": said}}
        return Answer(
            status=data.draw(st.sampled_from([200, 200, 200, 301, 403, 404, 422])),
            headers=data.draw(st.sampled_from([{}, {"location": "/repositories/1"}, {"date": "x"}])),
            body=json.dumps(said).encode(),
        )

    private, _ = key_pair()
    forge = GitHubForge("http://127.0.0.1:1", "1", private, prefetch=claims, pause=lambda _seconds: None)
    commit = "a" * 40
    edits = (pin("Dockerfile"),)
    change = Change(
        repository=REPOSITORY, base="main", parent=commit, branch="x", expected=None, message="m", edits=edits
    )
    wish = Wish(title="t", body="b", labels=("l",), reviewers=("a",), assignees=("a",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "send", send)
        for ask in (
            lambda: forge.head(REPOSITORY, ""),
            lambda: forge.head(REPOSITORY, "refs/pull/7/head"),
            lambda: forge.repository(REPOSITORY),
            lambda: forge.standing(REPOSITORY, "main", BRANCH),
            lambda: forge.request(REPOSITORY, 1),
            lambda: forge.verified(REPOSITORY, commit),
            lambda: forge.merge_base(REPOSITORY, commit, commit),
            lambda: forge.snapshot(REPOSITORY, commit, claims),
            lambda: list(forge.repositories()),
            lambda: list(forge.missed(datetime.now(UTC))),
            lambda: list(forge.examine()),
            forge.account,
            lambda: _published(forge, lambda: forge.write(change)),
            lambda: _published(forge, lambda: forge.open(REPOSITORY, "main", BRANCH, wish)),
            lambda: _published(forge, lambda: forge.close(REPOSITORY, 1, "x")),
            lambda: _published(
                forge,
                lambda: forge.check(
                    REPOSITORY, commit, Report(conclusion=Conclusion.SUCCESS, title="t", summary="s")
                ),
            ),
        ):
            with contextlib.suppress(MoorlineError):
                ask()


def _published(forge: GitHubForge, act: Callable[[], object]) -> None:
    with forge.publishing(REPOSITORY):
        act()


@pytest.mark.parametrize("name", ["a/../../b", "../../issues", ".", "a//b", "\ud800", "a\r\nb", "x?y#z"])
def test_names_lead_nowhere_else(place: Place, forge: GitHubForge, name: str) -> None:
    place.github.switches.graphql = 404
    with pytest.raises(ForgeError):
        forge.head(REPOSITORY, name)
    with contextlib.suppress(ForgeError):
        assert forge.standing(REPOSITORY, "main", name).branch is None
    with forge.publishing(REPOSITORY), pytest.raises(ForgeError):
        forge.delete(REPOSITORY, name, "a" * 40)
    allowed = {"/app", "/graphql", "/repos/acme/app", "/repos/acme/app/pulls", "/repos/acme/app/installation"}
    for one in place.github.requests:
        known = one.path in allowed or one.path.startswith(
            ("/repos/acme/app/git/ref/heads/", "/repos/acme/app/rules/branches/")
        )
        assert known or one.path.endswith("access_tokens"), one.path


# --- one server, and nothing leaves it ------------------------------------------------------


class Key:
    """A credential that is what it is."""

    def token(self) -> str:
        return "secret"

    def renew(self, refused: str) -> str:
        return refused


def transport_to(url: str) -> Transport:
    return Transport(address(url))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_never_leave_the_server(status: int) -> None:
    with scripted() as other, scripted() as server:
        place = Reply(status=status, headers=[("Location", f"{other.url}/repositories/1")])
        server.routes["* /x"] = place
        transport = transport_to(server.url)
        answer = transport.send("GET", "/x", "secret")
        assert answer.status == status
        assert transport.relative(answer.headers["location"]) is None
        assert [one.path for one in server.asked] == ["/x"]
        assert other.asked == []


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://127.0.0.1:1/api/v3/repositories/1?a=b", "/repositories/1?a=b"),
        ("/api/v3/repositories/1", "/repositories/1"),
        ("http://127.0.0.1:2/api/v3/x", None),
        ("https://127.0.0.1:1/api/v3/x", None),
        ("http://evil.example/api/v3/x", None),
        ("//evil.example/api/v3/x", None),
        ("http://127.0.0.1:1@evil.example/api/v3/x", None),
        ("http://127.0.0.1:1/api/v3/../../x", None),
        ("http://127.0.0.1:1/api/v3/%2e%2e/x", None),
        ("http://127.0.0.1:1/other", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_links_in_answers(url: str, meant: str | None) -> None:
    assert transport_to("http://127.0.0.1:1/api/v3").relative(url) == meant


def test_pages_do_not_lead_to_another_server() -> None:
    with scripted() as other, scripted() as server:
        for target in (f"{other.url}/x?page=2", f"{server.url}/x?page=2"):
            link = [("Link", f'<{target}>; rel="next"')]

            def answer(asked: Asked, link: list[tuple[str, str]] = link) -> Reply:
                return Reply(headers=[] if "page=2" in asked.path else link, body=b"[1]")

            server.routes["GET /x"] = answer
            client = Client(transport_to(server.url), Key(), Manners(clock=lambda: 0.0))
            found = list(client.pages("/x"))
            assert len(found) == (1 if target.startswith(other.url) else 2)
        assert other.asked == []


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.forges.github_transport._LARGEST", 100_000)
    with scripted() as server:
        server.routes["GET /fits"] = Reply(body=b"x" * 100_000)
        server.routes["GET /large"] = Reply(body=b"x" * 100_001)
        bomb = gzip.compress(b"x" * 10_000_000)
        server.routes["GET /bomb"] = Reply(headers=[("Content-Encoding", "gzip")], body=bomb)
        transport = transport_to(server.url)
        assert len(transport.send("GET", "/fits", "t").body) == 100_000
        for path in ("/large", "/bomb"):
            with pytest.raises(ForgeError, match="larger than"):
                transport.send("GET", path, "t")


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"no http\r\n\r\n"],
    ids=["none", "short", "strange"],
)
def test_cut_answers_are_ambiguous(raw: bytes) -> None:
    with scripted() as server:
        server.routes["POST /x"] = Reply(raw=raw)
        with pytest.raises(AmbiguousError):
            transport_to(server.url).send("POST", "/x", "t", body={})
        assert server.count()["POST"] == 1


def test_who_cannot_be_reached_was_asked_nothing() -> None:
    with scripted() as server:
        url = server.url
    with pytest.raises(TransientError) as caught:
        transport_to(url).send("POST", "/x", "t", body={})
    assert not isinstance(caught.value, AmbiguousError)


def test_a_proxy_is_used_and_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as proxy, scripted() as server:
        server.routes["GET /x"] = Reply(body=b"{}")
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//user:pass@"))
        monkeypatch.delenv("no_proxy", raising=False)
        assert transport_to(server.url).send("GET", "/x", "t").status == 200
        assert not proxy.asked
        away = transport_to("https://github.example")
        with pytest.raises(MoorlineError):
            away.send("GET", "/x", "t")
        assert "pass" not in repr(vars(away._pool))
        monkeypatch.setenv("no_proxy", "github.example")
        assert type(transport_to("https://github.example")._pool).__name__ == "PoolManager"
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
        with pytest.raises(ConfigurationError):
            transport_to("https://github.example")


def test_certificates_that_are_none(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate")
    for bundle in (str(empty), str(tmp_path / "none.pem")):
        with pytest.raises(ConfigurationError, match="MOORLINE_CA_BUNDLE"):
            Transport(address("https://github.example"), ca_bundle=bundle)


@pytest.mark.parametrize(
    ("url", "rest", "graphql", "host"),
    [
        ("https://github.com", "https://api.github.com", "https://api.github.com/graphql", "github.com"),
        ("https://api.github.com/", "https://api.github.com", "https://api.github.com/graphql", "github.com"),
        (
            "https://acme.ghe.com",
            "https://api.acme.ghe.com",
            "https://api.acme.ghe.com/graphql",
            "acme.ghe.com",
        ),
        (
            "https://api.acme.ghe.com",
            "https://api.acme.ghe.com",
            "https://api.acme.ghe.com/graphql",
            "acme.ghe.com",
        ),
        (
            "https://ghe.example",
            "https://ghe.example/api/v3",
            "https://ghe.example/api/graphql",
            "ghe.example",
        ),
        (
            "https://GHE.example:8443/api/v3/",
            "https://ghe.example:8443/api/v3",
            "https://ghe.example:8443/api/graphql",
            "ghe.example:8443",
        ),
        ("http://127.0.0.1:7", "http://127.0.0.1:7", "http://127.0.0.1:7/graphql", "127.0.0.1:7"),
        ("http://[::1]:7/api/v3", "http://[::1]:7/api/v3", "http://[::1]:7/api/graphql", "[::1]:7"),
    ],
)
def test_addresses(url: str, rest: str, graphql: str, host: str) -> None:
    made = address(url)
    assert (made.rest, made.graphql, made.host) == (rest, graphql, host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com",
        "http://github.com",
        "http://10.0.0.1",
        "https://u:p@github.com",
        "https://x/y",
        "https://x?y",
        "https://x#y",
        "ftp://x",
        "https://x:0",
        "https://x:y",
        "https://[",
        "https://x\ny",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MOORLINE_GITHUB_URL"):
        address(url)


# --- secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "long"])
def test_no_secret_is_ever_seen(place: Place, kind: str) -> None:
    place.github.switches.token_format = kind
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        forge = place.forge()
        commit = place.published(forge)
        with forge.publishing(REPOSITORY):
            forge.open(REPOSITORY, "main", BRANCH, Wish(title="t", body="b"))
            list(forge.repositories())
            said.write("".join(repr(one) for one in forge.examine()))
            _show(forge, said)
        tokens = {one.token for one in place.github.requests}
        assert any(one.startswith("ghs_") for one in tokens)
        echo = json.dumps({"message": f"bad {' '.join(tokens)}"}).encode()
        for status in (400, 401, 403, 404, 422, 500):
            place.github.fail("*", "*", status=status, body=echo, times=None)
            for ask in (lambda: forge.request(REPOSITORY, 1), lambda: forge.verified(REPOSITORY, "a" * 40)):
                try:
                    ask()
                except MoorlineError as error:
                    said.write("".join(traceback.format_exception(error)) + repr(error))
            place.github.faults.clear()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert place.github.read(REPOSITORY, "Dockerfile", commit) == NEW
    text = said.getvalue()
    assert text
    for secret in tokens:
        assert secret not in text
    assert "PRIVATE KEY" not in text
    assert all(secret not in one.path + one.query for one in place.github.requests for secret in tokens)


def _show(forge: GitHubForge, said: io.StringIO) -> None:
    """Write the `repr` of everything of ours that a forge holds."""
    seen: set[int] = set()
    waiting: list[Any] = [forge]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or len(seen) > 3000:
            continue
        seen.add(id(one))
        if type(one).__module__.startswith("bot."):
            said.write(repr(one))
            waiting += [each for each in gc.get_referents(one) if not isinstance(each, type)]


def test_texts_of_servers_are_made_fit() -> None:
    long = "ghs_123456_eyJhbGciOi.abc-DEF_ghi.0123456789abcdef"
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.abcdef"
    made = clean(f"a {long} b ghp_{'x' * 36} c {jwt}\n\x1b[31m" + "y" * 3000)
    assert made.startswith("a [secret] b [secret] c [secret]\N{REPLACEMENT CHARACTER}")
    assert len(made) <= 400


@pytest.mark.parametrize(
    "key", ["", "no key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
)
def test_a_key_that_is_none(place: Place, key: str) -> None:
    with pytest.raises(ConfigurationError, match="MOORLINE_GITHUB_PRIVATE_KEY") as caught:
        place.forge(private_key=key).head(REPOSITORY, "")
    assert "AAAA" not in "".join(traceback.format_exception(caught.value))


def test_a_key_of_another_kind_or_locked(place: Place) -> None:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form, serialization.NoEncryption())
    rsa = serialization.load_pem_private_key(place.github.private_key.encode(), None)
    locked = rsa.private_bytes(*form, serialization.BestAvailableEncryption(b"word"))
    for key in (other, locked):
        with pytest.raises(ConfigurationError, match="MOORLINE_GITHUB_PRIVATE_KEY"):
            place.forge(private_key=key.decode()).head(REPOSITORY, "")


def test_a_key_on_one_line_is_a_key(place: Place) -> None:
    key = place.github.private_key.replace("\n", "\\n")
    assert place.forge(private_key=key).head(REPOSITORY, "")[0] == "main"


# --- the doctor -----------------------------------------------------------------------------


def found(forge: GitHubForge) -> dict[str, Symptom]:
    return {one.subject: one for one in forge.examine()}


@both
def test_a_healthy_app(place: Place) -> None:
    assert {one.health for one in place.forge().examine()} == {Health.OK}


def test_a_wrong_clock(place: Place) -> None:
    now = place.github.world.clock.now
    for away, health in ((40, Health.NOTE), (-90, Health.TROUBLE)):
        made = found(place.forge(clock=lambda away=away: now() + away))["clock"]
        assert made.health is health
        assert str(abs(away))[:-1] in made.text
    wrong = found(place.forge(clock=lambda: now() + 7200))
    assert wrong["key"].health is Health.TROUBLE
    assert "seconds off" in wrong["key"].advice
    with pytest.raises(ForgeError, match=r"clock here is 7[12]\d\d seconds off"):
        place.forge(clock=lambda: now() - 7200).head(REPOSITORY, "")


def test_another_app_s_id_takes_nothing_for_gone(place: Place) -> None:
    with pytest.raises(ForgeError, match="no such App") as caught:
        place.forge(app_id="1").head(REPOSITORY, "")
    assert not isinstance(caught.value, MissingError)


def test_a_proxy_s_page_takes_nothing_for_gone(place: Place, forge: GitHubForge) -> None:
    place.github.fail("GET", "*", status=404, times=None, body=b"<html>Nothing here</html>")
    with pytest.raises(TransientError):
        forge.head(REPOSITORY, "")


def test_a_wrong_app_or_key(place: Place) -> None:
    assert found(place.forge(app_id="1"))["key"].health is Health.TROUBLE
    assert found(place.forge(private_key="x"))["key"].health is Health.TROUBLE


def test_the_doctor_knows_the_manifest() -> None:
    manifest = yaml.safe_load((Path(__file__).parent.parent / "app.yml").read_text())
    assert {name: level for name, (level, _) in NEEDED.items()} == manifest["default_permissions"]
    assert set(EVENTS) == set(manifest["default_events"])
    assert READS.keys() | WRITES.keys() <= NEEDED.keys()


def test_events_that_are_no_names_are_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    forge = place.forge()
    real = Transport.send

    def send(self: Transport, verb: str, path: str, *rest: Any, **more: Any) -> Answer:
        if path.endswith("/app"):
            body = b'{"slug": "x", "events": [{}, [], null, "push"], "permissions": {}}'
            return Answer(status=200, headers={}, body=body)
        return real(self, verb, path, *rest, **more)

    monkeypatch.setattr(Transport, "send", send)
    made = found(forge)
    assert "event pull_request" in made
    assert "event push" not in made


def test_what_is_missing_is_said_with_what_it_costs(place: Place, forge: GitHubForge) -> None:
    world = place.github.world
    [installation] = world.installations.values()
    del world.app.permissions["checks"]
    world.app.permissions["administration"] = "write"
    del installation.permissions["workflows"]
    world.app.events.remove("push")
    world.hook_url = "http://bot.example/hook"
    other = place.github.install("other")
    place.github.suspend(other)
    place.github.exhaust(resource="graphql")
    place.github.payload(
        "push",
        repository=REPOSITORY,
        ref="refs/heads/main",
        before="0" * 40,
        after=place.github.head(REPOSITORY),
        status_code=503,
    )
    made = found(forge)
    assert "no check is reported" in made["permission checks"].text
    assert "not needed" in made["permission administration"].text
    assert "workflows cannot be pinned" in made["installation acme permission workflows"].text
    assert "by acme" in made["installation acme permission workflows"].text
    assert made["event push"].health is Health.TROUBLE
    assert made["hook"].health is Health.NOTE
    assert made["installation other"].health is Health.TROUBLE
    assert "1 delivery failed" in made["deliveries"].text
    assert made["limit graphql of acme"].health is Health.NOTE
    assert all(one.advice for one in made.values() if one.health is Health.TROUBLE)


def pushed(place: Place, status: int) -> None:
    """Have a push delivered, and answered so."""
    about: dict[str, Any] = {"repository": REPOSITORY, "ref": "refs/heads/main", "before": "0" * 40}
    place.github.payload("push", **about, after=place.github.head(REPOSITORY), status_code=status)


def test_a_webhook_that_nobody_answers_is_failing(place: Place, forge: GitHubForge) -> None:
    [hook] = forge.webhooks()
    assert hook.state is HookState.CALLING
    pushed(place, 200)
    pushed(place, 502)
    pushed(place, 502)
    assert forge.webhooks() == (hook,)
    pushed(place, 502)
    place.github.forget()
    [failing] = forge.webhooks()
    assert len(place.github.requests) == 1
    assert (failing.id, failing.state) == (hook.id, HookState.FAILING)
    assert "newest 3" in failing.text
    assert "Recent deliveries" in failing.advice
    assert not forge.test(failing)
    pushed(place, 202)
    assert forge.webhooks() == (hook,)


@pytest.mark.parametrize(("status", "fails"), [(502, False), (401, True)])
def test_what_nobody_took_while_we_were_down_says_nothing(place: Place, status: int, *, fails: bool) -> None:
    clock = place.github.world.clock
    clock.advance(-600)
    pushed(place, 200)
    for _ in range(3):
        pushed(place, status)
    clock.advance(600)
    forge = place.forge()
    [hook] = forge.webhooks()
    assert hook.state is (HookState.FAILING if fails else HookState.CALLING)
    for _ in range(3):
        pushed(place, status)
    assert forge.webhooks()[0].state is HookState.FAILING


def test_what_never_arrived_says_so_after_a_start_as_well(place: Place) -> None:
    clock = place.github.world.clock
    clock.advance(-600)
    for _ in range(3):
        pushed(place, 502)
    clock.advance(600)
    assert place.forge().webhooks()[0].state is HookState.FAILING


def test_a_secret_that_differs_is_said(place: Place, forge: GitHubForge) -> None:
    for _ in range(3):
        pushed(place, 401)
    [hook] = forge.webhooks()
    made = found(forge)["deliveries"]
    assert (hook.state, made.health) == (HookState.FAILING, Health.TROUBLE)
    for text in (hook.text, made.text):
        assert text.startswith("GitHub reached it and was refused: the secret in the App's settings is not ")
    pushed(place, 202)
    assert found(forge)["deliveries"].health is Health.NOTE  # it is right by now


def test_who_we_are(place: Place, forge: GitHubForge) -> None:
    made = forge.account()
    assert (made.login, made.id) == (place.github.bot, str(place.github.world.app.bot.id))
    place.github.forget()
    assert forge.account() is made
    assert not place.github.requests


def test_who_we_are_where_nobody_installed_us() -> None:
    with github() as standin:
        made = Place(standin).forge().account()
    assert (made.login, made.id) == ("moorline[bot]", "")


# --- deliveries -----------------------------------------------------------------------------


def lost(place: Place, count: int = 1, *, status: int = 503) -> list[str]:
    guids = []
    for _ in range(count):
        headers, _body = place.github.payload(
            "push",
            repository=REPOSITORY,
            ref="refs/heads/main",
            before="0" * 40,
            after=place.github.head(REPOSITORY),
            status_code=status,
        )
        guids.append(headers["X-GitHub-Delivery"])
    return guids


def missed(place: Place, forge: GitHubForge, ago: float = 3600.0) -> list[Missed]:
    since = datetime.fromtimestamp(place.github.world.clock.now() - ago, UTC)
    return list(forge.missed(since))


@both
def test_missed_deliveries_come_oldest_first(place: Place, forge: GitHubForge) -> None:
    guids = []
    for status in (503, 0, 202):
        guids += lost(place, status=status)
        place.github.world.clock.advance(10)
    made = missed(place, forge)
    assert [one.headers["X-GitHub-Delivery"] for one in made] == guids[:2]
    for one in made:
        assert one.headers["X-GitHub-Event"] == "push"
        assert not any("signature" in name.lower() for name in one.headers)
        assert json.loads(one.body)["repository"]["full_name"] == REPOSITORY
        assert one.delivered.tzinfo is not None


def test_an_app_without_a_webhook_misses_nothing(place: Place, forge: GitHubForge) -> None:
    place.github.fail("GET", "/app/hook/deliveries", status=404, body=b'{"message":"Not Found"}')
    assert missed(place, forge) == []


def test_nothing_missed_costs_one_request(place: Place, forge: GitHubForge) -> None:
    lost(place, 3, status=202)
    place.github.forget()
    assert missed(place, forge) == []
    assert place.github.asked() == ["GET /app/hook/deliveries"]


def test_what_arrived_at_a_later_attempt_was_not_missed(place: Place, forge: GitHubForge) -> None:
    [first, second] = lost(place, 2)
    for one in list(place.github.world.deliveries):
        if one.guid == first:
            place.github.world.redeliver.append(one)
    place.github.world.clock.advance(5)
    place.github.deliver(lambda _headers, _body: 202)
    assert [one.headers["X-GitHub-Delivery"] for one in missed(place, forge)] == [second]


def test_several_failed_attempts_are_one(place: Place, forge: GitHubForge) -> None:
    lost(place)
    for _ in range(2):
        place.github.world.redeliver.append(place.github.world.deliveries[0])
        place.github.world.clock.advance(5)
        place.github.queue.clear()
        place.github.deliver(None)
    assert len(missed(place, forge)) == 1


def test_what_is_older_is_left(place: Place, forge: GitHubForge) -> None:
    lost(place)
    place.github.world.clock.advance(4000)
    [guid] = lost(place)
    assert [one.headers["X-GitHub-Delivery"] for one in missed(place, forge)] == [guid]


def test_many_missed_deliveries_come_in_pages(place: Place, forge: GitHubForge) -> None:
    place.github.validates = False
    lost(place, 101)
    assert len(missed(place, forge)) == 101
    assert place.github.count("GET", "/app/hook/deliveries") == 2 + 1  # failures, and what arrived


def test_certificates_of_the_bundle_are_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with github(enterprise=True, context=authority.context("127.0.0.1")) as standin:
        standin.repository(REPOSITORY, {"Dockerfile": OLD})
        standin.install("acme")
        place = Place(standin)
        assert place.forge(ca_bundle=str(authority.bundle)).head(REPOSITORY, "")[0] == "main"
        assert place.forge(url=standin.world.web, ca_bundle=str(authority.bundle)).head(REPOSITORY, "")
        with pytest.raises(ForgeError, match="MOORLINE_CA_BUNDLE"):
            place.forge().head(REPOSITORY, "")
    assert place.paused == []
