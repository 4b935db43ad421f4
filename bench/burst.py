"""A burst of GitHub's deliveries, and what has to have become of it when all is over.

Each repository is pushed to in two bursts; in some of them what was pushed last is not told last, and one
delivery in ten is told twice.
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


def pushed(hub: GitHub, pins: Mapping[str, str], repositories: int, pushes: int, seed: int = 1) -> list[Told]:
    """Push to so many new repositories, and return the deliveries in the order in which they are sent.

    `pins` are images, by tag, and their digests.
    """
    chance = random.Random(seed)
    images = list(pins)
    first: list[list[Told]] = []
    second: list[list[Told]] = []
    for number in range(repositories):
        owner = f"owner-{number // OWNED}"
        if number % OWNED == 0:
            hub.install(owner)
        name = f"{owner}/app-{number}"
        hub.repository(name, {"Dockerfile": _dockerfile(images[0]), "README.md": b"# App\n"})
        hub.forget()
        with hub.lock:
            hub.queue.clear()
        for image in chance.choices(images, k=pushes - 1):
            hub.push(name, {"Dockerfile": _dockerfile(image)}, by="ann")
        # What is pushed last is like nothing before it: no older proposal could pass for its own.
        last = images[number % len(images)]
        hub.push(name, {"Dockerfile": _dockerfile(last) + f"# {number}\n".encode()}, by="ann")
        told = [Told(headers=one.headers, body=one.body) for one in hub.queue]
        if number % 3 == 0:
            chance.shuffle(told)
        first.append(told[: pushes // 2])
        second.append(told[pushes // 2 :])
    with hub.lock:
        hub.queue.clear()
    bursts = first + second
    chance.shuffle(bursts)
    order: list[Told] = []
    for burst in bursts:
        order += burst
        order += [one for one in burst if chance.random() < 0.1]
    return order


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
