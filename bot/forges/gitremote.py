"""A remote repository by dulwich: https and http through the given pool, ssh where it is allowed.

Only the objects of one commit are fetched, without history and, where the server can, without the
blobs that are too large to be read anyway.  What comes is bounded as sent and as unfolded.  A push
names the commit that the branch must be at.
"""

from __future__ import annotations

import mmap
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import urllib3
from dulwich.client import (
    FetchPackResult,
    GitClient,
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    InvalidWants,
    SSHGitClient,
    StrangeHostname,
    SubprocessSSHVendor,
    Urllib3HttpGitClient,
)
from dulwich.config import ConfigFile
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ZERO_SHA, Blob, Commit, ObjectID, Tree
from dulwich.pack import UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref

from bot.errors import ForgeError, SupersededError, TransientError
from bot.forges.directory import MAX_FILE
from bot.packs import OversizedError, PackError, read_pack

if TYPE_CHECKING:
    from dulwich.client import DetermineWantsFunc

MAX_RECEIVED = 256 * 1024 * 1024
"""Bytes of a pack as sent."""
MAX_UNFOLDED = 256 * 1024 * 1024
"""Bytes of the objects in it that are kept."""
MAX_LISTED = 32 * 1024 * 1024
"""Bytes of any other answer, such as a list of refs."""
MAX_ANSWER = MAX_RECEIVED + MAX_RECEIVED // 64 + MAX_LISTED
"""Bytes that a pool has to let through of an answer: a pack comes in numbered lines, with progress between."""
_CONNECT_SECONDS = 5.0
_LIST_SECONDS = 30.0
_PACK_SECONDS = 300.0
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/?~?[A-Za-z0-9_.][A-Za-z0-9_.~+@-]*(?:/[A-Za-z0-9_.~+@][A-Za-z0-9_.~+@-]*)*/?")
_SCP = re.compile(r"(?:([^@/:]+)@)?([^@/:]+|\[[^\]/]+\]):(?!//)(.+)")
_SSH = "ssh -oBatchMode=yes"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a remote repository is, its parts vetted; the password is not shown."""

    scheme: str
    host: str
    port: int | None
    path: str
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}/{self.path.lstrip('/')}"


def is_remote(repository: str) -> bool:
    """Return whether a repository's name is a URL or scp-like rather than a path."""
    if "://" in repository:
        return not repository.startswith("file://")
    return not repository.startswith(("/", ".", "~")) and _SCP.fullmatch(repository) is not None


def address(repository: str) -> Address:
    """Return the vetted parts of a URL or an scp-like name.  Raises `ForgeError`."""
    scp = _SCP.fullmatch(repository) if "://" not in repository else None
    try:
        if scp is not None:
            found = Address("ssh", scp[2].strip("[]"), None, scp[3], scp[1] or "")
        else:
            parts = urlsplit(repository)
            found = Address(
                parts.scheme,
                parts.hostname or "",
                parts.port,
                parts.path,
                unquote(parts.username or ""),
                unquote(parts.password or ""),
            )
            if parts.query or parts.fragment:
                raise ValueError("more than a path")  # noqa: TRY301  # one place for every bad address
    except ValueError as error:
        raise _bad_address() from error
    path = found.path.strip("/")
    if (
        found.scheme not in ("http", "https", "ssh")
        or not _HOST.fullmatch(found.host)
        or not _PATH.fullmatch(found.path)
        or any(part in ("", ".", "..") for part in path.split("/"))
        or (found.scheme == "ssh" and (found.password or (found.user and not _USER.fullmatch(found.user))))
    ):
        raise _bad_address()
    return found


def _bad_address() -> ForgeError:
    return ForgeError(
        "That is no address of a git repository that can be used.",
        advice="Use https://host/path, ssh://user@host/path or user@host:path, with plain names.",
    )


class _HttpClient(Urllib3HttpGitClient):
    """Dulwich's client, which leaves answers open that it does not like, and bounds none."""

    answers: list[Callable[[], None]]
    """What closes each answer that came."""
    home: str
    """The one repository's URL with a slash behind it: nothing secret is sent elsewhere."""

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        if not url.startswith(self.home):
            self._auth_header = None
        listing = data is None or (isinstance(data, bytes) and b"command=ls-refs" in data[:64])
        self._timeout = urllib3.Timeout(  # type: ignore[assignment]  # handed to urllib3 as it is
            connect=_CONNECT_SECONDS, read=_LIST_SECONDS if listing else _PACK_SECONDS
        )
        sent = {**(headers or {}), "Accept-Encoding": "identity"}
        answer, read = super()._http_request(url, sent, data, raise_for_status=False)
        self.answers.append(answer.close)
        if raise_for_status and answer.status != 200:
            if answer.status == 404:
                raise NotGitRepository
            if answer.status == 401:
                raise HTTPUnauthorized(answer.headers.get("WWW-Authenticate"), url)
            raise _StatusError(answer.status)
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise GitProtocolError("an answer in an encoding that was not asked for")
        if not (answer.headers.get("Content-Type") or "").startswith("application/x-git-"):
            raise GitProtocolError("not the smart protocol")
        return answer, _Bounded(read, MAX_LISTED if listing else MAX_ANSWER)


