"""`/webhooks/github` and `/webhooks/gitlab` over HTTP: who is let in, what is answered, what is stored."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from webhook_samples import ACCOUNTS, APP, OWNERS, WEBHOOKS, name, read, samples
from werkzeug.test import TestResponse

from bot.errors import StoreError
from bot.model import Trigger
from bot.service_settings import Settings
from bot.store.base import Delivery, Receipt, StoreUnavailableError
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks.events import Reason
from webhooks.intake import Result
from webhooks.signatures import is_signed_message, is_token, sign, sign_message, signing_key
from webhooks.site import Secrets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "It's a Secret to Everybody"
TOKEN = "a plain token of gitlab"
SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SIGNING = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
UUID = "02affd2d-2cba-4033-917d-ec22d5dc4b38"
SITE = Site(
    github_secrets=("the secret of next week", SECRET),
    github_app=APP,
    gitlab_secrets=Secrets({"": (TOKEN,)}),
    owners=OWNERS,
)


@dataclass
class FakeInbox:
    """An inbox in memory; what it is told to raise, it raises once."""

    stored: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    troubles: list[Exception] = field(default_factory=list)

    def receive(self, delivery: Delivery, now: datetime) -> Receipt:
        assert now == NOW
        if self.troubles:
            raise self.troubles.pop()
        key = (delivery.source, delivery.id)
        if key in self.stored:
            return Receipt.DUPLICATE
        self.stored[key] = delivery
        return Receipt.STORED

    def want(self, *_: object) -> None:
        raise AssertionError

    def waiting(self) -> int:
        return len(self.stored)

    def ping(self) -> None:
        pass

    def tallies(self) -> Mapping[str, int]:
        return {}


class NoProposals:
    def counts(self) -> Mapping[str, int]:
        return {}


def application(
    inbox: Any,
    site: Site = SITE,
    accounts: Callable[[str], frozenset[str]] = lambda forge: ACCOUNTS[forge],
    stored: Callable[[], None] = lambda: None,
) -> Flask:
    proposals: Any = NoProposals()
    return create_app(
        inbox=inbox, proposals=proposals, site=site, accounts=accounts, stored=stored, clock=lambda: NOW
    )


@pytest.fixture
def inbox() -> FakeInbox:
    return FakeInbox()


@pytest.fixture
def client(inbox: FakeInbox) -> FlaskClient:
    return application(inbox).test_client()


def post(client: FlaskClient, forge: str, body: bytes, route: str = "", **headers: str) -> TestResponse:
    """Send a body as the forge does, with the right signature unless `headers` say otherwise."""
    proof = {"X-Hub-Signature-256": sign(SECRET, body)} if forge == "github" else {"X-Gitlab-Token": TOKEN}
    said = {key.replace("_", "-"): value for key, value in headers.items()}
    return client.post(route or f"/webhooks/{forge}", data=body, headers={**proof, **said})


def send(client: FlaskClient, forge: str, folder: str, **headers: str) -> TestResponse:
    sent, body = read(WEBHOOKS / forge / folder)
    return post(
        client, forge, body, **{**{key.replace("-", "_"): value for key, value in sent.items()}, **headers}
    )


def result(response: TestResponse) -> str:
    return str((response.json or {})["result"])


def counted(client: FlaskClient) -> dict[tuple[str, str], float]:
    text = client.get("/metrics").get_data(as_text=True)
    return {
        (sample.labels["source"], sample.labels["result"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "moorline_deliveries_total"
    }


@pytest.mark.parametrize("sample", samples("github", "gitlab"), ids=name)
def test_a_sample_is_answered(sample: Path, inbox: FakeInbox, client: FlaskClient) -> None:
    forge = sample.parent.name
    expected = json.loads(sample.joinpath("expected.json").read_bytes())
    response = send(client, forge, sample.name)
    if "jobs" in expected:
        assert (response.status_code, result(response)) == (202, "stored")
        assert list(inbox.stored) == [(forge, expected["id"])]
        assert (send(client, forge, sample.name).status_code, len(inbox.stored)) == (200, 1)
        return
    assert inbox.stored == {}
    if "malformed" in expected:
        # GitLab switches off hooks that are answered 4xx.
        assert (response.status_code, result(response)) == (200 if forge == "gitlab" else 400, "malformed")
        return
    assert (response.status_code, response.json) == (200, {"result": expected["reason"]})
    assert counted(client) == {(forge, expected["reason"]): 1}


class TestBoth:
    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    def test_off_without_a_secret(self, inbox: FakeInbox, forge: str) -> None:
        response = send(application(inbox, Site()).test_client(), forge, "push")
        assert (response.status_code, result(response)) == (404, "off")
        assert f"MOORLINE_{forge.upper()}_WEBHOOK_SECRET" in response.get_data(as_text=True)

    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    def test_only_posts(self, client: FlaskClient, forge: str) -> None:
        assert client.get(f"/webhooks/{forge}").status_code == 405

    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    def test_too_large_is_refused_before_it_is_read(self, client: FlaskClient, forge: str) -> None:
        class Unread:
            def read(self, *_: object) -> bytes:
                raise AssertionError

        environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(25 * 1024 * 1024 + 1)}
        response = client.post(f"/webhooks/{forge}", environ_overrides=environ)
        assert (response.status_code, result(response)) == (413, "too-large")

    def test_as_large_as_is_documented_is_read(self, client: FlaskClient) -> None:
        _, body = read(WEBHOOKS / "github" / "push")
        body += b" " * (25 * 1024 * 1024 - len(body))
        assert post(client, "github", body, X_GitHub_Event="push").status_code == 202

    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
    def test_compressed_bodies_are_refused(self, client: FlaskClient, forge: str, encoding: str) -> None:
        response = send(client, forge, "push", Content_Encoding=encoding)
        assert (response.status_code, result(response)) == (415, "encoded")
        assert send(client, forge, "push", Content_Encoding="identity").status_code == 202

    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    def test_what_cannot_be_stored_stays_with_the_sender(
        self, inbox: FakeInbox, client: FlaskClient, forge: str
    ) -> None:
        inbox.troubles.append(StoreUnavailableError("away"))
        response = send(client, forge, "push")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert (result(response), inbox.stored) == ("unavailable", {})
        assert send(client, forge, "push").status_code == 202

    @pytest.mark.parametrize("forge", ["github", "gitlab"])
    def test_when_nobody_can_say_who_we_are_the_sender_keeps_it(self, inbox: FakeInbox, forge: str) -> None:
        def accounts(_forge: str) -> frozenset[str]:
            raise StoreError("away")

        response = send(application(inbox, accounts=accounts).test_client(), forge, "push")
        assert (response.status_code, response.headers["Retry-After"], inbox.stored) == (503, "10", {})

    def test_the_worker_is_told_of_what_is_new(self, inbox: FakeInbox) -> None:
        told: list[int] = []
        client = application(inbox, stored=lambda: told.append(1)).test_client()
        for folder in ("push", "push", "ping", "comment"):
            send(client, "github", folder)
        assert len(told) == 2

    def test_large_bodies_are_held_one_at_a_time(
        self, inbox: FakeInbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, hold = threading.Event(), threading.Event()

        def accounts(forge: str) -> frozenset[str]:
            begun.set()
            assert hold.wait(20)
            return ACCOUNTS[forge]

        app = application(inbox, accounts=accounts)
        _, body = read(WEBHOOKS / "github" / "push")
        large = body + b" " * 1024 * 1024
        first: list[TestResponse] = []
        thread = threading.Thread(
            target=lambda: first.append(post(app.test_client(), "github", large, X_GitHub_Event="push"))
        )
        thread.start()
        assert begun.wait(20)
        monkeypatch.setattr("webhooks.intake._PATIENCE", 0.0)
        second = post(app.test_client(), "github", large, X_GitHub_Event="push")
        hold.set()
        thread.join(20)
        assert (second.status_code, result(second)) == (503, "unavailable")
        assert first[0].status_code == 202

    def test_nothing_of_a_body_or_a_secret_is_logged(self, inbox: FakeInbox) -> None:
        bodies: list[bytes] = []
        with structlog.testing.capture_logs() as lines:
            client = application(inbox).test_client()
            for forge in ("github", "gitlab"):
                for folder in ("push", "push-with-a-hostile-name", "push-to-an-owner-that-is-not-served"):
                    if (WEBHOOKS / forge / folder).exists():
                        send(client, forge, folder)
                        bodies.append(read(WEBHOOKS / forge / folder)[1])
                post(client, forge, b'{"hunter2": "hunter2"}', X_GitHub_Event="push")
                post(client, forge, b"hunter2", X_GitHub_Event="hunter2", X_Gitlab_Token="hunter2")
        said = str(lines)
        assert "acme/app" in said
        for secret in (SECRET, TOKEN, "hunter2", "mona@", "Change", "evil"):
            assert secret not in said

    def test_labels_are_a_closed_set(self, client: FlaskClient) -> None:
        for forge in ("github", "gitlab"):
            for sample in samples(forge):
                send(client, forge, sample.name)
            post(client, forge, b"x", X_GitHub_Event="\u00e9vil", X_Gitlab_Event="evil")
            client.post(f"/webhooks/{forge}", data=b"x")
        known = {one.value for kind in (Result, Reason, Receipt) for one in kind}
        assert {label for _, label in counted(client)} <= known
        assert "evil" not in client.get("/metrics").get_data(as_text=True)


class TestGithub:
    def test_the_documented_vector(self, client: FlaskClient) -> None:
        signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        response = post(client, "github", b"Hello, World!", X_Hub_Signature_256=signature)
        assert (response.status_code, result(response)) == (400, "malformed")  # let in, and no JSON

    @pytest.mark.parametrize(
        "signature",
        [
            "",
            "sha256=",
            "sha256=" + "0" * 64,
            sign(SECRET, b"other"),
            sign("another secret of ours", b"{}"),
            "\u00e9",
        ],
    )
    def test_what_is_not_signed_is_not_read(
        self, inbox: FakeInbox, client: FlaskClient, signature: str
    ) -> None:
        for body in (b"{}", b"{", read(WEBHOOKS / "github" / "push")[1]):
            response = post(client, "github", body, X_GitHub_Event="push", X_Hub_Signature_256=signature)
            assert (response.status_code, result(response)) == (401, "unsigned")
        assert inbox.stored == {}

    def test_sha1_is_no_signature(self, client: FlaskClient) -> None:
        import hashlib
        import hmac

        body = b"{}"
        old = "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
        response = client.post("/webhooks/github", data=body, headers={"X-Hub-Signature": old})
        assert response.status_code == 401
        assert post(client, "github", body, X_Hub_Signature_256=old).status_code == 401

    def test_either_of_two_secrets_counts(self, client: FlaskClient) -> None:
        _, body = read(WEBHOOKS / "github" / "push")
        for id_, secret in enumerate(SITE.github_secrets):
            response = post(
                client,
                "github",
                body,
                X_GitHub_Event="push",
                X_GitHub_Delivery=str(id_),
                X_Hub_Signature_256=sign(secret, body),
            )
            assert response.status_code == 202

    def test_a_delivery_that_is_sent_again_is_one(self, inbox: FakeInbox, client: FlaskClient) -> None:
        assert result(send(client, "github", "push")) == "stored"
        again = send(client, "github", "push")
        assert (again.status_code, result(again)) == (200, "duplicate")
        assert send(client, "github", "push", X_GitHub_Delivery="another").status_code == 202
        assert len(inbox.stored) == 2

    def test_a_form_is_told_what_to_send(self, client: FlaskClient) -> None:
        response = post(client, "github", b"payload=%7B%7D", X_GitHub_Event="push")
        assert response.status_code == 400
        assert "application/json" in response.get_data(as_text=True)


def stamp(body: bytes, token: str = SIGNING, *, at: datetime = NOW, id_: str = "msg-1") -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    return {
        "webhook_id": id_,
        "webhook_timestamp": seconds,
        "webhook_signature": sign_message(token, id_, seconds, body),
    }


class TestGitlab:
    BODY = read(WEBHOOKS / "gitlab" / "push")[1]

    def status(self, site: Site, headers: Mapping[str, str] | None = None, *, route: str = "") -> int:
        client = application(FakeInbox(), replace(site, owners=OWNERS)).test_client()
        return post(client, "gitlab", self.BODY, route, **(headers or {})).status_code

    @pytest.mark.parametrize("token", ["", TOKEN[:-1], f"{TOKEN}x", "hunter2", "\u00e9"])
    def test_a_wrong_token(self, client: FlaskClient, token: str) -> None:
        for body in (self.BODY, b"{", b""):
            response = post(client, "gitlab", body, X_Gitlab_Token=token)
            assert (response.status_code, result(response)) == (401, "unsigned")

    def test_no_token(self, client: FlaskClient) -> None:
        assert client.post("/webhooks/gitlab", data=self.BODY).status_code == 401

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"object_kind": 7}', b"hello"]
    )
    def test_other_shapes_never_switch_a_hook_off(self, client: FlaskClient, body: bytes) -> None:
        response = post(client, "gitlab", body)
        assert (response.status_code, result(response)) == (200, "malformed")

    def test_an_odd_id_never_switches_a_hook_off(self, client: FlaskClient) -> None:
        response = post(client, "gitlab", self.BODY, Idempotency_Key="a b")
        assert (response.status_code, result(response)) == (200, "malformed")

    def test_a_signing_token_is_required_once_it_is_set(self) -> None:
        site = Site(
            gitlab_signing=Secrets({"": (OTHER_SIGNING, SIGNING)}), gitlab_secrets=Secrets({"": (TOKEN,)})
        )
        good = stamp(self.BODY)
        assert self.status(site, good) == 202
        assert self.status(site, {**good, "X_Gitlab_Token": "wrong"}) == 202
        assert self.status(site) == 401  # the plain token alone, which is right
        for missing in good:
            assert self.status(site, {key: value for key, value in good.items() if key != missing}) == 401

    @pytest.mark.parametrize(
        "change",
        [
            {"webhook_id": "msg-2"},
            {"webhook_id": "msg.1"},
            {"webhook_id": ""},
            {"webhook_timestamp": str(int(NOW.timestamp()) + 1)},
            {"webhook_timestamp": ""},
            {"webhook_timestamp": "now"},
            {"webhook_timestamp": f"{int(NOW.timestamp())}.0"},
            {"webhook_timestamp": "9" * 400},
            {"webhook_signature": ""},
            {"webhook_signature": "v1,"},
            {"webhook_signature": "v1,\u00e9"},
            stamp(b"another body"),
            stamp(BODY, OTHER_SIGNING),
            {"webhook_signature": stamp(BODY)["webhook_signature"].replace("v1,", "v1a,")},
            {"webhook_signature": stamp(BODY)["webhook_signature"].replace("v1,", "")},
            {"webhook_signature": " ".join(["v1,x"] * 16 + [stamp(BODY)["webhook_signature"]])},
        ],
    )
    def test_a_wrong_signature_is_not_made_good_by_the_token(self, change: dict[str, str]) -> None:
        site = Site(gitlab_signing=Secrets({"": (SIGNING,)}), gitlab_secrets=Secrets({"": (TOKEN,)}))
        assert self.status(site, {**stamp(self.BODY), **change}) == 401

    def test_one_of_several_signatures_is_enough(self) -> None:
        site = Site(gitlab_signing=Secrets({"": (SIGNING,)}))
        good = stamp(self.BODY)
        several = f"v1,bm9uZQ== v1a,x {good['webhook_signature']} v2,y"
        assert self.status(site, {**good, "webhook_signature": several}) == 202

    @pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 202), (299, 202), (301, 401)])
    def test_an_old_delivery_is_not_taken(self, seconds: int, status: int) -> None:
        site = Site(gitlab_signing=Secrets({"": (SIGNING,)}))
        assert self.status(site, stamp(self.BODY, at=NOW + timedelta(seconds=seconds))) == status

    def test_a_secret_of_one_hook_opens_no_other(self) -> None:
        site = Site(gitlab_secrets=Secrets({"acme": ("the token of acme",), UUID: ("the token of a uuid",)}))
        acme, uuid = "/webhooks/gitlab/acme", f"/webhooks/gitlab/{UUID}"
        for route, hook, token, status in (
            (acme, "", "the token of acme", 202),
            (acme, UUID, "the token of acme", 202),
            (acme, UUID, "the token of a uuid", 401),
            (uuid, "", "the token of a uuid", 202),
            (uuid, "acme", "the token of acme", 401),
            ("", UUID, "the token of a uuid", 202),
            ("", "acme", "the token of acme", 202),
            ("", UUID, "the token of acme", 401),
            ("", "", "the token of acme", 401),
            ("", "other", "the token of acme", 401),
            ("/webhooks/gitlab/other", "acme", "the token of acme", 401),
        ):
            said = {"X_Gitlab_Token": token} | ({"X_Gitlab_Webhook_UUID": hook} if hook else {})
            assert self.status(site, said, route=route) == status, (route, hook, token)

    def test_one_secret_for_all_serves_every_route(self) -> None:
        assert self.status(Site(gitlab_secrets=Secrets({"": (TOKEN,)})), route="/webhooks/gitlab/any") == 202

    def test_no_other_name_leads_round_a_signature(self) -> None:
        """Whoever read the plain token of a hook that signs now gets in under no name."""
        site = Site(
            gitlab_signing=Secrets({"acme": (SIGNING,)}),
            gitlab_secrets=Secrets({"": (TOKEN,), "old": ("the token of the old one",)}),
        )
        for route in (
            "/webhooks/gitlab/acme",
            "/webhooks/gitlab/other",
            "/webhooks/gitlab",
            "/webhooks/gitlab/old",
        ):
            assert self.status(site, route=route) == 401, route
        assert self.status(site, stamp(self.BODY), route="/webhooks/gitlab/acme") == 202
        assert self.status(site, stamp(self.BODY), route="/webhooks/gitlab/other") == 401
        said = {"X_Gitlab_Token": "the token of the old one"}
        assert self.status(site, said, route="/webhooks/gitlab/old") == 202

    def test_deliveries_that_caused_each_other_are_two(self, client: FlaskClient) -> None:
        """Before GitLab 17.4 they share the one UUID that there is."""
        event = {"X_Gitlab_Event_UUID": "13792a34-cac6-4fda-95a8-c58e00a3da02"}
        other = read(WEBHOOKS / "gitlab" / "push-branch-created")[1]
        statuses = [
            post(client, "gitlab", body, **event).status_code for body in (self.BODY, other, self.BODY)
        ]
        assert statuses == [202, 202, 200]


def test_a_site_is_what_the_settings_say() -> None:
    said = Settings.from_environ(
        {
            "MOORLINE_GITHUB_APP_ID": APP,
            "MOORLINE_GITHUB_WEBHOOK_SECRET": f'["{SECRET}", "{SECRET} of old"]',
            "MOORLINE_GITLAB_WEBHOOK_SECRET": f'{{"acme": "{TOKEN}"}}',
            "MOORLINE_GITLAB_SIGNING_TOKEN": SIGNING,
            "MOORLINE_ALLOWED_OWNERS": "acme",
        }
    )
    site = Site.of(said)
    assert (site.github_app, site.github_secrets) == (APP, (SECRET, f"{SECRET} of old"))
    assert (site.gitlab_secrets.of("acme"), site.gitlab_secrets.of("other")) == ((TOKEN,), ())
    assert site.gitlab_signing.of("any") == (SIGNING,)
    assert site.owners == OWNERS
    assert site.largest_body == 25 * 1024 * 1024
    assert Site.of(Settings.from_environ({})).largest_body == 64 * 1024
    for secret in (SECRET, TOKEN, SIGNING):
        assert secret not in repr(site)


class TestSigningTokens:
    def test_a_vector_made_with_openssl(self) -> None:
        """printf 'msg-1.1772366400.{}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f -binary | base64"""
        made = sign_message(SIGNING, "msg-1", "1772366400", b"{}")
        assert made == VECTOR
        assert is_signed_message([SIGNING], "msg-1", "1772366400", b"{}", VECTOR, NOW)

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "whsec_",
            SIGNING.removeprefix("whsec_"),
            f"{SIGNING} ",
            "whsec_!!!!",
            "whsec_AAAA",
            f"whsec_{'A' * 400}",
        ],
    )
    def test_no_signing_token(self, token: str) -> None:
        assert signing_key(token) is None
        with pytest.raises(ValueError, match="no signing token"):
            sign_message(token, "a", "1", b"")

    @given(st.text(), st.lists(st.text(), max_size=3))
    def test_tokens_are_compared_whole(self, header: str, tokens: list[str]) -> None:
        if any("\ud800" <= character <= "\udfff" for text in (header, *tokens) for character in text):
            return
        assert is_token(tokens, header) is (header in tokens)


