"""Questions to GitLab on a server whose every answer is written here: limits, redirects, retries, secrets."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
import ssl
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path

import pytest
from certificates import Authority
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Asked, Reply, Script, Scripted, scripted

from bot.errors import (
    ConfigurationError,
    ForgeError,
    MissingError,
    MoorlineError,
    MovedError,
    TransientError,
)
from bot.forges import gitlab_session
from bot.forges.base import Change, Check, Conclusion, Health, Wish
from bot.forges.gitlab import GitLabForge
from bot.forges.gitlab_answers import moment, node, nodes, number, size, text
from bot.forges.gitlab_api import (
    Api,
    NoGraphQLError,
    QueryError,
    RedirectedError,
    RefusedError,
    UncertainError,
    is_loopback,
)
from bot.forges.gitlab_blobs import blob_id
from bot.forges.gitlab_comparing import differing
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_rules import _forbids, _matches
from bot.forges.gitlab_session import OversizedError
from bot.forges.pacing import Window

TOKEN = "glpat-" + "s3cr3t" * 4
JSON = ("Content-Type", "application/json")


def said(value: object, status: int = 200, *headers: tuple[str, str]) -> Reply:
    return Reply(status=status, headers=(JSON, *headers), body=json.dumps(value).encode())


class Pauses(list[float]):
    """Remembers how long somebody wanted to sleep, and does not."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.fixture
def api(server: Scripted) -> Api:
    return made(server)


def made(server: Scripted, path: str = "", **more: object) -> Api:
    settings: dict[str, object] = {"pause": Pauses().append, **more}
    return Api(server.url + path, TOKEN, **settings)  # type: ignore[arg-type]  # the parameters' own types


def one_after_another(*replies: Reply) -> Callable[[Asked], Reply]:
    """Return a script that gives each reply once, and the last one ever after."""
    left = list(replies)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


# --- addresses and secrets ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gitlab.example",
        "ftp://gitlab.example",
        "https://",
        "https://user@gitlab.example",
        "https://user:pass@gitlab.example",
        "https://gitlab.example?x=1",
        "https://gitlab.example#x",
        "https://gitlab.example:http",
        "https://[::1",
        "https://gitlab.example/\n",
    ],
)
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Api(url, TOKEN)
    assert "MOORLINE_GITLAB_URL" in str(caught.value)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "caf\xe9", "x" * 5000])
