"""Web pages of digests and commits, where a host is known to have one."""

from __future__ import annotations

from urllib.parse import quote

from bot.model import GitReference, ImageReference, Reference
from bot.reference import DOCKER_HUB


def page(reference: Reference, digest: str, *, is_index: bool) -> str | None:
    """Return the address of the page that shows this digest or commit, or None.

    Docker Hub has a page for each platform's manifest; an index is shown on the page of its tag.
    """
    if isinstance(reference, GitReference):
        return _commit(reference, digest)
    return _image(reference, digest, is_index=is_index)


def _commit(reference: GitReference, commit: str) -> str | None:
    repository = quote(reference.repository, safe="/")
    if reference.host == "github.com":
        return f"https://github.com/{repository}/commit/{commit}"
    if reference.host == "gitlab.com":
        return f"https://gitlab.com/{repository}/-/commit/{commit}"
    return None


def _image(reference: ImageReference, digest: str, *, is_index: bool) -> str | None:
    repository = quote(reference.repository, safe="/")
    if reference.registry == "quay.io":
        return f"https://quay.io/repository/{repository}/manifest/{digest}"
    if reference.registry != DOCKER_HUB:
        return None
    tag = quote(reference.followed_tag or "", safe="")
    if is_index or not tag:
        official = repository.removeprefix("library/")
        place = f"_/{official}" if official != repository else f"r/{repository}"
        return f"https://hub.docker.com/{place}/tags" + (f"?name={tag}" if tag else "")
    return f"https://hub.docker.com/layers/{repository}/{tag}/images/{digest.replace(':', '-')}"
