"""The grammar of references: text to `ImageReference` or `GitReference` and back.

Images follow the distribution project's reference grammar and the normalisation that
Docker made common: no host means Docker Hub, no path there means `library/`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bot.model import GitReference, ImageReference

DOCKER_HUB = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Fa-f0-9:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OWNER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.lock(?:/|\Z)")
_MAX_NAME = 255
_MAX_REF = 255


def is_digest(text: str) -> bool:
    """Return whether `text` is an OCI digest of a known algorithm, lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether `text` is a tag by the OCI distribution specification."""
    return _TAG.fullmatch(text) is not None


def is_commit(text: str) -> bool:
    """Return whether `text` is a full git object id, 40 or 64 lower-case hex digits."""
    return _COMMIT.fullmatch(text) is not None


def parse_image(text: str) -> ImageReference | None:
    """Return the image that `text` names, or None where it is no reference by the grammar.

    64 hex digits alone or behind `sha256:` are the id of a local image, which no registry knows.
    """
    if not text or len(text) > 1024 or not text.isascii() or _ID.fullmatch(text):
        return None
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        return None
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    name, tag = (rest, None) if colon < 0 else (rest[:colon], rest[colon + 1 :])
    if tag is not None and not is_tag(tag):
        return None
    host, repository = _split(name)
    if not repository or len(name) > _MAX_NAME:
        return None
    if host is not None and not _HOST.fullmatch(host):
        return None
    if not all(_COMPONENT.fullmatch(part) for part in repository.split("/")):
        return None
    registry = (host or DOCKER_HUB).lower()
    if registry in _HUB_NAMES:
        registry = DOCKER_HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    return ImageReference(
        name=name, registry=registry, repository=repository, tag=tag, digest=digest if at else None
    )


def _split(name: str) -> tuple[str | None, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return None, name


def pinned_image(reference: ImageReference, digest: str) -> ImageReference:
    """Return `reference` at `digest`, its tag kept; one without tag and digest says `latest`."""
    return replace(reference, tag=reference.followed_tag, digest=digest)


def parse_git(text: str, *, host: str) -> GitReference | None:
    """Return the `owner/name[/path]@ref` that `text` names, or None where it is none.

    This is the grammar of GitHub's `uses:`; deeper namespaces are the caller's to split.
    """
    place, at, ref = text.rpartition("@")
    parts = place.split("/")
    if not at or len(parts) < 2 or not is_git_ref(ref):
        return None
    if not all(_OWNER.fullmatch(part) and part not in (".", "..") for part in parts):
        return None
    return GitReference(host=host, repository="/".join(parts[:2]), path="/".join(parts[2:]), ref=ref)


def is_git_ref(ref: str) -> bool:
    """Return whether `ref` may name a branch, tag or commit (git-check-ref-format, one level up)."""
    if not ref or ref == "@" or len(ref) > _MAX_REF or _REF_FORBIDDEN.search(ref):
        return False
    return not ref.startswith(("/", "-")) and not ref.endswith(("/", "."))


def pinned_git(reference: GitReference, commit: str) -> GitReference:
    """Return `reference` at `commit`."""
    return replace(reference, ref=commit)
