"""A working tree on disk: what `scan`, `pin` and `guard` look at when no forge is asked.

Symbolic links are never followed, neither to read nor to write, and nothing but regular files is
opened.  Names that are not UTF-8 are carried as Python does, with surrogates.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from bot.errors import ForgeError, SupersededError, UsageError
from bot.forges import guard
from bot.forges.links import LINK, OTHERWISE, OUT, follow, known_by
from bot.forges.origin import origin
from bot.model import Snapshot, Unread, UnreadReason

MAX_FILE = 2 * 1024 * 1024
"""Bytes; a larger file is reported and not read."""
HEAD = 4096
_BINARY_HEAD = 8192
_ADMINISTRATIVE = frozenset({".git", ".hg", ".svn"})
_HOMES = frozenset({".github", ".gitlab", ".gitea", ".forgejo", ".circleci"})
"""Folders whose files are recognised by the folder's name."""
_MAX_MODULES = 256 * 1024
_MAX_KNOWN = 64 * 1024 * 1024
"""Bytes of a file that is not read, but known by the id that git would give it."""
_PIECE = 1024 * 1024

_NOBODYS = "no finder reads a file of this name and content; a Dockerfile is known by a name such as `web.Dockerfile`"
ASIDE = "leads out of the folder that is looked at"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TEMPORARY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def nothing_left_out(_path: str) -> str | None:
    """Return None: every folder is looked into."""
    return None