def test_tokens_that_cannot_be_used(token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Api("https://gitlab.example", token)
    assert not token or token not in str(caught.value)


def test_a_bundle_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Api("https://gitlab.example", TOKEN, ca_bundle=str(tmp_path / "none"))
    assert "MOORLINE_CA_BUNDLE" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]", True),
        ("http://localhost", True),
        ("http://a.localhost/gitlab", True),
        ("http://localhost.evil.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_this_machine(url: str, *, local: bool) -> None:
    assert is_loopback(url) is local


def test_an_installation_below_a_path(server: Scripted) -> None:
    server.routes["GET /gitlab/api/v4/version"] = said({"version": "19.0"})
    server.routes["POST /gitlab/api/graphql"] = said({"data": {"a": 1}})
    api = made(server, "/gitlab/")
    assert api.get("/version") == {"version": "19.0"}
    assert api.graph("query { a }", {}) == {"a": 1}
    assert {one.headers["private-token"] for one in server.asked} == {TOKEN}


def test_the_token_is_nowhere_to_be_seen(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = said({"message": f"bad token {TOKEN}"}, 401)
    server.routes |= {
        "GET /api/v4/a": echo,
        "GET /api/v4/b": said({"message": f"no {TOKEN}"}, 400),
        "GET /api/v4/c": Reply(status=302, headers=[("Location", f"{server.url}/?private_token={TOKEN}")]),
        "GET /api/v4/d": Reply(raw=b""),
        "GET /api/v4/e": Reply(status=502, body=TOKEN.encode()),
    }
    forge = GitLabForge(server.url, TOKEN, pause=Pauses().append)
    api = forge._api
    for path in "abcde":
        with pytest.raises(ForgeError) as caught:
            api.get(f"/{path}")
        shown = "".join(traceback.format_exception(caught.value))
        assert TOKEN not in shown + repr(caught.value) + str(caught.value) + caught.value.advice
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None  # the library's exceptions hold the request
        assert TOKEN.encode() not in pickle.dumps(str(caught.value.args))
    assert TOKEN not in repr(forge) + repr(api) + caplog.text
    assert not [one.path for one in server.asked if TOKEN in one.path]


# --- limits of rates ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ([("Retry-After", "17")], 17.0),
        ([("Retry-After", "0")], 1.0),
        ([("Retry-After", "999999")], 3600.0),
        ([("RateLimit-Reset", "1100")], 100.0),
        ([("RateLimit-Reset", "900")], 1.0),
        ([("Retry-After", "soon")], 60.0),
        ([], 60.0),
    ],
)
def test_a_rate_limit_is_told_and_not_slept_through(
    server: Scripted, headers: list[tuple[str, str]], wait: float
) -> None:
    pauses = Pauses()
    api = made(server, pause=pauses.append, clock=lambda: 1000.0)
    server.routes["* /api/v4/x"] = Reply(
        status=429, headers=[*headers, ("Content-Type", "text/plain")], body=b"Retry later\n"
    )
    asks: list[Callable[[], object]] = [lambda: api.get("/x"), lambda: api.send("post", "/x", {})]
    for ask in asks:
        with pytest.raises(TransientError) as caught:
            ask()
        assert caught.value.retry_after == wait
        assert not isinstance(caught.value, UncertainError)
    assert len(server.asked) == 1
    assert pauses == []


def test_nobody_asks_while_a_limit_is_on(server: Scripted) -> None:
    now = [1000.0]
    api = made(server, clock=lambda: now[0])
    another = made(server, clock=lambda: now[0])
    limit = Reply(status=429, headers=[("Retry-After", "100")], body=b"Retry later\n")
    server.routes["GET /api/v4/x"] = one_after_another(limit, said({"a": 1}))
    server.routes["* /api/v4/y"] = said({"a": 1})
    server.routes["POST /api/graphql"] = said({"data": {}})
    with pytest.raises(TransientError):
        api.get("/x")
    now[0] += 30
    asks: list[Callable[[], object]] = [
        lambda: api.get("/x"),
        lambda: api.get("/y"),
        lambda: api.send("post", "/y", {}),
        lambda: api.graph("{a}", {}),
    ]
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(ask) for ask in asks]:
            with pytest.raises(TransientError) as caught:
                one.result()
            assert caught.value.retry_after == 70.0
            assert not isinstance(caught.value, UncertainError)
    assert len(server.asked) == 1
    assert another.get("/y") == {"a": 1}
    now[0] += 70
    for ask in asks:
        ask()
    assert len(server.asked) == 6


def test_writes_beyond_the_pace_are_not_sent(server: Scripted) -> None:
    now = [1_000_000.0]
    api = made(server, clock=lambda: now[0], windows=(Window(5, 60.0),))
    place = "/projects/7/merge_requests"
    below = ("", "/1", "/1/notes", "/1/discussions", "/1/draft_notes", "/1/draft_notes/bulk_publish")
    for path in ("/version", "/projects/7/statuses/abc", *(f"{place}{one}" for one in below)):
        server.routes[f"* /api/v4{path}"] = said({})
    api.require_room()
    for path in (place, f"{place}/1/notes", f"{place}/1/discussions", f"{place}/1/draft_notes/bulk_publish"):
        api.send("post", path, {})
    with pytest.raises(TransientError) as caught:
        api.require_room()
    assert caught.value.retry_after == 60
    api.send("post", place, {})
    before = len(server.asked)
    with pytest.raises(TransientError) as caught:
        api.send("post", place, {})
    assert (caught.value.retry_after, isinstance(caught.value, UncertainError)) == (60, False)
    assert len(server.asked) == before
    # What nobody is told of, and what is read, is not counted.
    for verb, path in (
        ("put", f"{place}/1"),
        ("post", "/projects/7/statuses/abc"),
        ("post", f"{place}/1/draft_notes"),
    ):
        api.send(verb, path, {})
    api.get("/version")
    now[0] += 60
    api.send("post", place, {})


