"""Who we are on GitHub: the App by its key, its installations, and the tokens that they give.

One token per installation that can only read; while something is published, one narrowed to that
repository.  No token, key or JWT is ever part of a `repr`, a message or a URL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from github.Auth import AppAuth

from bot.errors import ConfigurationError, ForgeError, MissingError, SuspendedError
from bot.forges.github_client import Client, Manners, RefusedError, repository_path
from bot.forges.github_transport import Transport, clean

READS: Mapping[str, str] = {
    "metadata": "read",
    "contents": "read",
    "pull_requests": "read",
    "checks": "read",
    "issues": "read",
}
WRITES: Mapping[str, str] = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "workflows": "write",
    "checks": "write",
    "issues": "write",
}
_LEVELS = ("", "read", "write", "admin")
_JWT_LIFE, _JWT_SLACK = 540, 60
_EARLY = 300.0
"""Seconds before its end from which on a token is not used any more."""
_KEPT = 3600.0
"""Seconds for which an installation is taken to be what it was."""
_UNPROCESSABLE = 422
_MOST_INSTALLATIONS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    id: int
    account: str
    permissions: Mapping[str, str]
    suspended: bool = False

    def granted(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the wanted permissions as far as they were granted, so that a token is not refused."""
        levels = {name: min(level, self._held(name), key=_LEVELS.index) for name, level in wanted.items()}
        # Never nothing: to ask for no permission in particular is to ask for all of them.
        return {"metadata": "read", **{name: level for name, level in levels.items() if level}}

    def _held(self, name: str) -> str:
        held = self.permissions.get(name, "")
        return held if held in _LEVELS else ""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    end: float


class Signed:
    """The App's own credential: a JWT of RS256, made anew before it ends."""

    def __init__(self, app_id: str, private_key: str, clock: Callable[[], float]) -> None:
        self._key = private_key.replace("\\n", "\n").strip() + "\n"
        self._app_id = app_id
        self._clock = clock
        self._lock = threading.Lock()
        self._made: _Token | None = None
        self._auth = AppAuth(app_id or "0", sign_func=self._signed)

    def token(self) -> str:
        """Return a JWT that is good for some minutes; raises `ConfigurationError` for a key that is none."""
        with self._lock:
            now = self._clock()
            if self._made is None or not now < self._made.end < now + _JWT_LIFE:
                self._made = _Token(self._sign(), now + _JWT_LIFE / 2)
            return self._made.value

    def renew(self, refused: str) -> str:
        """Return a JWT that is made now."""
        with self._lock:
            if self._made is not None and self._made.value == refused:
                self._made = None
        return self.token()

    def _signed(self, _claims: dict[str, Any]) -> str:
        # PyGithub reads its own clock: the times in the claims are ours.
        now = int(self._clock())
        claims = {"iat": now - _JWT_SLACK, "exp": now + _JWT_LIFE - _JWT_SLACK, "iss": self._app_id}
        return jwt.encode(claims, _loaded(self._key), algorithm="RS256")

    def _sign(self) -> str:
        try:
            return self._auth.create_jwt()
        except (ValueError, TypeError, UnsupportedAlgorithm, jwt.PyJWTError):
            raise ConfigurationError(
                "is no private key" if self._key.strip() else "is not set",
                key="MOORLINE_GITHUB_PRIVATE_KEY",
                expected="the PEM text that GitHub gave when the key was made",
            ) from None


