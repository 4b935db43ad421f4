"""What goes into one proposal, and the branch that it is on: a function of base and group alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from bot.config import Config, Grouping
from bot.model import Finding, GitReference, ImageReference, Verdict
from bot.reference import DOCKER_HUB

GROUP = "all"
"""The group of a proposal for a whole repository."""
ROOT = "."
"""Stands for the repository's root as a directory."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+-]{1,200}")
_LEFT_OUT = re.compile(r"[^A-Za-z0-9_]+")
_SLUG, _HASH = 40, 10
_MAX_BRANCH = 240
"""Characters; git takes 255 bytes with what it puts around a name."""


def groups(verdicts: Iterable[Verdict], config: Config) -> tuple[tuple[str, tuple[Verdict, ...]], ...]:
    """Return verdicts by the group of the proposal that they go into, in the groups' order.

    A group is `all`, or `image/` or `directory/` with a name of printable ASCII.
    """
    made: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        made.setdefault(group_of(verdict.finding, config.group), []).append(verdict)
    return tuple((name, tuple(made[name])) for name in sorted(made))


def group_of(finding: Finding, grouping: Grouping) -> str:
    """Return the group that a finding belongs to."""
    if grouping is Grouping.REPOSITORY:
        return GROUP
    name = subject(finding) if grouping is Grouping.IMAGE else folder(finding.location.path)
    return f"{grouping.value}/{_plain(name)}"


def belongs(finding: Finding, group: str) -> bool:
    """Return whether a finding is of a group."""
    return group_of(finding, grouping_of(group)) == group


def grouping_of(group: str) -> Grouping:
    """Return by what a group was made."""
    kind, slash, _ = group.partition("/")
    return Grouping(kind) if slash else Grouping.REPOSITORY


def subject(finding: Finding) -> str:
    """Return what a finding is about, whatever its tag: registry and path, or host and repository."""
    match finding.reference:
        case ImageReference() as image:
            return f"{image.registry}/{image.repository}"
        case GitReference() as git:
            return f"{git.host}/{git.repository}".removeprefix("/").lower()  # hosts do not tell case apart
        case _:
            return finding.value


def folder(path: str) -> str:
    """Return the folder that a file is in, the root as `.`."""
    return path.rpartition("/")[0] or ROOT


def short(name: str) -> str:
    """Return a subject as people write it: Docker Hub's without host, its own images without `library/`."""
    return name.removeprefix(f"{DOCKER_HUB}/").removeprefix("library/").removeprefix("github.com/")


def branch_name(base: str, config: Config, group: str = GROUP) -> str:
    """Return the branch of the proposal for a base and a group; for an empty base, how all of them begin.

    Two of them are never the same, and none is in the way of another: git keeps no `a` beside `a/b`.
    """
    if not base:
        return f"{config.branch_prefix}pin"
    if group == GROUP:
        return _joined(f"{config.branch_prefix}pin/", base, "")
    kind, _, name = group.partition("/")
    slug = _LEFT_OUT.sub("-", name)[-_SLUG:].strip("-")
    leaf = "-".join(filter(None, (slug, _hash(group))))
    return _joined(f"{config.branch_prefix}pins/", base, f"/{kind}/{leaf}")


def _joined(before: str, base: str, behind: str) -> str:
    """Return a branch's name; a base that is too long for it is cut and told apart by its hash."""
    room = _MAX_BRANCH - len(before) - len(behind)
    if len(base.encode("utf-8", "surrogateescape")) > room:
        kept = _LEFT_OUT.sub("-", base)[: room - _HASH - 1].strip("-")
        base = "-".join(filter(None, (kept, _hash(base))))
    return f"{before}{base}{behind}"


def _plain(name: str) -> str:
    """Return a name as printable ASCII of bounded length, told apart by a hash where that is not itself."""
    if _PLAIN.fullmatch(name):
        return name
    return "-".join(filter(None, (_LEFT_OUT.sub("-", name)[-_SLUG:].strip("-"), _hash(name))))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH]
