"""The publish guard: the last look at a change, just before it is written.

Pure, and independent of whatever made the change: it compares the bytes before with the bytes
after, line by line and token by token, and knows only the closed grammar of a pin:

- an image's tag, digest or both replaced by a tag and `@sha256:` with 64 hex digits, behind the
  same name;
- the ref behind `owner/repo/path@` replaced by a commit of 40 or 64 hex digits;
- the ref in a file's URL, between slashes, replaced by a commit;
- the bare value of a `ref:` or `rev:` key replaced by a commit;
- behind a commit, a plain version comment inserted, or the version in an existing comment replaced.

Each of them only where such a reference can stand, and a version only where one stood.

Moorline's own configuration file travels alone and may hold any plain text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from bot.errors import GuardError
from bot.forges.guardplaces import REF, SEPARATOR, SYNTAX, USES, Place, comment_start
from bot.forges.guardremarks import is_in_step
from bot.model import Edit
from bot.reference import is_git_ref
from bot.source import splice

_CONFIGURATION = frozenset(
    f"{folder}.moorline.{ending}" for folder in ("", ".github/", ".gitlab/") for ending in ("yml", "yaml")
)
_MAX_CONFIGURATION = 256 * 1024
_MAX_PATH = 4096
_MAX_TOKEN = 4096
"""Longer than any reference, and short enough for every expression below to be quick."""
_MAX_CHANGES = 1000
"""Pins on one line."""
_MAX_COMMENTS = 4
"""Places on one line that are tried as the one where a comment was inserted."""

_VERSION = rb"[A-Za-z0-9][A-Za-z0-9._+/-]{0,99}"
_COMMIT = rb"(?:[0-9a-f]{64}|[0-9a-f]{40})"
_PINNED = re.compile(rb"@sha256:[0-9a-f]{64}\Z")
_OLD_DIGEST = re.compile(rb"@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
_TAG = re.compile(rb":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_NAME = re.compile(rb"[^\x00-\x20\x7f@]*[A-Za-z0-9}]")
_PREFIX = re.compile(rb"[^\x00-\x20\x7f@=]*/[^\x00-\x20\x7f@=]+@")
_INSERTED = re.compile(rb" # " + _VERSION + rb"(?=\s|\Z)")
_HELD_COMMIT = re.compile(rb"(?<![0-9a-f:])" + _COMMIT + rb"(?![0-9a-f])")
_URL_COMMIT = re.compile(rb"(?:https?://|\$)[^\x00-\x20\x7f]*?/(" + _COMMIT + rb")/")
_AFTER_COMMENT = re.compile(rb"\s*(?:\s#.*)?", re.DOTALL)


def judge(edits: Iterable[Edit], files: Mapping[str, bytes]) -> None:
    """Return where every edit makes a pin and nothing else, given the files' bytes before.

    Only Moorline's own configuration file may be new.  Raises `GuardError`.
    """
    by_path: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_path[edit.path].append(edit)
    changes: dict[str, tuple[bytes, bytes]] = {}
    for path, made in by_path.items():
        old = files.get(path)
        if old is None and path in _CONFIGURATION:
            old = b""
        if old is None:
            raise _refused(path, "the file does not exist where the change is made")
        try:
            changes[path] = (old, splice(old, made))
        except ValueError as error:
            raise _refused(path, "an edit does not fit the file's bytes") from error
    compare(changes)


def compare(changes: Mapping[str, tuple[bytes, bytes]]) -> None:
    """Return where every file's bytes before and after differ by pins alone.

    Raises `GuardError` for the first difference that is none.
    """
    for path in changes:
        check_path(path)
    own = changes.keys() & _CONFIGURATION
    if own and len(changes) > 1:
        raise _refused(min(own), "a change of Moorline's own configuration travels alone")
    for path, (old, new) in changes.items():
        if path in _CONFIGURATION:
            _check_configuration(path, new)
        else:
            _compare_file(path, old, new)


def require_pins(changes: Mapping[str, tuple[bytes, bytes]]) -> None:
    """Return where `compare` does and none of the files is Moorline's own configuration.

    Raises `GuardError`.
    """
    for path in changes.keys() & _CONFIGURATION:
        raise _refused(path, "a configuration is no pin")
    compare(changes)


def check_path(path: str) -> None:
    """Return where `path` is relative, normalised and plain.  Raises `GuardError`."""
    parts = path.split("/")
    if not path or len(path) > _MAX_PATH or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise _refused(path, "not a normalised path within the repository")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in path):
        raise _refused(path, "a control or invisible character in the path")
    if any(is_git_folder(part) for part in parts):
        raise _refused(path, "git's own folder")


def is_git_folder(part: str) -> bool:
    """Return whether a name is `.git` or what case-folding file systems and Windows take for it."""
    plain = part.split(":", 1)[0].rstrip(". ").casefold()
    return plain in (".git", "git~1")


def _check_configuration(path: str, new: bytes) -> None:
    if len(new) > _MAX_CONFIGURATION:
        raise _refused(path, "larger than a configuration file may be")
    try:
        text = new.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, "not UTF-8") from error
    if any(unicodedata.category(character) == "Cc" and character not in "\t\r\n" for character in text):
        raise _refused(path, "a control character in the text")


def _compare_file(path: str, old: bytes, new: bytes) -> None:
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if len(before) != len(after):
        raise _refused(path, "a line was added or removed")
    for number, (was, now) in enumerate(zip(before, after, strict=True), start=1):
        if was != now and not _is_pinned_line(was, now, before, number - 1):
            raise _refused(path, f"line {number} changes by more than a pin")


def _is_pinned_line(was: bytes, now: bytes, lines: list[bytes], index: int) -> bool:
    if _is_pinned_plainly(was, now, lines, index):
        return True
    for found in islice(_INSERTED.finditer(now), _MAX_COMMENTS):
        start, end = found.span()
        if _HELD_COMMIT.search(now, 0, start) is None:
            continue
        if _AFTER_COMMENT.fullmatch(now, end) and _is_pinned_plainly(
            was, now[:start] + now[end:], lines, index
        ):
            return True
    return False


@dataclass(slots=True)
class _Line:
    """Tokens of the lines before and after, at even places; what separates them at odd ones."""

    was: list[bytes]
    now: list[bytes]


def _is_pinned_plainly(was: bytes, now: bytes, lines: list[bytes], index: int) -> bool:
    """Tell whether only tokens changed, each as the grammar allows and where such a reference can stand."""
    line = _Line(SEPARATOR.split(was), SEPARATOR.split(now))
    if len(line.was) != len(line.now) or line.was[1::2] != line.now[1::2]:
        return False
    comment = None if SYNTAX.match(was) else comment_start(line.was)
    place = Place(line.was, lines, index)
    remarks = 0
    if sum(old != new for old, new in zip(line.was, line.now, strict=True)) > _MAX_CHANGES:
        return False
    for number in range(0, len(line.was), 2):
        old, new = line.was[number], line.now[number]
        if old == new:
            continue
        if max(len(old), len(new)) > _MAX_TOKEN:
            return False
        if comment is not None and number >= comment:
            remarks += 1
            pinned = any(_HELD_COMMIT.search(value) for value in line.now[:comment:2])
            allowed = pinned and remarks == 1 and is_in_step(line.was, comment, number, new)
        else:
            allowed = (
                (_is_image_pin(old, new) and place.holds_image(number))
                or (_is_git_pin(old, new) and place.holds(number, USES))
                or (_is_url_pin(old, new) and place.holds_value(number))
                or (_is_commit_value(old, new) and place.holds(number, REF))
            )
        if not allowed:
            return False
    return True


def _is_image_pin(old: bytes, new: bytes) -> bool:
    tail = _tail(old, new)
    if tail is None:
        return False
    old, new = old[: len(old) - len(tail)], new[: len(new) - len(tail)]
    pinned = _PINNED.search(new)
    if pinned is None:
        return False
    kept = new[: pinned.start()]
    written = _OLD_DIGEST.search(old)
    if written is not None:
        old = old[: written.start()]
    old_tag, new_tag = _TAG.search(old), _TAG.search(kept)
    if new_tag is None:
        # Only a digest was written, and only a digest is written.
        return written is not None and old_tag is None and kept == old and _is_name(kept)
    name = kept[: new_tag.start()]
    old_name = old if old_tag is None else old[: old_tag.start()]
    return _is_name(name) and (name == old_name or kept == old)


def _is_name(name: bytes) -> bool:
    return len(name) <= 1024 and _NAME.fullmatch(name) is not None


def _is_git_pin(old: bytes, new: bytes) -> bool:
    tail = _tail(old, new)
    if tail is None:
        return False
    old, new = old[: len(old) - len(tail)], new[: len(new) - len(tail)]
    prefix = _PREFIX.match(old)
    return (
        prefix is not None
        and new.startswith(prefix.group())
        and _is_ref_change(old[prefix.end() :], new[prefix.end() :])
    )


def _is_url_pin(old: bytes, new: bytes) -> bool:
    """Tell whether a ref between slashes of a file's URL became a commit, all else kept."""
    found = _URL_COMMIT.match(new)
    if found is None:
        return False
    start, rest = found.start(1), new[found.end(1) :]
    ref = old[start : len(old) - len(rest)]
    return old == new[:start] + ref + rest and _is_ref_change(ref, found.group(1))


def _is_commit_value(old: bytes, new: bytes) -> bool:
    tail = _tail(old, new)
    return tail is not None and _is_ref_change(old[: len(old) - len(tail)], new[: len(new) - len(tail)])


def _is_ref_change(old: bytes, new: bytes) -> bool:
    try:
        ref = old.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return re.fullmatch(_COMMIT, new) is not None and (is_git_ref(ref) or ref == "~latest")


def _tail(old: bytes, new: bytes) -> bytes | None:
    """Return the closing brackets that both tokens keep at their ends, or None where they differ.

    None stands behind the new one where a pin was put behind a name like `${PREFIX}`.
    """
    was, now = (token[len(token.rstrip(b"})]")) :] for token in (old, new))
    return now if now in (was, b"") else None


def _refused(path: str, why: str) -> GuardError:
    shown = ascii(path[:200])
    return GuardError(
        f"The publish guard refused the change of {shown}: {why}.",
        advice="Nothing was written. This is a defect of Moorline or a file made to confuse it:"
        " leave the file out by configuration and report it.",
    )