def test_maintenance_names_its_time(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = Reply(status=503, headers=[("Retry-After", "120")])
    with pytest.raises(TransientError) as caught:
        api.get("/x")
    assert caught.value.retry_after == 120.0


def test_a_reset_is_read_by_the_servers_clock(server: Scripted) -> None:
    api = made(server, clock=lambda: 1_000_000.0)
    reset = [("RateLimit-Reset", "1000630"), ("Date", formatdate(1_000_600, usegmt=True))]
    server.routes["GET /api/v4/x"] = Reply(status=429, headers=reset)
    with pytest.raises(TransientError) as caught:
        api.get("/x")
    assert caught.value.retry_after == 30.0
    assert api.ahead == 600.0


# --- retries ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [Reply(status=500), Reply(status=502), Reply(status=503), Reply(raw=b""), Reply(raw=b"HTTP/1.1 2")],
)
def test_reads_are_tried_again(server: Scripted, trouble: Reply) -> None:
    pauses = Pauses()
    api = made(server, pause=pauses.append)
    server.routes["GET /api/v4/x"] = one_after_another(trouble, trouble, said({"a": 1}))
    assert api.get("/x") == {"a": 1}
    assert len(server.asked) == 3
    assert sum(pauses) < 5


def test_reads_are_tried_again_a_few_times(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = Reply(status=502)
    with pytest.raises(TransientError):
        api.get("/x")
    assert len(server.asked) == 3


def test_a_body_that_is_cut_off_is_read_again(server: Scripted, api: Api) -> None:
    cut = Reply(raw=b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"a"')
    server.routes["GET /api/v4/x"] = one_after_another(cut, said({"a": 1}))
    assert api.get("/x") == {"a": 1}


@pytest.mark.parametrize("verb", ["post", "put", "delete"])
@pytest.mark.parametrize(
    "trouble",
    [
        Reply(status=500),
        Reply(status=502),
        Reply(status=408),
        Reply(raw=b""),
        Reply(headers=[JSON], body=b'{"cut'),
    ],
)
def test_writes_are_sent_once(server: Scripted, api: Api, verb: str, trouble: Reply) -> None:
    server.routes["* /api/v4/x"] = trouble
    with pytest.raises(UncertainError):
        api.send(verb, "/x", {"a": 1})
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 403, 405, 409, 422, 501])
def test_refusals_are_final(server: Scripted, api: Api, status: int) -> None:
    server.routes["* /api/v4/x"] = said({"message": {"base": ["no \x1b[31m"]}}, status)
    asks: list[Callable[[], object]] = [lambda: api.get("/x"), lambda: api.send("post", "/x", {})]
    for ask in asks:
        with pytest.raises(RefusedError) as caught:
            ask()
        assert caught.value.status == status
        assert "base" in caught.value.said
        assert "\x1b" not in str(caught.value)
    assert len(server.asked) == 2


