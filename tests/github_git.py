"""What a repository of the GitHub stand-in holds: git's own objects and refs, by dulwich."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import BaseRepo, MemoryRepo, Repo

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NOBODY = "0" * 40


@dataclass(frozen=True, slots=True)
class File:
    """A file with a mode of its own: executable, link (its target as bytes) or submodule (its commit)."""

    data: bytes
    mode: int = FILE


Content = bytes | File | None
"""What stands at a path; None takes it away."""


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    mode: int
    sha: str

    @property
    def type(self) -> str:
        """`blob`, `tree` or `commit`, as git names it."""
        return {FOLDER: "tree", SUBMODULE: "commit"}.get(self.mode, "blob")


@dataclass(frozen=True, slots=True)
class Changed:
    path: str
    status: str
    old: Entry | None
    new: Entry | None


class MalformedError(ValueError):
    """A path that no tree may hold."""


@dataclass(slots=True)
class Git:
    """A bare repository, in memory or on disk; forks of one network see each other's objects."""

    folder: Path | None = None
    network: list[BaseRepo] = field(default_factory=list)
    repo: BaseRepo = field(init=False)

    def __post_init__(self) -> None:
        if self.folder is None:
            self.repo = MemoryRepo()
        else:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.repo = Repo.init_bare(str(self.folder), mkdir=True)
        self.network.append(self.repo)

    # --- objects

    def find(self, sha: str) -> ShaFile | None:
        """Return an object of the network, or None."""
        if len(sha) != 40 or not all(one in "0123456789abcdef" for one in sha):
            return None
        name = ObjectID(sha.encode())
        for repo in (self.repo, *self.network):
            if name in repo.object_store:
                return repo.object_store[name]
        return None

    def commit_at(self, sha: str) -> Commit | None:
        """Return a commit by its id, or None."""
        found = self.find(sha)
        return found if isinstance(found, Commit) else None

    def peeled(self, sha: str) -> Commit | None:
        """Return the commit that an id leads to through tags, or None."""
        found = self.find(sha)
        while isinstance(found, Tag):
            found = self.find(found.object[1].decode())
        return found if isinstance(found, Commit) else None

    def data(self, sha: str) -> bytes:
        """Return a blob's bytes."""
        found = self.find(sha)
        assert isinstance(found, Blob), sha
        return found.data

    def add(self, thing: ShaFile) -> str:
        """Store an object and return its id."""
        self.repo.object_store.add_object(thing)
        return thing.id.decode()

    def add_blob(self, data: bytes) -> str:
        """Store a file's bytes and return their id."""
        return self.add(Blob.from_string(data))

    # --- trees

    def tree_of(self, sha: str) -> str | None:
        """Return the tree that an id leads to: its own, or its commit's; or None."""
        found = self.find(sha)
        while isinstance(found, Tag):
            found = self.find(found.object[1].decode())
        if isinstance(found, Commit):
            return bytes(found.tree).decode()
        if sha == EMPTY_TREE:
            return sha
        return found.id.decode() if isinstance(found, Tree) else None

    def entries(self, tree: str, prefix: str = "") -> tuple[Entry, ...]:
        """Return what a tree holds itself, in git's order."""
        if tree == EMPTY_TREE:
            return ()
        found = self.find(tree)
        assert isinstance(found, Tree), tree
        return tuple(
            Entry(prefix + one.path.decode("utf-8", "surrogateescape"), one.mode, one.sha.decode())
            for one in found.iteritems()
        )

    def walk(self, tree: str, prefix: str = "") -> Iterator[Entry]:
        """Yield everything below a tree, folders before what is in them."""
        for entry in self.entries(tree, prefix):
            yield entry
            if entry.mode == FOLDER:
                yield from self.walk(entry.sha, entry.path + "/")

    def lookup(self, tree: str, path: str) -> Entry | None:
        """Return what stands at a path below a tree; the empty path is the tree itself."""
        entry = Entry("", FOLDER, tree)
        for part in filter(None, path.split("/")):
            if entry.mode != FOLDER:
                return None
            found = next((one for one in self.entries(entry.sha) if one.path == part), None)
            if found is None:
                return None
            entry = Entry(f"{entry.path}/{part}".lstrip("/"), found.mode, found.sha)
        return entry

    def files(self, tree: str) -> dict[str, Entry]:
        """Return everything but folders below a tree, by path."""
        return {entry.path: entry for entry in self.walk(tree) if entry.mode != FOLDER}

    def grafted(self, base: str | None, changes: Mapping[str, tuple[int, str] | None]) -> str:
        """Return a tree like `base` with each path set or, by None, taken away.

        Raises `KeyError` for a path to take away that is not there, `MalformedError` for one that no tree
        may hold.
        """
        here: dict[str, tuple[int, str]] = {}
        if base is not None:
            here = {entry.path: (entry.mode, entry.sha) for entry in self.entries(base)}
        below: dict[str, dict[str, tuple[int, str] | None]] = {}
        for path, change in changes.items():
            name, slash, rest = path.partition("/")
            if name in ("", ".", "..") or name.lower() == ".git" or (slash and not rest):
                raise MalformedError(path)
            if slash:
                below.setdefault(name, {})[rest] = change
            elif change is None:
                del here[name]
            else:
                here[name] = change
        for name, inner in below.items():
            old = here.get(name)
            made = self.grafted(old[1] if old is not None and old[0] == FOLDER else None, inner)
            if made == EMPTY_TREE:
                here.pop(name, None)
            else:
                here[name] = (FOLDER, made)
        tree = Tree()
        for name, (mode, sha) in here.items():
            tree.add(name.encode("utf-8", "surrogateescape"), mode, ObjectID(sha.encode()))
        return self.add(tree)

    def written(self, base: str | None, files: Mapping[str, Content]) -> str:
        """Return a tree like `base` with these files in it."""
        changes: dict[str, tuple[int, str] | None] = {}
        for path, content in files.items():
            if content is None:
                changes[path] = None
            elif isinstance(content, bytes):
                changes[path] = (FILE, self.add_blob(content))
            elif content.mode == SUBMODULE:
                changes[path] = (SUBMODULE, content.data.decode())
            else:
                changes[path] = (content.mode, self.add_blob(content.data))
        return self.grafted(base, changes)

    # --- commits

    def commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        *,
        author: tuple[str, str, int],
        committer: tuple[str, str, int] | None = None,
        signature: str = "",
    ) -> str:
        """Store a commit; people are name, address and seconds since 1970."""
        made = Commit()
        made.tree = ObjectID(tree.encode())
        made.parents = [ObjectID(parent.encode()) for parent in parents]
        name, address, seconds = author
        made.author, made.author_time, made.author_timezone = f"{name} <{address}>".encode(), seconds, 0
        name, address, seconds = committer or author
        made.committer, made.commit_time, made.commit_timezone = f"{name} <{address}>".encode(), seconds, 0
        made.message = message.encode()
        if signature:
            made.gpgsig = signature.encode()
        return self.add(made)

    def ancestors(self, sha: str) -> dict[str, int]:
        """Return a commit and all before it, each with its distance, nearest first."""
        seen = {sha: 0}
        edge = [sha]
        while edge:
            following = []
            for one in edge:
                commit = self.commit_at(one)
                for parent in () if commit is None else map(bytes.decode, commit.parents):
                    if parent not in seen:
                        seen[parent] = seen[one] + 1
                        following.append(parent)
            edge = following
        return seen

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the nearest common ancestor, or None."""
        before = self.ancestors(one)
        return next((sha for sha in self.ancestors(other) if sha in before), None)

    def between(self, base: str, head: str) -> list[str]:
        """Return the commits of `head` that `base` has not, oldest first."""
        before = self.ancestors(base)
        return [sha for sha in reversed(self.ancestors(head)) if sha not in before]

    def changes(self, old: str | None, new: str) -> list[Changed]:
        """Return which files differ between two trees, by path; renames are a removal and an addition."""
        before = {} if old is None else self.files(old)
        after = self.files(new)
        changed = []
        for path in sorted(before.keys() | after.keys()):
            left, right = before.get(path), after.get(path)
            if left != right:
                status = "added" if left is None else "removed" if right is None else "modified"
                changed.append(Changed(path, status, left, right))
        return changed

    def patch(self, change: Changed) -> str | None:
        """Return a change's hunks as `git diff` shows them, without the head; None for what is no text."""
        sides = [
            b"" if entry is None or entry.type == "commit" else self.data(entry.sha)
            for entry in (change.old, change.new)
        ]
        if any(b"\0" in side[:8000] for side in sides):
            return None
        before, after = (side.decode("utf-8", "replace").splitlines(keepends=True) for side in sides)
        lines = list(difflib.unified_diff(before, after, n=3))[2:]
        return "\n".join(line.removesuffix("\n") for line in lines)

    # --- refs

    @property
    def refs(self) -> dict[str, str]:
        """Every ref but HEAD with what it points to, in order of name."""
        return {
            name.decode(): sha.decode()
            for name, sha in sorted(self.repo.refs.as_dict().items())
            if name != b"HEAD"
        }

    def ref(self, name: str) -> str | None:
        """Return what a ref points to, or None."""
        found = self.repo.refs.read_ref(Ref(name.encode()))
        return None if found is None else found.decode()

    def set_ref(self, name: str, sha: str) -> None:
        """Make a ref point to an object, and keep all that it needs, wherever in the network it was made."""
        self._gather(sha)
        self.repo.refs[Ref(name.encode())] = ObjectID(sha.encode())

    def _gather(self, sha: str) -> None:
        wanted = [sha]
        while wanted:
            name = wanted.pop()
            found = None if ObjectID(name.encode()) in self.repo.object_store else self.find(name)
            if found is None:
                continue
            self.add(found)
            if isinstance(found, Commit):
                wanted += [found.tree.decode(), *map(bytes.decode, found.parents)]
            elif isinstance(found, Tree):
                wanted += [one.sha.decode() for one in found.iteritems() if one.mode != SUBMODULE]
            elif isinstance(found, Tag):
                wanted.append(found.object[1].decode())

    def drop_ref(self, name: str) -> None:
        """Remove a ref."""
        del self.repo.refs[Ref(name.encode())]

    def branch(self, name: str) -> str | None:
        """Return the head of a branch, or None."""
        return self.ref(f"refs/heads/{name}")

    def resolve(self, name: str) -> str | None:
        """Return what a branch, tag, full ref or object id means, tried in git's order; or None."""
        for candidate in (name, f"refs/{name}", f"refs/tags/{name}", f"refs/heads/{name}"):
            if candidate.startswith("refs/") and (found := self.ref(candidate)) is not None:
                return found
        return name if self.find(name) is not None else None

    def adopt(self, parent: Git) -> None:
        """Become a fork: the same branches and tags, one network of objects."""
        parent.network.append(self.repo)
        self.network = parent.network
        for name, sha in parent.refs.items():
            if name.startswith(("refs/heads/", "refs/tags/")):
                self.set_ref(name, sha)

    def close(self) -> None:
        """Let go of files."""
        if isinstance(self.repo, Repo):
            self.repo.close()
