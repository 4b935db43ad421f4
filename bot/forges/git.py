"""The `git` forge: local repositories, bare or with a working tree, and any remote one.

Works without a git binary.  No hook of a repository is run, no configuration of a user is read,
and neither the working tree nor the branch that is checked out is ever touched.
"""

from __future__ import annotations

import logging
import re
import struct
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import urllib3
from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    MissingCommitError,
    NotGitRepository,
    ObjectMissing,
    RefFormatError,
    WrongObjectException,
)
from dulwich.file import FileLocked
from dulwich.index import UnsupportedIndexFormat
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.objectspec import parse_commit
from dulwich.refs import HEADREF, Ref, SymrefLoop, check_ref_format
from dulwich.repo import InvalidWorktreeConfiguration, Repo, UnsupportedExtension, UnsupportedVersion

from bot.errors import ForgeError, GuardError, MissingError, SupersededError, TransientError
from bot.forges import gitmoving, guard
from bot.forges.base import Change, Standing
from bot.forges.gitfolder import require_plain
from bot.forges.githistory import is_ancestor, merge_bases
from bot.forges.gitobjects import Fetched, OnDisk, commit_in
from bot.forges.gitremote import Remote, address, is_remote
from bot.forges.gitshelf import Shelf
from bot.forges.gitstaged import Staged
from bot.forges.gittree import Trees
from bot.model import Snapshot
from bot.packs import OversizedError, PackError
from bot.reference import is_commit, is_git_ref

# What dulwich notes about a server is for whoever configures logging, not for the terminal.
logging.getLogger("dulwich").addHandler(logging.NullHandler())

STAGED = ":"
"""In place of a commit of a local repository: what is staged for the next one."""
_BRANCHES = "refs/heads/"
_TRAILER = re.compile(r"(Moorline-[A-Za-z]{1,40}): ([\x20-\x7e]{1,200})")
_MAX_MESSAGE = 256 * 1024
_LOCKED = 10.0
"""Seconds after which a lock of somebody else's is looked at again."""
_MOST_TIPS = 30
"""Branches whose history is looked through for a commit."""
_DAMAGE = (
    ApplyDeltaError,
    AssertionError,
    ChecksumMismatch,
    EOFError,
    FileFormatException,
    IndexError,
    KeyError,
    MissingCommitError,
    ObjectMissing,
    PackError,
    RefFormatError,
    SymrefLoop,
    ValueError,
    WrongObjectException,
    struct.error,
    zlib.error,
)
_UNSUPPORTED = (
    InvalidWorktreeConfiguration,
    UnsupportedExtension,
    UnsupportedIndexFormat,
    UnsupportedVersion,
)


