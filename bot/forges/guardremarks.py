"""Which word of a comment is a version, for the publish guard: those alone may change."""

from __future__ import annotations

import re

_VERSION = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+/-]{0,99}")
_PART = re.compile(rb"[A-Za-z0-9._+/-]*")
_PART_END = re.compile(rb"[A-Za-z0-9._+/-]*\Z")
_NUMBERED = re.compile(rb"[vV]?[0-9][A-Za-z0-9._+/-]*")
_BEYOND_DOUBT = re.compile(rb"[vV][0-9][A-Za-z0-9._+/-]*|[0-9]+\.[0-9][A-Za-z0-9._+/-]*")
_WORD = rb"(?:tag|pin(?:ned)?(?: to| at)?|ver(?:sion)?|release|ref|branch)"
_BOUND = re.compile(rb"(?:.*[\s#@=:(])?", re.DOTALL)
_ISSUE = re.compile(rb"\s*#.*[^#]#+", re.DOTALL)
"""What ends in a hash within a comment: an issue's number follows."""
_END = re.compile(rb"[\s,;()]|\Z")
_NAMED = re.compile(
    rb"(?:.*\s)?(?:ratchet:)?[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+@|(?:.*\s)?(?:" + _WORD + rb"\s?[=@]|@)\s?",
    re.IGNORECASE | re.DOTALL,
)
_CALLED = re.compile(rb"(?:.*\s)?" + _WORD + rb":?\s", re.IGNORECASE | re.DOTALL)
_DIRECTIVE = re.compile(rb"ignore|disable|enable|skip|allow|noqa|nosec|nolint|todo|fixme", re.IGNORECASE)
_BRANCHES = frozenset({
    b"main", b"master", b"trunk", b"develop", b"development", b"dev", b"devel", b"next", b"stable", b"beta",
    b"alpha", b"nightly", b"edge", b"latest", b"release", b"releases", b"production", b"prod", b"default",
    b"head",
})  # fmt: skip


def is_in_step(tokens: list[bytes], comment: int, number: int, new: bytes) -> bool:
    """Return whether a token of a comment differs from `new` by one version, in a place for one.

    `tokens` are those of the line before, with separators between; `comment` is where the comment begins
    among them and `number` the one that changes.
    """
    old = tokens[number]
    left, right = _difference(old, new)
    was, now = old[left : len(old) - right], new[left : len(new) - right]
    if not _VERSION.fullmatch(was) or not _VERSION.fullmatch(now) or _DIRECTIVE.search(was):
        return False
    before = b"".join(tokens[comment:number]) + old[:left]
    if _ISSUE.fullmatch(before):
        return False
    head = before.rpartition(b"#")[2]
    behind = old[len(old) - right :] + b"".join(tokens[number + 1 :])
    if not _END.match(behind) or not _BOUND.fullmatch(b"#" + head):
        return False
    if _BEYOND_DOUBT.fullmatch(was) or _NAMED.fullmatch(head.lstrip()):
        return True
    if _CALLED.fullmatch(head.lstrip()) and _NUMBERED.fullmatch(was):
        return True
    rest = behind.lstrip()
    if (rest and not rest.startswith(b"#")) or (head.strip() and not _CALLED.fullmatch(head.lstrip())):
        return False
    # It stands alone.
    refs = {token.rpartition(b"@")[2].rstrip(b"})]") for token in tokens[:comment:2]}
    return not was.isalpha() or was.lower() in _BRANCHES or was in refs


def _difference(old: bytes, new: bytes) -> tuple[int, int]:
    """Return how many bytes two tokens share at their beginning and end, cut at a version's own bounds."""
    limit = min(len(old), len(new))
    start = 0
    while start < limit and old[start] == new[start]:
        start += 1
    end = 0
    while end < limit - start and old[-1 - end] == new[-1 - end]:
        end += 1
    begins = _PART_END.search(old[:start])
    ends = _PART.match(old[len(old) - end :])
    return (begins.start() if begins else start), end - (ends.end() if ends else 0)
