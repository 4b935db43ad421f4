"""Git references by smart HTTP: against the real `git http-backend`, and against servers that lie."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import urllib3
from git_server import GitServer, QuietServer, commit_files, git, require_git
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError

from bot import packs
from bot.demo import hosts
from bot.model import GitReference, Resolution, Unresolved, UnresolvedReason
from bot.refs import transport, versions
from bot.refs.base import Advertised, GitRefs
from bot.refs.pktline import pkt
from bot.refs.smart import GitHosts
from bot.refs.transport import Remote, TroubleError

pytestmark = pytest.mark.servers


def about(ref: str, repository: str = "acme/tools", host: str = "github.com") -> GitReference:
    return GitReference(host=host, repository=repository, ref=ref)


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make the repository that most tests ask about; return its commits, and where it is, by name."""
    require_git()
    root = tmp_path_factory.mktemp("hosts")
    work = root / "work"
    work.mkdir()
    git("init", "-q", cwd=work)
    made = {"root": str(root)}
    files = {"action.yml": b"runs: 1\n", "save/action.yml": b"runs: 2\n", "big": b"0123456789" * 10_000}
    files |= {f"many/{number}.txt": b"the same line\n" * 40 + b"%d" % number for number in range(60)}
    made["first"] = commit_files(work, files, "first")
    git("tag", "v4.1.0", cwd=work)
    git("tag", "v4", "-a", "-m", "moves", cwd=work)
    git("tag", "v4.1", cwd=work)
    git("tag", "v4.1.0-rc.1", cwd=work)
    git("tag", "v40.0.0", cwd=work)
    git("tag", "-a", "-m", "tag of a tag", "nested", "v4", cwd=work)
    (work / "link").symlink_to("action.yml")
    (work / "run.sh").write_bytes(b"#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    made["second"] = commit_files(work, {"action.yml": b"runs: 3\n"}, "second")
    git("tag", "both", made["first"], cwd=work)
    git("branch", "both", cwd=work)
    git("branch", "releases/v5", cwd=work)
    git("tag", "releases/v5.0.2", cwd=work)
    git("branch", "f" * 40, cwd=work)
    made["hidden"] = commit_files(work, {"x": b"x"}, "of a pull request")
    git("update-ref", "refs/pull/1/head", made["hidden"], cwd=work)
    git("update-ref", "refs/merge-requests/1/head", made["hidden"], cwd=work)
    git("reset", "-q", "--hard", made["second"], cwd=work)
    (root / "acme").mkdir()
    git("clone", "-q", "--mirror", str(work), str(root / "acme/tools.git"), cwd=root)
    git("config", "uploadpack.allowFilter", "true", cwd=root / "acme/tools.git")
    return made


@pytest.fixture(params=[True, False], ids=["protocol-2", "protocol-0"])
def server(request: pytest.FixtureRequest, commits: dict[str, str]) -> Iterator[GitServer]:
    with GitServer(Path(commits["root"]), protocol=request.param) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=5) as made:
        yield made


def at(server: GitServer, pool: urllib3.PoolManager, *, keep: float = 300) -> GitHosts:
    return GitHosts(pool, {"github.com": server.url}, keep=keep)


# --- resolving ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "commit", "version", "annotated"),
    [
        ("v4", "first", "v4.1.0", True),
        ("v4.1", "first", "v4.1.0", False),
        ("v4.1.0", "first", "v4.1.0", False),
        ("v4.1.0-rc.1", "first", "v4.1.0-rc.1", False),
        ("nested", "first", "nested", True),
        ("main", "second", "main", False),
        ("both", "first", "both", False),
        ("refs/heads/both", "second", "both", False),
        ("refs/tags/both", "first", "both", False),
        ("refs/tags/v4", "first", "v4.1.0", True),
        ("releases/v5", "second", "releases/v5.0.2", False),
        ("refs/heads/releases/v5", "second", "releases/v5.0.2", False),
    ],
)
def test_resolve(
    server: GitServer,
    pool: urllib3.PoolManager,
    commits: dict[str, str],
    ref: str,
    commit: str,
    version: str,
    annotated: bool,
) -> None:
    found = at(server, pool).resolve(about(ref))
    assert found == Resolution(
        reference=about(ref),
        digest=commits[commit],
        source=server.url.removeprefix("http://"),
        version=version,
        annotated=annotated,
    )