class Directory:
    """The files below one folder, by paths relative to `root`; or one file with its surroundings.

    `root` is the repository around what is named, so that its policy counts and paths say what they say
    there.  Without a repository it is the folder itself; where a folder such as `.github`, something
    below one, or a single file is named, the folder around that.
    Raises `UsageError` where there is no such file or folder.
    """

    commit: str | None = None
    """A working tree has none."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            place = Path(os.path.realpath(path))
            mode = place.stat().st_mode
        except (OSError, ValueError) as error:
            raise UsageError(
                f"There is no {_shown(os.fspath(path))}.", advice="Name a folder or file."
            ) from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UsageError(f"{_shown(os.fspath(path))} is neither a folder nor a regular file.")
        self.root = _root(place, single=stat.S_ISREG(mode))
        self.start = "" if place == self.root else place.relative_to(self.root).as_posix()
        """The folder or file that is looked at, relative to `root`; empty where that is the root."""
        self._single = stat.S_ISREG(mode)

    def origin(self) -> tuple[str, str] | None:
        """Return host and `owner/name` of the repository that the tree was cloned from, if it says so."""
        return origin(self.root)

    # --- reading --------------------------------------------------------------------------

    def snapshot(
        self,
        claims: Callable[[str, bytes], bool],
        left_out: Callable[[str], str | None] = nothing_left_out,
        *,
        limit: int = MAX_FILE,
    ) -> Snapshot:
        """Return the files that `claims` says yes to, asked by path alone before a file is opened.

        `left_out` gives the reason why a claimed file is not read, or a folder, whose path ends in
        `/`, is not looked into.
        """
        files: dict[str, bytes] = {}
        unread: list[Unread] = []
        for path, special in self._candidates(claims, left_out, unread):
            loaded = special or self._load(path, claims, limit)
            if isinstance(loaded, bytes):
                files[path] = loaded
            elif loaded is not None:
                unread.append(loaded)
        if self._single and not files and not unread:
            unread.append(_unread(self.start, UnreadReason.LEFT_OUT, _NOBODYS))
        return Snapshot(
            commit=None,
            files=dict(sorted(files.items())),
            unread=tuple(sorted(unread, key=lambda one: (one.path, one.reason))),
        )

    def read(self, paths: Iterable[str], *, limit: int = MAX_FILE) -> dict[str, bytes]:
        """Return those of `paths` that are regular files within the size limit."""
        found = {path: self._load(path, None, limit) for path in paths if _is_within(path)}
        return {path: data for path, data in found.items() if isinstance(data, bytes)}

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read."""
        made = []
        for path in paths:
            if not _is_within(path) or not os.path.lexists(self.root / path):
                continue
            loaded = self._load(path, None, MAX_FILE)
            if isinstance(loaded, Unread):
                made.append(loaded)
        return tuple(made)

    def _candidates(
        self,
        claims: Callable[[str, bytes], bool],
        left_out: Callable[[str], str | None],
        unread: list[Unread],
    ) -> Iterator[tuple[str, Unread | None]]:
        """Yield the paths of claimed files, each with the reason not to open it, if any."""
        if self._single:
            if claims(self.start, b""):
                yield self.start, None
            return
        for prefix, entries in self._folders(left_out, unread):
            for entry in entries:
                path = prefix + entry.name
                special: Unread | None = None
                if entry.is_symlink():
                    special = self._link(path, claims)
                    if special is None:
                        continue
                elif entry.is_dir(follow_symlinks=False) or not claims(path, b""):
                    continue
                reason = left_out(path)
                yield path, special if reason is None else _unread(path, UnreadReason.LEFT_OUT, reason)

    def _folders(
        self, left_out: Callable[[str], str | None], unread: list[Unread]
    ) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Yield each folder that is looked into: its path with a `/` behind, and what it holds."""
        base = os.fspath(self.root).rstrip("/") + "/"
        modules = self._modules()
        start = self.start and f"{self.start}/"
        stack = [start]
        while stack:
            prefix = stack.pop()
            try:
                with os.scandir(base + prefix) as found:
                    entries = list(found)
            except OSError as error:
                unread.append(_unread(prefix[:-1] or ".", UnreadReason.UNREADABLE, _why(error)))
                continue
            if prefix != start and _is_submodule(prefix[:-1], entries, modules):
                unread.append(
                    _unread(prefix[:-1], UnreadReason.SUBMODULE, "another repository, checked out here")
                )
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and entry.name not in _ADMINISTRATIVE:
                    path = prefix + entry.name
                    reason = left_out(f"{path}/")
                    if reason is None:
                        stack.append(f"{path}/")
                    else:
                        unread.append(_unread(path, UnreadReason.LEFT_OUT, reason))
            yield prefix, entries

    def _link(self, path: str, claims: Callable[[str, bytes], bool]) -> Unread | None:
        """Return why a symbolic link is not followed; None where that hides nothing."""
        try:
            target = os.path.realpath(self.root / path, strict=True)
            mode = os.stat(target).st_mode  # noqa: PTH116  # a path's text, as realpath gives it
        except OSError:
            return self._unread(path, UnreadReason.SYMLINK, "leads nowhere") if claims(path, b"") else None
        root = os.fspath(self.root).rstrip("/") + "/"
        inside = target.startswith(root) or target == os.fspath(self.root)
        relative = target[len(root) :] if inside else ""
        seen = inside and (not self.start or f"{relative}/".startswith(f"{self.start}/"))
        if stat.S_ISDIR(mode):
            return None if seen else self._unread(path, UnreadReason.SYMLINK, ASIDE if inside else OUT)
        if not claims(path, b""):
            return None
        if not inside:
            return self._unread(path, UnreadReason.SYMLINK, OUT)
        if claims(relative, b""):
            # It is found where it really is, if that is looked at.
            return None if seen else self._unread(path, UnreadReason.SYMLINK, ASIDE)
        return self._unread(path, UnreadReason.SYMLINK, OTHERWISE)

    def _unread(self, path: str, reason: UnreadReason, detail: str) -> Unread:
        """Return why something is not read, with what its content is known by, as git would know it."""
        found = self._at(path)
        if found is not None and found[0] == LINK:
            led = follow(path, self._at, self._text)
            return Unread(path=path, reason=reason, detail=detail, identity=led.identity, leads=led.leads)
        identity = known_by(*found) if found is not None and found[1] else ""
        return Unread(path=path, reason=reason, detail=detail, identity=identity)

    def _at(self, path: str) -> tuple[int, str] | None:
        try:
            with self._folder(path) as folder:
                name = path.rpartition("/")[2]
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    return LINK, _blob_id(os.fsencode(os.readlink(name, dir_fd=folder)))
                return mode, _blob_id_of(name, folder) if stat.S_ISREG(mode) else ""
        except (OSError, ValueError, _SpecialFileError):
            return None

    def _text(self, path: str, _oid: str) -> bytes | None:
        try:
            with self._folder(path) as folder:
                return os.fsencode(os.readlink(path.rpartition("/")[2], dir_fd=folder))
        except OSError:
            return None

    def _modules(self) -> frozenset[str]:
        """Return the paths that `.gitmodules` names; only a hint, since anybody can write it."""
        data = self.read([".gitmodules"], limit=_MAX_MODULES).get(".gitmodules", b"")
        pairs = (line.partition(b"=") for line in data.splitlines())
        return frozenset(
            os.fsdecode(value.strip()).strip("/") for key, _, value in pairs if key.strip() == b"path"
        )

    def _load(
        self, path: str, claims: Callable[[str, bytes], bool] | None, limit: int
    ) -> bytes | Unread | None:
        """Return a regular file's bytes, why they are not read, or None where nobody claims them."""
        try:
            with self._open(path) as descriptor:
                size = os.fstat(descriptor).st_size
                head = _read(descriptor, _BINARY_HEAD)
                if claims is not None and b"\0" in head:
                    return self._unread(path, UnreadReason.BINARY, "holds a NUL byte near its beginning")
                if claims is not None and not claims(path, head[:HEAD]):
                    return None
                data = head if size > limit else head + _read(descriptor, limit + 1 - len(head))
                if max(size, len(data)) > limit:
                    detail = too_large(max(size, len(data)), limit)
                    return self._unread(path, UnreadReason.TOO_LARGE, detail)
                return data
        except _SpecialFileError:
            return _unread(path, UnreadReason.UNREADABLE, "not a regular file")
        except OSError as error:
            return _unread(path, UnreadReason.UNREADABLE, _why(error))

    @contextlib.contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        """Yield a descriptor of the folder that holds `path`, no link on the way followed."""
        current = os.open(self.root, _FOLDER)
        try:
            for part in path.split("/")[:-1]:
                deeper = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=current)
                os.close(current)
                current = deeper
            yield current
        finally:
            os.close(current)

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[int]:
        with self._folder(path) as folder:
            descriptor = _open_regular(path.rpartition("/")[2], folder)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    # --- writing --------------------------------------------------------------------------

    def write(self, files: Mapping[str, tuple[bytes, bytes]]) -> None:
        """Replace each file's old bytes by its new ones: all are judged and prepared before the first.

        Each file is replaced in one step and keeps its mode and, where allowed, its owner.  Raises
        `GuardError` for a change that is no pin, `SupersededError` where a file no longer holds the
        old bytes, and `ForgeError` where the file system refuses.
        """
        guard.compare(files)
        with contextlib.ExitStack() as stack:
            prepared = [
                (path, stack.enter_context(self._prepared(path, old, new)))
                for path, (old, new) in sorted(files.items())
                if old != new
            ]
            for number, (path, replace) in enumerate(prepared):
                try:
                    replace()
                except (OSError, SupersededError) as error:
                    done = f"{number} of {len(prepared)} files were written before it."
                    if isinstance(error, SupersededError):
                        raise SupersededError(error.problem, advice=f"{done} Run again.") from error
                    raise ForgeError(
                        f"{_shown(path)} cannot be replaced: {_why(error)}.", advice=done
                    ) from error

    @contextlib.contextmanager
    def _prepared(self, path: str, old: bytes, new: bytes) -> Iterator[Callable[[], None]]:
        """Yield what puts the new bytes in place; until then they stand in a file beside it."""
        name = path.rpartition("/")[2]
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(self._folder(path))
                status = _require_bytes(path, name, folder, old)
                temporary = f".moorline-{secrets.token_hex(8)}.tmp"
                descriptor = os.open(temporary, _TEMPORARY, 0o600, dir_fd=folder)
                stack.callback(_remove, temporary, folder)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(new)
                    _keep_status(descriptor, status)
                    file.flush()
                    os.fsync(descriptor)
            except (OSError, _SpecialFileError) as error:
                raise ForgeError(
                    f"{_shown(path)} cannot be written: {_why(error)}.", advice="Nothing was written."
                ) from error

            def replace() -> None:
                _require_bytes(path, name, folder, old)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)

            yield replace


