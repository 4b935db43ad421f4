"""Where a reference should go, and the edit that takes it there.

A digest is written behind the text that stands in the file, so that the name stays as its
author wrote it; an image without a tag gets the `latest` that it meant.
"""

from __future__ import annotations

import re

from bot.model import (
    Candidate,
    Cause,
    Comment,
    Edit,
    Finding,
    GitReference,
    ImageReference,
    Resolution,
    Span,
    State,
)
from bot.reference import is_commit, is_digest, pinned_git, pinned_image

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,99}")
"""What may stand in a version comment: nothing that a YAML or shell reader could trip over."""

_NUMBERS = re.compile(r"[vV]?[0-9]+(?:\.[0-9]+)*")


def candidate(finding: Finding, resolution: Resolution) -> Candidate:
    """Return where `finding` should go now that its reference is resolved."""
    current = written(finding)
    if current is None:
        cause = Cause.FIRST
    elif current == resolution.digest:
        cause = Cause.KEEP
    else:
        cause = Cause.UPDATE
    return Candidate(
        finding=finding, current=current, target=resolution.digest, resolution=resolution, cause=cause
    )


def written(finding: Finding) -> str | None:
    """Return the digest or commit that the file pins now, or None where it floats."""
    if finding.state is not State.PINNED:
        return None
    match finding.reference:
        case ImageReference(digest=digest):
            return digest
        case GitReference(ref=ref) if is_commit(ref):
            return ref
        case _:
            return None


def target_reference(candidate: Candidate) -> ImageReference | GitReference:
    """Return the reference that finding again must show once the edit is made."""
    match candidate.finding.reference:
        case ImageReference() as image:
            return pinned_image(image, candidate.target)
        case GitReference() as git:
            return pinned_git(git, candidate.target)
        case None:
            raise ValueError("a finding without a reference is never a candidate")


def edits(candidate: Candidate) -> tuple[Edit, ...]:
    """Return the edits that take a candidate to its target: the value, and its version comment.

    Raises `ValueError` where the target is no digest or commit, or the text in the file does not
    end in the reference's own tag, digest or ref.
    """
    finding = candidate.finding
    value = finding.value
    match finding.reference:
        case ImageReference(tag=tag, digest=digest) if is_digest(candidate.target):
            name = _without(value, f"@{digest}") if digest else value
            if tag is not None:
                _without(name, f":{tag}")
            elif not digest:
                name += ":latest"
            replacement = f"{name}@{candidate.target}"
        case GitReference(ref=ref) if is_commit(candidate.target):
            replacement = _without(value, ref) + candidate.target
        case _:
            raise ValueError(f"{candidate.target!r} cannot be written for {value!r}")
    location = finding.location
    made = [_edit(location.path, location.span, value, replacement)]
    if isinstance(finding.reference, GitReference) and finding.comment is not None:
        made += _comment(location.path, finding.comment, candidate.resolution.version)
    return tuple(made)


def _without(value: str, tail: str) -> str:
    if not tail or not value.endswith(tail):
        raise ValueError(f"{value!r} does not end in {tail!r}")
    return value[: -len(tail)]


def _comment(path: str, comment: Comment, version: str) -> list[Edit]:
    if not VERSION.fullmatch(version):
        return []
    if not comment.text:
        return [_edit(path, comment.span, "", f" # {version}")]
    if not comment.exact:
        version = _as_short(version, comment.version)
    if comment.version == version:
        return []
    return [_edit(path, comment.span, comment.text, comment.text.replace(comment.version, version, 1))]


def _as_short(version: str, written: str) -> str:
    """Return a version with as many numbers as the written one: `v4.2.1` as `v4` where that says `v3`."""
    if not (_NUMBERS.fullmatch(written) and _NUMBERS.fullmatch(version)):
        return version
    return ".".join(version.split(".")[: written.count(".") + 1])


def _edit(path: str, span: Span, expected: str, replacement: str) -> Edit:
    return Edit(
        path=path, span=span, expected=expected.encode("utf-8"), replacement=replacement.encode("utf-8")
    )


def fits(candidate: Candidate) -> bool:
    """Return whether a candidate's target can be written where its finding stands."""
    try:
        edits(candidate)
    except ValueError:
        return False
    return True
