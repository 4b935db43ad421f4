"""A container registry and a git host for the demo: one small server on loopback, in memory.

Images are made up from their names, so that a demo gives the same digests every time.  The
registry speaks just enough of the OCI distribution specification for look-ups; the git host is
dulwich's own server over repositories in memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any, Self, TextIO, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import MemoryRepo
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import make_wsgi_chain

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def digest_of(body: bytes) -> str:
    """Return the sha256 digest of a body as OCI writes it."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _body(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(slots=True)
class Images:
    """The made-up images: bodies by digest, and what each tag points to."""

    bodies: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(
        self, repository: str, tag: str, platforms: Iterable[str] = ("linux/amd64", "linux/arm64")
    ) -> str:
        """Return the digest of a made-up index that now stands under a tag."""
        children = [self._child(repository, tag, platform) for platform in platforms]
        body = _body({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
        self.bodies[digest_of(body)] = (INDEX, body)
        self.tags[repository, tag] = digest_of(body)
        return digest_of(body)

    def lie(self, repository: str, tag: str) -> None:
        """Let a tag point to a digest that its body does not hash to."""
        honest = self.bodies[self.add(repository, tag)]
        claimed = digest_of(b"something else")
        self.bodies[claimed] = honest
        self.tags[repository, tag] = claimed

    def _child(self, repository: str, tag: str, platform: str) -> dict[str, object]:
        system, architecture = platform.split("/")
        content = f"{repository}:{tag} for {platform}".encode()
        body = _body(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": digest_of(b"config " + content), "size": 7},
                "layers": [{"mediaType": LAYER, "digest": digest_of(content), "size": len(content)}],
            }
        )
        self.bodies[digest_of(body)] = (MANIFEST, body)
        return {
            "mediaType": MANIFEST,
            "digest": digest_of(body),
            "size": len(body),
            "platform": {"os": system, "architecture": architecture},
        }

    def answer(self, environ: Environ, start: StartResponse) -> list[bytes]:
        """Answer a request for a manifest: `/v2/<registry>/<repository>/manifests/<tag or digest>`."""
        place, _, name = environ["PATH_INFO"].removeprefix("/v2/").partition("/manifests/")
        digest = name if name in self.bodies else self.tags.get((place, name), "")
        if digest not in self.bodies:
            body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            start("404 Not Found", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        kind, body = self.bodies[digest]
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Docker-Content-Digest", digest),
        ]
        start("200 OK", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@dataclass(slots=True)
class Repositories:
    """The made-up git repositories, by `/owner/name`."""

    by_path: dict[str, MemoryRepo] = field(default_factory=dict)

    def add(
        self, path: str, files: Mapping[str, bytes], tags: Iterable[str], *, older: Iterable[str] = ()
    ) -> str:
        """Return the commit of a made-up repository whose branch `main` and tags point to it.

        `older` are releases with a commit each, of the same files.
        """
        repository = MemoryRepo()
        for name in older:
            before = _commit(repository, files, f"{path} {name}")
            repository.refs[Ref(b"refs/tags/" + name.encode())] = before.id
        commit = _commit(repository, files, path)
        repository.refs[Ref(b"refs/heads/main")] = commit.id
        repository.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
        for number, name in enumerate(tags):
            target = commit.id
            if number:  # the first tag is a plain one, the others are annotated
                tag = Tag()
                tag.name = name.encode()
                tag.object = (Commit, commit.id)
                tag.tagger = commit.author
                tag.tag_time, tag.tag_timezone = commit.author_time, 0
                tag.message = name.encode()
                repository.object_store.add_object(tag)
                target = tag.id
            repository.refs[Ref(b"refs/tags/" + name.encode())] = target
        self.by_path[path] = repository
        return commit.id.decode()

    def application(self) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
        """Return dulwich's server over the repositories."""
        backend = DictBackend(cast("dict[str, BackendRepo]", self.by_path))
        chain: Callable[[Environ, StartResponse], Iterable[bytes]] = make_wsgi_chain(backend)
        return chain


def _commit(repository: MemoryRepo, files: Mapping[str, bytes], subject: str) -> Commit:
    commit = Commit()
    commit.tree = _tree(repository, files)
    commit.author = commit.committer = b"Somebody <somebody@example.com>"
    commit.author_time = commit.commit_time = 1_750_000_000
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = f"{subject} for the demo\n".encode()
    repository.object_store.add_object(commit)
    return commit


def _tree(repository: MemoryRepo, files: Mapping[str, bytes]) -> bytes:
    tree = Tree()
    for name, data in files.items():
        blob = Blob.from_string(data)
        repository.object_store.add_object(blob)
        tree.add(name.encode(), 0o100644, blob.id)
    repository.object_store.add_object(tree)
    return tree.id


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # look-ups come at once; the default of 5 makes some wait a second


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Keep the demo's own output readable."""

    def get_stderr(self) -> TextIO:
        """Return a place where a refused fetch is described to nobody."""
        return io.StringIO()


class Hosts:
    """The server, running until `close`."""

    def __init__(self, images: Images, repositories: Repositories) -> None:
        git = repositories.application()

        def application(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"].startswith("/v2/"):
                return images.answer(environ, start)
            return git(environ, start)

        self._server = make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="demo-hosts")
        self._thread.start()

    def close(self) -> None:
        """Stop the server and wait for it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sample_images() -> Images:
    """Return the images that the sample repository names."""
    images = Images()
    for repository, tag in _sample():
        images.add(repository, tag)
    images.lie("registry.example.net/search/engine", "8")
    return images


def sample_repositories() -> Repositories:
    """Return the git repositories of the actions and includes that the sample repository names."""
    repositories = Repositories()
    action = b"runs:\n  using: node20\n  main: dist/index.js\n"
    nested = b"runs:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v3\n"
    repositories.add("/actions/checkout", {"action.yml": action}, ["v4", "v4.3.1"], older=["v4.3.0"])
    repositories.add("/actions/setup-python", {"action.yml": action}, ["v5", "v5.6.0"])
    repositories.add("/docker/build-push-action", {"action.yml": nested}, ["v6", "v6.18.0"])
    repositories.add("/platform/pipelines", {"secret-detection.yml": b"{}\n"}, ["v3"])
    return repositories


def _sample() -> Iterator[tuple[str, str]]:
    for name in (
        "library/python:3.13-slim",
        "library/busybox:1.37",
        "tianon/gosu:1.17",
        "docker/dockerfile:1",
        "library/nginx:1.27-alpine",
        "library/golang:1.24",
        "library/postgres:17",
        "axllent/mailpit:latest",
        "library/docker:28",
        "hadolint/hadolint:latest-debian",
        "aquasec/trivy:latest",
    ):
        repository, _, tag = name.rpartition(":")
        yield f"docker.io/{repository}", tag
    yield "ghcr.io/astral-sh/uv", "latest"
    yield "gcr.io/distroless/static-debian12", "latest"
