"""Who may ask what of the GitHub stand-in: the App's JWT, installation tokens, permissions."""

from __future__ import annotations

import base64
import secrets
import string
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from github_call import NOT_ACCESSIBLE, Call, Caller, Route, Switches
from github_shapes import Json
from github_world import GRANTS, Installation, Refused, Repository, Token, World

LIFE = 3600
_LETTERS = string.ascii_letters + string.digits


@lru_cache(maxsize=2)
def key_pair(which: int = 0) -> tuple[str, str]:
    """Return a private and a public key as PEM, made once a process; another `which` is another pair."""
    del which
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode(),
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


def caller(world: World, authorization: str) -> Caller:
    """Return who shows this header; raises `Refused` with 401 for what is no good."""
    if not authorization:
        return Caller(kind="anonymous")
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() not in ("bearer", "token"):
        raise Refused(401, "Bad credentials")
    if value.startswith("ghs_"):
        token = world.tokens.get(value)
        if token is None or token.expires <= world.clock.now():
            raise Refused(401, "Bad credentials")
        if token.installation.id not in world.installations:
            raise Refused(401, "Bad credentials")
        if token.installation.suspended_at is not None:
            raise Refused(403, "This installation has been suspended")
        return Caller(kind="installation", token=token)
    if scheme.lower() != "bearer":
        # A JWT is taken as a bearer only.
        raise Refused(401, "Bad credentials")
    _check_jwt(world, value)
    return Caller(kind="app")


def _check_jwt(world: World, value: str) -> None:
    try:
        claims: dict[str, Any] = jwt.decode(
            value,
            world.app.public_key,
            algorithms=["RS256"],
            options={
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_iss": False,
                "verify_aud": False,
                "verify_sub": False,
            },
        )
    except jwt.PyJWTError:
        raise Refused(401, "A JSON web token could not be decoded") from None
    now = world.clock.now()
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or isinstance(expires, bool):
        raise Refused(
            401, "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        )
    if expires <= now:
        raise Refused(
            401, "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        )
    if expires > now + 600:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
    if not isinstance(issued, int) or isinstance(issued, bool) or issued > now:
        raise Refused(
            401,
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        )
    if str(claims.get("iss")) not in (str(world.app.id), world.app.client_id):
        raise Refused(404, "Integration not found")


def issue(
    world: World,
    switches: Switches,
    installation: Installation,
    asked: Json,
    wanted_format: str = "",
) -> Token:
    """Return a new token, narrowed as `asked` says; raises `Refused` where it asks for too much."""
    if installation.suspended_at is not None:
        raise Refused(403, "This installation has been suspended")
    covered = world.covered(installation)
    repositories: list[Repository] | None = None
    if "repositories" in asked or "repository_ids" in asked:
        names = {str(name).lower() for name in asked.get("repositories", ())}
        ids = set(asked.get("repository_ids", ()))
        if len(names) + len(ids) > 500:
            raise Refused(422, "Too many repositories: at most 500 may be named.")
        repositories = [one for one in covered if one.name.lower() in names or one.id in ids]
        found = {one.name.lower() for one in repositories} | {one.id for one in repositories}
        if (names | ids) - found:
            raise Refused(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent "
                "installation.",
            )
    permissions = dict(installation.permissions)
    if asked.get("permissions"):
        for name, level in asked["permissions"].items():
            if GRANTS.get(level, 9) > GRANTS.get(permissions.get(name, ""), 0):
                raise Refused(422, "The permissions requested are not granted to this installation.")
        permissions = {"metadata": "read", **asked["permissions"]}
    long = {"enabled": True, "disabled": False}.get(wanted_format, switches.token_format == "long")
    token = Token(
        value=_long(world) if long else "ghs_" + "".join(secrets.choice(_LETTERS) for _ in range(36)),
        installation=installation,
        permissions=permissions,
        repositories=repositories,
        expires=world.clock.now() + LIFE,
    )
    world.tokens[token.value] = token
    return token


def _long(world: World) -> str:
    def part(size: int) -> str:
        return base64.urlsafe_b64encode(secrets.token_bytes(size)).decode().rstrip("=")

    return f"ghs_{world.app.id}_{part(27)}.{part(165)}.{part(192)}"


def sees(world: World, caller_: Caller, repository: Repository) -> bool:
    """Return whether a token reaches into a repository, whatever it may do there."""
    token = caller_.token
    if token is None:
        return False
    if token.repositories is not None:
        return any(one is repository for one in token.repositories)
    return any(one is repository for one in world.covered(token.installation))


def allow(call: Call, route: Route) -> None:
    """Raise `Refused` where GitHub would: 401, 403, or 404 for what the caller may not know of."""
    who, repository = call.caller, call.target
    if route.by_anyone:
        return
    if route.by_app:
        if who.kind != "app":
            raise Refused(401, "A JSON web token could not be decoded")
        return
    if who.kind == "app":
        # An App's own JWT opens nothing but what is the App's.
        raise Refused(401, "Bad credentials")
    if repository is not None:
        _allow_in(call, route, repository)
    elif who.kind == "anonymous":
        raise Refused(401, "Requires authentication")


def _allow_in(call: Call, route: Route, repository: Repository) -> None:
    who, reads = call.caller, route.level == "read"
    if not sees(call.world, who, repository):
        if repository.private:
            raise Refused(404, "Not Found")
        if not reads:
            raise Refused(403, NOT_ACCESSIBLE) if who.token else Refused(401, "Requires authentication")
        return
    if repository.disabled:
        raise Refused(403, "Repository access blocked")
    granted = not route.permissions or any(who.may(one, route.level) for one in route.permissions)
    if not granted and (repository.private or not reads):
        accepted = "; ".join(f"{one}={route.level}" for one in route.permissions)
        raise Refused(403, NOT_ACCESSIBLE, headers={"X-Accepted-GitHub-Permissions": accepted})
    if repository.archived and not reads:
        raise Refused(403, "Repository was archived so is read-only.")
