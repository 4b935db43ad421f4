"""Git references of actions and includes, by smart HTTP and without a token.

Only advertised tags and branches count: a host also serves commits of forks and of pull requests
under a repository's name, so that a commit which no ref names proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import urllib3

from bot.model import GitReference, Resolution, Unresolved, UnresolvedReason
from bot.packs import OversizedError, PackError, read_pack, tree_entries
from bot.reference import is_commit, is_git_ref
from bot.refs import versions
from bot.refs.base import Advertised
from bot.refs.once import Once
from bot.refs.transport import MAX_BLOB, Ref, Remote, TroubleError

_Answer = TypeVar("_Answer")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
_SEGMENT = re.compile(r"[A-Za-z0-9_.~+-]{1,255}")
_TAGS, _BRANCHES = "refs/tags/", "refs/heads/"
_MAX_UNFOLDED = 48 * 1024 * 1024
_KEPT_REFS = 400_000
_KEPT_BYTES = 64 * 1024 * 1024
_SECONDS = 300.0
_SECONDS_OF_TROUBLE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refs:
    source: str
    refs: Mapping[str, Ref]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    reason: UnresolvedReason
    detail: str
    retry_after: float | None = None

    def about(self, reference: GitReference) -> Unresolved:
        return Unresolved(
            reference=reference, reason=self.reason, detail=self.detail, retry_after=self.retry_after
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objects:
    """A commit's trees and small blobs."""

    root: bytes
    by_id: Mapping[bytes, tuple[bytes, bytes]] = field(repr=False)
    size: int