def test_advice_for_a_scope(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = said({"error": "insufficient_scope", "error_description": "d"}, 403)
    with pytest.raises(RefusedError) as caught:
        api.get("/x")
    assert caught.value.advice == "The token needs the scope `api`."


def test_a_server_that_is_not_there() -> None:
    with scripted() as server:
        api = made(server)
    with pytest.raises(TransientError) as caught:
        api.get("/x")
    assert caught.value.problem.startswith(f"{server.url.partition('//')[2]} cannot be reached")
    assert "MOORLINE_GITLAB_URL" in caught.value.advice


@pytest.mark.parametrize("body", [b"<html>", b"[" * 200_000, b"\xff"])
def test_what_is_no_json(server: Scripted, api: Api, body: bytes) -> None:
    server.routes["GET /api/v4/x"] = Reply(headers=[JSON], body=body)
    with pytest.raises(TransientError) as caught:
        api.get("/x")
    assert "MOORLINE_GITLAB_URL" in caught.value.advice
    assert len(server.asked) == 3


PAGE = Reply(headers=[("Content-Type", "text/html")], body=b"<html>We will be back soon.</html>")
"""What a proxy shows during maintenance, with a status that says that all is well."""


def test_a_page_instead_of_an_answer_is_gone_when_it_is_asked_again(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = one_after_another(PAGE, said({"id": 1}))
    assert api.get("/x") == {"id": 1}
    server.routes["GET /api/v4/x"] = one_after_another(PAGE, said([{"id": 1}]))
    assert api.page("/x", {}) == ([{"id": 1}], None)
    server.routes["POST /api/graphql"] = one_after_another(PAGE, PAGE, said({"data": {"x": 1}}))
    assert api.graph("query { x }", {}) == {"x": 1}


@pytest.mark.parametrize("reply", [PAGE, Reply(headers=[JSON]), said({"message": "Maintenance"})])
def test_what_is_no_list_is_no_empty_list(server: Scripted, api: Api, reply: Reply) -> None:
    server.routes["GET /api/v4/x"] = reply
    with pytest.raises(TransientError):
        api.page("/x", {})


def test_a_page_after_a_write_leaves_it_open_whether_it_was_done(server: Scripted, api: Api) -> None:
    server.routes["POST /api/v4/x"] = PAGE
    with pytest.raises(UncertainError):
        api.send("post", "/x", {})
    assert len(server.asked) == 1


# --- what a push changed ------------------------------------------------------------------


def test_a_comparison_that_may_be_cut_off_tells_nothing(server: Scripted, api: Api) -> None:
    def answer(count: int, **more: object) -> Reply:
        rows = [{"old_path": "x", "new_path": f"{one}"} for one in range(count)]
        return said({"diffs": rows, "compare_timeout": False, **more})

    def told(reply: Reply) -> frozenset[str] | None:
        server.routes["GET /api/v4/projects/1/repository/compare"] = reply
        return differing(api, 1, "a" * 40, "b" * 40)

    assert told(answer(1)) == frozenset({"0", "x"})
    assert told(answer(999)) == frozenset({*map(str, range(999)), "x"})
    for reply in (
        answer(1000),
        answer(1, compare_timeout=True),
        answer(1, diffs=None),
        answer(1, diffs=[{"new_path": "x"}]),
        answer(1, diffs=["x"]),
        answer(1, more="x" * 8 * 1024 * 1024),
        said({}, 404),
        said({}, 403),
    ):
        assert told(reply) is None
    for trouble in (said({}, 502), PAGE):
        with pytest.raises(TransientError):
            told(trouble)


# --- sizes --------------------------------------------------------------------------------


def test_answers_are_bounded(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = Reply(body=b"x" * 1001)
    with pytest.raises(OversizedError) as caught:
        api.raw("/x", 1000)
    assert caught.value.size == 1001
    server.routes["GET /api/v4/x"] = Reply(body=b"x" * 1000, length=False)
    assert len(api.raw("/x", 1000)) == 1000


def test_what_is_packed_is_bounded_unpacked(server: Scripted, api: Api) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.routes["GET /api/v4/x"] = Reply(headers=[("Content-Encoding", "gzip")], body=bomb)
    with pytest.raises(OversizedError):
        api.raw("/x", 2_000_000)
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_an_errors_body_is_bounded_too(server: Scripted, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.forges.gitlab_api.LARGEST", 1000)
    server.routes["GET /api/v4/x"] = Reply(status=400, body=b"x" * 200_000)
    with pytest.raises(ForgeError):
        api.raw("/x", 1000)


def test_an_answer_that_never_ends_is_given_up(
    server: Scripted, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_session, "_SECONDS", -1.0)
    server.routes["GET /api/v4/x"] = said({})
    with pytest.raises(TransientError):
        api.get("/x")


# --- redirects ----------------------------------------------------------------------------


@contextmanager
def elsewhere() -> Iterator[Scripted]:
    with scripted() as other:
        other.routes["* /api/v4/projects/7"] = said({"id": 7, "path_with_namespace": "evil/app"})
        yield other


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_token_along(server: Scripted, status: int) -> None:
    with elsewhere() as other:
        there = [("Location", f"{other.url}/api/v4/projects/7")]
        server.routes["* /api/v4/projects/acme%2Fweb"] = Reply(status=status, headers=there)
        server.routes["* /api/graphql"] = Reply(status=status, headers=there)
        forge = GitLabForge(server.url, TOKEN, pause=Pauses().append)
        with pytest.raises(RedirectedError) as caught:
            forge.head("acme/web", "")
        assert "MOORLINE_GITLAB_URL" in caught.value.advice
        with pytest.raises(NoGraphQLError):
            forge._api.graph("query { a }", {})
        with pytest.raises(RedirectedError):
            forge._api.send("post", "/projects/acme%2Fweb", {})
        assert other.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "{url}/api/v4/projects/7",
        "/api/v4/projects/7",
        "/api/v4/projects/7?x=1",
        "/api/v4/projects/acme%2Ffront",
    ],
)
def test_a_moved_project_is_looked_up_at_our_own_address(server: Scripted, target: str) -> None:
    there = [("Location", target.format(url=server.url))]
    server.routes["GET /api/v4/projects/acme%2Fweb"] = Reply(status=302, headers=there)
    for path in ("7", "acme%2Ffront"):
        server.routes[f"GET /api/v4/projects/{path}"] = said({"id": 7, "path_with_namespace": "acme/front"})
    with pytest.raises(MovedError) as caught:
        GitLabForge(server.url, TOKEN).head("acme/web", "")
    assert caught.value.name == "acme/front"


@pytest.mark.parametrize("target", ["", "//", "http://[", "/users/sign_in", "/api/v4/projects/../user", "x"])
def test_redirects_that_lead_nowhere(server: Scripted, target: str) -> None:
    server.routes["GET /api/v4/projects/acme%2Fweb"] = Reply(status=302, headers=[("Location", target)])
    with pytest.raises(RedirectedError):
        GitLabForge(server.url, TOKEN).head("acme/web", "")
    assert len(server.asked) == 1


def test_cookies_are_not_kept(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = said({}, 200, ("Set-Cookie", "_gitlab_session=1; Path=/"))
    api.get("/x")
    api.get("/x")
    assert "cookie" not in server.asked[1].headers


# --- pages --------------------------------------------------------------------------------


def test_pages_are_followed_by_their_parameters_alone(server: Scripted, api: Api) -> None:
    with elsewhere() as other:
        link = f'<{other.url}/api/v4/x?id_after=5&per_page=100&private_token=y>; rel="next"'
        last = '<https://x.example/>; rel="first"'
        server.routes["GET /api/v4/x"] = one_after_another(
            said([{"id": 5}, "odd"], 200, ("Link", link)), said([{"id": 6}], 200, ("Link", last))
        )
        assert [number(one, "id") for one in api.pages("/x", {"a": "b"})] == [5, 6]
        assert other.asked == []
    assert server.asked[1].path == "/api/v4/x?per_page=100&a=b&id_after=5"


def test_pages_by_number_and_without_end(server: Scripted, api: Api) -> None:
    server.routes["GET /api/v4/x"] = said([{"id": 1}], 200, ("X-Next-Page", "2"))
    with pytest.raises(OversizedError):
        list(api.pages("/x", {}, most=3))
    assert len(server.asked) == 3


def test_a_list_of_projects_that_leads_around_ends(server: Scripted) -> None:
    row = {"id": 7, "path_with_namespace": "acme/web", "empty_repo": True}
    server.routes["GET /api/v4/projects"] = said([row, {"id": "odd"}, 5], 200, ("X-Next-Page", "1"))
    found = list(GitLabForge(server.url, TOKEN).repositories())
    assert [one.name for one in found] == ["acme/web"]
    assert len(server.asked) == 2


# --- GraphQL ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=404), NoGraphQLError),
        (Reply(status=501), NoGraphQLError),
        (Reply(body=b"<html>"), NoGraphQLError),
        (said([1]), NoGraphQLError),
        (said({"errors": [{"message": "Query has complexity of 251"}]}), QueryError),
        (said({"data": None}), QueryError),
        (said({"data": {"a": 1}, "errors": [{"message": "odd"}]}), QueryError),
        (Reply(status=502), UncertainError),
        (Reply(status=429), TransientError),
    ],
)
def test_what_graphql_says(server: Scripted, api: Api, reply: Reply, kind: type[Exception]) -> None:
    server.routes["POST /api/graphql"] = reply
    with pytest.raises(kind):
        api.graph("query { a }", {})


def test_a_bad_token_is_no_reason_to_go_without_graphql(server: Scripted, api: Api) -> None:
    server.routes["POST /api/graphql"] = said({"message": "401 Unauthorized"}, 401)
    with pytest.raises(ForgeError) as caught:
        api.graph("query { a }", {})
    assert not isinstance(caught.value, NoGraphQLError)
    assert "MOORLINE_GITLAB_TOKEN" in caught.value.advice


# --- what the stand-in has no place for ---------------------------------------------------


def test_the_newest_common_ancestor(server: Scripted) -> None:
    server.routes["GET /api/v4/projects/acme%2Fweb"] = said({"id": 7, "path_with_namespace": "acme/web"})
    server.routes["GET /api/v4/projects/7/repository/merge_base"] = one_after_another(
        said({"id": "c" * 40}), said({"message": "404 Not Found"}, 404)
    )
    forge = GitLabForge(server.url, TOKEN)
    assert forge.merge_base("acme/web", "a" * 40, "b" * 40) == "c" * 40
    assert server.asked[-1].path.endswith(f"?refs%5B%5D={'a' * 40}&refs%5B%5D={'b' * 40}")
    with pytest.raises(ForgeError) as caught:
        forge.merge_base("acme/web", "a" * 40, "b" * 40)
    assert not isinstance(caught.value, MissingError)
    with pytest.raises(MissingError):
        forge.merge_base("acme/web", "main", "b" * 40)


def test_a_repository_with_long_ids(server: Scripted) -> None:
    data = b"FROM a\n"
    oid, at = blob_id(data, 64), "e" * 64
    row = {"path": "Dockerfile", "id": oid, "mode": "100644", "type": "blob"}
    blob = {"path": "Dockerfile", "oid": oid, "size": "7", "rawTextBlob": data.decode()}
    server.routes |= {
        "GET /api/v4/projects/acme%2Fweb": said({"id": 7, "path_with_namespace": "acme/web"}),
        "GET /api/v4/projects/7/repository/tree": said([row]),
        "POST /api/graphql": said({"data": {"project": {"repository": {"blobs": {"nodes": [blob]}}}}}),
    }
    forge = GitLabForge(server.url, TOKEN)
    assert len(oid) == 64
    assert forge.read("acme/web", at, ["Dockerfile"]) == {"Dockerfile": data}


def test_names_that_no_file_may_have(server: Scripted) -> None:
    names = ["../x", ".git/config", "a//Dockerfile", "a/./Dockerfile", "/".join(["d"] * 300), "a\0b"]
    rows = [{"path": name, "id": "a" * 40, "mode": "100644"} for name in names]
    rows += [{"path": "odd", "id": "short", "mode": "100644"}, {"path": "odd2", "id": "a" * 40, "mode": "9"}]
    server.routes |= {
        "GET /api/v4/projects/acme%2Fweb": said({"id": 7, "path_with_namespace": "acme/web"}),
        "GET /api/v4/projects/7/repository/tree": said(rows),
    }
    made_ = GitLabForge(server.url, TOKEN).snapshot("acme/web", "e" * 40, lambda _path, _head: True)
    assert made_.files == {}
    assert {one.path for one in made_.unread} == set(names)


@pytest.mark.parametrize(
    ("off", "health"), [(0, Health.OK), (60, Health.NOTE), (-60, Health.NOTE), (600, Health.TROUBLE)]
)
def test_clocks(server: Scripted, off: int, health: Health) -> None:
    date = ("Date", formatdate(1_000_000_000, usegmt=True))
    server.routes["GET /api/v4/user"] = said({"id": 1, "username": "m"}, 200, date)
    forge = GitLabForge(server.url, TOKEN, clock=lambda: 1_000_000_000.0 + off, pause=Pauses().append)
    found = {one.subject: one for one in forge.examine()}
    assert found["clock"].health is health
    assert bool(found["clock"].advice) is (health is not Health.OK)


def test_plain_http_is_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    forge = GitLabForge("http://gitlab.invalid", TOKEN, pause=Pauses().append)
    first, second = forge.examine()
    assert (first.subject, first.health) == ("address", Health.NOTE)
    assert second.health is Health.TROUBLE


# --- TLS and proxies ----------------------------------------------------------------------


def test_certificates_of_the_bundle_are_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with scripted(authority.context("localhost")) as server:
        server.routes["GET /api/v4/x"] = said({"a": 1})
        url = f"https://localhost:{server.host.partition(':')[2]}"
        assert Api(url, TOKEN, ca_bundle=str(authority.bundle)).get("/x") == {"a": 1}
        with pytest.raises(TransientError) as caught:
            Api(url, TOKEN, pause=Pauses().append).get("/x")
        assert "MOORLINE_CA_BUNDLE" in caught.value.advice
        assert len(server.asked) == 1


def test_a_proxy_is_used_and_sees_no_path_of_https(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "")
        proxy.routes["* http://gitlab.invalid/api/v4/x"] = said({"a": 1})
        assert Api("http://gitlab.invalid", TOKEN).get("/x") == {"a": 1}
        with scripted() as server:
            server.routes["GET /api/v4/x"] = said({"a": 2})
            assert made(server).get("/x") == {"a": 2}  # this machine needs no proxy
        assert len(proxy.asked) == 1


def test_a_login_of_the_users_own_is_never_sent(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.routes["GET /api/v4/x"] = said({})
    made(server).get("/x")
    assert "authorization" not in server.asked[0].headers


# --- small parts --------------------------------------------------------------------------


def test_what_is_kept_is_bounded_by_cost_and_time() -> None:
    now = [0.0]
    kept: Kept[str, bytes] = Kept(10, cost=len, seconds=5, clock=lambda: now[0])
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert kept.get("a") == b"1234"
    kept.put("c", b"1234")
    assert kept.get("b") is None
    kept.put("huge", b"x" * 11)  # alone
    assert (kept.get("huge"), kept.get("a"), kept.get("c")) == (b"x" * 11, None, None)
    kept.put("a", b"12")
    assert kept.pop("a") == b"12"
    assert (kept.get("a"), kept.get("huge")) == (None, None)
    kept.put("c", b"1")
    now[0] = 5.1
    assert kept.get("c") is None


@pytest.mark.parametrize(
    ("pattern", "branch", "matches"),
    [
        ("main", "main", True),
        ("main", "maine", False),
        ("moorline/*", "moorline/pins", True),
        ("*", "a/b/c", True),
        ("*-stable", "1-stable", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "ac", False),
        ("ab*ba", "aba", False),
        ("m*l*/p", "moorline/p", True),
        ("m.orline/*", "moorline/pins", False),
    ],
)
def test_names_of_protected_branches(pattern: str, branch: str, *, matches: bool) -> None:
    assert _matches(pattern, branch) is matches


@pytest.mark.parametrize(
    ("rule", "forbids"),
    [
        ("^(feature|fix)/.*", True),
        ("^(feature|moorline)/.*", False),
        ("pins$", False),
        ("(a+)+$", False),
        ("(.*)(.*)(.*)x", False),
        ("[", False),
        ("(?P<a>x)", False),
        ("x" * 400, False),
    ],
)
def test_rules_that_surely_forbid(rule: str, *, forbids: bool) -> None:
    assert _forbids(rule, "moorline/pins") is forbids


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(ANYTHING)
def test_answers_of_any_shape_are_taken_apart(value: object) -> None:
    list(nodes(value))
    assert isinstance(text(value, "a", "b"), str)
    assert isinstance(number(value, "a"), int)
    assert isinstance(size({"a": value}, "a"), int)
    moment(text({"a": value}, "a"))
    if not isinstance(value, dict):
        with pytest.raises(ForgeError):
            node(value)


KEYS = (
    "id", "iid", "name", "path", "path_with_namespace", "default_branch", "commit", "state", "sha", "author",
    "message", "parent_ids", "mode", "username", "valid", "errors", "url", "request_data", "data", "project",
    "source_branch", "target_branch", "push_access_levels", "branch_name_regex", "alert_status", "scopes",
    "permissions", "project_access", "access_level", "created_at", "request_headers", "expires_at", "version",
)  # fmt: skip
VALUES = st.sampled_from(["opened", "a" * 40, "acme/web", "main", "moorline/pins", "100644", "(", "\0", "é"])
ODD = st.recursive(
    VALUES | st.none() | st.booleans() | st.integers(-1, 10**30) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=25,
)
PROJECT = {"id": 7, "path_with_namespace": "acme/web", "default_branch": "main"}


@pytest.fixture(scope="module")
def odd_server() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@settings(max_examples=40, deadline=None)
@given(value=ODD, known=st.booleans())
def test_answers_of_any_shape_raise_our_own_errors_alone(
    odd_server: Scripted, value: object, *, known: bool
) -> None:
    reply = said(value)
    odd_server.asked.clear()
    odd_server.routes = Everything(reply)
    if known:
        odd_server.routes["GET /api/v4/projects/acme%2Fweb"] = said(PROJECT)
        odd_server.routes["GET /api/v4/user"] = said({"id": 1, "username": "m"})
    forge = GitLabForge(odd_server.url, TOKEN, pause=Pauses().append, hook_url="http://m.example/")
    one, other = "a" * 40, "b" * 40
    since = datetime(2026, 1, 1, tzinfo=UTC)
    change = Change(
        repository="acme/web", base="main", parent=one, branch="m/p", expected=other, message="m", edits=()
    )
    asks: list[Callable[[], object]] = [
        forge.account,
        lambda: forge.head("acme/web", ""),
        lambda: forge.head("acme/web", "refs/pull/1/head"),
        lambda: forge.read("acme/web", one, ["main"]),
        lambda: forge.snapshot("acme/web", one, lambda _path, _head: True),
        lambda: forge.merge_base("acme/web", one, other),
        lambda: forge.standing("acme/web", "main", "moorline/pins"),
        lambda: forge.made(change, one),
        lambda: forge.delete("acme/web", "moorline/pins", one),
        lambda: list(forge.repositories()),
        lambda: forge.open("acme/web", "main", "moorline/pins", Wish(title="t", body="b", reviewers=("x",))),
        lambda: forge.close("acme/web", 1, "c"),
        lambda: forge.check("acme/web", one, Check(conclusion=Conclusion.FAILURE, title="t", summary="s")),
        lambda: forge.advise("acme/web", one, [".gitlab-ci.yml", "main"]),
        lambda: list(forge.missed(since)),
        lambda: list(forge.examine()),
    ]
    for ask in asks:
        with suppress(MoorlineError):
            ask()


class Everything(dict[str, Script]):
    """Routes of which each leads to the same answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    def get(self, key: str, _default: object = None) -> Script:
        return super().get(key, self._reply)


def test_blob_ids_are_gits() -> None:
    assert blob_id(b"", 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"", 64) == "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"


def test_the_default_context_verifies() -> None:
    context = gitlab_session.trusting(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
