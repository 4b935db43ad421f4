"""A container registry that answers from memory, delays each answer, and counts what it is asked.

Speaks plain HTTP/1.1 with kept connections on asyncio, so that it costs little beside what is
measured.  `GET /_counts` returns the counts as JSON and forgets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from collections import Counter

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def images(count: int) -> dict[str, bytes]:
    """Return the index bodies of made-up images, by `repository:tag`."""
    made = {}
    for number in range(count):
        children = [
            {
                "mediaType": MANIFEST,
                "digest": "sha256:" + hashlib.sha256(f"{number} {architecture}".encode()).hexdigest(),
                "size": 1000,
                "platform": {"os": "linux", "architecture": architecture},
            }
            for architecture in ("amd64", "arm64")
        ]
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).encode()
        made[f"team{number % 17}/image{number}:{1 + number % 9}.{number % 20}"] = body
    return made


def digests(count: int) -> dict[str, str]:
    """Return the digest of each made-up image."""
    return {name: "sha256:" + hashlib.sha256(body).hexdigest() for name, body in images(count).items()}


class Registry:
    """The server's state."""

    def __init__(self, count: int, delay: float) -> None:
        self._delay = delay
        self._counts: Counter[str] = Counter()
        self._bodies: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        for name, body in images(count).items():
            repository, _, tag = name.rpartition(":")
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            self._bodies[digest] = body
            self._lists.setdefault(f"/v2/{repository}/tags/list", []).append(tag)
            self._tags[f"/v2/{repository}/manifests/{tag}"] = digest
            self._tags[f"/v2/{repository}/manifests/{digest}"] = digest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (first := await reader.readexactly(1)).isalpha():  # TLS: no request, nothing to wait for
                head = first + await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                if self._delay and path != "/_counts":
                    await asyncio.sleep(self._delay)
                writer.write(self._answer(method, path))
                await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str) -> bytes:
        if path == "/_counts":
            body = json.dumps(self._counts).encode()
            self._counts.clear()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        if path == "/v2/":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        path = path.partition("?")[0]
        if path in self._lists:
            self._counts["tag list"] += 1
            body = json.dumps({"name": path.split("/")[2], "tags": self._lists[path]}).encode()
            form = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
            return form.format(len(body)).encode() + body
        kind = "by digest" if "/sha256:" in path else "by tag"
        self._counts[f"{method} {kind}" if "/manifests/" in path else "other"] += 1
        digest = self._tags.get(path)
        if digest is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
        body = self._bodies[digest]
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {INDEX}\r\nContent-Length: {len(body)}\r\n"
            f"Docker-Content-Digest: {digest}\r\n\r\n"
        ).encode()
        return head if method == "HEAD" else head + body


async def main(count: int, delay: float) -> None:
    """Serve until told to stop; the first line of output is the port."""
    server = await asyncio.start_server(Registry(count, delay).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
