"""What is known of a pull request from one query, and the tree of its head by git's own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from dulwich.objects import Tree
from github_forging import REPOSITORY, Place, both
from github_git import LINK, Content, File
from github_standin import github
from hypothesis import given
from hypothesis import strategies as st

from bot.forges.github import GitHubForge
from bot.forges.github_trees import Entry, Listing, blob_id
from bot.model import UnreadReason

FILES = {"Dockerfile": b"FROM node:22\n", "docs/a/b.md": b"b\n", "docs/c.md": b"c\n", "x": b"x\n"}
SHA1 = "0" * 40


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        standin.repository(REPOSITORY, FILES, roles={"ann": "write"})
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    """A forge that looked at the default branch before."""
    made = place.forge()
    made.account()
    head = place.github.head(REPOSITORY)
    assert head is not None
    made.snapshot(REPOSITORY, head, lambda path, _head: path.endswith("Dockerfile"))
    place.github.forget()
    return made


def opened(place: Place, files: Mapping[str, Content]) -> int:
    place.github.push(REPOSITORY, files, branch="topic")
    return place.github.open_pull(REPOSITORY, head="topic").number


def dockerfiles(path: str, _head: bytes) -> bool:
    return path.endswith("Dockerfile")


@both
def test_one_query_tells_of_a_request_and_one_brings_what_differs(place: Place, forge: GitHubForge) -> None:
    files: dict[str, Content] = {
        "Dockerfile": None,
        "docs/a/b.md": None,
        "new/Dockerfile": b"FROM alpine:3\n",
        "x": b"y\n",
    }
    number = opened(place, files)
    request = forge.request(REPOSITORY, number)
    assert (request.onto, request.since) == (place.github.head(REPOSITORY),) * 2
    assert request.changed is not None
    assert {one.path: bool(one.hunks) for one in request.changed} == {
        "Dockerfile": False,
        "docs/a/b.md": False,
        "new/Dockerfile": True,
        "x": False,
    }
    made = forge.snapshot(REPOSITORY, request.head, dockerfiles)
    assert made.files == {"new/Dockerfile": b"FROM alpine:3\n"}
    assert forge.read(REPOSITORY, request.head, ["x", "docs/a/b.md", "docs/c.md"]).keys() == {
        "x",
        "docs/c.md",
    }
    assert place.github.count("POST", "/graphql") <= 3
    assert place.github.count("GET", "*/git/trees/*") == 0
    # The same, asked for.
    fresh = place.forge()
    assert fresh.snapshot(REPOSITORY, request.head, dockerfiles) == made


def test_a_link_in_place_of_a_file_is_seen(place: Place, forge: GitHubForge) -> None:
    """Its target reads as a harmless file; what a build follows is another one."""
    number = opened(place, {"Dockerfile": File(b"../../etc/x", LINK)})
    request = forge.request(REPOSITORY, number)
    made = forge.snapshot(REPOSITORY, request.head, dockerfiles)
    assert [(one.path, one.reason) for one in made.unread] == [("Dockerfile", UnreadReason.SYMLINK)]
    assert not made.files
    assert place.github.count("GET", "*/git/trees/*") == 0


def test_what_does_not_add_up_is_asked_for(place: Place, forge: GitHubForge) -> None:
    """A rename is told by the new name alone: the old one is still there as far as we were told."""
    number = opened(place, {"x": None, "y": b"x\n"})
    request = forge.request(REPOSITORY, number)
    assert request.since
    forge._contents.expect(REPOSITORY, request.head, request.since, ["y"])
    assert forge.read(REPOSITORY, request.head, ["x", "y"]).keys() == {"y"}
    assert place.github.count("GET", "*/git/trees/*") == 1


def test_a_base_that_moved_is_asked_for(place: Place, forge: GitHubForge) -> None:
    """What a request holds is counted from where its base was when somebody last pushed to it."""
    number = opened(place, {"x": b"y\n"})
    before = place.github.head(REPOSITORY)
    assert before is not None
    place.github.push(REPOSITORY, {"z": b"z\n"})
    place.github[REPOSITORY].pulls[number].base_sha = before
    request = forge.request(REPOSITORY, number)
    assert (request.onto, request.since, request.changed) == ("", "", None)


def test_a_branch_that_took_its_base_in_is_asked_for(place: Place, forge: GitHubForge) -> None:
    """Two commits that it stands on: which of them is the merge base is not for us to guess."""
    git = place.github[REPOSITORY].git
    first = place.github.push(REPOSITORY, {"x": b"1\n"}, branch="topic")
    base = place.github.push(REPOSITORY, {"z": b"z\n"})
    tree = git.written(git.tree_of(base), {"x": b"1\n"})
    ann = place.github.account("ann")
    who = (ann.login, f"{ann.id}+ann@users.noreply.github.com", 1_900_000_000)
    merged = git.commit(tree, [first, base], "Take the base in", author=who)
    place.github.move(REPOSITORY, "topic", merged)
    number = place.github.open_pull(REPOSITORY, head="topic").number
    request = forge.request(REPOSITORY, number)
    assert request.since == ""
    assert request.onto == base
    assert forge.merge_base(REPOSITORY, request.onto, request.head) == base


def test_more_than_one_query_tells_is_asked_for(place: Place, forge: GitHubForge) -> None:
    number = opened(place, {f"many/{number}": b"x\n" for number in range(101)})
    assert forge.request(REPOSITORY, number).changed is None


@pytest.mark.parametrize("status", [404, 403])
def test_without_graphql_rest_tells(place: Place, forge: GitHubForge, status: int) -> None:
    number = opened(place, {"x": b"y\n"})
    told = forge.request(REPOSITORY, number)
    place.github.switches.graphql = status
    assert place.forge().request(REPOSITORY, number) == told
    assert place.forge().request(REPOSITORY, number).changed is None


# --- arithmetic ---------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "a.b", "a-b", "a0", "ab"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_TREES = st.dictionaries(
    _PATHS, st.tuples(st.sampled_from([0o100644, 0o100755, 0o120000]), st.binary(max_size=3))
)


def listing(files: Mapping[str, tuple[int, bytes]]) -> Listing | None:
    """Return the tree of files as dulwich makes it; None where a file is where a folder has to be."""
    if any(path.startswith(f"{other}/") for path in files for other in files):
        return None
    entries = {path: Entry(mode, blob_id(data, SHA1), len(data)) for path, (mode, data) in files.items()}
    return Listing(_tree(entries), entries, {}, ())


def _tree(entries: Mapping[str, Entry]) -> str:
    tree, below = Tree(), dict[str, dict[str, Entry]]()
    for path, entry in entries.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = entry
        else:
            tree.add(name.encode(), entry.mode, entry.oid.encode())  # type: ignore[arg-type]  # an id
    for name, inner in below.items():
        tree.add(name.encode(), 0o040000, _tree(inner).encode())  # type: ignore[arg-type]  # an id
    return tree.id.decode()


@given(_TREES, _TREES)
def test_a_tree_that_is_reckoned_is_git_s(
    before: dict[str, tuple[int, bytes]], after: dict[str, tuple[int, bytes]]
) -> None:
    one, other = listing(before), listing(after)
    if one is None or other is None:
        return
    changes = {
        path: other.files.get(path)
        for path in one.files.keys() | other.files.keys()
        if one.files.get(path) != other.files.get(path)
    }
    made = one.altered(changes, other.oid)
    assert made is not None
    assert made.files == other.files
    if changes:
        path = next(iter(changes))
        assert one.altered({key: value for key, value in changes.items() if key != path}, other.oid) is None
