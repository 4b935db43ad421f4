"""Decisions that last: lines spliced into `.moorline.yml`, every other byte of it kept.  Pure.

The file is never written anew: what is added goes behind the last entry of its list, or to the end.
Before it leaves, the result is read: it must say what it said before, and what was added, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from bot.config import MAX_BYTES, PLACES, Config, parse
from bot.errors import ConfigurationError
from bot.model import Edit, Looks, Pinned, Proposal, Span, line_of
from bot.proposals.groups import branch_name
from bot.proposals.markdown import LONGEST, cut
from bot.proposals.pins import content_hash
from bot.proposals.render import render
from bot.source import Source, splice
from bot.yamltree import Mapping as Record
from bot.yamltree import Node, Scalar, Tree, Unparsable, compose
from bot.yamltree import Sequence as List

CONFIGURATION = "configuration"
"""The group of the proposal that carries decisions."""
_DASH = re.compile(rb"( *)-[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One decision as the configuration has it."""

    key: str
    """`ignore` or `allow`."""
    what: str
    """`image`, `action`, `include` or `reference`: the key of the name."""
    name: str
    spelling: str = ""
    """As the decision has the name; not written."""
    check: str = ""
    digest: str = ""
    until: date | None = None
    because: str
    by: str
    """Who decided; for people, and not written."""

    @property
    def pinned(self) -> Pinned:
        """What a person means who closes the proposal."""
        return line_of(self.key, self.spelling or self.name, self.check, self.digest)

    def fields(self) -> tuple[tuple[str, str], ...]:
        """Return keys and values as YAML, in order."""
        made = [(self.what, _quoted(self.name))]
        if self.check:
            made.append(("check", self.check))
        if self.digest:
            made.append(("digest", _quoted(self.digest)))
        if self.until is not None:
            made.append(("until", self.until.isoformat()))
        return (*made, ("because", _quoted(self.because)))

    def is_in(self, config: Config) -> bool:
        """Return whether a configuration says it already, and for as long."""
        return any(
            last is None or (self.until is not None and self.until <= last) for last in self._ends(config)
        )

    def is_named_in(self, config: Config) -> bool:
        """Return whether a configuration says it, for whatever time."""
        return any(True for _ in self._ends(config))

    def _ends(self, config: Config) -> Iterator[date | None]:
        """Yield the last day of each rule of a configuration that says it."""
        if self.key == "ignore":
            yield from (
                rule.until
                for rule in config.ignore
                if getattr(rule, self.what) == self.name and not rule.paths
            )
            return
        yield from (
            rule.until
            for rule in config.allow
            if (rule.reference, rule.check, rule.digest) == (self.name, self.check, self.digest)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """What adds lines to a configuration."""

    path: str
    before: bytes
    """Empty where the file is new."""
    after: bytes
    edits: tuple[Edit, ...]


def added(files: Mapping[str, bytes], lines: Sequence[Line]) -> Lasting | None:
    """Return the edits that add lines to a repository's configuration, among `files` or new.

    None where the file is written in a way in which nothing can be added without writing it anew.
    """
    path = next((place for place in PLACES if place in files), PLACES[0])
    before = files.get(path, b"")
    edits = _edits(path, before, lines)
    if edits is None:
        return None
    try:
        after = splice(before, edits)
    except ValueError:
        return None
    if len(after) > MAX_BYTES or not _says(path, before, after, lines):
        return None
    return Lasting(path=path, before=before, after=after, edits=edits)


def _says(path: str, before: bytes, after: bytes, lines: Sequence[Line]) -> bool:
    """Return whether a file says what it said before, and the lines."""
    try:
        old, new = parse(path, before), parse(path, after)
    except ConfigurationError:
        return False
    same = replace(new, given=old.given, ignore=old.ignore, allow=old.allow) == old
    ignored = [line for line in lines if line.key == "ignore"]
    allowed = [line for line in lines if line.key == "allow"]
    fresh = new.ignore[len(old.ignore) :]
    exceptions = new.allow[len(old.allow) :]
    return (
        same
        and new.ignore[: len(old.ignore)] == old.ignore
        and new.allow[: len(old.allow)] == old.allow
        and [
            (getattr(one, line.what), one.until, one.because)
            for one, line in zip(fresh, ignored, strict=False)
        ]
        == [(line.name, line.until, line.because) for line in ignored]
        and [(one.reference, one.check, one.digest, one.until, one.because) for one in exceptions]
        == [(line.name, line.check, line.digest or None, line.until, line.because) for line in allowed]
        and len(fresh) == len(ignored)
    )


# --- where they go ------------------------------------------------------------------------


def _edits(path: str, data: bytes, lines: Sequence[Line]) -> tuple[Edit, ...] | None:
    tree = compose(Source(path, data))
    if isinstance(tree, Unparsable) or len(tree.documents) > 1:
        return None
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    root = tree.documents[0] if tree.documents else None
    said: dict[str, Node] = {}
    column = 0
    if isinstance(root, Record):
        if root.flow_style:
            return None
        said = {key.value: value for key, value in root.value if isinstance(key, Scalar)}
        column = root.value[0][0].start_mark.column if root.value else 0
    elif root is not None and not (isinstance(root, Scalar) and root.tag.endswith(":null")):
        return None
    edits: list[Edit] = []
    fresh: list[bytes] = []
    for key in dict.fromkeys(line.key for line in lines):
        mine = [line for line in lines if line.key == key]
        if key not in said:
            indent = " " * column
            fresh.append(f"{indent}{key}:".encode() + newline)
            fresh.append(_items(mine, f"{indent}  ", newline))
            continue
        made = _into(path, tree, said[key], mine, newline, column)
        if made is None:
            return None
        edits.append(made)
    if fresh:
        ended = not data or data.endswith((b"\n", b"\r"))
        edits.append(_insert(path, len(data), (b"" if ended else newline) + b"".join(fresh)))
    return tuple(edits)


def _into(
    path: str, tree: Tree, value: Node, lines: Sequence[Line], newline: bytes, column: int
) -> Edit | None:
    """Return the edit that adds entries to a list, which is the value of a key in a column."""
    data = tree.source.data
    if not isinstance(value, List):
        return None
    if value.flow_style:
        end = tree.text.offset(value.end_mark.index) - 1
        flow = ", ".join("{" + ", ".join(f"{k}: {v}" for k, v in line.fields()) + "}" for line in lines)
        comma = ", " if value.value and not data[:end].rstrip().endswith(b",") else ""
        return _insert(path, end, f"{comma}{flow}".encode())
    first, last = value.value[0], _end(tree, value)
    start = tree.text.offset(first.start_mark.index)
    dash = _DASH.fullmatch(data[tree.source.starts[tree.source.line_at(start) - 1] : start])
    if dash is None or last is None:
        return None
    end = data.find(b"\n", last)
    at = len(data) if end < 0 else _behind_comments(data, end + 1, column)
    ended = data.endswith(b"\n", 0, at)
    text = _items(lines, dash[1].decode(), newline)
    return _insert(path, at, text if ended else newline + text)


def _behind_comments(data: bytes, start: int, column: int) -> int:
    """Return where the comments end, at `start` or below, that belong to what stands above it.

    A comment that is further in than the keys around does, whatever stands between.  Another one does where
    it stands right below, and nothing right below it: else it is about what follows.
    """
    end = at = start
    right_below = True
    for line in data[start:].splitlines(keepends=True):
        text = line.strip()
        at += len(line)
        if not text:
            if right_below:
                end = max(end, at - len(line))
            right_below = False
        elif not text.startswith(b"#"):
            return end
        elif len(line) - len(line.lstrip(b" \t")) > column:
            end = at
    return at if right_below else end


def _end(tree: Tree, node: Node) -> int | None:
    """Return where the text of a node ends; None where it has none."""
    if isinstance(node, Scalar):
        return tree.raw(node).end
    if not isinstance(node, Record | List):
        return None
    if node.flow_style:
        return tree.text.offset(node.end_mark.index)
    if not node.value:
        return None
    last = node.value[-1]
    return _end(tree, last[1] if isinstance(last, tuple) else last)


def _insert(path: str, at: int, text: bytes) -> Edit:
    return Edit(path=path, span=Span(at, at), expected=b"", replacement=text)


def _items(lines: Sequence[Line], indent: str, newline: bytes) -> bytes:
    made: list[bytes] = []
    for line in lines:
        for number, (name, value) in enumerate(line.fields()):
            mark = "- " if number == 0 else "  "
            made.append(f"{indent}{mark}{name}: {value}".encode() + newline)
    return b"".join(made)


def _quoted(text: str) -> str:
    """Return a text in double quotes, in which YAML takes all that JSON does."""
    return json.dumps(text, ensure_ascii=False)


# --- the proposal -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    path: str
    new: bool
    lines: tuple[Line, ...]
    count: int


def proposal(
    repository: str, base: str, commit: str, lasting: Lasting, lines: Sequence[Line], config: Config
) -> Proposal:
    """Return the proposal that carries decisions: branch, texts, edits and their content hash."""
    view = _View(path=lasting.path, new=not lasting.before, lines=tuple(lines), count=len(lines))
    issue = f"{config.issue} " if config.issue else ""
    plain = render("lasting_title.txt.j2", view).strip()
    digest = content_hash(lasting.edits, {lasting.path: lasting.before})
    trailers = [f"Moorline-Digest: {digest}"]
    if config.sign_off:
        trailers.append(f"Signed-off-by: {config.sign_off}")
    return Proposal(
        repository=repository,
        base=base,
        commit=commit,
        group=CONFIGURATION,
        branch=branch_name(base, config, CONFIGURATION),
        title=config.title_prefix + issue + plain,
        body=cut(render("lasting.md.j2", view), LONGEST),
        message=config.commit_prefix + issue + plain + "\n\n" + "\n".join(trailers) + "\n",
        edits=lasting.edits,
        digest=digest,
        pins=tuple(line.pinned for line in lines),
        looks=Looks(
            labels=config.labels,
            reviewers=config.reviewers,
            assignees=config.assignees,
            draft=config.draft,
            squash=config.squash,
            remove_branch=config.remove_source_branch,
        ),
    )