class GitHosts:
    """Looks git references up at their hosts, or at the mirrors that the operator configured.

    `mirrors` maps a host to a base URL below which repositories are found by the same names;
    `mirror_pool` gives the pool that may reach one.  `blocked` are the pool's errors that mean
    that the address may not be reached.  `own_host` stands where a reference names none.  Safe to
    call from threads; equal questions are asked once and kept for `keep` seconds.
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        mirrors: Mapping[str, str] | None = None,
        own_host: str = "github.com",
        *,
        mirror_pool: Callable[[str], urllib3.PoolManager] | None = None,
        blocked: tuple[type[Exception], ...] = (),
        keep: float = _SECONDS,
    ) -> None:
        self._pool = pool
        self._mirrors = {host.lower(): base.rstrip("/") for host, base in (mirrors or {}).items()}
        self._mirror_pools = {
            host: mirror_pool(base) if mirror_pool else pool for host, base in self._mirrors.items()
        }
        self._own_host = own_host
        self._blocked = blocked
        self._protocols: dict[str, int] = {}
        self._refs: Once[_Refs | _Trouble] = Once(
            capacity=_KEPT_REFS,
            weigh=lambda answer: len(answer.refs) if isinstance(answer, _Refs) else 1,
            keep=lambda answer: keep if isinstance(answer, _Refs) else min(keep, _SECONDS_OF_TROUBLE),
        )
        self._objects: Once[_Objects | _Trouble] = Once(
            capacity=_KEPT_BYTES,
            weigh=lambda answer: answer.size if isinstance(answer, _Objects) else 1,
            keep=lambda answer: keep if isinstance(answer, _Objects) else min(keep, _SECONDS_OF_TROUBLE),
        )

    def close(self) -> None:
        """Give the idle connections back."""
        for pool in (self._pool, *self._mirror_pools.values()):
            pool.clear()

    # --- refs -----------------------------------------------------------------------------

    def resolve(self, reference: GitReference) -> Resolution | Unresolved:
        """Return the commit that an advertised tag or branch names; a tag wins over a branch.

        A full commit is answered only where an advertised ref names it, and a ref that looks like
        one is never taken for anything else.
        """
        ref = reference.ref
        if ref.startswith("refs/") and not ref.startswith((_TAGS, _BRANCHES)):
            return _Trouble(
                reason=UnresolvedReason.NOT_FOUND,
                detail=f"Only tags and branches count, and {ref!r} is neither.",
            ).about(reference)
        found = self._advertised(reference)
        if isinstance(found, _Trouble):
            return found.about(reference)
        tags = _named(found.refs, _TAGS)
        if is_commit(ref):
            return self._resolve_commit(reference, found, tags)
        named = _pick(found.refs, ref)
        if named is None:
            return self._unknown(reference, found.source)
        short = ref.removeprefix(_TAGS).removeprefix(_BRANCHES)
        return Resolution(
            reference=reference,
            digest=named.commit,
            source=found.source,
            version=versions.exact(short, named.commit, tags),
            annotated=named.annotated,
        )

    def advertised(self, reference: GitReference) -> Advertised | Unresolved:
        """Return the refs whose name starts with the reference's ref, or its version's major.

        All tags and branches for a reference to a full commit.
        """
        found = self._advertised(reference)
        if isinstance(found, _Trouble):
            return found.about(reference)
        return Advertised(
            source=found.source,
            tags=_named(found.refs, _TAGS),
            branches=_named(found.refs, _BRANCHES),
            annotated=frozenset(
                name.removeprefix(_TAGS)
                for name, one in found.refs.items()
                if one.annotated and name.startswith(_TAGS)
            ),
        )

    def _resolve_commit(
        self, reference: GitReference, found: _Refs, tags: Mapping[str, str]
    ) -> Resolution | Unresolved:
        naming = [one for one in found.refs.values() if one.commit == reference.ref]
        if not naming:
            return _Trouble(
                reason=UnresolvedReason.NOT_FOUND,
                detail=f"No tag or branch of {reference.repository} names this commit;"
                " it may be of a fork or be gone.",
            ).about(reference)
        version = versions.best(reference.ref, tags)
        return Resolution(
            reference=reference,
            digest=reference.ref,
            source=found.source,
            version=version or reference.ref,
            annotated=bool(version) and found.refs[_TAGS + version].annotated,
        )

    def _unknown(self, reference: GitReference, source: str) -> Unresolved:
        detail = f"{source} knows no tag or branch {reference.ref!r} of {reference.repository}"
        if re.fullmatch(r"[0-9a-f]{7,39}", reference.ref):
            detail += "; a shortened commit proves nothing, write it in full"
        return _Trouble(reason=UnresolvedReason.NOT_FOUND, detail=f"{detail}.").about(reference)

    def _advertised(self, reference: GitReference) -> _Refs | _Trouble:
        if not is_git_ref(reference.ref):
            return _Trouble(
                reason=UnresolvedReason.INVALID, detail=f"{reference.ref!r} is no name of a branch or tag."
            )
        prefixes = _prefixes(reference.ref)
        key = (self._host(reference), reference.repository, prefixes)
        return self._refs.get(key, lambda: self._ask(reference, prefixes))

    def _ask(self, reference: GitReference, prefixes: tuple[str, ...]) -> _Refs | _Trouble:
        def ask(remote: Remote) -> _Refs:
            return _Refs(source=remote.host, refs=remote.refs(prefixes))

        try:
            return self._from_either(reference, ask)
        except TroubleError as error:
            return _Trouble(reason=error.reason, detail=error.detail, retry_after=error.retry_after)

    # --- files ----------------------------------------------------------------------------

    def files(
        self, reference: GitReference, commit: str, paths: Sequence[str]
    ) -> Mapping[str, bytes] | Unresolved:
        """Return those of `paths` that are regular files of the repository at `commit`.

        TOO_LARGE where the host would have to send too much, or one of the files is over 64 KiB.
        """
        if not is_commit(commit):
            raise ValueError(f"{commit!r} is no full commit")
        key = (self._host(reference), reference.repository, commit)
        held = self._objects.get(key, lambda: self._fetch(reference, commit))
        if isinstance(held, _Trouble):
            return held.about(reference)
        found: dict[str, bytes] = {}
        try:
            for path in paths:
                if (identity := _blob_at(held, path)) is None:
                    continue
                if identity not in held.by_id or len(held.by_id[identity][1]) > MAX_BLOB:
                    detail = f"{path} is larger than {MAX_BLOB:,} bytes."
                    return _Trouble(reason=UnresolvedReason.TOO_LARGE, detail=detail).about(reference)
                found[path] = held.by_id[identity][1]
        except PackError as error:
            return _damaged(reference, error).about(reference)
        return found

    def _fetch(self, reference: GitReference, commit: str) -> _Objects | _Trouble:
        try:
            data = self._from_either(reference, lambda remote: remote.pack(commit))
            algorithm = "sha256" if len(commit) == 64 else "sha1"
            objects = read_pack(data, limit=_MAX_UNFOLDED, algorithm=algorithm)
            kind, body = objects.get(bytes.fromhex(commit), (b"", b""))
            if kind != b"commit" or not body.startswith(b"tree "):
                raise PackError("the commit is not in it")  # noqa: TRY301  # one place for every damage
            root = bytes.fromhex(body[5 : body.index(b"\n")].decode("ascii"))
        except TroubleError as error:
            return _Trouble(reason=error.reason, detail=error.detail, retry_after=error.retry_after)
        except OversizedError as error:
            return _Trouble(
                reason=UnresolvedReason.TOO_LARGE, detail=f"The repository at this commit: {error}."
            )
        except (PackError, ValueError) as error:
            return _damaged(reference, error)
        held = {identity: one for identity, one in objects.items() if one[0] in (b"tree", b"blob")}
        return _Objects(root=root, by_id=held, size=sum(len(data) + 200 for _, data in held.values()))

    # --- hosts ----------------------------------------------------------------------------

    def _host(self, reference: GitReference) -> str:
        return (reference.host or self._own_host).lower()

    def _from_either(self, reference: GitReference, ask: Callable[[Remote], _Answer]) -> _Answer:
        """Ask at the address with `.git` and, where a server has none there, at the other form of it."""
        host, name = self._host(reference), reference.repository.removesuffix(".git")
        parts = name.split("/")
        if not _HOST.fullmatch(host) or len(name) > 1024:
            raise TroubleError(UnresolvedReason.INVALID, f"{host[:100]!r} is no host's name.")
        if not all(_SEGMENT.fullmatch(part) and part not in (".", "..") for part in parts):
            raise TroubleError(UnresolvedReason.INVALID, f"{name[:100]!r} is no repository's name.")
        base = self._mirrors.get(host)
        if base is None:
            return ask(
                Remote(
                    self._pool, f"https://{host}/{name}.git", blocked=self._blocked, protocols=self._protocols
                )
            )
        pool = self._mirror_pools[host]
        try:
            return ask(Remote(pool, f"{base}/{name}", blocked=self._blocked, protocols=self._protocols))
        except TroubleError as error:
            if error.reason is not UnresolvedReason.NOT_FOUND:
                raise
            return ask(Remote(pool, f"{base}/{name}.git", blocked=self._blocked, protocols=self._protocols))


def _prefixes(ref: str) -> tuple[str, ...]:
    """Return the beginnings of full ref names that tell everything about `ref`."""
    if is_commit(ref):
        return _TAGS, _BRANCHES
    if ref.startswith(_BRANCHES):
        name = ref.removeprefix(_BRANCHES)
        return ref, _TAGS + versions.major(name)
    start = versions.major(ref.removeprefix(_TAGS))
    return _TAGS + start, _BRANCHES + start


def _pick(refs: Mapping[str, Ref], ref: str) -> Ref | None:
    if ref.startswith("refs/"):
        return refs.get(ref)
    return refs.get(_TAGS + ref) or refs.get(_BRANCHES + ref)


def _named(refs: Mapping[str, Ref], prefix: str) -> dict[str, str]:
    return {name[len(prefix) :]: one.commit for name, one in refs.items() if name.startswith(prefix)}


def _blob_at(held: _Objects, path: str) -> bytes | None:
    """Return the id of the regular file at `path`, None where there is none."""
    identity = held.root
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        kind, data = held.by_id.get(identity, (b"", b""))
        if kind != b"tree":
            return None
        entries = {name: (mode, child) for mode, name, child in tree_entries(data, len(held.root))}
        mode, identity = entries.get(part.encode("utf-8", "surrogateescape"), (b"", b""))
        if number == len(parts):
            return identity if mode in (b"100644", b"100755", b"100664") else None
        if mode not in (b"40000", b"040000"):
            return None
    return None


def _damaged(reference: GitReference, error: Exception) -> _Trouble:
    return _Trouble(
        reason=UnresolvedReason.INVALID,
        detail=f"What the host of {reference.repository} sent is damaged: {error}.",
    )
