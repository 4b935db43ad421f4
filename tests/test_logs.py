"""Logs: no secret gets through, whichever way it takes."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bot.logs import REDACTED, LogFormat, Redactor, configure

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
SECRETS = {
    "ghs": ("token ghs_16C7e42F292c6912E7710c838347Ae178B4a used", "16C7e42F"),
    "ghs-new": ("ghs_12345_eyJhbGciOi.eyJpc3MiOi.c2ln-nat used", "c2ln-nat"),
    "pat": ("github_pat_11AAAAAAA0aaaaaaaaaaaa_bbbb", "aaaaaaaaaaaa"),
    "glpat": ("glpat-XyZ0123456789_abcde", "XyZ0123456789"),
    "glrt": ("glrt-t1_XyZ0123456789abc", "XyZ0123456789"),
    "docker": ("dckr_pat_XyZ0123456789abcdefghij", "XyZ0123456789"),
    "header": ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    "headers": ("{'Authorization': 'token hunter2hunter2'}", "hunter2"),
    "tuple": ("(b'authorization', b'hunter2hunter2')", "hunter2"),
    "bearer": ("sent Bearer hunter2.hunter2", "hunter2"),
    "private-token": ("PRIVATE-TOKEN: hunter2hunter2", "hunter2"),
    "url": ("clone https://u:hunter2@git.example/x failed", "hunter2"),
    "url-user": ("https://hunter2hunter2@git.example/x", "hunter2"),
    "url-at": ("postgresql://u:hun@ter2@db/x", "ter2"),
    "key": (f"read {KEY} there", "MIIEow"),
    "cut-key": (KEY[:40], "MIIE"),
    "jwt": ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjF9.hunter2-sig", "hunter2"),
    "query": ("GET /x?a=b&access_token=hunter2&c=d", "hunter2"),
    "signed": ("GET /x?X-Amz-Signature=hunter2", "hunter2"),
    "configured": ("it was correct horse battery", "correct horse"),
}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    audit = logging.getLogger("moorline.audit")
    audit.handlers.clear()
    audit.propagate = True
    structlog.reset_defaults()


def _fail(text: str) -> None:
    raise ValueError(text)


def _fail_holding(secret: str) -> None:
    raise ValueError(len(secret))


def written(format_: LogFormat) -> io.StringIO:
    stream = io.StringIO()
    configure(format_, secrets=["correct horse"], stream=stream)
    return stream


def test_the_head_of_the_audit_log_goes_to_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        configure(LogFormat.JSON, secrets=["correct horse"])
    structlog.get_logger("moorline.audit").info("audit log", entries=3, hash="0a", why="correct horse")
    structlog.get_logger("moorline.other").info("run ended")
    said = capsys.readouterr()
    [line] = [json.loads(one) for one in said.out.splitlines()]
    assert (line["event"], line["entries"], line["hash"]) == ("audit log", 3, "0a")
    assert line["why"] == REDACTED
    [line] = [json.loads(one) for one in said.err.splitlines()]
    assert line["event"] == "run ended"
    configure(LogFormat.JSON, level=logging.WARNING)
    structlog.get_logger("moorline.audit").info("audit log", entries=3, hash="0a")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("format_", [LogFormat.CONSOLE, LogFormat.JSON])
def test_no_secret_gets_through(name: str, format_: LogFormat) -> None:
    text, secret = SECRETS[name]
    assert secret in text
    stream = written(format_)
    log = structlog.get_logger("bot.test")
    log.info(text)
    log.info("event", detail=text, nested={"a": [text, {"b": (text.encode(),)}]})
    log.info("event %s", text)
    logging.getLogger("library").warning("it said %s", text)
    logging.getLogger("library").warning("it said", extra={"detail": text})
    try:
        _fail(text)
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed")
    assert secret not in stream.getvalue()
    assert stream.getvalue().count(REDACTED) >= 9


def test_what_is_no_secret_stays() -> None:
    stream = written(LogFormat.JSON)
    text = "https://git.example/acme/app@v4 sha256:" + "a" * 64 + " token missing; basic auth; ghs_x"
    structlog.get_logger("bot.test").info("event", detail=text, count=3, done=None)
    line = json.loads(stream.getvalue())
    assert line["detail"] == text
    assert (line["count"], line["done"], line["level"], line["logger"]) == (3, None, "info", "bot.test")


@pytest.mark.parametrize("key", ["token", "git_webhook_secret", "Authorization", "api_key", "passwords"])
def test_a_telling_key_is_enough(key: str) -> None:
    stream = written(LogFormat.JSON)
    structlog.get_logger().info("event", **{key: "x"})
    assert json.loads(stream.getvalue())[key] == REDACTED


@pytest.mark.parametrize("format_", [LogFormat.CONSOLE, LogFormat.JSON])
def test_a_line_stays_a_line(format_: LogFormat) -> None:
    stream = written(format_)
    evil = "x\n2026-01-01 [info] forged\r\x1b[2Jy\u202e\u2028"
    structlog.get_logger().info(evil, detail=evil)
    logging.getLogger("library").warning("%s", evil)
    assert stream.getvalue().count("\n") == 2
    assert not {"\r", "\x1b", "\u202e", "\u2028"} & set(stream.getvalue())


def test_local_variables_are_not_shown() -> None:
    stream = written(LogFormat.CONSOLE)
    try:
        _fail_holding("hunter2")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: 7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue().replace('_fail_holding("hunter2")', "")


def test_libraries_are_quiet_and_nothing_is_said_twice() -> None:
    stream = written(LogFormat.JSON)
    configure(LogFormat.JSON, stream=stream)
    logging.getLogger("dbos").info("chatter")
    structlog.get_logger().debug("chatter")
    structlog.get_logger().info("once")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["once"]


@given(st.text(), st.text())
def test_any_text_can_be_logged(key: str, value: str) -> None:
    event = Redactor()(None, "info", {key: value, "event": value})
    json.dumps(event)


@pytest.mark.parametrize(
    "part",
    [
        "a://",
        "-----BEGIN PRIVATE KEY-----",
        "authorization: ",
        "eyJaaaaa.",
        "?token=",
        "bearer ",
        "ghs_",
        "a" * 9 + "@",
    ],
)
def test_hostile_text_takes_no_time(part: str) -> None:
    begun = time.perf_counter()
    Redactor(["secret"]).text(part * 100_000)
    assert time.perf_counter() - begun < 1