def test_a_commit_counts_where_a_tag_or_branch_names_it(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    asked = at(server, pool)
    first = asked.resolve(about(commits["first"]))
    assert isinstance(first, Resolution)
    assert (first.digest, first.version) == (commits["first"], "v40.0.0")
    second = asked.resolve(about(commits["second"]))
    assert isinstance(second, Resolution)
    assert second.version == "releases/v5.0.2"


@pytest.mark.parametrize(
    "ref",
    [
        "absent",
        "v3",
        "v4.1.1",
        "refs/pull/1/head",
        "refs/merge-requests/1/head",
        "pull/1/head",
        "f" * 40,
        "V4",
        "HEAD",
    ],
)
def test_what_is_no_tag_or_branch_is_not_found(
    server: GitServer, pool: urllib3.PoolManager, ref: str
) -> None:
    found = at(server, pool).resolve(about(ref))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.NOT_FOUND


def test_commits_of_pull_requests_and_forks_do_not_count(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    found = at(server, pool).resolve(about(commits["hidden"]))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.NOT_FOUND
    assert "fork" in found.detail


def test_a_shortened_commit_proves_nothing(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    found = at(server, pool).resolve(about(commits["first"][:12]))
    assert isinstance(found, Unresolved)
    assert "write it in full" in found.detail


def test_advertised(server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]) -> None:
    found = at(server, pool).advertised(about("v4.1"))
    assert isinstance(found, Advertised)
    assert set(found.tags) == {"v4", "v4.1", "v4.1.0", "v4.1.0-rc.1", "v40.0.0"}
    assert set(found.tags.values()) == {commits["first"]}
    assert found.branches == {}
    assert found.annotated == {"v4"}
    everything = at(server, pool).advertised(about(commits["first"]))
    assert isinstance(everything, Advertised)
    assert {"main", "both", "releases/v5"} <= everything.branches.keys()
    assert everything.annotated == {"v4", "nested"}
    assert not any("pull" in name for name in (*everything.tags, *everything.branches))


def test_the_protocol_is_satisfied(pool: urllib3.PoolManager) -> None:
    refs: GitRefs = GitHosts(pool)
    refs.close()


def test_equal_questions_are_asked_once(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    asked = at(server, pool)
    asked.resolve(about("main"))
    before = len(server.requests)
    refs = ["v4", "v4.1", "refs/tags/v4.1.0", "v4.1.0"] * 8
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda ref: asked.resolve(about(ref)), refs))
    assert {one.digest for one in found if isinstance(one, Resolution)} == {commits["first"]}
    assert len(server.requests) == before + 1, "one request a prefix once the server's protocol is known"


def test_answers_grow_old(server: GitServer, pool: urllib3.PoolManager) -> None:
    asked = at(server, pool, keep=0)
    for _ in range(2):
        assert isinstance(asked.resolve(about("main")), Resolution)
    assert len(server.requests) == (3 if server.protocol else 2)


def test_connections_are_used_again(server: GitServer, pool: urllib3.PoolManager) -> None:
    asked = at(server, pool)
    for ref in ("v4", "main", "both", "nested"):
        assert isinstance(asked.resolve(about(ref)), Resolution)
    assert pool.connection_from_url(server.url).num_connections == 1


def test_three_thousand_refs(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    require_git()
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", cwd=work)
    commit = commit_files(work, {"a": b"a"}, "a")
    lines = "".join(
        f"create refs/tags/v{major}.{minor}.{patch} {commit}\n"
        for major in range(30)
        for minor in range(10)
        for patch in range(10)
    )
    git("update-ref", "--stdin", cwd=work, stdin=lines.encode())
    git("tag", "v7", cwd=work)
    for protocol in (True, False):
        with GitServer(tmp_path, protocol=protocol) as server:
            asked = at(server, pool)
            found = asked.resolve(about("v7", "work"))
            assert isinstance(found, Resolution)
            assert found.version == "v7.9.9"
            some = asked.advertised(about("v7", "work"))
            assert isinstance(some, Advertised)
            assert len(some.tags) == 101
            every = asked.advertised(about(commit, "work"))
            assert isinstance(every, Advertised)
            assert len(every.tags) == 3001


def test_a_repository_with_long_ids(
    commits: dict[str, str], pool: urllib3.PoolManager, tmp_path: Path
) -> None:
    work = tmp_path / "long"
    work.mkdir()
    git("init", "-q", "--object-format=sha256", cwd=work)
    commit = commit_files(work, {"action.yml": b"runs: 1\n", "a/b": b"b"}, "first")
    git("tag", "-a", "-m", "x", "v1", cwd=work)
    git("clone", "-q", "--bare", str(work), str(Path(commits["root"]) / "long.git"), cwd=tmp_path)
    with GitServer(Path(commits["root"])) as server:
        fresh = at(server, pool)
        known = at(server, pool)
        assert isinstance(known.resolve(about("main")), Resolution)  # now it is known to speak protocol 2
        for asked in (fresh, known):
            found = asked.resolve(about("v1", "long"))
            assert isinstance(found, Resolution)
            assert (found.digest, found.annotated) == (commit, True)
            assert asked.files(about("v1", "long"), commit, ["a/b"]) == {"a/b": b"b"}


# --- where it is asked --------------------------------------------------------------------


def test_a_renamed_repository_is_followed_on_the_same_server(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    server.redirects["/old/name/"] = "/acme/tools.git/"
    server.redirects["/older/name/"] = f"{server.url}/old/name/"
    asked = at(server, pool)
    for repository in ("old/name", "older/name"):
        found = asked.resolve(about("main", repository))
        assert isinstance(found, Resolution)
        assert found.digest == commits["second"]
        held = asked.files(about("main", repository), commits["second"], ["action.yml"])
        assert held == {"action.yml": b"runs: 3\n"}


def test_another_server_is_not_followed(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]
) -> None:
    with GitServer(Path(commits["root"])) as elsewhere:
        server.redirects["/acme/"] = f"{elsewhere.url}/acme/"
        found = at(server, pool).resolve(about("main"))
        assert isinstance(found, Unresolved)
        assert "another server" in found.detail
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [401, 403, 404, None])
def test_a_private_repository_is_told_with_what_to_do(
    server: GitServer, pool: urllib3.PoolManager, status: int | None
) -> None:
    if status is None:
        server.redirects = {"/acme/tools": "/sign_in#"}
    else:
        server.statuses["/"] = (status, {})
    found = at(server, pool).resolve(about("main"))
    assert isinstance(found, Unresolved)
    assert "Moorline logs in to no git host" in found.detail
    assert "MOORLINE_GIT_MIRRORS" in found.detail


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/sign_in?x=", UnresolvedReason.UNAUTHORIZED),
        ("/acme/", UnresolvedReason.INVALID),
        ("http://[bad/", UnresolvedReason.INVALID),
    ],
)
def test_odd_redirects(
    server: GitServer, pool: urllib3.PoolManager, target: str, reason: UnresolvedReason
) -> None:
    server.redirects["/acme/"] = target
    if target == "/sign_in?x=":
        server.redirects = {"/acme/tools": "/sign_in#"}
    found = at(server, pool).resolve(about("main"))
    assert isinstance(found, Unresolved)
    assert found.reason is reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, UnresolvedReason.UNAUTHORIZED),
        (403, UnresolvedReason.FORBIDDEN),
        (404, UnresolvedReason.NOT_FOUND),
        (410, UnresolvedReason.NOT_FOUND),
        (418, UnresolvedReason.INVALID),
        (429, UnresolvedReason.RATE_LIMITED),
        (500, UnresolvedReason.SERVER_ERROR),
        (503, UnresolvedReason.SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_statuses(
    server: GitServer, pool: urllib3.PoolManager, status: int, reason: UnresolvedReason, known: bool
) -> None:
    asked = at(server, pool)
    if known:
        asked.resolve(about("main"))
    server.statuses["/"] = (status, {"Retry-After": "17"})
    found = asked.resolve(about("v4", "acme/other"))
    assert isinstance(found, Unresolved)
    if status == 403:
        reason = UnresolvedReason.RATE_LIMITED  # it names a time
    assert (found.reason, found.retry_after) == (reason, 17.0)
    server.statuses.clear()


def test_a_repository_that_is_not_there(server: GitServer, pool: urllib3.PoolManager) -> None:
    found = at(server, pool).resolve(about("v1", "acme/nothing"))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.NOT_FOUND


@pytest.mark.parametrize(
    ("host", "repository", "ref"),
    [
        ("-oProxyCommand=x", "a/b", "v1"),
        ("user@host", "a/b", "v1"),
        ("host/path", "a/b", "v1"),
        ("host name", "a/b", "v1"),
        ("", "../b", "v1"),
        ("", "a//b", "v1"),
        ("", "a/b?x=", "v1"),
        ("", "a/b%2f", "v1"),
        ("", "", "v1"),
        ("", "a/b", ""),
        ("", "a/b", "v1\n0000"),
        ("", "a/b", "~latest"),
        ("", "a/b", "-x"),
    ],
)
def test_what_names_nothing_is_not_asked(host: str, repository: str, ref: str) -> None:
    class Silent(urllib3.PoolManager):
        def urlopen(self, *_: object, **__: object) -> urllib3.HTTPResponse:
            raise AssertionError("a request was made")

    found = GitHosts(Silent()).resolve(about(ref, repository, host))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.INVALID


def test_addresses() -> None:
    urls: list[str] = []

    class Recording(urllib3.PoolManager):
        def urlopen(self, method: str, url: str, *_: object, **__: object) -> urllib3.HTTPResponse:
            urls.append(f"{method} {url}")
            raise HTTPError("no")

    asked = GitHosts(Recording(), {"Git.Example": "http://127.0.0.1:1/base/"}, own_host="own.example")
    for reference in (
        about("v1"),
        about("v1", "a/b", ""),
        about("v1", "g/s/c.git", "gitlab.example:8443"),
        about("v1", "a/b", "git.example"),
    ):
        assert isinstance(asked.resolve(reference), Unresolved)
    assert [url.removesuffix("/info/refs?service=git-upload-pack") for url in urls] == [
        "GET https://github.com/acme/tools.git",
        "GET https://own.example/a/b.git",
        "GET https://gitlab.example:8443/g/s/c.git",
        "GET http://127.0.0.1:1/base/a/b",
    ]


def test_a_mirror_is_reached_through_its_own_pool(server: GitServer, pool: urllib3.PoolManager) -> None:
    class Silent(urllib3.PoolManager):
        def urlopen(self, *_: object, **__: object) -> urllib3.HTTPResponse:
            raise AssertionError("the wrong pool was asked")

    asked = GitHosts(Silent(), {"github.com": server.url}, mirror_pool=lambda _: pool)
    assert isinstance(asked.resolve(about("main")), Resolution)


def test_what_the_pool_refuses_is_blocked_and_unreachable_is_unreachable(pool: urllib3.PoolManager) -> None:
    class RefusedError(HTTPError):
        pass

    class Guarded(urllib3.PoolManager):
        def urlopen(self, *_: object, **__: object) -> urllib3.HTTPResponse:
            raise RefusedError("The guard refuses 169.254.169.254.")

    found = GitHosts(Guarded(), blocked=(RefusedError,)).resolve(about("v1"))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.BLOCKED
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        port = free.server_port
    closed = GitHosts(pool, {"github.com": f"http://127.0.0.1:{port}"}).resolve(about("v1"))
    assert isinstance(closed, Unresolved)
    assert closed.reason is UnresolvedReason.UNREACHABLE


# --- files at a commit --------------------------------------------------------------------


def test_files(server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str]) -> None:
    asked = at(server, pool)
    paths = [
        "action.yml",
        "save/action.yml",
        "many/59.txt",
        "absent",
        "save",
        "link",
        "save/action.yml/x",
        "",
    ]
    found = asked.files(about("v4"), commits["first"], paths)
    assert found == {
        "action.yml": b"runs: 1\n",
        "save/action.yml": b"runs: 2\n",
        "many/59.txt": b"the same line\n" * 40 + b"59",
    }
    before = len(server.requests)
    assert asked.files(about("v4"), commits["first"], ["run.sh"]) == {}
    assert len(server.requests) == before, "a commit never changes"
    assert asked.files(about("v4"), commits["second"], ["run.sh", "link"]) == {"run.sh": b"#!/bin/sh\n"}
    large = asked.files(about("v4"), commits["first"], ["action.yml", "big"])
    assert isinstance(large, Unresolved)
    assert large.reason is UnresolvedReason.TOO_LARGE
    with pytest.raises(ValueError, match="no full commit"):
        asked.files(about("v4"), "v4", ["a"])


