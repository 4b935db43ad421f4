"""Stand-ins for the look-ups, in one place: what is not scripted fails loudly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.config import Config
from bot.model import (
    GitReference,
    ImageReference,
    Job,
    Manifest,
    Platform,
    Resolution,
    Sighting,
    Unresolved,
)
from bot.pipeline import AtCommit, Services
from bot.reference import is_commit, parse_image
from bot.refs.base import Advertised
from bot.registries.base import Images
from bot.trust.base import Sources

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
_INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")


def manifest(
    body: bytes, *, media_type: str, platforms: Iterable[str] = (), source: str = "fake"
) -> Manifest:
    """Return what an honest client would make of a body."""
    return Manifest(
        digest=f"sha256:{hashlib.sha256(body).hexdigest()}",
        media_type=media_type,
        size=len(body),
        is_index=media_type in _INDEXES,
        platforms=tuple(Platform(**dict(zip(_PARTS, one.split("/"), strict=False))) for one in platforms),
        body=body,
        source=source,
    )


_PARTS = ("os", "architecture", "variant")


def index(*platforms: str, name: str = "image") -> Manifest:
    """Return an index that lists one manifest for each platform."""
    children = []
    for platform in platforms:
        parts = dict(zip(_PARTS, platform.split("/"), strict=False))
        child = hashlib.sha256(f"{name} {platform}".encode()).hexdigest()
        children.append(
            {"mediaType": IMAGE, "digest": f"sha256:{child}", "size": 500, "platform": parts},
        )
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).encode()
    return manifest(body, media_type=INDEX, platforms=platforms)


@dataclass
class FakeImages:
    """Container registries that know what they are told."""

    resolutions: Mapping[str, Resolution | Unresolved] = field(default_factory=dict)
    manifests: Mapping[str, Manifest | Unresolved] = field(default_factory=dict)
    tag_lists: Mapping[str, tuple[str, ...] | Unresolved] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def point(self, name: str, content: str) -> Manifest:
        """Let a tag point to a made-up image, as written and as normalised, and return its index."""
        made = index("linux/amd64", "linux/arm64", name=f"{name} {content}")
        reference = parse_image(name)
        assert reference is not None
        answer = Resolution(reference=reference, digest=made.digest, source="registry")
        normalised = f"{reference.registry}/{reference.repository}:{reference.tag}"
        self.resolutions = {**self.resolutions, name: answer, normalised: answer}
        self.manifests = {**self.manifests, made.digest: made}
        return made

    def resolve(self, reference: ImageReference) -> Resolution | Unresolved:
        self.asked.append(str(reference))
        return self.resolutions[str(reference)]

    def manifest(self, reference: ImageReference, digest: str) -> Manifest | Unresolved:
        self.asked.append(f"{reference.name}@{digest}")
        return self.manifests[digest]

    def tags(self, reference: ImageReference) -> tuple[str, ...] | Unresolved:
        self.asked.append(reference.name)
        return self.tag_lists[reference.name]

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class FakeRefs:
    """Git hosts that know what they are told."""

    resolutions: Mapping[str, Resolution | Unresolved] = field(default_factory=dict)
    refs: Mapping[str, Advertised | Unresolved] = field(default_factory=dict)
    """By repository: everything it has; the answer is narrowed as the protocol says."""
    trees: Mapping[str, Mapping[str, bytes] | Unresolved] = field(default_factory=dict)
    """By `repository@commit`."""
    asked: list[str] = field(default_factory=list)

    def resolve(self, reference: GitReference) -> Resolution | Unresolved:
        self.asked.append(str(reference))
        return self.resolutions[str(reference)]

    def advertised(self, reference: GitReference) -> Advertised | Unresolved:
        self.asked.append(f"{reference.repository} {reference.ref}")
        answer = self.refs[reference.repository]
        if isinstance(answer, Unresolved):
            return answer
        short = reference.ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
        start = "" if is_commit(short) else short.split(".")[0]
        tags = {name: commit for name, commit in answer.tags.items() if name.startswith(start)}
        return Advertised(
            source=answer.source,
            tags=tags,
            branches={name: commit for name, commit in answer.branches.items() if name.startswith(start)},
            annotated=answer.annotated & tags.keys(),
        )

    def files(
        self, reference: GitReference, commit: str, paths: Sequence[str]
    ) -> Mapping[str, bytes] | Unresolved:
        self.asked.append(f"{reference.repository}@{commit} {' '.join(paths)}")
        answer = self.trees[f"{reference.repository}@{commit}"]
        if isinstance(answer, Unresolved):
            return answer
        return {path: data for path, data in answer.items() if path in paths}

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class FakeLedger:
    """A ledger that remembers what it is told."""

    seen: Mapping[str, tuple[Sighting, ...]] = field(default_factory=dict)

    def sightings(self, reference: ImageReference) -> tuple[Sighting, ...]:
        return self.seen[f"{reference.name}:{reference.followed_tag}"]


def sources(
    *, images: Images | None = None, refs: FakeRefs | None = None, ledger: FakeLedger | None = None
) -> Sources:
    """Return sources of which only what is given answers."""
    return Sources(images=images or FakeImages(), refs=refs or FakeRefs(), ledger=ledger)


def run_services(job: Job, images: Images, server: Config, host: str, *, trusted: bool) -> Services:
    """Return what a run on a forge is given; where it reads is for the run to say."""

    def unread(_job: Job) -> AtCommit:
        raise AssertionError("nobody said where to read")

    owner = job.repository.partition("/")[0]
    return Services(
        reading=unread,
        server=server,
        host=host,
        owner=owner,
        scope="trusted" if trusted else "anonymous",
        principal=f"{host}/{owner}",
        sources=sources(images=images),
        updates=True,
    )