VECTOR = "v1,mRyX+5rISX3OokuRtEPSDfzQfu5TZeohwKPPzBInDsQ="


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'moorline.db'}") as opened:
        yield opened


def test_what_is_wanted_reaches_the_backlog(store: Store) -> None:
    app = create_app(
        inbox=store.inbox,
        proposals=store.proposals,
        site=SITE,
        accounts=lambda f: ACCOUNTS[f],
        clock=lambda: NOW,
    )
    client = app.test_client()
    for folder in ("push", "comment", "installation-created", "merge-group-requested", "ping"):
        assert send(client, "github", folder).status_code in (200, 202)
    for folder in ("push", "note", "system-repository-update"):
        assert send(client, "gitlab", folder).status_code == 202
    waiting = {
        (one.job.forge, one.job.repository, one.job.ref, one.job.trigger) for one in store.backlog.waits(99)
    }
    assert waiting == {
        ("github", "acme/app", "main", Trigger.PUSH),
        ("github", "acme/app", "comment/issue/1234567890123", Trigger.COMMENT),
        ("github", "acme/app", "", Trigger.INSTALLED),
        ("github", "acme/web", "", Trigger.INSTALLED),
        ("github", "acme/app", f"gh-readonly-queue/main/pr-7-{'a' * 40}", Trigger.MERGE_QUEUE),
        ("gitlab", "acme/team/app", "main", Trigger.PUSH),
        ("gitlab", "acme/team/app", "old", Trigger.PUSH),
        ("gitlab", "acme/team/app", "comment/note/1244", Trigger.COMMENT),
    }


