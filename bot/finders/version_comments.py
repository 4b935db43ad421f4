"""The version comment behind a git reference, as `uses: owner/repo@commit`: where it stands, or could stand.

Moorline writes ` # v4.2.1`, one space before and one behind the `#`: the one form that
Renovate, Dependabot, pinact, ratchet and zizmor all read.  What other tools and people have
written is kept in its form, the version within replaced, where it says a version and nothing
else; among other words a version belongs to what they say, and ours goes before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.model import Comment, Span
from bot.reference import is_commit
from bot.yamltree import Scalar, Tree

MAX_COMMENT = 400
"""Characters of a comment that are read."""

_REF = r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,99}"
_NUMBERS = r"[0-9]{1,10}(?:\.[0-9]{1,10}){0,5}(?:[-+._][A-Za-z0-9][A-Za-z0-9.+_-]{0,60})?"
_VERSION = rf"[vV]?{_NUMBERS}"
_SEGMENT = re.compile(r"^#+|(?<=\s)#+(?=\s)")
"""Where a comment begins, and where another does within it; `#12` in its middle is an issue's number."""
_PLAIN = re.compile(rf"(?P<version>{_VERSION})(?:\s{{0,9}}\([^\s()]{{1,40}}\))?\s*")
"""`v4.2.1`, `4`, `v4.2.1 (latest)`."""
_TOOLS = (
    # `ratchet:actions/checkout@v4`, `actions/checkout@v4`
    re.compile(rf"(?:ratchet:)?[A-Za-z0-9_.-]{{1,100}}/[A-Za-z0-9_./-]{{1,200}}@(?P<version>{_REF})\s*"),
    # `tag=v4`, `pin@v4`, `pin @v4`, `@v4`, `renovate: tag=v4`, `renovate: pin @v4`
    re.compile(rf"(?:renovate:\s{{0,9}})?(?:(?:tag|pin)\s?[=@]|@)\s?(?P<version>{_REF})\s*", re.IGNORECASE),
    # `pin v4`, `renovate: pin v4`
    re.compile(rf"(?:renovate:\s{{0,9}})?(?:tag|pin)\s(?P<version>{_VERSION})\s*", re.IGNORECASE),
)
_ALONE = re.compile(rf"(?P<version>{_REF})\s*")
_BRANCHES = frozenset({
    "main", "master", "trunk", "develop", "development", "dev", "devel", "next", "stable", "beta", "alpha",
    "nightly", "edge", "latest", "release", "releases", "production", "prod", "default", "head",
})  # fmt: skip
_DIRECTIVE = re.compile(r"ignore|disable|enable|skip|allow|noqa|nosec|nolint|todo|fixme", re.IGNORECASE)


_LINE_END = re.compile(r"[^#\r\n'\"@]*[\]}][ \t]+(#[^\r\n]*)")
_MUST_STAY_FIRST = re.compile(r"#+\s?yamllint ")
"""yamllint takes a directive for one only where it is the whole comment."""


def version_comment(tree: Tree, node: Scalar, ref: str) -> Comment | None:
    """Return the place of the version comment behind a value with this ref.

    None where there is no room for one: in flow collections (but one that stands behind the
    closing bracket is kept in step), behind block scalars, before a directive that must stay
    the whole comment, and where the version cannot be replaced without doubt which it is.
    """
    behind = tree.behind(node)
    if behind is None:
        return _behind_brackets(tree, node, ref)
    span, text = behind
    for one in _versions(text[:MAX_COMMENT], ref):
        if text.find(one.text) != one.start:
            return None
        return Comment(span=span, text=text, version=one.text, exact=one.exact)
    if _MUST_STAY_FIRST.match(text):
        return None
    end = tree.raw(node).end
    return Comment(span=Span(end, end))


def _behind_brackets(tree: Tree, node: Scalar, ref: str) -> Comment | None:
    """Return the version comment at the end of a line whose only reference stands in brackets."""
    text, start, end = tree.text.text, node.start_mark.index, node.end_mark.index
    found = None if node.style in ("|", ">") else _LINE_END.match(text, end)
    if found is None or "@" in text[max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1 : start]:
        return None
    comment = found[1]
    for one in _versions(comment[:MAX_COMMENT], ref):
        if comment.find(one.text) == one.start:
            span = Span(tree.text.offset(found.start(1)), tree.text.offset(found.end(1)))
            return Comment(span=span, text=comment, version=one.text, exact=one.exact)
        break
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """A version within a comment."""

    start: int
    text: str
    exact: bool
    """Whether people alone read it: another tool may take a short one for a constraint."""


def _versions(text: str, ref: str) -> Iterator[_Version]:
    """Yield each version that a comment names, segment by segment."""
    segments = [found.span() for found in _SEGMENT.finditer(text)]
    ends = [*(start for start, _ in segments[1:]), len(text)]
    for (_, start), end in zip(segments, ends, strict=False):  # one end too many where there is no comment
        segment = text[start:end]
        body = segment.lstrip()
        start += len(segment) - len(body)  # noqa: PLW2901 - the segment's own start, moved behind its blanks
        plain = _PLAIN.fullmatch(body)
        found = plain or next((match for form in _TOOLS if (match := form.fullmatch(body))), None)
        if found is None and (alone := _ALONE.fullmatch(body)) and _names_ref(alone["version"], ref):
            plain = found = alone
        if found is not None:
            yield _Version(
                start=start + found.start("version"), text=found["version"], exact=plain is not None
            )


def _names_ref(word: str, ref: str) -> bool:
    """Return whether a word that stands alone behind a value names a ref rather than a topic."""
    if is_commit(word) or _DIRECTIVE.search(word):
        return False
    if word == ref:
        return True
    if not is_commit(ref):
        return False
    return word.lower() in _BRANCHES or not word.isalpha()
