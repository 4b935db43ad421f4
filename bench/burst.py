"""Bursts of GitHub's deliveries, and what has to have become of them when all is over.

In every wave each repository is pushed to several times in a row; in one of three what was pushed last is
not told last, and one delivery in ten is told twice.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from github_standin import GitHub

CLIENTS = 8
WAVES = 2
"""The second one comes while the first is worked on, and updates what was proposed by then."""
_TWICE = 0.1
OWNED = 10
"""Repositories of one owner: as many as may get their first proposal on one day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One delivery to be sent."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the receiver made of one delivery."""

    status: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A repository after all was pushed, and what is proposed there."""

    head: str
    wanted: bytes
    """Its Dockerfile, pinned."""
    proposed: tuple[bytes, ...]
    """The Dockerfile of each open pull request."""


def founded(hub: GitHub, pins: Mapping[str, str], count: int, files: int = 0) -> list[str]:
    """Make so many repositories, ten of each owner, and return their names; nobody is told.

    `pins` are images, by tag, and their digests; `files` is how many others there are in each repository.
    """
    others = {f"src/part{one // 20}/module_{one}.py": b"pass\n" for one in range(files)}
    names = []
    for number in range(count):
        owner = f"owner-{number // OWNED}"
        if number % OWNED == 0:
            hub.install(owner)
        names.append(f"{owner}/app-{number}")
        hub.repository(names[-1], {**others, "Dockerfile": _dockerfile(next(iter(pins)))})
    with hub.lock:
        hub.queue.clear()
    return names


def pushed(hub: GitHub, pins: Mapping[str, str], names: Sequence[str], pushes: int, wave: int) -> list[Told]:
    """Push to each repository so often, and return the deliveries in the order in which they are sent."""
    chance = random.Random(wave)
    images = list(pins)
    bursts = []
    for number, name in enumerate(names):
        for image in chance.choices(images, k=pushes - 1):
            hub.push(name, {"Dockerfile": _dockerfile(image)}, by="ann")
        # What is pushed last is like nothing before it: no older proposal could pass for its own.
        last = _dockerfile(images[(number + wave) % len(images)]) + f"# wave {wave}\n".encode()
        hub.push(name, {"Dockerfile": last}, by="ann")
        with hub.lock:
            waiting, hub.queue[:] = list(hub.queue), []
        # What the bot itself pushed meanwhile is none of these.
        told = [
            Told(headers=one.headers, body=one.body)
            for one in waiting
            if one.event == "push" and one.payload["sender"]["login"] == "ann"
        ]
        assert len(told) == pushes
        if number % 3 == wave % 3:
            chance.shuffle(told)
        bursts.append([*told, *(one for one in told if chance.random() < _TWICE)])
    chance.shuffle(bursts)
    return [one for burst in bursts for one in burst]


def _dockerfile(image: str) -> bytes:
    return f"FROM {image}\nWORKDIR /src\nCOPY . .\nRUN make\n".encode()


def standing(hub: GitHub, pins: Mapping[str, str]) -> dict[str, Standing]:
    """Return every repository as it is, and what is proposed there."""
    found = {}
    with hub.lock:
        for one in hub.world.repositories.values():
            now = hub.read(one.full_name, "Dockerfile") or b""
            line, _, rest = now.partition(b"\n")
            image = line.removeprefix(b"FROM ").decode()
            found[one.full_name] = Standing(
                head=hub.head(one.full_name) or "",
                wanted=f"FROM {image}@{pins[image]}\n".encode() + rest,
                proposed=tuple(
                    hub.read(one.full_name, "Dockerfile", pull.head_sha) or b""
                    for pull in hub.pulls(one.full_name, "open")
                ),
            )
    return found


def send(
    told: Sequence[Told], post: Callable[[Told], int], clients: int = CLIENTS
) -> tuple[list[Answer], float]:
    """Send deliveries in order, so many at a time; return the answers, and the seconds that all took."""

    def one(delivery: Told) -> Answer:
        began = time.perf_counter()
        status = post(delivery)
        return Answer(status=status, seconds=time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(one, told))
    return answers, time.perf_counter() - began


def wrong(repositories: Mapping[str, Standing], scanned: Mapping[str, str]) -> list[str]:
    """Return what is not as it should be; `scanned` are the heads that were looked at, by repository."""
    found = []
    for name, one in repositories.items():
        if scanned.get(name) != one.head:
            found.append(f"{name} is at {one.head[:12]}, and was looked at at {scanned.get(name, '')[:12]}")
        if one.proposed != (one.wanted,):
            found.append(f"{name} has {len(one.proposed)} open proposals, or not of its newest head")
    return found
