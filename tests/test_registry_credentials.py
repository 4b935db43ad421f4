"""Docker's logins: whose they are, where they go, and that nobody sees them."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigurationError
from bot.registries.credentials import Credentials, Scope
from bot.registries.helper import HelperError, Secret, ask_helper
from bot.registries.realms import may_see_credentials
from bot.registries.rules import Allowed

HUB = Allowed(scheme="https", host="registry-1.docker.io", port=443)
PASSWORD = "correct-horse-battery"


def auth(user: str = "moor", password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def logins(tmp_path: Path, document: Any, **environ: str) -> Credentials:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return Credentials.from_docker_config(path, environ)


def secret(
    credentials: Credentials, url: str, repository: str = "team/app", scope: Scope | None = None
) -> Secret | None:
    found = credentials.find(Allowed.parse(url), repository, scope or Scope())
    return None if found is None else found.secret()


def helper(folder: Path, name: str, script: str) -> str:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("key", "url", "repository", "found"),
    [
        ("registry.example", "https://registry.example", "a/b", True),
        ("registry.example", "http://registry.example", "a/b", False),
        ("registry.example", "https://registry.example:8443", "a/b", False),
        ("registry.example", "https://other.registry.example", "a/b", False),
        ("registry.example", "https://registry.example.evil.example", "a/b", False),
        ("registry.example:5000", "https://registry.example:5000", "a/b", True),
        ("Registry.Example", "https://registry.example", "a/b", True),
        ("https://registry.example", "https://registry.example", "a/b", True),
        ("https://registry.example/v1/", "https://registry.example", "a/b", True),
        ("https://registry.example/v2/", "https://registry.example", "a/b", True),
        ("http://registry.example", "https://registry.example", "a/b", False),
        ("http://registry.example:80", "http://registry.example", "a/b", True),
        ("127.0.0.1:5000", "http://127.0.0.1:5000", "a/b", True),
        ("127.0.0.1:5000", "https://127.0.0.1:5000", "a/b", True),
        ("https://127.0.0.1:5000", "http://127.0.0.1:5000", "a/b", False),
        ("registry.example/team", "https://registry.example", "team/app", True),
        ("registry.example/team", "https://registry.example", "team", True),
        ("registry.example/team", "https://registry.example", "teamster/app", False),
        ("registry.example/team", "https://registry.example", "other/team/app", False),
        ("https://index.docker.io/v1/", "https://registry-1.docker.io", "library/node", True),
        ("docker.io", "https://registry-1.docker.io", "library/node", True),
        ("docker.io/acme", "https://registry-1.docker.io", "library/node", False),
        ("docker.io/acme", "https://registry-1.docker.io", "acme/app", True),
        ("https://user@registry.example", "https://registry.example", "a/b", False),
        ("ftp://registry.example", "https://registry.example", "a/b", False),
        ("https://registry.example:99999", "https://registry.example", "a/b", False),
        ("", "https://registry.example", "a/b", False),
    ],
)
def test_keys(tmp_path: Path, key: str, url: str, repository: str, found: bool) -> None:
    made = secret(logins(tmp_path, {"auths": {key: auth()}}), url, repository)
    assert (made is not None and made.password == PASSWORD) == found


def test_the_longest_path_wins(tmp_path: Path) -> None:
    credentials = logins(
        tmp_path,
        {
            "auths": {
                "registry.example": auth("all"),
                "registry.example/team/inner": auth("inner"),
                "registry.example/team": auth("team"),
            }
        },
    )
    users = [
        made.username
        for name in ("other/app", "team/app", "team/inner/app", "team/innermost")
        if (made := secret(credentials, "https://registry.example", name))
    ]
    assert users == ["all", "team", "inner", "team"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth(), Secret(username="moor", password=PASSWORD)),
        (auth(password="with:colon"), Secret(username="moor", password="with:colon")),
        ({"username": "u", "password": "p"}, Secret(username="u", password="p")),
        ({**auth(), "identitytoken": "t"}, Secret(username="moor", identity_token="t")),
        ({"identitytoken": "t"}, Secret(identity_token="t")),
        ({}, None),
        ({"auth": ""}, None),
        ({"username": "u"}, None),
        ([], None),
        ({"auth": 7}, None),
    ],
)
def test_entries(tmp_path: Path, entry: Any, expected: Secret | None) -> None:
    assert (
        secret(logins(tmp_path, {"auths": {"registry.example": entry}}), "https://registry.example")
        == expected
    )


def test_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    for folder, user in ((tmp_path / ".docker", "home"), (tmp_path, "set")):
        (folder / "config.json").write_text(json.dumps({"auths": {"registry.example": auth(user)}}))
    expected: list[tuple[dict[str, str], str | None]] = [
        ({"HOME": str(tmp_path)}, "home"),
        ({"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}, "set"),
        ({"DOCKER_CONFIG": str(tmp_path / "nowhere")}, None),
        ({}, None),
    ]
    for environ, user_name in expected:
        made = secret(Credentials.from_docker_config(None, environ), "https://registry.example")
        assert (made.username if made else None) == user_name


def test_owners_are_bound_by_key(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({"auths": {"a.example": auth("a"), "b.example": auth("b"), "c.example": auth("c")}})
    )
    credentials = Credentials.from_docker_config(path, {}, owners={"a.example": ["Acme"], "*": []})

    def opens(host: str, scope: Scope) -> bool:
        return secret(credentials, f"https://{host}", scope=scope) is not None

    assert opens("a.example", Scope(owner="acme"))
    assert not opens("a.example", Scope(owner="mallory"))
    assert not opens("b.example", Scope(owner="acme"))
    assert not opens("a.example", Scope(owner="acme", trusted=False))
    # A person at the command line uses their own logins.
    assert opens("b.example", Scope())
    assert not opens("b.example", Scope(trusted=False))


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"auths": {"r.example": {"auth": "correct-horse-battery!"}}}',
        b'{"credHelpers": {"r.example": "../correct-horse-battery"}}',
        b'{"credHelpers": {"r.example": ["correct-horse-battery"]}}',
        b'{"auths": {"r.example": {}}, "credsStore": "a b correct-horse-battery"}',
    ],
)
def test_a_broken_file_is_said_without_its_content(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_docker_config(path, {})
    shown = f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"
    assert str(path) in str(caught.value)
    assert PASSWORD not in shown


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    folder = tmp_path_factory.mktemp("config")
    for content in (
        document,
        {"auths": document},
        {"credHelpers": document},
        {"auths": {"r.example": document}},
    ):
        try:
            logins(folder, content)
        except ConfigurationError:
            continue


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    credentials = logins(tmp_path, {"auths": {"registry.example": {**auth(), "identitytoken": PASSWORD}}})
    found = credentials.find(Allowed.parse("https://registry.example"), "a", Scope())
    assert found is not None
    made = found.secret()
    assert made is not None
    encoded = auth()["auth"]
    for shown in (credentials, found, made, Secret(username="moor", password=PASSWORD)):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert PASSWORD not in text
            assert encoded not in text
            assert "moor" not in text.replace("moorline", "")


# --- helpers ------------------------------------------------------------------------------

ANSWER = (
    'read server; printf \'{"ServerURL": "%s", "Username": "AWS", "Secret": "s-%s"}\' "$server" "$server"'
)


def test_a_helper_is_asked_by_its_input_and_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    path = helper(tmp_path, "ecr-login", f"echo x >> {count}; test $1 = get || exit 1; {ANSWER}")
    key = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    credentials = logins(
        tmp_path, {"auths": {key: auth("stale")}, "credHelpers": {key: "ecr-login"}}, PATH=path
    )
    assert not count.exists()
    for _ in range(3):
        assert secret(credentials, f"https://{key}") == Secret(username="AWS", password=f"s-{key}")
    assert count.read_text() == "x\n"
    assert secret(credentials, f"https://{key}", scope=Scope(trusted=False)) is None


def test_a_store_is_asked_only_for_what_docker_logged_into(tmp_path: Path) -> None:
    path = helper(tmp_path, "desktop", ANSWER)
    credentials = logins(
        tmp_path,
        {"auths": {"https://index.docker.io/v1/": {}, "r.example": {}}, "credsStore": "desktop"},
        PATH=path,
    )
    made = secret(credentials, str(HUB))
    assert made is not None
    assert made.password == "s-https://index.docker.io/v1/"
    assert secret(credentials, "https://r.example") is not None
    assert secret(credentials, "https://attacker.example") is None


def test_an_identity_token_from_a_helper(tmp_path: Path) -> None:
    path = helper(tmp_path, "acr", """echo '{"Username": "<token>", "Secret": "refresh"}'""")
    assert ask_helper("acr", "r.example", {"PATH": path}) == Secret(identity_token="refresh")


def test_a_helper_without_a_login(tmp_path: Path) -> None:
    path = helper(tmp_path, "none", "echo 'credentials not found in native keychain'; exit 1")
    assert ask_helper("none", "r.example", {"PATH": path}) is None


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (f"echo '{PASSWORD}'; echo '{PASSWORD}' >&2; exit 1", "failed"),
        (f"echo '{PASSWORD}'", "no login"),
        (f"""echo '{{"Username": 3, "Secret": "{PASSWORD}"}}'""", "no login"),
        (f"""echo '["{PASSWORD}"]'""", "no login"),
        ("""echo '{"Username": "u", "Secret": ""}'""", "no login"),
        (f"while :; do echo {PASSWORD}; done", "too much"),
        ("exec 0<&-; sleep 60", "did not answer"),
        # What it started holds its output open after it has ended.
        ("sleep 60 & exit 0", "did not answer"),
    ],
)
def test_a_broken_helper_is_named_and_not_quoted(tmp_path: Path, script: str, says: str) -> None:
    path = helper(tmp_path, "odd", script)
    started = time.monotonic()
    with pytest.raises(HelperError, match=says) as caught:
        ask_helper("odd", "r.example", {"PATH": path}, timeout=1.0)
    assert time.monotonic() - started < 10
    assert "docker-credential-odd" in str(caught.value)
    shown = f"{caught.value!r} {caught.value.__cause__!r}"
    assert PASSWORD not in shown


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", "a;b", "x" * 80, "a\nb", "a\x00"])
def test_helper_names(name: str) -> None:
    with pytest.raises(HelperError):
        ask_helper(name, "r.example", {})


def test_a_missing_helper(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match="installed"):
        ask_helper("missing", "r.example", {"PATH": str(tmp_path)})


# --- realms -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io", True),
        ("https://registry.gitlab.com", "https://gitlab.com", True),
        ("https://ghcr.io", "https://ghcr.io", True),
        ("https://acme.azurecr.io", "https://acme.azurecr.io", True),
        ("https://acme.azurecr.io", "https://evil.azurecr.io", False),
        ("https://europe-docker.pkg.dev", "https://europe-docker.pkg.dev", True),
        ("https://ghcr.io", "https://auth.docker.io", False),
        ("https://registry-1.docker.io", "http://auth.docker.io", False),
        ("https://registry-1.docker.io", "https://auth.docker.io:8443", False),
        ("http://registry-1.docker.io", "https://auth.docker.io", False),
        ("https://r.example", "https://r.example:8443", False),
        ("https://r.example", "http://r.example", False),
        ("https://r.example", "https://tokens.example", True),
        ("https://r.example", "https://tokens.example.evil.example", False),
    ],
)
def test_realms(registry: str, realm: str, allowed: bool) -> None:
    configured = (
        frozenset({Allowed.parse("https://tokens.example")}) if "r.example" in registry else frozenset()
    )
    assert may_see_credentials(Allowed.parse(realm), Allowed.parse(registry), configured) == allowed
