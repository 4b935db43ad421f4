"""The application: what it answers, what it stores, what it shows."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from waiting import until
from werkzeug.test import TestResponse

from bot.errors import UsageError
from bot.model import Edit, Job, Proposal, Span, Trigger
from bot.service_settings import Settings
from bot.store.base import Delivery, Ending, ProposalState, Receipt, StoreUnavailableError
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks.pages import diff_lines
from webhooks.served import Served
from webhooks.server import listen, serve
from webhooks.signatures import sign

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "It's a Secret to Everybody"
SITE = Site(
    git_secrets=(SECRET, "the secret of last week"),
    served=Served({"acme/app": "https://git.example/acme/app.git"}),
    pages=True,
)
A, B = "a" * 40, "b" * 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'moorline.db'}") as opened:
        yield opened


def app(
    store: Store,
    site: Site = SITE,
    worker: Callable[[], float | None] | None = None,
    stored: Callable[[], None] = lambda: None,
) -> Flask:
    return create_app(
        inbox=store.inbox,
        proposals=store.proposals,
        backlog=store.backlog,
        site=site,
        worker=worker,
        stored=stored,
        clock=lambda: NOW,
    )


@pytest.fixture
def client(store: Store) -> FlaskClient:
    return app(store).test_client()


def push(**changes: object) -> bytes:
    event = {"repository": "acme/app", "ref": "refs/heads/main", "before": "0" * 40, "after": A}
    return json.dumps({**event, **changes}).encode()


def post(client: FlaskClient, body: bytes, id_: str | None = "1", **headers: str) -> TestResponse:
    sent = {"X-Moorline-Signature-256": sign(SECRET, body)}
    if id_ is not None:
        sent["X-Moorline-Delivery"] = id_
    return client.post(
        "/webhooks/git", data=body, headers=sent | {k.replace("_", "-"): v for k, v in headers.items()}
    )


class TestGitHook:
    def test_a_push_is_stored_and_answered(self, store: Store, client: FlaskClient) -> None:
        response = post(client, push())
        assert (response.status_code, response.json) == (202, {"result": "stored"})
        (claim,) = store.backlog.claim("w", 5, NOW)
        address = "https://git.example/acme/app.git"
        assert claim.job == Job(forge="git", repository=address, ref="main", trigger=Trigger.PUSH, head=A)

    def test_a_repeated_delivery_makes_no_new_work(self, store: Store, client: FlaskClient) -> None:
        post(client, push())
        store.backlog.settle(store.backlog.claim("w", 5, NOW)[0].run, Ending.NOTHING, "", NOW)
        response = post(client, push())
        assert (response.status_code, response.json) == (200, {"result": "duplicate"})
        assert store.inbox.waiting() == 0
        assert post(client, push(), id_="2").status_code == 202

    def test_without_an_id_the_body_is_one(self, client: FlaskClient) -> None:
        statuses = [post(client, push(after=after), id_=None).status_code for after in (A, A, B)]
        assert statuses == [202, 200, 202]

    def test_the_worker_is_told_once(self, store: Store) -> None:
        told: list[int] = []
        client = app(store, stored=lambda: told.append(1)).test_client()
        for id_ in ("1", "1", "2"):
            post(client, push(), id_=id_)
        assert len(told) == 2

    @pytest.mark.parametrize(
        "event", [push(ref="refs/tags/v1"), push(after="0" * 40), push(ref="refs/notes/commits")]
    )
    def test_the_irrelevant_is_welcome_and_forgotten(
        self, store: Store, client: FlaskClient, event: bytes
    ) -> None:
        response = post(client, event)
        assert (response.status_code, response.json) == (200, {"result": "irrelevant"})
        assert store.inbox.waiting() == 0

    def test_another_repository_is_refused(self, store: Store, client: FlaskClient) -> None:
        response = post(client, push(repository="https://evil.example/x.git"))
        assert response.status_code == 422
        assert "MOORLINE_GIT_REPOSITORIES" in response.get_data(as_text=True)
        assert "evil" not in response.get_data(as_text=True)
        assert store.inbox.waiting() == 0

    @pytest.mark.parametrize("ref", ["refs/heads/refs/heads/main", "refs/heads/refs/tags/v1"])
    def test_a_branch_named_like_a_full_ref_is_not_taken_for_another(
        self, store: Store, client: FlaskClient, ref: str
    ) -> None:
        response = post(client, push(ref=ref))
        assert response.status_code == 400
        assert "rename" in response.get_data(as_text=True)
        assert store.inbox.waiting() == 0

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", push(ref="main"), push(after="x")])
    def test_unknown_shapes_are_refused(self, client: FlaskClient, body: bytes) -> None:
        assert post(client, body).status_code == 400

    def test_an_odd_id_is_refused(self, client: FlaskClient) -> None:
        assert post(client, push(), id_="a b").status_code == 400

    @pytest.mark.parametrize(
        "signature", [None, "", "sha256=" + "0" * 64, sign(SECRET, b"other"), sign("another secret", push())]
    )
    def test_what_is_not_signed_is_not_read(
        self, store: Store, client: FlaskClient, signature: str | None
    ) -> None:
        headers = {} if signature is None else {"X-Moorline-Signature-256": signature}
        for body in (push(), b"{", b"\xff"):
            response = client.post("/webhooks/git", data=body, headers=headers)
            assert (response.status_code, (response.json or {})["result"]) == (401, "unsigned")
        assert store.inbox.waiting() == 0

    def test_the_signature_is_of_the_raw_body(self, client: FlaskClient) -> None:
        body = b'{ "after":"%s",\r\n\t"ref":"refs/heads/f\\u00fc", "repository":"acme/app" }\n' % A.encode()
        assert post(client, body, Content_Type="application/x-www-form-urlencoded").status_code == 202

    def test_the_secret_of_last_week_still_counts(self, client: FlaskClient) -> None:
        signature = sign("the secret of last week", push())
        assert post(client, push(), X_Moorline_Signature_256=signature).status_code == 202

    def test_it_is_off_without_a_secret(self, store: Store) -> None:
        response = post(app(store, Site()).test_client(), push())
        assert response.status_code == 404
        assert "MOORLINE_GIT_WEBHOOK_SECRET" in response.get_data(as_text=True)

    def test_only_posts_are_taken(self, client: FlaskClient) -> None:
        assert client.get("/webhooks/git").status_code == 405

    def test_too_large_is_refused_before_it_is_read(self, client: FlaskClient) -> None:
        class Unread:
            def read(self, *_: object) -> bytes:
                raise AssertionError

        environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(64 * 1024 + 1)}
        response = client.post("/webhooks/git", environ_overrides=environ)
        assert response.status_code == 413

    def test_what_is_refused_names_the_delivery(
        self, client: FlaskClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = "72d3162e\x1b[31m" + "x" * 500
        client.post("/webhooks/git", data=b"x", headers={"X-Moorline-Delivery": hostile})
        [line] = [one for one in capsys.readouterr().out.splitlines() if "right signature" in one]
        assert "72d3162e" in line
        assert "\x1b[31m" + "x" not in line
        assert len(line) < 250

    def test_when_it_cannot_be_stored_the_sender_keeps_it(self, store: Store) -> None:
        answers = iter([StoreUnavailableError("away"), None])

        class Stumbling:
            def receive(self, delivery: Delivery, now: datetime) -> Receipt:
                error = next(answers)
                if error:
                    raise error
                return store.inbox.receive(delivery, now)

            def want(self, jobs: tuple[Job, ...], now: datetime) -> None:
                store.inbox.want(jobs, now)

            def waiting(self) -> int:
                return store.inbox.waiting()

            def ping(self) -> None:
                store.inbox.ping()

            def tallies(self) -> dict[str, int]:
                return dict(store.inbox.tallies())

        client = create_app(inbox=Stumbling(), proposals=store.proposals, site=SITE).test_client()
        response = post(client, push())
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert post(client, push()).status_code == 202


class TestServed:
    def test_only_what_lies_below_a_root(self, tmp_path: Path) -> None:
        root = tmp_path / "git"
        (root / "group" / "app.git").mkdir(parents=True)
        (tmp_path / "secret.git").mkdir()
        (root / "link.git").symlink_to(tmp_path / "secret.git")
        (root / "inner.git").symlink_to(root / "group" / "app.git")
        (root / "loop").symlink_to(root / "loop")
        (root / "file").touch()
        served = Served({}, [str(root)])
        app = str(root / "group" / "app.git")
        for name in ("group/app.git", app, "./group/../group/app.git", "inner.git"):
            assert served.address(name) == app
        for name in (
            *("link.git", "loop", "file", "missing", ".", "", "..", "/", "../secret.git", "a\0b", "x" * 999),
            *(str(root), str(tmp_path / "secret.git"), f"{root}/../secret.git", "~", "https://x/y"),
        ):
            assert served.address(name) is None, name

    def test_one_repository_has_one_address(self, tmp_path: Path) -> None:
        root = tmp_path / "git"
        (root / "app" / ".git").mkdir(parents=True)
        (tmp_path / "link").symlink_to(root / "app")
        app = str(root / "app")
        served = Served({"app": f"{tmp_path}/link/", "old": f"file://{app}/.git"}, [str(root)])
        for name in ("app", "app/.git", "app/.git/", app, f"{app}/.git", "old", f"{tmp_path}/link/"):
            assert served.address(name) == app, name
        url = "https://git.example/a.git"
        for other in (url, "https://GIT.example:443/a.git/", "HTTPS://git.example/a.git"):
            served = Served({"acme/app": other})
            for name in ("acme/app", url, other):
                assert served.address(name) == url, name
        kept = "http://[::1]:8080/a"
        assert Served({"a": kept}).address("a") == kept
        assert Served({"a": "ssh://git@h/a"}).address("a") == "ssh://git@h/a"

    def test_names_and_addresses(self) -> None:
        served = Served({"acme/app": "https://git.example/a.git"})
        assert served.address("acme/app") == served.address("https://git.example/a.git")
        assert served.address("acme/other") is None

    def test_a_site_is_what_the_settings_say(self, tmp_path: Path) -> None:
        settings = Settings.from_environ(
            {
                "MOORLINE_GIT_WEBHOOK_SECRET": SECRET,
                "MOORLINE_GIT_ROOTS": str(tmp_path),
                "MOORLINE_PUBLIC_URL": "https://Moorline.example",
                "MOORLINE_PAGES": "1",
            }
        )
        site = Site.of(settings)
        assert site.git_secrets == (SECRET,)
        assert {"moorline.example", "127.0.0.1", "localhost"} <= site.hosts
        assert site.pages
        assert SECRET not in repr(site)


class TestHealth:
    def test_alive_and_ready(self, store: Store, client: FlaskClient) -> None:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json == {"database": "ok"}
        idle: list[float | None] = [None, 1.0, 61.0]
        client = app(store, worker=lambda: idle.pop(0)).test_client()
        assert [client.get("/readyz").status_code for _ in range(3)] == [503, 200, 503]

    def test_a_database_that_can_only_be_read_is_not_ready(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        with Store(f"sqlite:///{path}") as store, closing(sqlite3.connect(path)) as database:
            client = app(store).test_client()
            refuses = (
                "CREATE TRIGGER full BEFORE UPDATE ON moorline_schema BEGIN SELECT RAISE(FAIL, 'full'); END"
            )
            database.execute(refuses)
            assert client.get("/readyz").status_code == 503
            database.execute("DROP TRIGGER full")
            assert client.get("/readyz").status_code == 200

    def test_without_a_database_it_is_alive_and_not_ready(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        with Store(f"sqlite:///{path}") as store:
            client = app(store).test_client()
            store._database._engine.dispose()
            path.unlink()
            path.mkdir()
            assert client.get("/healthz").status_code == 200
            response = client.get("/readyz")
            assert (response.status_code, response.json) == (503, {"database": "unavailable"})
            assert "moorline_database_up 0.0" in client.get("/metrics").get_data(as_text=True)
            assert post(client, push()).status_code == 503
            assert client.get("/").status_code == 503

    def test_metrics(self, client: FlaskClient) -> None:
        for id_ in ("1", "1", "2"):
            post(client, push(repository="acme/app"), id_=id_)
        post(client, push(repository="acme/evil-name"))
        client.post("/webhooks/git", data=b"x")
        text = client.get("/metrics").get_data(as_text=True)
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith("_created")
        }
        assert found["moorline_deliveries_total", "git", "stored"] == 2
        assert found["moorline_deliveries_total", "duplicate", "git"] == 1
        assert found["moorline_deliveries_total", "git", "not-served"] == 1
        assert found["moorline_deliveries_total", "git", "unsigned"] == 1
        assert found["moorline_wanted",] == 1
        assert found["moorline_database_up",] == 1
        assert found["moorline_runs_total", "parked"] == 0
        assert found["moorline_proposals", "open"] == 0
        assert "acme" not in text

    def test_two_applications_do_not_share_counters(self, store: Store, client: FlaskClient) -> None:
        post(client, push())
        assert "moorline_deliveries_total{" not in app(store).test_client().get("/metrics").get_data(
            as_text=True
        )


EVIL = "<script>alert(1)</script>\u202e{{ 7*7 }}"


@pytest.fixture
def proposal(store: Store) -> str:
    made = Proposal(
        repository=f"/srv/{EVIL}",
        base=EVIL,
        commit=A,
        group="all",
        branch=f"moorline/{EVIL}",
        title=f"Pin {EVIL}",
        body=f"# Body\n\n{EVIL}\n",
        message="",
        edits=(Edit(path="Dockerfile", span=Span(5, 9), expected=b"node", replacement=b"x"),),
        digest="d",
    )
    diff = "--- a/Dockerfile\n+++ b/Dockerfile\n@@ -1,2 +1,2 @@\n-FROM node\n+FROM node@sha256:1\n RUN x\n---- y\n"
    id_ = store.proposals.store("git", made, diff + EVIL, NOW)
    store.proposals.mark(id_, ProposalState.PUBLISHED, NOW, commit=B, url="javascript:alert(1)", detail=EVIL)
    return id_


class TestPages:
    def test_an_empty_page_says_what_to_do(self, store: Store, client: FlaskClient) -> None:
        assert "/webhooks/git" in client.get("/").get_data(as_text=True)
        bare = app(store, Site(pages=True)).test_client()
        assert "MOORLINE_GIT_WEBHOOK_SECRET" in bare.get("/").get_data(as_text=True)
        forges = app(store, Site(pages=True, github_secrets=(SECRET,))).test_client()
        shown = forges.get("/").get_data(as_text=True)
        assert "<code>/webhooks/github</code>, or begin a sweep" in shown
        assert "GIT_" not in shown, "nobody is sent to a hook that is not meant"

    def test_proposals_and_runs_are_listed(self, store: Store, client: FlaskClient, proposal: str) -> None:
        post(client, push())
        store.backlog.settle(store.backlog.claim("w", 5, NOW)[0].run, Ending.FAILED, EVIL, NOW)
        page = client.get("/").get_data(as_text=True)
        assert f"/proposals/{proposal}" in page
        assert "published" in page
        assert "failed" in page
        self._is_harmless(page)

    def test_no_cell_of_a_run_is_empty(self, store: Store, client: FlaskClient) -> None:
        store.backlog.want((Job(forge="git", repository="acme/app", ref="", trigger=Trigger.PUSH),), NOW)
        store.backlog.settle(store.backlog.claim("w", 5, NOW)[0].run, Ending.NOTHING, "", NOW)
        page = client.get("/").get_data(as_text=True)
        assert "<td>the default branch</td>" in page
        assert "<td>nothing new to propose</td>" in page

    def test_a_proposal_shows_its_text_and_diff(self, client: FlaskClient, proposal: str) -> None:
        response = client.get(f"/proposals/{proposal}")
        page = response.get_data(as_text=True)
        assert '<span class="removed">-FROM node\n</span>' in page
        assert '<span class="added">+FROM node@sha256:1\n</span>' in page
        assert "# Body" in page
        assert B in page
        assert "javascript:" not in page
        self._is_harmless(page)

    @staticmethod
    def _is_harmless(page: str) -> None:
        assert "<script" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page
        assert "{{ 7*7 }}" in page

    def test_every_answer_is_guarded(self, client: FlaskClient, proposal: str) -> None:
        for path in ("/", f"/proposals/{proposal}", "/static/moorline.css", "/healthz", "/nothing"):
            headers = client.get(path, buffered=True).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Frame-Options"] == "DENY"
            assert "Set-Cookie" not in headers

    def test_pages_need_no_script_and_no_other_host(self, client: FlaskClient, proposal: str) -> None:
        for path in ("/", f"/proposals/{proposal}"):
            page = client.get(path).get_data(as_text=True)
            assert re.findall(r"<(?:script|img|iframe|form|style)|\bstyle=|\bon[a-z]+=", page) == []
            assert re.findall(r'(?:href|src)="(?!/)', page) == []

    @pytest.mark.parametrize("id_", ["x", "0" * 32, "0" * 33, "../x", "%00", "A" * 32])
    def test_what_is_not_there(self, client: FlaskClient, id_: str) -> None:
        assert client.get(f"/proposals/{id_}").status_code == 404

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:8000", 200),
            ("localhost", 200),
            ("[::1]:8000", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example:8000", 421),
        ],
    )
    def test_a_stranger_s_name_shows_nothing(self, client: FlaskClient, host: str, status: int) -> None:
        assert client.get("/", headers={"Host": host}).status_code == status
        assert client.get("/static/moorline.css", headers={"Host": host}, buffered=True).status_code == status
        assert client.get("/healthz", headers={"Host": host}).status_code == 200

    def test_they_can_be_off(self, store: Store, proposal: str) -> None:
        client = app(store, Site(git_secrets=(SECRET,))).test_client()
        assert client.get("/").status_code == 404
        assert client.get(f"/proposals/{proposal}").status_code == 404
        assert client.get("/static/moorline.css").status_code == 404

    def test_a_diff_is_read_line_by_line(self) -> None:
        diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n---- old\n++++ new\n same\n--- a/y\n+++ b/y\n"
        kinds = [line.kind for line in diff_lines(diff)]
        assert kinds == ["file", "file", "hunk", "removed", "added", "same", "file", "file", "same"]
        assert sum(1 for _ in diff_lines("+\n" * 100_000)) == 5000


@contextmanager
def serving(application: Flask, *, drain: float = 5) -> Iterator[tuple[str, threading.Event]]:
    """Serve on a free port; yields the URL and what stops it."""
    stop = threading.Event()
    urls: list[str] = []
    thread = threading.Thread(
        target=serve,
        args=(application, listen("127.0.0.1", 0), stop),
        kwargs={"drain": drain, "started": urls.append},
    )
    thread.start()
    try:
        until(lambda: urls)
        yield urls[0], stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


class TestServer:
    def test_many_deliveries_at_once_are_all_stored_once(self, store: Store) -> None:
        with serving(app(store)) as (url, _), urllib3.PoolManager(maxsize=8) as pool:

            def send(number: int) -> int:
                body = push(after=f"{number:040x}")
                headers = {
                    "X-Moorline-Signature-256": sign(SECRET, body),
                    "X-Moorline-Delivery": str(number % 100),
                }
                return pool.request(
                    "POST", f"{url}/webhooks/git", body=body, headers=headers, retries=False
                ).status

            with ThreadPoolExecutor(8) as threads:
                statuses = Counter(threads.map(send, range(1, 201)))
        assert statuses == {202: 100, 200: 100}
        assert store.inbox.waiting() == 1

    def test_it_says_nothing_about_itself(self, store: Store) -> None:
        with serving(app(store)) as (url, _), urllib.request.urlopen(f"{url}/healthz") as response:
            assert "Server" not in response.headers
            assert response.status == 200

    def test_a_large_body_is_refused_by_the_server_too(self, store: Store) -> None:
        site = Site(git_secrets=(SECRET,), max_body=1024)
        with serving(app(store, site)) as (url, _), urllib3.PoolManager() as pool:
            response = pool.request("POST", f"{url}/healthz", body=b"x" * 5000, retries=False)
            assert response.status == 413
            chunked = pool.request(
                "POST", f"{url}/webhooks/git", body=iter([b"x" * 500] * 10), chunked=True, retries=False
            )
            assert chunked.status == 413

    def test_a_stranger_cannot_send_more_than_a_push(self, store: Store) -> None:
        with serving(app(store)) as (url, _):
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
                line.sendall(b"POST /webhooks/git HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n")
                # Answered before a byte of the body is there.
                assert line.recv(100).startswith(b"HTTP/1.1 413 ")
            with urllib3.PoolManager() as pool:
                largest = pool.request("POST", f"{url}/webhooks/git", body=b"x" * 65536, retries=False)
                assert largest.status == 401

    def test_stopping_answers_what_was_received(self, store: Store) -> None:
        application, begun, hold = app(store), threading.Event(), threading.Event()

        @application.get("/slow")
        def slow() -> str:
            begun.set()
            assert hold.wait(20)
            return "done"

        with (
            serving(application) as (url, stop),
            urllib3.PoolManager() as pool,
            ThreadPoolExecutor(1) as threads,
        ):
            answer = threads.submit(pool.request, "GET", f"{url}/slow", retries=False)
            assert begun.wait(20)
            stop.set()
            host, port = url.removeprefix("http://").split(":")

            def refused() -> bool:
                try:
                    socket.create_connection((host, int(port)), timeout=5).close()
                except ConnectionError:
                    return True
                return False

            until(refused)
            hold.set()
            assert answer.result(20).data == b"done"

    def test_stopping_does_not_wait_for_the_idle(self, store: Store) -> None:
        with serving(app(store), drain=60) as (url, _):
            host, port = url.removeprefix("http://").split(":")
            idle = socket.create_connection((host, int(port)))
        idle.close()

    def test_a_taken_port_is_said(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError) as caught:
            listen("127.0.0.1", port := taken.getsockname()[1])
        assert caught.value.problem == f"Cannot listen on 127.0.0.1 port {port}: Address already in use."
        with pytest.raises(UsageError, match="there is no such host"):
            listen("a host that is none", 0)