def test_small_blobs_alone_are_fetched(
    commits: dict[str, str], pool: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    read = transport.Remote.pack

    def measuring(self: Remote, commit: str) -> bytes:
        data = read(self, commit)
        sizes.append(len(packs.read_pack(data, limit=10**7)))
        return data

    monkeypatch.setattr(transport.Remote, "pack", measuring)
    with GitServer(Path(commits["root"])) as server:
        for allowed in ("true", "false"):
            git("config", "uploadpack.allowFilter", allowed, cwd=server.root / "acme/tools.git")
            assert at(server, pool).files(about("v4"), commits["first"], ["action.yml"])
        git("config", "uploadpack.allowFilter", "true", cwd=server.root / "acme/tools.git")
    assert sizes == [66, 67], "the large file is left out where the server can filter"


def test_a_pack_is_bounded(
    server: GitServer, pool: urllib3.PoolManager, commits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_PACK", 500)
    found = at(server, pool).files(about("v4"), commits["first"], ["action.yml"])
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.TOO_LARGE


def test_a_commit_that_is_not_there(server: GitServer, pool: urllib3.PoolManager) -> None:
    found = at(server, pool).files(about("v4"), "1" * 40, ["action.yml"])
    assert isinstance(found, Unresolved)
    assert found.reason in (UnresolvedReason.NOT_FOUND, UnresolvedReason.INVALID)


def test_dulwichs_own_server(pool: urllib3.PoolManager) -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
            pass

    repositories = hosts.sample_repositories()
    with make_server("127.0.0.1", 0, repositories.application(), handler_class=Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        asked = GitHosts(pool, {"github.com": f"http://127.0.0.1:{running.server_port}"})
        reference = about("v4", "actions/checkout")
        found = asked.resolve(reference)
        held = asked.files(reference, found.digest if isinstance(found, Resolution) else "", ["action.yml"])
        running.shutdown()
        thread.join()
    assert isinstance(found, Resolution)
    assert found.version == "v4.3.1"
    assert isinstance(held, Mapping)
    assert held["action.yml"].startswith(b"runs:")


# --- servers that lie ---------------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]
ADVERTISEMENT = {"Content-Type": "application/x-git-upload-pack-advertisement"}
RESULT = {"Content-Type": "application/x-git-upload-pack-result"}
VERSION_2 = pkt(b"version 2\n") + pkt(b"ls-refs\n") + b"0000"
A = b"a" * 40


@contextmanager
def scripted(answer: Callable[[str, str], Answer]) -> Iterator[str]:
    """Serve what `answer` says to a method and path; yield the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
            pass

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, body = answer(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the base class names it

    with QuietServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


BROKEN = {
    "empty": b"",
    "html": b"<html>",
    "no number": b"zzzz",
    "signed number": b" +1f",
    "underscored": b"0_05a",
    "reserved": b"0003",
    "too long": b"ffff" + b"a" * 100_000,
    "cut": pkt(A + b" refs/heads/main\n")[:-3],
    "cut length": pkt(A + b" refs/heads/main\n") + b"00",
    "no flush": pkt(A + b" refs/heads/main\n"),
    "no id": pkt(b"x refs/heads/main\n") + b"0000",
    "no name": pkt(A + b"\n") + b"0000",
    "short id": pkt(b"a" * 39 + b" refs/heads/main\n") + b"0000",
    "upper id": pkt(b"A" * 40 + b" refs/heads/main\n") + b"0000",
    "bad peel": pkt(A + b" refs/tags/v1 peeled:x\n") + b"0000",
    "error": pkt(b"ERR access denied or \x1b[31mrepository not exported\n"),
    "empty lines": b"0004" * 100,
    "delimiters": b"0001" * 100,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("version_2", [True, False])
def test_broken_pkt_lines(pool: urllib3.PoolManager, body: bytes, version_2: bool) -> None:
    def answer(method: str, _path: str) -> Answer:
        if method == "GET":
            return 200, ADVERTISEMENT, VERSION_2 if version_2 else body
        return 200, RESULT, body

    with scripted(answer) as url:
        asked = GitHosts(pool, {"github.com": url})
        found = asked.resolve(about("main"))
        held = asked.files(about("main"), A.decode(), ["action.yml"])
    for one in (found, held):
        assert isinstance(one, Unresolved)
        assert one.reason in (UnresolvedReason.INVALID, UnresolvedReason.NOT_FOUND)
        assert one.detail.isprintable()


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {}, {**ADVERTISEMENT, "Content-Encoding": "gzip"}],
    ids=["dumb", "none", "compressed"],
)
def test_other_kinds_of_answer(pool: urllib3.PoolManager, headers: dict[str, str]) -> None:
    body = gzip.compress(b"0" * 1000) if "Content-Encoding" in headers else A + b"\trefs/heads/main\n"
    with scripted(lambda _method, _path: (200, headers, body)) as url:
        found = GitHosts(pool, {"github.com": url}).resolve(about("main"))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.INVALID
    assert "smart HTTP" in found.detail


def test_an_endless_advertisement(pool: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"".join(pkt(A + b" refs/heads/x%d\n" % number) for number in range(300)) + b"0000"
    for name, limit in (("MAX_ADVERTISEMENT", 1000), ("MAX_REFS", 299)):
        for version_2 in (True, False):
            with monkeypatch.context() as patch:
                patch.setattr(transport, name, limit)
                get = VERSION_2 if version_2 else pkt(b"# service=git-upload-pack\n") + b"0000" + lines

                def answer(method: str, _path: str, get: bytes = get) -> Answer:
                    return (200, ADVERTISEMENT, get) if method == "GET" else (200, RESULT, lines)

                with scripted(answer) as url:
                    found = GitHosts(pool, {"github.com": url}).resolve(about("x"))
            assert isinstance(found, Unresolved)
            assert found.reason is UnresolvedReason.TOO_LARGE


def test_a_server_that_adds_other_refs_gains_nothing(pool: urllib3.PoolManager) -> None:
    other = pkt(A + b" refs/pull/1/head\n") + pkt(A + b" refs/tags/unasked\n") + b"0000"

    def answer(method: str, _path: str) -> Answer:
        return (200, ADVERTISEMENT, VERSION_2) if method == "GET" else (200, RESULT, other)

    with scripted(answer) as url:
        asked = GitHosts(pool, {"github.com": url})
        assert isinstance(asked.resolve(about(A.decode())), Resolution)  # `unasked` is a tag after all
        found = asked.advertised(about("v1"))
    assert isinstance(found, Advertised)
    assert (dict(found.tags), dict(found.branches)) == ({}, {})


def test_a_trickle_ends_in_time(pool: urllib3.PoolManager) -> None:
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", ADVERTISEMENT["Content-Type"])
            self.end_headers()
            line = pkt(A + b" refs/heads/main\n")
            while not stop.wait(0.005):
                try:
                    self.wfile.write(line[:1])
                    line = line[1:] + line[:1]
                except OSError:
                    return

    with QuietServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(TroubleError) as caught:
            Remote(pool, f"http://127.0.0.1:{running.server_port}/a", seconds=0.1).refs(["refs/heads/"])
        stop.set()
        running.shutdown()
        thread.join()
    assert caught.value.reason is UnresolvedReason.TIMEOUT


@pytest.fixture(scope="module")
def liar() -> Iterator[tuple[str, list[bytes]]]:
    """Serve whatever stands first in a list: a server for properties."""
    bodies = [b""]

    def answer(method: str, _path: str) -> Answer:
        return 200, ADVERTISEMENT if method == "GET" else RESULT, bodies[0]

    with scripted(answer) as url:
        yield url, bodies


@given(
    body=st.binary(max_size=300) | st.lists(st.binary(max_size=60).map(pkt) | st.just(b"0000")).map(b"".join)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_a_value(liar: tuple[str, list[bytes]], body: bytes) -> None:
    url, bodies = liar
    bodies[0] = body
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        asked = GitHosts(pool, {"github.com": url})
        assert isinstance(asked.resolve(about("main")), Resolution | Unresolved)
        assert isinstance(asked.files(about("main"), A.decode(), ["a"]), Mapping | Unresolved)


# --- packs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_pack(commits: dict[str, str]) -> tuple[bytes, Path]:
    folder = Path(commits["root"]) / "acme/tools.git"
    done = subprocess.run(
        ["git", "pack-objects", "--revs", "--all", "--stdout", "--delta-base-offset", "-q"],
        cwd=folder,
        input=b"",
        capture_output=True,
        check=True,
    )
    return done.stdout, folder


def test_a_real_pack(real_pack: tuple[bytes, Path]) -> None:
    data, folder = real_pack
    objects = packs.read_pack(data, limit=10**7)
    listed = git(
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname) %(objecttype) %(objectsize)",
        cwd=folder,
    )
    assert {f"{name.hex()} {kind.decode()} {len(body)}" for name, (kind, body) in objects.items()} == set(
        listed.splitlines()
    )
    with pytest.raises(packs.OversizedError):
        packs.read_pack(data, limit=50_000)


def sealed(entries: bytes, count: int) -> bytes:
    body = b"PACK\0\0\0\2" + count.to_bytes(4, "big") + entries
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def head(kind: int, size: int) -> bytes:
    byte, size = (kind << 4) | (size & 15), size >> 4
    made = bytearray()
    while size:
        made.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    made.append(byte)
    return bytes(made)


def blob(content: bytes, size: int | None = None) -> bytes:
    return head(3, len(content) if size is None else size) + zlib.compress(content)


def number(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


BASE = b"x" * 1000
COPY = b"\xb0\xe8\x03"  # copies 1000 bytes from the beginning


def delta(base: bytes, orders: bytes, target: int, source: int = 1000) -> bytes:
    content = number(source) + number(target) + orders
    return (
        head(7, len(content))
        + hashlib.sha1(b"blob 1000\0" + base, usedforsecurity=False).digest()
        + zlib.compress(content)
    )


def test_deltas_by_hand() -> None:
    objects = packs.read_pack(sealed(delta(BASE, COPY + b"\1y", 1001) + blob(BASE), 2), limit=5000)
    assert sorted(body for _, body in objects.values()) == [BASE, BASE + b"y"]


def test_large_blobs_are_left_out_and_never_held() -> None:
    large = bytes(18_000)
    copied = delta(BASE, COPY * 10, 10_000)
    small = delta(BASE, COPY + b"\1y", 1001)
    data = sealed(blob(large) + blob(BASE) + copied + small, 4)
    objects = packs.read_pack(data, limit=5000, largest=4000)
    assert sorted(body for _, body in objects.values()) == [BASE, BASE + b"y"]
    with pytest.raises(packs.OversizedError):
        packs.read_pack(sealed(blob(large) + blob(large), 2), limit=5000, largest=4000)
    with pytest.raises(packs.PackError, match="size differs"):
        packs.read_pack(sealed(blob(large, 17_999), 1), limit=5000, largest=4000)
    with pytest.raises(packs.OversizedError, match="4 objects"):
        packs.read_pack(data, limit=50_000, most=3)
    objects = packs.read_pack(sealed(delta(BASE, COPY, 1000), 1), limit=5000, largest=4000)
    assert objects == {}, "its base may have been left out"


BAD_PACKS = {
    "empty": b"",
    "short": b"PACK",
    "version": b"PACK\0\0\0\x09" + bytes(24),
    "checksum": sealed(blob(b"a"), 1)[:-1] + b"\0",
    "too few": sealed(blob(b"a"), 2),
    "too many": sealed(b"", 0xFFFFFFFF),
    "larger than it says": sealed(blob(b"a" * 100, 10), 1),
    "smaller than it says": sealed(blob(b"a", 10), 1),
    "bomb": sealed(blob(bytes(50_000_000), 100), 1),
    "honest bomb": sealed(blob(bytes(6000)), 1),
    "unknown kind": sealed(head(5, 1) + zlib.compress(b"a"), 1),
    "endless size": sealed(b"\xff" * 30, 1),
    "endless offset": sealed(head(6, 1) + b"\xff" * 30, 1),
    "no zlib": sealed(head(3, 5) + b"hello", 1),
    "base of nothing": sealed(delta(b"y" * 1000, COPY, 1000), 1),
    "offset before": sealed(head(6, 3) + b"\x7f" + zlib.compress(b"\1\1\1"), 1),
    "own base": sealed(head(6, 3) + b"\0" + zlib.compress(b"\1\1\1"), 1),
    "amplified": sealed(blob(BASE) + delta(BASE, COPY * 100, 1000), 2),
    "amplified openly": sealed(blob(BASE) + delta(BASE, COPY * 100, 100_000), 2),
    "amplified by many": sealed(
        blob(BASE) + b"".join(delta(BASE, COPY + b"\1" + bytes([i]), 1001) for i in range(9)), 10
    ),
    "beyond base": sealed(blob(BASE) + delta(BASE, b"\xb1\x01\xe8\x03", 1000), 2),
    "short delta": sealed(blob(BASE) + delta(BASE, b"\x05ab", 5), 2),
    "less than it says": sealed(blob(BASE) + delta(BASE, COPY, 2000), 2),
    "zero order": sealed(blob(BASE) + delta(BASE, b"\0", 1000), 2),
    "other base size": sealed(blob(BASE) + delta(BASE, COPY, 1000, source=999), 2),
    "cut copy": sealed(blob(BASE) + delta(BASE, b"\xff", 1000), 2),
}


@pytest.mark.parametrize("data", BAD_PACKS.values(), ids=BAD_PACKS.keys())
def test_bad_packs(data: bytes) -> None:
    with pytest.raises(packs.PackError):
        packs.read_pack(data, limit=5000)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_packs_are_told(real_pack: tuple[bytes, Path], data: st.DataObject) -> None:
    body = bytearray(real_pack[0][:-20])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(12, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    sums = bytes(body) + hashlib.sha1(body, usedforsecurity=False).digest()
    try:
        objects = packs.read_pack(sums, limit=10**7)
    except packs.PackError:
        return
    assert objects


@given(st.binary(max_size=200))
def test_any_tree_is_read_or_refused(data: bytes) -> None:
    try:
        entries = list(packs.tree_entries(data))
    except packs.PackError:
        return
    assert b"".join(mode + b" " + name + b"\0" + identity for mode, name, identity in entries) == data


# --- versions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "tags", "expected"),
    [
        ("v4", ["v4", "v4.2", "v4.2.1"], "v4.2.1"),
        ("v4", ["v4", "v4.9.9", "v4.10.0"], "v4.10.0"),
        ("v4", ["v4", "v40.1.2"], "v4"),
        ("v4", ["v4", "v4.3.0-beta.1"], "v4"),
        ("v4.3.0-beta", ["v4.3.0-beta", "v4.3.0-beta.2", "v4.3.0-beta.10"], "v4.3.0-beta.10"),
        ("4", ["4", "4.1", "v4.1.0"], "4.1"),
        ("main", ["v4.2.1", "main-2"], "main"),
        ("stable", [], "stable"),
        ("releases/v1", ["releases/v1", "releases/v1.2.3", "v1.2.3"], "releases/v1.2.3"),
        ("v4", ["v4.2.1", "v4.2.1+build.5"], "v4.2.1+build.5"),
        ("x" * 300, [], "x" * 300),
    ],
)
def test_the_most_exact_version(ref: str, tags: list[str], expected: str) -> None:
    elsewhere = {"v4.99.99": "other", "v1.99.99": "other"}
    assert versions.exact(ref, "here", {**dict.fromkeys(tags, "here"), **elsewhere}) == expected


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("v4.2.1", "v4"),
        ("v4", "v4"),
        ("4.2", "4"),
        ("main", "main"),
        ("releases/v1.2", "releases/v1"),
        ("v1.2.3-rc.1+b", "v1"),
        ("v", "v"),
        ("2.x", "2.x"),
    ],
)
def test_major(ref: str, expected: str) -> None:
    assert versions.major(ref) == expected
    assert ref.startswith(versions.major(ref))


def test_the_best_version_of_a_commit() -> None:
    tags = {"v4": "c", "v4.2.1": "c", "v4.3.0-rc.1": "c", "latest": "c", "v9.9.9": "other", "only": "d"}
    assert versions.best("c", tags) == "v4.2.1"
    assert versions.best("d", tags) == "only"
    assert versions.best("e", tags) == ""


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=30), st.sampled_from(["a", "b"]), max_size=8))
def test_versions_take_any_names(ref: str, tags: dict[str, str]) -> None:
    assert versions.exact(ref, "a", tags).startswith(ref)
    assert ref.startswith(versions.major(ref))
    assert versions.best("a", tags) in {*(name for name, at in tags.items() if at == "a"), ""}


def test_importing_it_loads_no_git_library() -> None:
    code = "import sys, bot.refs.smart; print([m for m in ('dulwich', 'yaml', 'jinja2') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.strip() == "[]"
