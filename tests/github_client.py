"""A bare client for the GitHub stand-in: what goes over the wire, and no more."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from github_standin import GitHub


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def message(self) -> str:
        """What a refusal says, the first of its errors included."""
        body = self.json
        first = next(iter(body.get("errors", ())), "")
        if isinstance(first, dict):
            first = first.get("message", first.get("code", ""))
        return f"{body['message']} {first}".strip()

    @property
    def links(self) -> dict[str, str]:
        """Where the Link header leads."""
        found = {}
        for part in filter(None, self.headers.get("link", "").split(", ")):
            url, _, rel = part.partition("; ")
            found[rel.removeprefix('rel="').rstrip('"')] = url.strip("<>")
        return found


@lru_cache(maxsize=4)
def _key(pem: str) -> RSAPrivateKey:
    """Return a key read once: reading checks it, which takes a while."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def app_jwt(standin: GitHub, *, key: str = "", **claims: Any) -> str:
    """Return the App's JWT; `claims` replace what is right."""
    now = int(standin.world.clock.now())
    right = {"iss": str(standin.app_id), "iat": now - 60, "exp": now + 300}
    merged = {name: value for name, value in (right | claims).items() if value is not None}
    return jwt.encode(merged, _key(key or standin.private_key), algorithm="RS256")


@dataclass(frozen=True, slots=True)
class Client:
    standin: GitHub
    token: str = ""
    scheme: str = "Bearer"

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Got:
        """Ask; `path` is below the base or a whole URL, `If_None_Match` is a header's name."""
        url = urlsplit(path if path.startswith("http") else self.standin.url + path)
        sent = {"User-Agent": "tests", "Accept": "application/vnd.github+json"}
        if self.token:
            sent["Authorization"] = f"{self.scheme} {self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = (
            http.client.HTTPConnection(url.netloc, timeout=20)
            if context is None
            else http.client.HTTPSConnection(url.netloc, timeout=20, context=context)
        )
        try:
            connection.request(
                method,
                url.path + (f"?{url.query}" if url.query else ""),
                data,
                {name: value for name, value in sent.items() if value},
            )
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, got, answer.read())
        finally:
            connection.close()

    def graphql(self, query: str, **variables: Any) -> Got:
        """Ask a GraphQL query."""
        return self("POST", self.standin.graphql_url, {"query": query, "variables": variables})
