"""In which forms Renovate and Dependabot see a reference: what they do not parse, they do not refresh.

They read files by patterns, line by line, or by the keys that they know.  What stands before the value on its
line therefore decides, and the construct that it was found in.  Takes linear time and never raises.
"""

from __future__ import annotations

import re

from bot.model import Finding, ImageReference, Kind

RENOVATE, DEPENDABOT = "Renovate", "Dependabot"
_LONGEST_LINE = 4096
"""Bytes before a value on its line beyond which nobody is taken to parse it."""
_FLAG = rb"--[a-z]+(?:=[A-Za-z0-9_.:-]+)?"
_FROM = re.compile(rb"[ \t]*FROM[ \t]+(?:--platform=[^ \t]+[ \t]+)?", re.IGNORECASE)
_ARGUMENT = re.compile(rb"[ \t]*ARG[ \t]+[A-Za-z_][A-Za-z0-9_]*=[\"']?", re.IGNORECASE)
_COPY = re.compile(rb"[ \t]*COPY[ \t]+(?:" + _FLAG + rb"[ \t]+)*--from=", re.IGNORECASE)
_MOUNT = re.compile(rb"[ \t]*RUN[ \t]+--mount=(?:[^ \t]*,)?from=", re.IGNORECASE)
_SYNTAX = re.compile(rb"#[ \t]*syntax[ \t]*=[ \t]*", re.IGNORECASE)
_STAGE = re.compile(rb"^[ \t]*FROM[ \t]", re.IGNORECASE | re.MULTILINE)
_DEFAULT = re.compile(rb"[\"']?\$\{[A-Za-z_][A-Za-z0-9_]*:?-")
_INLINE = ".dockerfile_inline FROM"
_YAML = (".yml", ".yaml")
_GITLAB = re.compile(r"(?:[^.]+\.)?(?:image|image\.name|services\[\d+\]|services\[\d+\]\.name)")
_NO_JOBS = frozenset({"spec", "variables", "include", "workflow"})
_WORKFLOW = re.compile(r"jobs\.[^.]+\.(?:container|container\.image|services\.[^.]+|services\.[^.]+\.image)")


def parses(peer: str, finding: Finding, data: bytes) -> bool:
    """Return whether a peer sees a reference where it stands; `data` is what its file holds."""
    match finding.format:
        case "dockerfile":
            return _in_dockerfile(peer, finding, data)
        case "compose":
            return _in_compose(peer, finding, data)
        case "gitlab-ci":
            job = finding.where.partition(".")[0]
            known = finding.argument is None and job not in _NO_JOBS
            return peer == RENOVATE and known and _GITLAB.fullmatch(finding.where) is not None
        case "github-actions":
            return _in_workflow(peer, finding)
    return False


def _in_dockerfile(peer: str, finding: Finding, data: bytes) -> bool:
    before = _before(finding, data)
    if before is None or not _has_known_host(peer, finding):
        return False
    if _FROM.fullmatch(before):
        return True
    if peer != RENOVATE:
        return False
    if finding.location.line == 1 and _SYNTAX.fullmatch(before):
        return True
    return any(one.fullmatch(before) for one in (_ARGUMENT, _COPY, _MOUNT))


def _in_compose(peer: str, finding: Finding, data: bytes) -> bool:
    if not finding.location.path.lower().endswith(_YAML):
        return False  # the value of a variable
    if finding.where.endswith(_INLINE):
        return peer == DEPENDABOT and _is_first_stage(finding, data)
    if not finding.where.endswith(".image") or not _has_known_host(peer, finding):
        return False
    # Of what is interpolated both see the default alone, where the value begins with it.
    before = _before(finding, data)
    if before is None or b"$" not in before:
        return before is not None and finding.argument is None and "$" not in finding.value
    return _DEFAULT.fullmatch(before[before.rfind(b":", 0, before.find(b"$")) + 1 :].strip()) is not None


def _in_workflow(peer: str, finding: Finding) -> bool:
    if finding.argument is not None:
        return False
    if finding.kind is Kind.ACTION:
        # Without a version beside it Renovate does not know what to follow.
        named = finding.comment is not None and bool(finding.comment.version)
        return finding.where.endswith("uses") and (peer == DEPENDABOT or named)
    step = finding.where.startswith(("jobs.", "runs.")) and finding.where.endswith("].uses")
    return peer == RENOVATE and (step or _WORKFLOW.fullmatch(finding.where) is not None)


def _before(finding: Finding, data: bytes) -> bytes | None:
    """Return what stands before a value on its line; None for too much, or where the value is not there."""
    start = finding.location.span.start
    if not 0 <= start <= len(data):
        return None
    begin = data.rfind(b"\n", 0, start) + 1
    return data[begin:start].removeprefix(b"\xef\xbb\xbf") if start - begin <= _LONGEST_LINE else None


def _is_first_stage(finding: Finding, data: bytes) -> bool:
    """Return whether a FROM is the first of the Dockerfile that is written into a file."""
    start = finding.location.span.start
    begin = data.rfind(b"dockerfile_inline", 0, start)
    line = data.rfind(b"\n", 0, start) + 1
    return begin >= 0 and _STAGE.search(data, begin, max(begin, line)) is None


def _has_known_host(peer: str, finding: Finding) -> bool:
    """Return whether a peer takes a registry for one: Dependabot knows none whose name has no dot."""
    if peer != DEPENDABOT or not isinstance(finding.reference, ImageReference):
        return True
    host, slash, _ = finding.reference.name.partition("/")
    return not slash or "." in host or (":" not in host and host != "localhost")