@lru_cache(maxsize=4)
def _loaded(pem: str) -> rsa.RSAPrivateKey:
    """Return a key, read once: its primes are tested, which takes longer than a request."""
    key = load_pem_private_key(pem.encode("utf-8"), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    return key


class _Granted:
    """A credential of an installation, asked for when it is first needed."""

    def __init__(self, mint: Callable[[], _Token], clock: Callable[[], float]) -> None:
        self._mint = mint
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Token | None = None

    def token(self) -> str:
        with self._lock:
            if self._held is None or self._clock() >= self._held.end - _EARLY:
                self._held = self._mint()
            return self._held.value

    def renew(self, refused: str) -> str:
        with self._lock:
            if self._held is None or self._held.value == refused:
                self._held = self._mint()
            return self._held.value


@dataclass(slots=True)
class _Known:
    installation: Installation
    reader: Client
    until: float


class App:
    """The App on one server, for all threads."""

    def __init__(
        self,
        transport: Transport,
        app_id: str,
        private_key: str,
        manners: Manners,
        owners: frozenset[str] = frozenset(),
    ) -> None:
        self._transport = transport
        self._manners = manners
        self._owners = frozenset(owner.lower() for owner in owners)
        self.client = Client(transport, Signed(app_id, private_key, manners.clock), manners, who="app")
        """Asks as the App itself."""
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        """Held while an installation is looked up, so that several threads ask once."""
        self._known: dict[str, _Known] = {}

    def serves(self, owner: str) -> bool:
        """Return whether the operator lets us work for an account."""
        return not self._owners or owner.lower() in self._owners

    def reader(self, repository: str) -> Client:
        """Return a client that can read what the installation of a repository's owner covers."""
        return self._of(repository).reader

    def installation(self, repository: str) -> Installation:
        """Return the installation that covers a repository's owner."""
        return self._of(repository).installation

    def writer(self, repository: str) -> Client:
        """Return a client whose token reaches into one repository and can do there what publishing takes."""
        who = self._of(repository).installation.id
        name = repository.partition("/")[2]

        def mint() -> _Token:
            # What is granted is looked up when the token is needed: it may have changed since.
            installation = self._of(repository).installation
            for_this = {"repositories": [name]}
            try:
                return self._mint(installation, {**for_this, "permissions": installation.granted(WRITES)})
            except MissingError:
                installation = self._of(repository).installation
                return self._mint(installation, {**for_this, "permissions": installation.granted(WRITES)})

        return self._client(mint, who)

    def installed(self, installation: Installation) -> Client:
        """Return the reading client of an installation that was listed."""
        return self._keep(installation).reader

    def installations(self) -> Iterator[Installation]:
        """Yield every installation, suspended ones too, of the accounts that are served."""
        for number, found in enumerate(self.client.pages("/app/installations")):
            if number >= _MOST_INSTALLATIONS:
                return
            one = _installation(found)
            if one is not None and self.serves(one.account):
                yield one

    def forget(self, owner: str) -> None:
        """Look an account's installation up again when it is next asked for."""
        with self._lock:
            self._known.pop(owner.lower(), None)

    def _of(self, repository: str) -> _Known:
        owner = repository.partition("/")[0]
        path = repository_path(repository, "installation")
        if not self.serves(owner):
            raise MissingError(
                f"{clean(owner)!a} is none of the accounts that are served.",
                advice="Add it to MOORLINE_ALLOWED_OWNERS.",
            )
        return self._remembered(owner) or self._looked_up(repository, path)

    def _remembered(self, owner: str) -> _Known | None:
        with self._lock:
            known = self._known.get(owner.lower())
        return known if known is not None and self._manners.clock() < known.until else None

    def _looked_up(self, repository: str, path: str) -> _Known:
        owner = repository.partition("/")[0]
        with self._looking:
            return self._remembered(owner) or self._found(repository, path)

    def _found(self, repository: str, path: str) -> _Known:
        try:
            found = _installation(self.client.get(path).json())
        except MissingError:
            found = None
        if found is None:
            raise MissingError(
                f"The App is not installed for {clean(repository)}.",
                advice="Install it, or add the repository to it.",
            )
        return self._keep(found)

    def _keep(self, installation: Installation) -> _Known:
        if installation.suspended:
            raise SuspendedError(
                f"The App's installation for {clean(installation.account)} is suspended.",
                advice="An owner of the account can unsuspend it in its settings, or uninstall it.",
            )
        with self._lock:
            known = self._known.get(installation.account.lower())
            if known is None or known.installation.id != installation.id:
                known = _Known(installation, self._reader(installation), 0.0)
                self._known[installation.account.lower()] = known
            elif known.installation.permissions != installation.permissions:
                known.reader = self._reader(installation)
            known.installation, known.until = installation, self._manners.clock() + _KEPT
            return known

    def _reader(self, installation: Installation) -> Client:
        body = {"permissions": installation.granted(READS)}

        def mint() -> _Token:
            try:
                return self._mint(installation, body)
            except MissingError:
                # It may have been installed anew, and nobody told us yet.
                other = self._anew(installation)
                return self._mint(other, {"permissions": other.granted(READS)})

        return self._client(mint, installation.id)

    def _client(self, mint: Callable[[], _Token], installation: int) -> Client:
        # Limits are an installation's: whatever a token of it reaches, all of them are held back together.
        granted = _Granted(mint, self._manners.clock)
        return Client(self._transport, granted, self._manners, who=str(installation))

    def _anew(self, gone: Installation) -> Installation:
        """Return the installation that took the place of one that is gone; raises `MissingError`."""
        account = quote(gone.account, safe="")
        for path in (f"/orgs/{account}/installation", f"/users/{account}/installation"):
            try:
                found = _installation(self.client.get(path).json())
            except MissingError:
                continue
            if found is not None and found.id != gone.id:
                return found
        raise MissingError(
            f"The App is not installed for {clean(gone.account)} any more.", advice="Install it again."
        )

    def _mint(self, installation: Installation, body: Mapping[str, Any]) -> _Token:
        path = f"/app/installations/{installation.id}/access_tokens"
        try:
            # A token that nobody received opens nothing and ends by itself: it may be asked for again.
            said = self.client.ask_again("POST", path, body).json()
        except SuspendedError:
            self.forget(installation.account)
            raise
        except (MissingError, RefusedError) as error:
            self.forget(installation.account)
            if isinstance(error, MissingError):
                raise MissingError(
                    f"The App is not installed for {clean(installation.account)} any more.",
                    advice="Install it again.",
                ) from None
            if error.status == _UNPROCESSABLE and "permission" in error.message.lower():
                wanted = body.get("permissions")
                several = wanted.items() if isinstance(wanted, dict) else ()
                asked = ", ".join(f"`{name}: {level}`" for name, level in several)
                raise RefusedError(
                    f"The App's installation for {clean(installation.account)} does not grant one of {asked}.",
                    status=error.status,
                    message=error.message,
                    advice="`moorline doctor` says which: grant it, and accept it in the installation.",
                ) from None
            raise
        value = said.get("token") if isinstance(said, dict) else None
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 4096:
            raise ForgeError("GitHub gave no token.")
        end = moment(said.get("expires_at"))
        # What the server calls an end is by its clock, and ours may be off.
        return _Token(value, end + self._manners.skew if end else self._manners.clock() + 3600)


def moment(text: object) -> float:
    """Return an ISO 8601 time as seconds since 1970, 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _installation(found: object) -> Installation | None:
    if not isinstance(found, dict) or not isinstance(found.get("id"), int):
        return None
    account, permissions = found.get("account"), found.get("permissions")
    login = account.get("login") or account.get("slug") if isinstance(account, dict) else None
    if not isinstance(login, str):
        return None
    return Installation(
        id=found["id"],
        account=login,
        permissions=_texts(permissions.items() if isinstance(permissions, dict) else ()),
        suspended=found.get("suspended_at") is not None,
    )


def _texts(items: Iterable[tuple[object, object]]) -> dict[str, str]:
    return {name: level for name, level in items if isinstance(name, str) and isinstance(level, str)}
