"""Dockerfiles and Containerfiles, and templates of them.

`bot.dockerfile` reads the grammar; dockerfile-parse does not decide here, for the reasons that stand there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.dockerfile import scan
from bot.model import Finding, Findings, Kind, Unread, UnreadReason
from bot.source import Source

FORMAT = "dockerfile"

_NAMES = (
    *("Dockerfile", "dockerfile", "DockerFile", "DOCKERFILE"),
    *("Containerfile", "containerfile", "ContainerFile", "CONTAINERFILE"),
)
_SHAPES = ("{}", "{}.*", "*.{}", "*.{}.*", "{}-*", "{}_*", "*-{}", "*_{}")

paths: tuple[str, ...] = tuple(f"**/{shape.format(name)}" for name in _NAMES for shape in _SHAPES)

_SURE = re.compile(r"(?:.*\.)?(?:docker|container)file(?:\..*)?", re.DOTALL)
_LIKELY = re.compile(r"(?:docker|container)file[-_].*|.*[-_](?:docker|container)file", re.DOTALL)
_NEVER = re.compile(
    "dockerignore|containerignore|md|markdown|rst|adoc|html?|json|ya?ml|toml|xml|csv|lock|svg|png|jpe?g|gif|pdf|zip|gz|"
    "tar|tgz|sig|asc|patch|diff|orig|rej|bak|swp"
)
_CODE = re.compile(
    "pyi?|go|[cm]?jsx?|tsx?|rb|rs|java|kts?|c|cc|cpp|h|hpp|cs|php|pl|lua|swift|scala|sh|bash|zsh|fish|ps1|bat|cmd|sql|"
    "s?css|vim|el|snap"
)
_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s*+(?:#[^\n]*+\n|(?i:arg)\s[^\n]*+\n))*+\s*+(?i:from)\s")
_ANY = re.compile(rb"(?im)^[\t ]*+(?:from|arg)[\t ]")


def claims(path: str, head: bytes) -> bool:
    """Return whether the file is a Dockerfile by its name and, where that leaves a doubt, its beginning."""
    written = path[path.rfind("/") + 1 :]
    name = written.lower()
    if "dockerfile" not in name and "containerfile" not in name:
        return False
    ending = name[name.rfind(".") + 1 :] if "." in name else ""
    if _NEVER.fullmatch(ending):
        return False
    sure = _SURE.fullmatch(name) is not None
    if not sure and not _LIKELY.fullmatch(name):
        return False
    if _CODE.fullmatch(ending):
        # `Dockerfile.go` builds a Go program as likely as `dockerfile.go` is one.
        return written[0] in "DC" and sure and (not head or _FIRST.match(head) is not None)
    return sure or not head or _ANY.search(head) is not None


def is_one(data: bytes) -> bool:
    """Return whether a file begins like a Dockerfile: with FROM, behind comments and ARGs at most."""
    return _FIRST.match(data) is not None


def needs(source: Source) -> tuple[str, ...]:
    """Return nothing: a Dockerfile stands alone."""
    del source
    return ()


def find(source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return the references of one Dockerfile."""
    del files
    found = scan(source.data, buildah="containerfile" in source.path.rpartition("/")[2].lower())
    return Findings(
        references=tuple(
            Finding(
                format=FORMAT,
                kind=Kind.IMAGE,
                where=use.where,
                location=source.location(use.span.start, use.span.end),
                value=use.value,
                reference=use.reference,
                state=use.state,
                skip=use.skip,
                note=use.note,
                argument=use.argument,
            )
            for use in found.uses
        ),
        unread=tuple(
            Unread(path=source.path, reason=UnreadReason.UNPARSABLE, detail=detail, line=line)
            for line, detail in found.trouble
        ),
    )