# --- whatever is sent ---------------------------------------------------------------------

_FUZZED = application(FakeInbox())
_HEADER_NAMES = st.sampled_from(
    [
        "X-GitHub-Event",
        "X-GitHub-Delivery",
        "X-Hub-Signature-256",
        "X-Gitlab-Event",
        "X-Gitlab-Token",
        "X-Gitlab-Webhook-UUID",
        "X-Gitlab-Event-UUID",
        "Idempotency-Key",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-Host",
    ]
)
_HEADER_VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["github", "gitlab"]),
    st.binary(max_size=200),
    st.sampled_from(["push", "installation", "x"]),
)
def test_any_signed_body_is_answered(forge: str, body: bytes, event: str) -> None:
    response = post(_FUZZED.test_client(), forge, body, X_GitHub_Event=event)
    assert response.status_code in ((200, 202) if forge == "gitlab" else (200, 202, 400))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["github", "gitlab", "gitlab/acme"]),
    st.dictionaries(_HEADER_NAMES, _HEADER_VALUES, max_size=6),
    st.booleans(),
)
def test_any_headers_are_answered(route: str, headers: dict[str, str], signing: bool) -> None:
    site = replace(SITE, gitlab_signing=Secrets({"": (SIGNING,)})) if signing else SITE
    forge = route.partition("/")[0]
    _, body = read(WEBHOOKS / forge / "push")
    sent = {"X-Hub-Signature-256": sign(SECRET, body), "X-Gitlab-Token": TOKEN, **headers}
    client = application(FakeInbox(), site).test_client()
    response = client.post(f"/webhooks/{route}", data=body, headers=sent)
    assert response.status_code in (200, 202, 400, 401, 415)
    if forge == "gitlab":
        assert response.status_code != 400
