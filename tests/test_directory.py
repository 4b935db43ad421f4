"""A working tree on disk, with everything in it that a scan should neither read nor follow."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import ForgeError, GuardError, SupersededError, UsageError
from bot.forges.directory import Directory
from bot.model import Snapshot, UnreadReason

DIGEST = "@sha256:" + "0123456789abcdef" * 4
OLD = b"FROM node:18\n"
NEW = f"FROM node:18{DIGEST}\n".encode()


def claims(path: str, head: bytes) -> bool:
    """Claim Dockerfiles by name, and files named `maybe` by what they begin with."""
    name = path.rpartition("/")[2]
    return name == "Dockerfile" or (name == "maybe" and (not head or head.startswith(b"FROM")))


def put(root: Path, path: str, data: bytes = OLD) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


def reasons(snapshot: Snapshot) -> dict[str, UnreadReason]:
    return {one.path: one.reason for one in snapshot.unread}


def test_claimed_files_are_read_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path, "Dockerfile")
    put(tmp_path, "a/b c/ä/Dockerfile", b"FROM x\r\n")
    put(tmp_path, "a/maybe")
    put(tmp_path, "b/maybe", b"not one")
    put(tmp_path, "README.md")
    found = Directory(tmp_path).snapshot(claims)
    assert found.commit is None
    assert found.files == {"Dockerfile": OLD, "a/b c/ä/Dockerfile": b"FROM x\r\n", "a/maybe": OLD}
    assert list(found.files) == sorted(found.files)
    assert found.unread == ()


def test_only_claimed_files_are_opened(tmp_path: Path) -> None:
    asked: list[tuple[str, bytes]] = []
    put(tmp_path, "README.md")
    put(tmp_path, "Dockerfile")

    def recording(path: str, head: bytes) -> bool:
        asked.append((path, head))
        return claims(path, head)

    Directory(tmp_path).snapshot(recording)
    assert sorted(asked) == [("Dockerfile", b""), ("Dockerfile", OLD), ("README.md", b"")]


def test_administrative_folders_are_not_looked_into(tmp_path: Path) -> None:
    for name in (".git", ".hg", ".svn", "a/.git"):
        put(tmp_path, f"{name}/Dockerfile")
    put(tmp_path, "a/Dockerfile")
    assert list(Directory(tmp_path).snapshot(claims).files) == ["a/Dockerfile"]


def test_left_out_folders_are_reported_once_and_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "web/node_modules/a/Dockerfile")
    put(tmp_path, "web/node_modules/b/node_modules/Dockerfile")
    put(tmp_path, "web/skipped/Dockerfile")
    asked: list[str] = []

    def left_out(path: str) -> str | None:
        asked.append(path)
        return "vendored" if path.endswith(("node_modules/", "skipped/Dockerfile")) else None

    found = Directory(tmp_path).snapshot(claims, left_out)
    assert found.files == {}
    assert [(one.path, one.reason, one.detail) for one in found.unread] == [
        ("web/node_modules", UnreadReason.LEFT_OUT, "vendored"),
        ("web/skipped/Dockerfile", UnreadReason.LEFT_OUT, "vendored"),
    ]
    assert "web/node_modules/a/" not in asked


def test_links(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    outside = put(tmp_path, "outside/Dockerfile", b"secret")
    put(root, "real/Dockerfile")
    put(root, "real/base.txt")
    for name, target in {
        "same/Dockerfile": "../real/Dockerfile",
        "out/Dockerfile": str(outside),
        "up/Dockerfile": "../../outside/Dockerfile",
        "other/Dockerfile": "../real/base.txt",
        "dangling/Dockerfile": "nowhere",
        "loop/Dockerfile": "Dockerfile",
        "README.md": str(outside),
        "folder": "real",
        "outfolder": str(outside.parent),
        "self": ".",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    found = Directory(root).snapshot(claims)
    assert found.files == {"real/Dockerfile": OLD}
    assert reasons(found) == dict.fromkeys(
        (
            "dangling/Dockerfile",
            "loop/Dockerfile",
            "other/Dockerfile",
            "out/Dockerfile",
            "outfolder",
            "up/Dockerfile",
        ),
        UnreadReason.SYMLINK,
    )
    assert Directory(root).read(["same/Dockerfile", "folder/Dockerfile", "out/Dockerfile"]) == {}


def test_submodules(tmp_path: Path) -> None:
    put(tmp_path, ".gitmodules", b'[submodule "a"]\n\tpath = empty\n[submodule]\n path=old\n path=plain\n')
    put(tmp_path, "sub/.git", b"gitdir: ../.git/modules/sub")
    put(tmp_path, "sub/Dockerfile")
    (tmp_path / "empty").mkdir()
    (tmp_path / "old/.git").mkdir(parents=True)
    put(tmp_path, "old/Dockerfile")
    put(tmp_path, "plain/Dockerfile")
    (tmp_path / "clone/.git").mkdir(parents=True)
    put(tmp_path, "clone/Dockerfile")
    found = Directory(tmp_path).snapshot(claims)
    assert reasons(found) == dict.fromkeys(("empty", "old", "sub"), UnreadReason.SUBMODULE)
    # What `.gitmodules` names can hide nothing that is really there.
    assert list(found.files) == ["clone/Dockerfile", "plain/Dockerfile"]


def test_a_work_tree_is_no_submodule_of_itself(tmp_path: Path) -> None:
    put(tmp_path, ".git", b"gitdir: /elsewhere")
    put(tmp_path, "Dockerfile")
    assert Directory(tmp_path).snapshot(claims).files == {"Dockerfile": OLD}


def test_binary_large_and_special_files(tmp_path: Path) -> None:
    put(tmp_path, "binary/Dockerfile", b"FROM x\n\0")
    put(tmp_path, "late/Dockerfile", b"#" * 8192 + b"\0")
    put(tmp_path, "large/Dockerfile", b"#" * 10_001)
    put(tmp_path, "fits/Dockerfile", b"#" * 10_000)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/Dockerfile")
    (tmp_path / "folder/Dockerfile").mkdir(parents=True)
    (tmp_path / "socket").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path / "socket")  # the address of a socket is short
        try:
            listening.bind("Dockerfile")
        finally:
            os.chdir(here)
        found = Directory(tmp_path).snapshot(claims, limit=10_000)
    assert sorted(found.files) == ["fits/Dockerfile", "late/Dockerfile"]
    assert reasons(found) == {
        "binary/Dockerfile": UnreadReason.BINARY,
        "large/Dockerfile": UnreadReason.TOO_LARGE,
        "pipe/Dockerfile": UnreadReason.UNREADABLE,
        "socket/Dockerfile": UnreadReason.UNREADABLE,
    }
    assert "10,001 bytes, the limit is 10,000" in [one.detail for one in found.unread]


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root's rights, which no permission stops."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_reported() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        put(root, "a/Dockerfile").chmod(0)
        put(root, "b/Dockerfile")
        put(root, "c/Dockerfile")
        (root / "b").chmod(0)
        tree = Directory(root)
        with unprivileged():
            found = tree.snapshot(claims)
        (root / "b").chmod(0o755)
    assert reasons(found) == {"a/Dockerfile": UnreadReason.UNREADABLE, "b": UnreadReason.UNREADABLE}
    assert list(found.files) == ["c/Dockerfile"]
    assert {one.detail for one in found.unread} == {"permission denied"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "\udcff\udcfe"
    put(folder, "Dockerfile")
    (folder / "out").mkdir()
    (folder / "out" / "\udcff").symlink_to("/etc")
    tree = Directory(tmp_path)
    found = tree.snapshot(claims)
    path = "\udcff\udcfe/Dockerfile"
    assert found.files == {path: OLD}
    assert [os.fsencode(one.path) for one in found.unread] == [b"\xff\xfe/out/\xff"]
    assert tree.read([path, "\ud800"]) == {path: OLD}
    tree.write({path: (OLD, NEW)})
    assert tree.read([path]) == {path: NEW}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a\0b", "a/./Dockerfile"]
)
def test_reading_stays_within_the_tree(tmp_path: Path, path: str) -> None:
    put(tmp_path, "tree/a/Dockerfile")
    put(tmp_path, "x")
    assert Directory(tmp_path / "tree").read([path]) == {}


def test_reading_is_bounded(tmp_path: Path) -> None:
    put(tmp_path, ".env", b"A=1\n")
    put(tmp_path, "large", b"#" * 100)
    assert Directory(tmp_path).read([".env", "large", "absent"], limit=99) == {".env": b"A=1\n"}


# --- what a path on the command line means ------------------------------------------------


def test_a_single_file(tmp_path: Path) -> None:
    put(tmp_path, "svc/Dockerfile")
    put(tmp_path, "svc/sub/Dockerfile")
    tree = Directory(tmp_path / "svc/Dockerfile")
    assert (tree.root, tree.snapshot(claims).files) == (tmp_path / "svc", {"Dockerfile": OLD})
    (tmp_path / ".git").mkdir()
    tree = Directory(tmp_path / "svc/Dockerfile")
    assert (tree.root, tree.snapshot(claims).files) == (tmp_path, {"svc/Dockerfile": OLD})


@pytest.mark.parametrize("path", [".github", ".github/workflows", ".github/workflows/ci.yml"])
def test_a_folder_that_gives_its_files_their_meaning_is_kept(tmp_path: Path, path: str) -> None:
    put(tmp_path, ".github/workflows/ci.yml", b"a: 1")
    put(tmp_path, "other/ci.yml", b"a: 1")
    tree = Directory(tmp_path / path)
    assert tree.root == tmp_path
    assert list(tree.snapshot(lambda name, _: name.endswith(".yml")).files) == [".github/workflows/ci.yml"]


@pytest.mark.parametrize("path", ["svc", "svc/sub", "svc/.github/workflows"])
def test_a_folder_below_keeps_the_paths_of_its_repository(tmp_path: Path, path: str) -> None:
    put(tmp_path, f"{path}/Dockerfile")
    put(tmp_path, "other/Dockerfile")
    (tmp_path / ".git").mkdir()
    tree = Directory(tmp_path / path)
    assert (tree.root, tree.start) == (tmp_path, path)
    assert tree.snapshot(claims).files == {f"{path}/Dockerfile": OLD}
    assert tree.read(["other/Dockerfile"]) == {"other/Dockerfile": OLD}


def test_what_a_link_leads_to_outside_of_the_folder_is_told(tmp_path: Path) -> None:
    put(tmp_path, "svc/sub/Dockerfile")
    put(tmp_path, "svc-other/Dockerfile")
    (tmp_path / ".git").mkdir()
    (tmp_path / "svc/here").symlink_to("sub")
    (tmp_path / "svc/there").symlink_to("../svc-other")
    (tmp_path / "svc/a").mkdir()
    (tmp_path / "svc/a/Dockerfile").symlink_to("../sub/Dockerfile")
    (tmp_path / "svc/b").mkdir()
    (tmp_path / "svc/b/Dockerfile").symlink_to("../../svc-other/Dockerfile")
    found = Directory(tmp_path / "svc").snapshot(claims)
    told = [(one.path, one.reason, one.detail) for one in found.unread]
    aside = "leads out of the folder that is looked at"
    assert told == [
        ("svc/b/Dockerfile", UnreadReason.SYMLINK, aside),
        ("svc/there", UnreadReason.SYMLINK, aside),
    ]
    assert [one.path for one in Directory(tmp_path).snapshot(claims).unread] == []


def test_a_repository_below_such_a_folder_is_its_own_root(tmp_path: Path) -> None:
    put(tmp_path, ".gitlab/builds/project/Dockerfile")
    (tmp_path / ".gitlab/builds/project/.git").mkdir()
    assert Directory(tmp_path / ".gitlab/builds/project").root == tmp_path / ".gitlab/builds/project"


@pytest.mark.parametrize("name", ["absent", "pipe", "a\0b"])
def test_a_path_that_is_neither_is_a_usage_error(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError):
        Directory(tmp_path / name if "\0" not in name else f"{tmp_path}/{name}")


# --- writing ------------------------------------------------------------------------------


def test_writing_keeps_the_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = put(tmp_path, "svc/Dockerfile")
    target.chmod(0o751)
    if os.geteuid() == 0:
        os.chown(target, 1234, 1235)
    before = target.stat()
    Directory(tmp_path).write({"svc/Dockerfile": (OLD, NEW)})
    after = target.stat()
    assert target.read_bytes() == NEW
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o751, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "a file must be replaced, not written in place"
    assert [one.name for one in (tmp_path / "svc").iterdir()] == ["Dockerfile"]


def test_writing_is_guarded(tmp_path: Path) -> None:
    target = put(tmp_path, "Dockerfile")
    put(tmp_path, "other/Dockerfile")
    with pytest.raises(GuardError):
        Directory(tmp_path).write({"other/Dockerfile": (OLD, NEW), "Dockerfile": (OLD, b"FROM evil\n")})
    assert target.read_bytes() == OLD
    assert (tmp_path / "other/Dockerfile").read_bytes() == OLD


def test_nothing_is_written_where_one_file_changed(tmp_path: Path) -> None:
    put(tmp_path, "a/Dockerfile")
    put(tmp_path, "b/Dockerfile", b"FROM other\n")
    with pytest.raises(SupersededError, match="Nothing was written"):
        Directory(tmp_path).write({"a/Dockerfile": (OLD, NEW), "b/Dockerfile": (OLD, NEW)})
    assert (tmp_path / "a/Dockerfile").read_bytes() == OLD
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["Dockerfile"]


def test_a_change_in_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a/Dockerfile")
    later = put(tmp_path, "b/Dockerfile")
    replace = os.replace

    def meddling(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        later.write_bytes(b"FROM mine\n")
        replace(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", meddling)
    with pytest.raises(SupersededError, match="1 of 2 files"):
        Directory(tmp_path).write({"a/Dockerfile": (OLD, NEW), "b/Dockerfile": (OLD, NEW)})
    assert later.read_bytes() == b"FROM mine\n"
    assert [one.name for one in (tmp_path / "b").iterdir()] == ["Dockerfile"]


def test_writing_never_goes_through_a_link(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/Dockerfile")
    root = tmp_path / "tree"
    put(root, "real/Dockerfile")
    (root / "linked").symlink_to(outside.parent)
    (root / "inner").symlink_to("real")
    (root / "Dockerfile").symlink_to(outside)
    for path in ("linked/Dockerfile", "inner/Dockerfile", "Dockerfile", "absent", "real"):
        with pytest.raises(ForgeError, match="Nothing was written"):
            Directory(root).write({path: (OLD, NEW)})
    with pytest.raises(GuardError):
        Directory(root).write({"../outside/Dockerfile": (OLD, NEW)})
    assert outside.read_bytes() == OLD
    assert (root / "real/Dockerfile").read_bytes() == OLD


def test_a_reader_sees_the_old_or_the_new_file(tmp_path: Path) -> None:
    target = put(tmp_path, "Dockerfile", OLD * 2000)
    whole = {OLD * 2000, NEW * 2000}
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    tree = Directory(tmp_path)
    other = NEW.replace(b"0123", b"3210")
    whole.add(other * 2000)
    current = OLD
    for number in range(20):
        new = other if number % 2 else NEW
        tree.write({"Dockerfile": (current * 2000, new * 2000)})
        current = new
    done.set()
    reader.join()
    assert seen <= whole


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "Dockerfile")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ForgeError, match="no space left"):
        Directory(tmp_path).write({"Dockerfile": (OLD, NEW)})
    assert [one.name for one in tmp_path.iterdir()] == ["Dockerfile"]
    assert (tmp_path / "Dockerfile").read_bytes() == OLD


# --- where it comes from ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/app.git", ("github.com", "acme/app")),
        ("https://user:s3cret@GitHub.com/acme/app", ("github.com", "acme/app")),
        ("https://x-access-token:s3cret@github.com:443/acme/app.git/", ("github.com", "acme/app")),
        ("http://127.0.0.1:8929/group/sub/app.git", ("127.0.0.1:8929", "group/sub/app")),
        ("ssh://git@gitlab.example:2222/group/app.git", ("gitlab.example", "group/app")),
        ("git@github.com:acme/app.git", ("github.com", "acme/app")),
        ("github.com:acme/app", ("github.com", "acme/app")),
        ("git@[::1]:acme/app.git", ("::1", "acme/app")),
        ("http://[::1]:3000/acme/app.git", ("[::1]:3000", "acme/app")),
        ("git://example.org/app", ("example.org", "app")),
        ("/srv/git/app.git", None),
        ("../app.git", None),
        ("file:///srv/git/app.git", None),
        ("C:\\git\\app", None),
        ("https://github.com/../../etc", None),
        ("https://git hub.com/a/b", None),
        ("https://-oProxy/a/b", None),
        ("ssh://git@-oProxyCommand=x/a", None),
        ("https://[/a/b", None),
        ("https://host:99999/a/b", None),
        ("ext::sh -c id", None),
        ("", None),
    ],
)
def test_origin(tmp_path: Path, url: str, expected: tuple[str, str] | None) -> None:
    put(
        tmp_path,
        ".git/config",
        f'[core]\n\turl = no\n[remote "up"]\n\turl = https://no/no\n[remote "origin"]\n\turl = {url}\n\tfetch = x\n'
        "[branch]\n url = no\n".encode(),
    )
    put(tmp_path, "a/Dockerfile")
    assert Directory(tmp_path).origin() == expected
    assert Directory(tmp_path / "a").origin() == expected


def test_origin_of_a_linked_work_tree_and_of_none(tmp_path: Path) -> None:
    put(tmp_path, "main/.git/config", b'[Remote "origin"] url = "https://h.example/a/b"\n')
    put(tmp_path, "main/.git/worktrees/w/commondir", b"../..\n")
    put(tmp_path, "w/.git", f"gitdir: {tmp_path}/main/.git/worktrees/w\n".encode())
    assert Directory(tmp_path / "w").origin() == ("h.example", "a/b")
    for name, data in {"none": b"", "junk": b"\xff\0[[[", "large": b"#" * 2_000_000}.items():
        put(tmp_path, f"{name}/.git/config", data)
        assert Directory(tmp_path / name).origin() is None
    put(tmp_path, "lost/.git", b"gitdir: nowhere")
    put(tmp_path, "odd/.git", b"\0")
    assert Directory(tmp_path / "lost").origin() is None
    assert Directory(tmp_path / "odd").origin() is None
    put(tmp_path, "bare/config", b'[remote "origin"]\nurl = git@h.example:a/b\n')
    assert Directory(tmp_path / "bare").origin() == ("h.example", "a/b")


def test_origin_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git/config")
    assert Directory(tmp_path).origin() is None


# --- cost ---------------------------------------------------------------------------------


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, bot.forges.directory;"
        "print([m for m in ('dulwich', 'urllib3', 'ssl', 'yaml', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.strip() == "[]"
