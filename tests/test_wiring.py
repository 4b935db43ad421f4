"""How the parts are put together: look-ups side by side, and what a place says of its owner."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import wiring
from bot.forges.directory import Directory
from bot.model import Job, Trigger
from bot.settings import Lookups


@given(st.lists(st.integers(), max_size=40))
def test_spreading_keeps_the_order(items: list[int]) -> None:
    assert wiring.spread(lambda item: item * 2, items) == [item * 2 for item in items]


def test_spreading_works_side_by_side() -> None:
    """Each waits for the others: one after the other they would wait for ever."""
    together = threading.Barrier(4, timeout=20)
    assert len(wiring.spread(lambda _item: together.wait(), range(4))) == 4


def test_spreading_is_bounded() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work(_item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1

    wiring.spread(work, range(200))
    assert 1 <= most <= wiring.AT_ONCE


def test_what_a_look_up_raises_is_raised() -> None:
    def work(item: int) -> int:
        return 1 // item

    with pytest.raises(ZeroDivisionError):
        wiring.spread(work, [1, 0, 1])


def test_an_interruption_waits_for_nobody() -> None:
    """The first look-up ends with what Ctrl-C raises; the second is still under way then."""
    begun, may_end = threading.Event(), threading.Event()

    def work(item: int) -> None:
        if item == 0:
            assert begun.wait(20)
            raise KeyboardInterrupt
        begun.set()
        assert may_end.wait(20)

    try:
        with pytest.raises(KeyboardInterrupt):
            wiring.spread(work, [0, 1])
        assert not may_end.is_set()
    finally:
        may_end.set()


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("gitlab.com", {"$CI_REGISTRY": "registry.gitlab.com", "$CI_SERVER_FQDN": "gitlab.com"}),
        ("git.example", {"$CI_SERVER_FQDN": "git.example", "$CI_SERVER_HOST": "git.example"}),
    ],
)
def test_what_gitlab_s_own_variables_stand_for(host: str, known: dict[str, str]) -> None:
    hosts = wiring.own_hosts(host, Lookups())
    assert known.items() <= hosts.items()
    assert hosts[""] == host
    assert "$CI_REGISTRY" not in wiring.own_hosts("git.example", Lookups()), (
        "only the server itself could say"
    )
    assert wiring.own_hosts("", Lookups())[""] == "gitlab.com"


@pytest.mark.parametrize(
    ("repository", "host", "owner"),
    [
        ("https://git.example/acme/app.git", "git.example", "acme"),
        ("ssh://git@git.example:2222/acme/sub/app.git", "git.example", "acme"),
        ("/srv/git/acme/app.git", "", ""),
        ("file:///srv/git/app.git", "", ""),
    ],
)
def test_what_an_address_says_of_its_owner(repository: str, host: str, owner: str) -> None:
    job = Job(forge="git", repository=repository, ref="main", trigger=Trigger.PUSH)
    ground = wiring.git_ground(job, Lookups())
    assert (ground.host, ground.owner) == (host, owner)
    other = wiring.git_ground(
        Job(forge="git", repository="/srv/other", ref="main", trigger=Trigger.PUSH), Lookups()
    )
    assert wiring.scope(ground) != wiring.scope(other), "what one was told is not shown to another"
    assert wiring.scope(ground) != wiring.scope(ground, trusted=False)


def test_a_folder_says_where_it_was_cloned_from(tmp_path: Path) -> None:
    config = tmp_path / ".git" / "config"
    config.parent.mkdir()
    config.write_text('[remote "origin"]\n\turl = git@github.com:acme/app.git\n')
    ground = wiring.ground(Directory(tmp_path), Lookups())
    assert (ground.host, ground.owner) == ("github.com", "acme")
    assert wiring.ground(Directory(config.parent.parent.parent), Lookups()).owner == ""
