"""A server of bearer tokens for the real registry: the distribution project's token specification.

Anyone may pull below `public/`; the user of `servers` may pull and push everywhere.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted import Asked, Reply, Scripted, scripted
from servers import PASSWORD, USER, TokenAuthority

SERVICE, ISSUER = "registry of the tests", "tokens of the tests"
IDENTITY_TOKEN = "identity-of-moor"
LIFE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServer:
    """A running token server and what docker-registry must know of it."""

    server: Scripted
    authority: TokenAuthority
    key: ec.EllipticCurvePrivateKey
    chain: str
    """Base64 of the signing certificate in DER."""

    def token(self, scope: str, *, known: bool) -> str:
        """Return a token for what of `scope` a known or an unknown caller may do."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        granted = [
            action
            for action in actions.split(",")
            if known or (action == "pull" and name.startswith("public/"))
        ]
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER if known else "",
            "aud": SERVICE,
            "exp": now + LIFE,
            "nbf": now - 5,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": [{"type": kind, "name": name, "actions": granted}] if granted else [],
        }
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"x5c": [self.chain]})


@contextmanager
def token_server(folder: Path) -> Iterator[TokenServer]:
    """Run a token server; its certificate is written below `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    path = folder / "tokens.pem"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    with scripted() as server:
        authority = TokenAuthority(
            realm=f"{server.url}/token", service=SERVICE, issuer=ISSUER, certificate=path
        )
        made = TokenServer(server=server, authority=authority, key=key, chain=chain)
        server.routes["GET /token"] = lambda asked: _by_password(made, asked)
        server.routes["POST /token"] = lambda asked: _by_identity_token(made, asked)
        yield made


def _by_password(server: TokenServer, asked: Asked) -> Reply:
    query = parse_qs(urlsplit(asked.path).query)
    given = asked.headers.get("authorization")
    right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if given is not None and given != right:
        return Reply(status=401, body=b'{"details": "wrong user or password"}')
    return _granted(server, query["scope"][0], known=given is not None, name="token")


def _by_identity_token(server: TokenServer, asked: Asked) -> Reply:
    form = parse_qs(asked.body.decode())
    if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != [IDENTITY_TOKEN]:
        return Reply(status=401, body=b'{"details": "wrong identity token"}')
    return _granted(server, form["scope"][0], known=True, name="access_token")


def _granted(server: TokenServer, scope: str, *, known: bool, name: str) -> Reply:
    body = {name: server.token(scope, known=known), "expires_in": LIFE}
    return Reply(headers=[("Content-Type", "application/json")], body=json.dumps(body).encode())


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(ISSUER.encode()).digest()[:8]))
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
