"""Which version a commit is, by the tags that stand on it.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cmp_to_key

_VERSION = re.compile(
    r"(?P<prefix>|.*[/@-])(?P<v>[vV]?)(?P<numbers>[0-9]{1,9}(?:\.[0-9]{1,9}){0,3})"
    r"(?:-(?P<pre>[0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?"
)
_MAX_NAME = 200


def major(ref: str) -> str:
    """Return the beginning of `ref` that all versions of its major share: `v4` for `v4.2.1`."""
    found = _VERSION.fullmatch(ref) if len(ref) <= _MAX_NAME else None
    if found is None:
        return ref
    return ref[: found.start("numbers")] + found["numbers"].partition(".")[0]


def exact(ref: str, commit: str, tags: Mapping[str, str]) -> str:
    """Return the most exact version tag on `commit` that `ref` begins, else `ref` itself.

    Versions are compared as semver does; a pre-release counts only where `ref` is one.
    """
    own = _VERSION.fullmatch(ref) if len(ref) <= _MAX_NAME else None
    if own is None:
        return ref
    pre = own["pre"] is not None
    found = [name for name, at in tags.items() if at == commit and _extends(name, ref, pre=pre)]
    return max(found, key=cmp_to_key(_compare), default=ref)


def best(commit: str, tags: Mapping[str, str]) -> str:
    """Return the most exact version tag on `commit`, another tag where none is a version, or nothing."""
    here = sorted(name for name, at in tags.items() if at == commit and len(name) <= _MAX_NAME)
    versions = [name for name in here if _VERSION.fullmatch(name)]
    final = [name for name in versions if (found := _VERSION.fullmatch(name)) and found["pre"] is None]
    return max(final or versions, key=cmp_to_key(_compare), default=here[0] if here else "")


def _extends(name: str, ref: str, *, pre: bool) -> bool:
    if not name.startswith(ref) or len(name) > _MAX_NAME:
        return False
    if name != ref and name[len(ref)] not in ".+-":
        return False
    found = _VERSION.fullmatch(name)
    return found is not None and (pre or found["pre"] is None)


def _compare(left: str, right: str) -> int:
    a, b = _key(left), _key(right)
    return (a > b) - (a < b)


def _key(name: str) -> tuple[int, tuple[int, ...], int, tuple[tuple[int, int, str], ...], str]:
    found = _VERSION.fullmatch(name)
    if found is None:
        return 0, (), 0, (), name
    numbers = tuple(int(part) for part in found["numbers"].split("."))
    pre = found["pre"]
    parts = tuple(
        (0, int(part), "") if part.isdigit() and len(part) < 10 else (1, 0, part)
        for part in (pre or "").split(".")
    )
    return len(numbers), numbers, pre is None, parts, name
