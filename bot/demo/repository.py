"""The sample repository, as a bare git repository on disk."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

BRANCH = "main"
AUTHOR = b"Ada Example <ada@example.com>"
_MADE = 1_767_225_600
"""Seconds since 1970: the first second of 2026, so that the sample's commit is always the same."""


def create(folder: Path) -> tuple[str, int]:
    """Make a bare repository that holds the sample; return its only commit and the number of files."""
    repository = Repo.init_bare(str(folder), mkdir=True)
    try:
        count, tree = _store(repository, files("bot.demo").joinpath("sample"))
        commit = Commit()
        commit.tree = tree
        commit.author = commit.committer = AUTHOR
        commit.author_time = commit.commit_time = _MADE
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = b"Track parcels\n"
        repository.object_store.add_object(commit)
        repository.refs[Ref(f"refs/heads/{BRANCH}".encode())] = commit.id
        repository.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(f"refs/heads/{BRANCH}".encode()))
        return commit.id.decode(), count
    finally:
        repository.close()


def _store(repository: Repo, folder: Traversable) -> tuple[int, ObjectID]:
    tree, count = Tree(), 0
    for entry in folder.iterdir():
        if entry.is_dir():
            below, child = _store(repository, entry)
            tree.add(entry.name.encode(), 0o040000, child)
            count += below
        else:
            blob = Blob.from_string(entry.read_bytes())
            repository.object_store.add_object(blob)
            tree.add(entry.name.encode(), 0o100644, blob.id)
            count += 1
    repository.object_store.add_object(tree)
    return count, tree.id