class _SpecialFileError(Exception):
    """A pipe, socket, device or link stands where a regular file is wanted."""


def _root(place: Path, *, single: bool) -> Path:
    repository: Path | None = None
    home: Path | None = None
    for one in (place, *place.parents):
        if (one / ".git").exists():
            repository = one
            break
        if one.name in _HOMES and home is None:
            home = one.parent
    return repository or home or (place.parent if single else place)


def _is_within(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _is_submodule(path: str, entries: list[os.DirEntry[str]], modules: frozenset[str]) -> bool:
    if not entries:
        return path in modules
    for entry in entries:
        if entry.name == ".git":
            return path in modules or not entry.is_dir(follow_symlinks=False)
    return False


def _open_regular(name: str, folder: int) -> int:
    """Return a descriptor of a regular file; a pipe or device is not even opened."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise _SpecialFileError("not a regular file")
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _SpecialFileError("not a regular file")
    return descriptor


def _read(descriptor: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length > 0 and (piece := os.read(descriptor, length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _blob_id(data: bytes) -> str:
    """Return git's id of a file's content, as repositories have it that use SHA-1."""
    made = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    made.update(data)
    return made.hexdigest()


def _blob_id_of(name: str, folder: int) -> str:
    """Return the same of a file, empty where it is too large for that or is being written."""
    descriptor = _open_regular(name, folder)
    try:
        size = os.fstat(descriptor).st_size
        if size > _MAX_KNOWN:
            return ""
        made = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        left = size
        while left > 0 and (piece := os.read(descriptor, min(left, _PIECE))):
            made.update(piece)
            left -= len(piece)
        return made.hexdigest() if left == 0 and not os.read(descriptor, 1) else ""
    finally:
        os.close(descriptor)


def _require_bytes(path: str, name: str, folder: int, old: bytes) -> os.stat_result:
    """Return the status of a file that holds exactly `old`; raises `SupersededError` where it does not."""
    descriptor = _open_regular(name, folder)
    try:
        status = os.fstat(descriptor)
        if status.st_size != len(old) or _read(descriptor, len(old) + 1) != old:
            raise SupersededError(
                f"{_shown(path)} changed while it was looked at.", advice="Nothing was written. Run again."
            )
    finally:
        os.close(descriptor)
    return status


def _keep_status(descriptor: int, status: os.stat_result) -> None:
    try:
        os.fchown(descriptor, status.st_uid, status.st_gid)
        mode = stat.S_IMODE(status.st_mode)
    except PermissionError:
        mode = stat.S_IMODE(status.st_mode) & 0o777  # not ours to make set-id for another owner
    os.fchmod(descriptor, mode)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def too_large(size: int, limit: int) -> str:
    """Return the sentence about a file that is larger than `limit` bytes."""
    return f"{size:,} bytes, the limit is {limit:,}"


def _unread(path: str, reason: UnreadReason, detail: str) -> Unread:
    return Unread(path=path, reason=reason, detail=detail)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return "a link or a file stands where a folder should be"
        return os.strerror(error.errno).lower()
    return str(error)


def _shown(path: str) -> str:
    return ascii(path[:300])