class _Bounded:
    """Reads an answer up to a limit."""

    def __init__(self, read: Callable[[int], bytes], limit: int) -> None:
        self._read = read
        self._left = limit

    def __call__(self, size: int) -> bytes:
        data = self._read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuchError
        return data


class _TooMuchError(GitProtocolError):
    """An answer is larger than any that is wanted."""


class _StatusError(GitProtocolError):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Remote:
    """One remote repository; raises `ForgeError` and its children only."""

    def __init__(
        self,
        place: Address,
        *,
        pool: urllib3.PoolManager | None,
        login: tuple[str, str] | None,
        ssh: bool,
        blocked: tuple[type[Exception], ...] = (),
    ) -> None:
        self._blocked = blocked
        self.place = place
        self._path = place.path
        self._answers: list[Callable[[], None]] = []
        self._client = self._connected(place, pool, login, ssh=ssh)

    def _connected(
        self,
        place: Address,
        pool: urllib3.PoolManager | None,
        login: tuple[str, str] | None,
        *,
        ssh: bool,
    ) -> GitClient:
        # An empty configuration: nothing of a user's or a repository's own speaks here.
        config = ConfigFile()
        if place.scheme == "ssh":
            if not ssh:
                raise ForgeError(
                    "ssh is not enabled for this installation.",
                    advice="Use an https address, which the egress guard can look at.",
                )
            return SSHGitClient(
                place.host,
                place.port,
                place.user or None,
                vendor=SubprocessSSHVendor(),
                config=config,
                ssh_command=_SSH,
                quiet=True,
            )
        if pool is None:
            raise ForgeError("This installation has no way to remote repositories.")
        user, password = login or (place.user, place.password)
        base = str(Address(place.scheme, place.host, place.port, ""))
        self._path = "/" + place.path.strip("/")
        client = _HttpClient(
            base,
            pool_manager=pool,
            config=config,
            username=user or None,
            password=password or None,
            quiet=True,
        )
        client.answers = self._answers
        client.home = f"{base.rstrip('/')}{self._path}/"
        return client

    def refs(
        self, prefixes: Sequence[bytes] = (b"HEAD", b"refs/heads/")
    ) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """Return the refs that begin with one of the prefixes, and which refs are symbolic."""
        with self._asking():
            found = self._client.get_refs(self._path.encode(), ref_prefix=list(prefixes))
        refs = {bytes(name): bytes(value) for name, value in found.refs.items() if value is not None}
        return refs, {bytes(name): bytes(value) for name, value in found.symrefs.items() if value}

    def fetch(self, commit: bytes) -> dict[bytes, tuple[bytes, bytes]]:
        """Return kind and content of a commit's objects by binary id, without history and large blobs.

        Raises `SupersededError` if no ref is there, `ForgeError` where they are more than is kept.
        """

        def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001  # dulwich's
            return [ObjectID(commit)]

        walker = ObjectStoreGraphWalker(
            [], lambda _: [], shallow=set(), update_shallow=lambda _new, _old: None
        )
        with tempfile.TemporaryFile() as received:
            with self._asking():
                self._fetched(received, wants, walker)
            if not received.tell():
                raise ForgeError(f"{self.place} sent no objects.")
            received.flush()
            # Not closed here: an error's traceback may still look at it.
            data = mmap.mmap(received.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            return read_pack(data, limit=MAX_UNFOLDED, largest=MAX_FILE)
        except OversizedError as error:
            raise self._too_large(f"{error}") from error
        except PackError as error:
            raise ForgeError(f"{self.place} sent what is damaged: {error}.") from error

    def _too_large(self, what: str) -> ForgeError:
        return ForgeError(
            f"{self.place} is too large at this commit: {what}.",
            advice="Serve it from a folder (MOORLINE_GIT_ROOTS), or scan a checkout of it.",
        )

    def _fetched(
        self, received: IO[bytes], wants: DetermineWantsFunc, walker: ObjectStoreGraphWalker
    ) -> FetchPackResult:
        def take(data: bytes) -> int:
            if received.tell() + len(data) > MAX_RECEIVED:
                raise self._too_large(f"it sends more than {MAX_RECEIVED // 2**20} MiB")
            return received.write(data)

        return self._client.fetch_pack(
            self._path.encode(),
            wants,
            walker,
            take,
            depth=1,
            ref_prefix=[b"HEAD", b"refs/heads/"],
            filter_spec=b"blob:limit=%d" % (MAX_FILE + 1),
        )

    def push(
        self,
        branch: bytes,
        expected: bytes | None,
        commit: bytes | None,
        objects: Sequence[Blob | Tree | Commit],
    ) -> None:
        """Move a branch from `expected` to a commit, with the objects that are new by it; None removes it.

        The server moves it only from where we saw it.  Raises `SupersededError` where it is elsewhere.
        """
        target = ObjectID(commit) if commit is not None else ZERO_SHA

        def update(refs: Mapping[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            if refs.get(Ref(branch)) != expected:
                raise _superseded(branch)
            return {Ref(branch): target}

        def pack(*_: object, **__: object) -> tuple[int, Iterator[UnpackedObject]]:
            return pack_objects_to_data([(one, None) for one in objects])

        with self._asking():
            done = self._client.send_pack(self._path.encode(), update, pack)
        trouble = next(filter(None, (done.ref_status or {}).values()), None)
        if trouble is None:
            return
        there, _ = self.refs([branch])
        if there.get(branch) != expected:
            raise _superseded(branch)
        raise ForgeError(
            f"{self.place} refuses the branch: {_plain(str(trouble))!r}.",
            advice="Let the bot's account create, replace and delete branches that begin with `moorline/`.",
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with self._translated():
                yield
        finally:
            while self._answers:
                self._answers.pop()()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        place = self.place
        try:
            yield
        except (HTTPUnauthorized, HTTPProxyUnauthorized) as error:
            raise ForgeError(
                f"{place} wants credentials, or others than it was given.",
                advice="Give the bot's account access, and check its token.",
            ) from error
        except NotGitRepository as error:
            raise ForgeError(
                f"There is no git repository at {place}, or it is private.", advice="Check its address."
            ) from error
        except InvalidWants as error:
            raise SupersededError(f"{place} moved on while it was looked at.", advice="Run again.") from error
        except StrangeHostname as error:
            raise _bad_address() from error
        except HangupException as error:
            raise TransientError(
                f"{place} broke the connection off.", advice="Check that it is up and lets the bot in."
            ) from error
        except SendPackError as error:
            raise ForgeError(f"{place} refuses the push: {_plain(str(error))!r}.") from error
        except GitProtocolError as error:
            raise self._from_protocol(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"{place} cannot be reached.", advice="A later run tries again.") from error
        except (ValueError, KeyError, AssertionError, IndexError) as error:
            raise ForgeError(f"{place} does not speak git's protocol as it should.") from error

    def _from_protocol(self, error: GitProtocolError) -> ForgeError:
        if isinstance(error, _TooMuchError):
            return ForgeError(
                f"{self.place} answers with more than any repository needs.", advice="Check its address."
            )
        if not isinstance(error, _StatusError):
            if isinstance(error.__cause__, self._blocked):
                return ForgeError(
                    f"{self.place} may not be reached: {error.__cause__}",
                    advice="Add an exception for exactly that server if it is meant to be.",
                )
            if isinstance(error.__cause__, urllib3.exceptions.HTTPError):
                return TransientError(f"{self.place} cannot be reached.", advice="A later run tries again.")
            return ForgeError(f"{self.place} breaks git's protocol.", advice="Check that it is a git server.")
        code = error.status
        if code == 403:
            return ForgeError(
                f"{self.place} forbids it.",
                advice="Let the bot's account read, and push to its own branches.",
            )
        if code == 429 or code >= 500:
            return TransientError(f"{self.place} answers {code}.", advice="A later run tries again.")
        return ForgeError(
            f"{self.place} answers {code}, which no git server should.", advice="Check its address."
        )


def _superseded(branch: bytes) -> SupersededError:
    name = ascii(branch.decode("utf-8", "replace").removeprefix("refs/heads/"))
    return SupersededError(f"The branch {name} is not where it should be.", advice="Nothing was written.")


def _plain(text: str) -> str:
    return "".join(character for character in text[:200] if character.isprintable())
