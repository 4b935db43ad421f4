"""What a change brings in: what its head has and its merge base has not.

A line that moves brings nothing in, nor does a file that gets another name, unless other rules hold
there.  A reference that stays and loses what let it float (it was built here, or stood where the
policy ignores it) does come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Sequence

from bot.model import Finding, Unread, UnreadReason

_ON_PURPOSE = frozenset({UnreadReason.LEFT_OUT, UnreadReason.SUBMODULE})
"""Not read because the policy says so, or because another repository answers for it."""


def findings(
    head: Sequence[Finding],
    base: Iterable[Finding],
    *,
    renamed: Callable[[str, str], bool],
) -> tuple[Finding, ...]:
    """Return the findings of `head` that `base` has not.

    `renamed` says whether a path of the base may have become a path of the head.
    """
    left: Sequence[Finding] = head
    known: list[Finding] = list(base)
    for same in (_construct, _file):
        left, known = _without(left, known, same)
    moved: dict[Hashable, Counter[str]] = {}
    for one in known:
        moved.setdefault(_text(one), Counter())[one.location.path] += 1
    came: list[Finding] = []
    for one in left:
        alike = moved.get(_text(one), Counter())
        path = one.location.path
        before = next((it for it, count in alike.items() if count and renamed(it, path)), None)
        if before is None:
            came.append(one)
        else:
            alike[before] -= 1
    return tuple(came)


def _text(finding: Finding) -> Hashable:
    # A version comment is a claim of its own: one that begins to lie comes in.
    said = finding.comment.version if finding.comment is not None else ""
    return finding.format, finding.kind, finding.reference, finding.value, finding.state, finding.skip, said


def _file(finding: Finding) -> Hashable:
    return finding.location.path, _text(finding)


def _construct(finding: Finding) -> Hashable:
    return finding.where, _file(finding)


def _without(
    head: Sequence[Finding], base: Sequence[Finding], same: Callable[[Finding], Hashable]
) -> tuple[list[Finding], list[Finding]]:
    """Return both without what they have in common."""
    heads, bases = Counter(map(same, head)), Counter(map(same, base))
    return _rest(head, bases, same), _rest(base, heads, same)


def _rest(
    findings: Iterable[Finding], others: Counter[Hashable], same: Callable[[Finding], Hashable]
) -> list[Finding]:
    rest: list[Finding] = []
    for one in findings:
        if others[same(one)] > 0:
            others[same(one)] -= 1
        else:
            rest.append(one)
    return rest


def unread(
    head: Iterable[Unread],
    base: Container[tuple[str, UnreadReason]] = (),
    unchanged: Callable[[str], bool] = lambda _path: True,
) -> tuple[Unread, ...]:
    """Return the files of `head` that could not be read although they might hold references.

    What `base` names by path and reason, and is `unchanged`, did not come in.
    """
    return tuple(
        one
        for one in head
        if one.reason not in _ON_PURPOSE and not ((one.path, one.reason) in base and unchanged(one.path))
    )