class GitForge:
    """Repositories by path or URL.

    `roots` are the folders below which local repositories are served; a root itself may also be a
    folder within a repository, whose paths are then relative to it.  `pool` leads to http and https
    remotes, `login` gives a user and password for a URL without its own; `ssh` lets ssh addresses
    be used, which go past the pool.  `blocked` are the pool's errors that mean that an address may
    not be reached.  `index` is read for what is staged in place of a repository's own.  What is fetched is kept in memory for the next question, up to `keep` bytes of it.
    """

    name = "git"

    def __init__(
        self,
        *,
        roots: Iterable[str] = (),
        pool: urllib3.PoolManager | None = None,
        keep: int = 128 * 1024 * 1024,
        login: Callable[[str], tuple[str, str] | None] = lambda _url: None,
        ssh: bool = False,
        blocked: tuple[type[Exception], ...] = (),
        identity: str = "Moorline <moorline@localhost>",
        clock: Callable[[], float] = time.time,
        index: Path | None = None,
    ) -> None:
        self._roots = tuple(Path(root).resolve() for root in roots)
        self._pool = pool
        self._login = login
        self._ssh = ssh
        self._blocked = blocked
        self._identity = identity.encode("utf-8")
        self._clock = clock
        self._index = index
        self._shelf = Shelf(keep)

    @property
    def hosting(self) -> None:
        """Return None: a git server knows no requests."""
        return

    # --- reading --------------------------------------------------------------------------

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        """Return the branch's short name and its commit; an empty `ref` is the one that is checked out.

        Raises `ForgeError` where there is no such branch.
        """
        name = _branch(ref) if ref else ""
        with self._opened(repository) as place:
            name = name or place.default()
            commit = place.ref(_full(name))
        if commit is None:
            raise MissingError(f"There is no branch {name!a}.", advice="Name a branch that exists.")
        return name, commit

    def begun(self, repository: str) -> bool:
        """Return whether what is checked out has a commit yet."""
        with self._opened(repository) as place:
            return place.ref("HEAD") is not None

    def branch(self, repository: str, name: str) -> str | None:
        """Return the commit of a branch, or None where it does not exist."""
        with self._opened(repository) as place:
            return place.ref(_full(_branch(name)))

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""
        with self._opened(repository) as place:
            return place.trees(commit).snapshot(claims)

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""
        with self._opened(repository) as place:
            return place.trees(commit).read(paths)

    def revision(self, repository: str, text: str) -> str:
        """Return the commit that a revision names in a local repository: a branch, tag, `HEAD~2`, a short id.

        Raises `ForgeError` where it names none.
        """
        with self._opened(repository) as place:
            return place.revision(text)

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """Return the common ancestor of two revisions of a local repository.

        Raises `ForgeError` where there is none, in a shallow clone for instance.
        """
        with self._opened(repository) as place:
            return place.merge_base(one, other)

    def trailer(self, repository: str, commit: str) -> dict[str, str]:
        """Return the `Moorline-...` trailers of a commit of ours, none where somebody else made it."""
        with self._opened(repository) as place:
            made = place.commit(commit)
        return _trailers(made) if self._is_ours(made) else {}

    def ours(self, repository: str, branch: str) -> frozenset[str]:
        """Return the commit at a branch's head if it is one that we could have made, else nothing.

        Author and trailer can be written by anybody: the commit must also differ from its one parent by
        pins alone, and another branch must hold that parent, so that nothing else is ever lost with it.
        """
        with self._opened(repository) as place:
            commit = place.ref(_full(_branch(branch)))
            if commit is None or not self._could_be_ours(place, commit, _full(_branch(branch))):
                return frozenset()
        return frozenset({commit})

    def _could_be_ours(self, place: _Place, commit: str, branch: str) -> bool:
        made = place.commit(commit)
        if not self._is_ours(made) or "Moorline-Digest" not in _trailers(made) or len(made.parents) != 1:
            return False
        parent = made.parents[0].decode("ascii")
        try:
            if not place.holds(parent, besides=branch):
                return False
            changes = place.trees(commit).changes(place.trees(parent))
            guard.require_pins(changes or {})
        except (GuardError, KeyError, SupersededError):  # its parent may be out of reach
            return False
        return bool(changes)

    # --- writing --------------------------------------------------------------------------

    def standing(self, repository: str, base: str, branch: str) -> Standing:
        """Return where a base and a branch of ours are; what does not exist is None."""
        with self._opened(repository) as place:
            return Standing(base=place.ref(_full(_branch(base))), branch=place.ref(_full(_branch(branch))))

    def publishing(self, repository: str) -> AbstractContextManager[None]:
        """Return a context that asks for nothing: a login is the operator's, for each repository."""
        del repository
        return nullcontext()

    def write(self, change: Change, intend: Callable[[str], None] = lambda _commit: None) -> str:
        """Return the commit that now is the branch's head; file modes are kept.

        `intend` is called with the commit before the branch is moved to it.
        Raises `GuardError` for a change that is more than pins, `SupersededError` where the branch
        is not at `expected`; nothing is written then.
        """
        branch = _branch(change.branch)
        with self._opened(change.repository) as place:
            trees = place.trees(change.parent)
            self._judge(change, trees, place.prefix)
            place.require_free(branch, change.base)
            if place.ref(_full(branch)) != change.expected:
                raise _superseded(branch)
            commit, objects = self._commit(change, trees)
            intend(commit.id.decode("ascii"))
            place.move(_full(branch), change.expected, commit, objects, self._identity)
        return commit.id.decode("ascii")

    def made(self, change: Change, commit: str) -> bool:
        """Return whether `commit` is just what `write` makes of the change: parent, tree, message, author."""
        with self._opened(change.repository) as place:
            there = place.commit(commit)
            meant, _ = self._commit(change, place.trees(change.parent))
        return bool(
            self._is_ours(there)
            and list(there.parents) == list(meant.parents)
            and there.tree == meant.tree
            and there.message == meant.message
        )

    def delete(self, repository: str, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; raises `SupersededError` where it is not."""
        name = _branch(branch)
        with self._opened(repository) as place:
            place.require_free(name, "")
            place.move(_full(name), expected, None, (), self._identity)

    def _judge(self, change: Change, trees: Trees, prefix: str) -> None:
        if not change.edits:
            raise GuardError("A change without an edit is not written.")
        paths = {edit.path for edit in change.edits}
        for path in paths:
            guard.check_path(f"{prefix}/{path}" if prefix else path)
        guard.judge(change.edits, trees.read(paths))

    def _commit(self, change: Change, trees: Trees) -> tuple[Commit, list[Blob | Tree]]:
        message = change.message.rstrip("\n") + "\n"
        if "\0" in message or len(message) > _MAX_MESSAGE:
            raise GuardError("The commit message is too long or holds a NUL character.")
        made = Commit()
        made.tree, objects = trees.edited(change.edits)
        made.parents = [ObjectID(change.parent.encode("ascii"))]
        made.author = made.committer = self._identity
        made.author_time = made.commit_time = int(self._clock())
        made.author_timezone = made.commit_timezone = 0
        made.encoding = b"UTF-8"
        made.message = message.encode("utf-8", "replace")
        return made, objects

    def _is_ours(self, commit: Commit) -> bool:
        return bool(commit.author == self._identity and commit.committer == self._identity)

    # --- places ---------------------------------------------------------------------------

    @contextmanager
    def _opened(self, repository: str) -> Iterator[_Place]:
        with _translated():
            if is_remote(repository):
                place = address(repository)
                login = self._login(str(place))
                remote = Remote(place, pool=self._pool, login=login, ssh=self._ssh, blocked=self._blocked)
                # Who may not read it learns nothing from what was fetched for another.
                key = (str(place), login or (place.user, place.password))
                with self._shelf.lent(key) as fetched:
                    yield _RemotePlace(remote, fetched)
                return
            folder, prefix = self._local(repository)
            require_plain(folder)
            with Repo(str(folder)) as repo:
                yield _LocalPlace(repo, prefix, self._index)

    def _local(self, repository: str) -> tuple[Path, str]:
        """Return the folder of a served repository, and the folder within it that is meant."""
        path = Path(repository.removeprefix("file://")).resolve()
        is_root = path in self._roots
        if not is_root and not any(path.is_relative_to(root) for root in self._roots):
            raise ForgeError(
                "That repository is not below a folder that is served.",
                advice="Serve its folder, or move it below one that is.",
            )
        if _is_repository(path):
            return path, ""
        found = next((one for one in path.parents if is_root and (one / ".git").exists()), None)
        if found is None:
            raise ForgeError(
                f"{str(path)!a} is no git repository.",
                advice="Name a clone of the repository, or a folder in one.",
            )
        return found, path.relative_to(found).as_posix()


class _Place(ABC):
    """One opened repository."""

    prefix = ""

    @abstractmethod
    def default(self) -> str:
        """Return the short name of the branch that HEAD names."""

    @abstractmethod
    def ref(self, name: str) -> str | None:
        """Return the commit of a full ref name, None where it does not exist."""

    @abstractmethod
    def commit(self, identity: str) -> Commit:
        """Return a commit by its full id."""

    @abstractmethod
    def trees(self, commit: str) -> Trees:
        """Return the tree of a commit."""

    def revision(self, text: str) -> str:
        """Return the commit that a revision names."""
        raise ForgeError(f"{text[:100]!a} can be looked up in a local repository only.")

    def merge_base(self, one: str, other: str) -> str:
        """Return the common ancestor of two revisions."""
        raise ForgeError(f"{one[:100]!a} and {other[:100]!a} can be compared in a local repository only.")

    @abstractmethod
    def holds(self, commit: str, besides: str) -> bool:
        """Return whether a branch other than the full name `besides` is known to hold a commit."""

    def require_free(self, branch: str, base: str) -> None:
        """Return where a branch may be moved by us.  Raises `ForgeError`."""
        if branch == base or branch == self.default():
            raise ForgeError(
                f"{branch!a} is the base or default branch, which is never written to.",
                advice="Choose another branch name.",
            )

    @abstractmethod
    def move(
        self,
        name: str,
        expected: str | None,
        commit: Commit | None,
        objects: Sequence[Blob | Tree],
        identity: bytes,
    ) -> None:
        """Move a ref from `expected` to a commit that is new by `objects`, or remove it.

        Raises `SupersededError` where it is not at `expected`.
        """


class _LocalPlace(_Place):
    def __init__(self, repo: Repo, prefix: str, index: Path | None) -> None:
        self._repo = repo
        self._index = index
        self._objects = OnDisk(repo.object_store)
        self.prefix = prefix

    def default(self) -> str:
        target = self._repo.refs.read_ref(HEADREF) or b""
        name = target.removeprefix(b"ref: ").decode("utf-8", "surrogateescape").strip()
        if not name.startswith(_BRANCHES):
            raise ForgeError("No branch is checked out: HEAD is detached.", advice="Name the branch.")
        return name.removeprefix(_BRANCHES)

    def ref(self, name: str) -> str | None:
        try:
            return self._repo.refs[Ref(name.encode("utf-8"))].decode("ascii")
        except KeyError:
            return None

    def commit(self, identity: str) -> Commit:
        return commit_in(self._objects, identity)

    def trees(self, commit: str) -> Trees:
        if commit == STAGED:
            staged = Staged(self._repo, self._objects, self._index)
            return Trees(staged, staged.commit, self.prefix)
        return Trees(self._objects, self.commit(commit), self.prefix)

    def revision(self, text: str) -> str:
        name, steps = _steps(text)
        try:
            commit = parse_commit(self._repo, name)
            for step in steps:
                commit = self.commit(commit.parents[step].decode("ascii"))
            return commit.id.decode("ascii")
        except (KeyError, ValueError, IndexError, UnicodeError) as error:
            raise ForgeError(
                f"{text[:100]!a} names no commit here.",
                advice="Fetch it first; a shallow clone may not hold it.",
            ) from error

    def merge_base(self, one: str, other: str) -> str:
        ends = [ObjectID(self.revision(text).encode("ascii")) for text in (one, other)]
        try:
            found = merge_bases(ends[0], ends[1], self._parents)
        except (KeyError, MissingCommitError):
            found = []
        if not found:
            raise ForgeError(
                f"{one[:100]!a} and {other[:100]!a} have no common ancestor here.",
                advice="A shallow clone does not hold it: fetch more history (`git fetch --unshallow`).",
            )
        return found[0].decode("ascii")

    def holds(self, commit: str, besides: str) -> bool:
        refs = self._repo.refs
        checked_out = (refs.read_ref(HEADREF) or b"").removeprefix(b"ref: ").strip()
        names = [Ref(_BRANCHES.encode() + name) for name in refs.subkeys(Ref(b"refs/heads/"))]
        tips: dict[ObjectID, None] = {}
        for name in sorted(names, key=lambda name: (name != checked_out, name)):
            chain, tip = refs.follow(name)
            if tip is not None and besides.encode("utf-8") not in chain:
                tips[tip] = None
        wanted = ObjectID(commit.encode("ascii"))
        return wanted in tips or any(
            is_ancestor(wanted, tip, self._parents) for tip in islice(tips, _MOST_TIPS)
        )

    def _parents(self, commit: bytes) -> tuple[int, Sequence[bytes]]:
        read = self._repo[ObjectID(commit)]
        if not isinstance(read, Commit):
            raise KeyError(commit)
        # A shallow clone ends where its file says so, whatever the commit names.
        return read.commit_time, self._repo.get_parents(read.id, read)

    def require_free(self, branch: str, base: str) -> None:
        if branch == base or _full(branch) in self._checked_out():
            raise ForgeError(
                f"{branch!a} is the base branch or is checked out, and is never written to.",
                advice="Choose another branch name.",
            )
        if self._repo.object_store.object_format.oid_length != 20:
            raise ForgeError("Repositories with SHA-256 ids are read and not written.")
        # A symbolic branch would carry the write to the branch that it stands for.
        if (self._repo.refs.read_ref(Ref(_full(branch).encode("utf-8"))) or b"").startswith(b"ref:"):
            raise ForgeError(f"{branch!a} stands for another branch.", advice="Remove it.")

    def _checked_out(self) -> set[str]:
        common = Path(self._repo.commondir())
        heads = (common / "HEAD", Path(self._repo.controldir()) / "HEAD", *common.glob("worktrees/*/HEAD"))
        found: set[str] = set()
        for head in heads:
            if head.is_file():
                text = head.read_bytes()[:1000].decode("utf-8", "surrogateescape")
                found.add(text.removeprefix("ref:").strip())
        return found

    def move(
        self,
        name: str,
        expected: str | None,
        commit: Commit | None,
        objects: Sequence[Blob | Tree],
        identity: bytes,
    ) -> None:
        if not gitmoving.move(self._repo, name, expected, commit, objects, identity):
            raise _superseded(name.removeprefix(_BRANCHES))


class _RemotePlace(_Place):
    def __init__(self, remote: Remote, fetched: Fetched) -> None:
        self._remote = remote
        self._fetched = fetched

    def default(self) -> str:
        refs, symbolic = self._remote.refs()
        target = symbolic.get(b"HEAD")
        if target is None:
            # The oldest servers do not say which branch HEAD is.
            same = sorted(name for name, at in refs.items() if at == refs.get(b"HEAD") and name != b"HEAD")
            target = next((name for name in (b"refs/heads/main", b"refs/heads/master") if name in same), None)
            target = target or (same[0] if same else None)
        if target is None:
            raise ForgeError(f"{self._remote.place} has no default branch.", advice="Name the branch.")
        return target.decode("utf-8", "surrogateescape").removeprefix(_BRANCHES)

    def ref(self, name: str) -> str | None:
        refs, _ = self._remote.refs([name.encode("utf-8")])
        found = refs.get(name.encode("utf-8"))
        return found.decode("ascii") if found is not None else None

    def holds(self, commit: str, besides: str) -> bool:
        refs, _ = self._remote.refs()
        return any(
            tip == commit.encode("ascii") for name, tip in refs.items() if name != besides.encode("utf-8")
        )

    def commit(self, identity: str) -> Commit:
        if not is_commit(identity):
            raise ForgeError("That is no full commit id.")
        if self._fetched.size(identity.encode("ascii")) is None:
            self._fetched.add(self._remote.fetch(identity.encode("ascii")))
        return commit_in(self._fetched, identity)

    def trees(self, commit: str) -> Trees:
        return Trees(self._fetched, self.commit(commit))

    def move(
        self,
        name: str,
        expected: str | None,
        commit: Commit | None,
        objects: Sequence[Blob | Tree],
        identity: bytes,  # noqa: ARG002  # a remote writes its own log
    ) -> None:
        new = [*objects, commit] if commit is not None else []
        self._remote.push(
            name.encode("utf-8"),
            expected.encode("ascii") if expected is not None else None,
            commit.id if commit is not None else None,
            new,
        )
        self._fetched.add(
            {bytes.fromhex(made.id.decode("ascii")): (made.type_name, made.as_raw_string()) for made in new}
        )


def _steps(revision: str) -> tuple[str, list[int]]:
    """Return the name in a revision and which parent each step from it goes to (gitrevisions)."""
    name = re.split(r"[~^]", revision, maxsplit=1)[0]
    steps: list[int] = []
    for sign, digits in re.findall(r"([~^])([0-9]{0,4})", revision[len(name) :]):
        number = int(digits) if digits else 1
        steps += [0] * number if sign == "~" else [number - 1] * (number > 0)
    if not is_git_ref(name) or re.fullmatch(r"(?:[~^][0-9]{0,4})*", revision[len(name) :]) is None:
        raise ForgeError(f"{revision[:100]!a} is no revision that is understood.")
    return name, steps


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or ((path / "objects").is_dir() and (path / "refs").is_dir())


def _branch(name: str) -> str:
    """Return a branch's short name, vetted.  Raises `ForgeError`."""
    short = name.removeprefix(_BRANCHES)
    if not is_git_ref(short) or not check_ref_format(Ref(_full(short).encode("utf-8", "replace"))):
        raise ForgeError(f"{name[:100]!a} is no name of a branch.")
    return short


def _full(name: str) -> str:
    return _BRANCHES + name


def _trailers(commit: Commit) -> dict[str, str]:
    """Return the trailers of ours in the message's last paragraph (git-interpret-trailers)."""
    text = commit.message[-_MAX_MESSAGE:].decode("utf-8", "replace").rstrip()
    last = text.rpartition("\n\n")[2]
    return {found[1]: found[2] for line in last.splitlines() if (found := _TRAILER.fullmatch(line))}


def _file(path: str | bytes) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


def _superseded(branch: str) -> SupersededError:
    return SupersededError(f"The branch {branch!a} is not where it should be.", advice="Nothing was written.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotGitRepository as error:
        raise ForgeError("There is no git repository.", advice="Name the folder of one.") from error
    except _UNSUPPORTED as error:
        raise ForgeError(
            f"The repository uses what is not supported: {str(error)[:100]!a}.",
            advice="Scan a checkout of it without --branch and --base, or clone it in full.",
        ) from error
    except FileLocked as error:
        raise TransientError(
            f"Another process is writing to the repository: {_file(error.lockfilename)!a} is in the way.",
            advice="If no git process works on it any more, remove that file; until then it is waited for.",
            retry_after=_LOCKED,
        ) from error
    except (NotADirectoryError, IsADirectoryError) as error:
        raise ForgeError(
            "A branch stands in the way, such as `moorline` before `moorline/pins`.",
            advice="Remove or rename it.",
        ) from error
    except OSError as error:
        raise ForgeError(
            "The repository cannot be read or written.", advice="Check its permissions."
        ) from error
    except OversizedError as error:
        raise ForgeError(
            "The repository holds a commit or folder that is too large.",
            advice="Scan a checkout of it instead.",
        ) from error
    except _DAMAGE as error:
        raise ForgeError(
            "The repository is damaged, or does not hold that commit.", advice="Run `git fsck`, or fetch it."
        ) from error
