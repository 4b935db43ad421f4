"""The bare git repository behind a project of the GitLab stand-in: real objects, real ids, by dulwich."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import BaseRepo, MemoryRepo, Repo

REGULAR, EXECUTABLE, LINK, FOLDER, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000

Content = bytes | tuple[int, bytes]
"""A file's bytes, or its mode with them; a submodule's bytes are its commit in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a tree."""

    path: str
    mode: int
    oid: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def kind(self) -> str:
        """`tree`, `blob` or `commit`, as git and GitLab call it."""
        return {FOLDER: "tree", SUBMODULE: "commit"}.get(self.mode, "blob")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who stands in a commit."""

    name: str
    email: str

    def __bytes__(self) -> bytes:
        return f"{self.name} <{self.email}>".encode()


class GitRepository:
    """A bare repository: on disk below a folder, or in memory where there is none."""

    def __init__(self, folder: Path | None = None, *, default: str = "main") -> None:
        self.repo: BaseRepo = MemoryRepo() if folder is None else Repo.init_bare(str(folder), mkdir=True)
        self.set_default(default)

    def close(self) -> None:
        """Close what is open on disk."""
        if isinstance(self.repo, Repo):
            self.repo.close()

    # Refs

    def set_default(self, branch: str) -> None:
        """Let `HEAD` be a branch."""
        self.repo.refs.set_symbolic_ref(Ref(b"HEAD"), _branch(branch))

    def branches(self) -> dict[str, str]:
        """Return branches with their commits, by name."""
        found = self.repo.refs.as_dict(Ref(b"refs/heads"))
        return {name.decode(): str(oid.decode()) for name, oid in sorted(found.items())}

    def head(self, branch: str) -> str | None:
        """Return a branch's commit."""
        return self._at(_branch(branch))

    def set_head(self, branch: str, commit: str | None) -> None:
        """Let a branch be at a commit, or be gone."""
        if commit is None:
            del self.repo.refs[_branch(branch)]
        else:
            self.repo.refs[_branch(branch)] = _oid(commit)

    def set_tag(self, name: str, commit: str, *, annotated: bool = False) -> str:
        """Make a tag; return the id that the ref holds."""
        held = _oid(commit)
        if annotated:
            tag = Tag()
            tag.name, tag.object, tag.tagger = name.encode(), (Commit, held), b"T <t@example.com>"
            tag.tag_time, tag.tag_timezone, tag.message = 1_767_225_600, 0, name.encode()
            self.repo.object_store.add_object(tag)
            held = tag.id
        self.repo.refs[Ref(b"refs/tags/" + name.encode())] = held
        return held.decode()

    def resolve(self, ref: str) -> str | None:
        """Return the commit that a branch, a tag, a full ref, `HEAD` or an id (7 digits or more) names."""
        for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}"):
            if name == "HEAD" or name.startswith("refs/"):
                found = self._at(Ref(name.encode()))
                if found is not None:
                    return self._peeled(found)
        if len(ref) == 40 and _oid(ref) in self.repo.object_store:
            return self._peeled(ref)
        if 7 <= len(ref) < 40 and all(digit in "0123456789abcdef" for digit in ref):
            store = self.repo.object_store
            matches = [str(oid.decode()) for oid in store if oid.startswith(ref.encode())]
            if len(matches) == 1:
                return self._peeled(matches[0])
        return None

    def _at(self, ref: Ref) -> str | None:
        try:
            return str(self.repo.refs[ref].decode())
        except KeyError:
            return None

    def _peeled(self, oid: str) -> str | None:
        held = self.repo.object_store[_oid(oid)]
        while isinstance(held, Tag):
            held = self.repo.object_store[held.object[1]]
        return held.id.decode() if isinstance(held, Commit) else None

    # Objects

    def info(self, commit: str) -> Commit:
        """Return a commit."""
        found = self.repo.object_store[_oid(commit)]
        assert isinstance(found, Commit)
        return found

    def blob(self, oid: str) -> bytes | None:
        """Return a blob's bytes."""
        try:
            found = self.repo.object_store[_oid(oid)]
        except (KeyError, ValueError, AssertionError):
            return None
        return found.data if isinstance(found, Blob) else None

    def walk(self, commit: str, path: str = "", *, recursive: bool = True) -> list[Entry] | None:
        """Return entries of a folder in git's order, folders before what is in them; None if it is none."""
        tree = self.info(commit).tree
        for part in filter(None, path.split("/")):
            at = self._tree(tree)
            if part.encode() not in at or at[part.encode()][0] != FOLDER:
                return None
            tree = at[part.encode()][1]
        prefix = f"{path.strip('/')}/" if path.strip("/") else ""
        return list(self._entries(tree, prefix, recursive=recursive))

    def files(self, commit: str) -> dict[str, Entry]:
        """Return everything that is no folder, by path."""
        return {entry.path: entry for entry in self.walk(commit) or () if entry.mode != FOLDER}

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return one entry."""
        folder, _, name = path.rpartition("/")
        found = self.walk(commit, folder, recursive=False) or ()
        return next((entry for entry in found if entry.name == name), None)

    def _tree(self, oid: ObjectID) -> Tree:
        found = self.repo.object_store[oid]
        assert isinstance(found, Tree)
        return found

    def _entries(self, tree: ObjectID, prefix: str, *, recursive: bool) -> Iterator[Entry]:
        for name, mode, oid in self._tree(tree).iteritems():
            path = prefix + name.decode("utf-8", "replace")
            yield Entry(path=path, mode=mode, oid=oid.decode())
            if recursive and mode == FOLDER:
                yield from self._entries(oid, f"{path}/", recursive=True)

    # Commits

    def add_blob(self, content: bytes) -> str:
        """Store bytes and return their id."""
        blob = Blob.from_string(content)
        self.repo.object_store.add_object(blob)
        return blob.id.decode()

    def commit(
        self,
        files: Mapping[str, tuple[int, str]],
        parents: Sequence[str],
        message: str,
        *,
        author: Person,
        committer: Person,
        when: int,
    ) -> str:
        """Store a commit of exactly these files (mode and blob id by path) and return it."""
        store = self.repo.object_store
        tree = commit_tree(store, [(path.encode(), _oid(oid), mode) for path, (mode, oid) in files.items()])
        made = Commit()
        made.tree, made.parents = tree, [_oid(parent) for parent in parents]
        made.author, made.committer = bytes(author), bytes(committer)
        made.author_time = made.commit_time = when
        made.author_timezone = made.commit_timezone = 0
        made.encoding, made.message = b"UTF-8", message.encode()
        store.add_object(made)
        return made.id.decode()

    def commit_on(
        self,
        parent: str | None,
        changes: Mapping[str, Content | None],
        message: str,
        *,
        author: Person,
        when: int,
    ) -> str:
        """Store a commit that adds to its parent's files, replaces (modes kept) and removes; return it."""
        old = {} if parent is None else self.files(parent)
        files = {path: (entry.mode, entry.oid) for path, entry in old.items()}
        for path, content in changes.items():
            if content is None:
                del files[path]
                continue
            mode, data = (
                content if isinstance(content, tuple) else (files.get(path, (REGULAR, ""))[0], content)
            )
            files[path] = (mode, data.decode() if mode == SUBMODULE else self.add_blob(data))
        parents = [] if parent is None else [parent]
        return self.commit(files, parents, message, author=author, committer=author, when=when)

    def log(self, start: str, *, stop: str | None = None) -> list[str]:
        """Return commits from `start` on, newest first, without those that `stop` reaches."""
        walker = self.repo.get_walker(
            include=[_oid(start)], exclude=None if stop is None else [_oid(stop)], order="topo"
        )
        return [step.commit.id.decode() for step in walker]

    def last_touching(self, start: str, path: str) -> str | None:
        """Return the newest commit from `start` on, along first parents, that changed a path."""
        at: str | None = start
        while at is not None:
            parents = self.info(at).parents
            parent = parents[0].decode() if parents else None
            here = self.entry(at, path)
            if here != (None if parent is None else self.entry(parent, path)):
                return at
            at = parent
        return None

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the best common ancestor: one that is no parent of another common one."""
        common = self._ancestors(one) & self._ancestors(other)
        older = {parent.decode() for commit in common for parent in self.info(commit).parents}
        return min(common - older, default=None)

    def reaches(self, old: str, new: str) -> bool:
        """Return whether `new` is `old` or has it among its ancestors."""
        return old in self._ancestors(new)

    def _ancestors(self, commit: str) -> set[str]:
        # dulwich's own search goes by times, and is wrong for commits of the same second.
        found: set[str] = set()
        pending = [commit]
        while pending:
            at = pending.pop()
            if at not in found:
                found.add(at)
                pending += [parent.decode() for parent in self.info(at).parents]
        return found

    def changed(self, old: str | None, new: str) -> dict[str, tuple[Entry | None, Entry | None]]:
        """Return the paths that differ, each with what was there and what is."""
        before, after = {} if old is None else self.files(old), self.files(new)
        return {
            path: (before.get(path), after.get(path))
            for path in sorted(before.keys() | after.keys())
            if before.get(path) != after.get(path)
        }

    def diffs(self, old: str | None, new: str) -> list[dict[str, object]]:
        """Return differing files in the shape of GitLab's diffs, without search for renames."""
        found: list[dict[str, object]] = []
        for path, (before, after) in self.changed(old, new).items():
            found.append(
                {
                    "old_path": path,
                    "new_path": path,
                    "a_mode": f"{before.mode:o}" if before else "0",
                    "b_mode": f"{after.mode:o}" if after else "0",
                    "diff": self._unified(before, after),
                    "new_file": before is None,
                    "renamed_file": False,
                    "deleted_file": after is None,
                }
            )
        return found

    def _unified(self, before: Entry | None, after: Entry | None) -> str:
        lines = list(difflib.unified_diff(self._lines(before), self._lines(after), n=3))[2:]
        ends = "\n\\ No newline at end of file\n"
        return "".join(line if line.endswith("\n") else line + ends for line in lines)

    def _lines(self, entry: Entry | None) -> list[str]:
        if entry is None:
            return []
        if entry.mode == SUBMODULE:
            return [f"Subproject commit {entry.oid}\n"]
        text = (self.blob(entry.oid) or b"").decode("utf-8", "replace")
        parts = text.split("\n")
        return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _oid(text: str) -> ObjectID:
    return ObjectID(text.encode())


def _branch(name: str) -> Ref:
    return Ref(b"refs/heads/" + name.encode())
