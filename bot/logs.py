"""Logs of the service: structured, on standard error, and without secrets.

The head of the audit log alone goes to standard output, so that it can be kept apart from the rest, by
somebody else.  Our own lines and those of libraries take the same way, so that both are redacted.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class LogFormat(StrEnum):
    AUTO = "auto"
    """For people on a terminal, else JSON."""
    CONSOLE = "console"
    JSON = "json"


AUDIT = "moorline.audit"
"""The logger that tells the head of the audit log's chain."""
REDACTED = "[redacted]"
_LONGEST = 8000
_DEEPEST = 6
_SHORTEST_SECRET = 6
_TRACES = frozenset({"exception", "stack"})

# Each takes linear time: what repeats cannot begin again within itself.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL
        ),
        REDACTED,
    ),
    # GitHub, GitLab, Docker Hub, Slack-like webhook signing keys, by their prefixes.
    (re.compile(r"\b(?:gh[a-z]_|github_pat_|gl[a-z]{2,8}-|dckr_[a-z]{3}_|whsec_)[\w.~+/=-]{8,}"), REDACTED),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.?[\w-]*"), REDACTED),
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|cookie|private-token|job-token|deploy-token|x-gitlab-token"
            r"|x-registry-auth|x-moorline-signature-256)(['\"]{0,2}\s{0,4}[:=,]\s{0,4})"
            r"(?:b?['\"])?(?:(?:basic|bearer|token|digest)\s{1,4})?[^\s'\",;)}\]]+"
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"(?i)\b(basic|bearer)\s{1,4}[\w.~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s/'\"]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"(?i)([?&](?:access_|private_|job_|refresh_|id_)?"
            r"(?:token|password|secret|signature|sig|x-amz-[a-z-]{1,30})=)[^&\s'\"]+"
        ),
        rf"\1{REDACTED}",
    ),
)
_SECRET_KEY = re.compile(
    r"(?i)(?:^|[_-])(?:authorization|cookie|password|passwd|secret|token|private_?key|api_?key|credentials?)s?$"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Redactor:
    """A processor that takes secrets out of every text of a line, and escapes control characters."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are texts to hide wherever they stand, besides what is known by its form."""
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len)
        self._known = re.compile("|".join(map(re.escape, reversed(known)))) if known else None

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {self.text(str(key)): self._value(str(key), value, 0) for key, value in event.items()}

    def text(self, text: str) -> str:
        """Return `text` without secrets, cut where it is very long."""
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}... ({len(text)} characters)"
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def _value(self, key: str, value: object, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if _SECRET_KEY.search(key):
            return REDACTED
        if isinstance(value, dict) and depth < _DEEPEST:
            return {
                self.text(str(inner)): self._value(str(inner), one, depth + 1) for inner, one in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)) and depth < _DEEPEST:
            return [self._value("", one, depth + 1) for one in value]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        text = self.text(str(value))
        return text if key in _TRACES else _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def configure(
    format_: LogFormat = LogFormat.AUTO,
    *,
    secrets: Iterable[str] = (),
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send our log and that of every library to `stream` (standard error), one line each.

    What the logger `AUDIT` says goes to standard output, or to `stream` as well where that is given.
    """
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    redactor = Redactor(secrets)

    def handler(stream: TextIO) -> logging.Handler:
        console = format_ is LogFormat.CONSOLE or (format_ is LogFormat.AUTO and stream.isatty())
        last: list[Processor] = [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redactor,
            # Traces are texts by now: the console's pretty ones would show local variables.
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
            if console
            else structlog.processors.JSONRenderer(),
        ]
        made = logging.StreamHandler(stream)
        made.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=first, processors=last))
        return made

    root, audit = logging.getLogger(), logging.getLogger(AUDIT)
    for logger in (root, audit):
        for old in logger.handlers[:]:
            logger.removeHandler(old)
    root.addHandler(handler(stream or sys.stderr))
    audit.propagate = stream is not None
    if stream is None:
        audit.addHandler(handler(sys.stdout))
    root.setLevel(level)
    for noisy in ("sqlalchemy", "urllib3", "waitress.queue", "dbos"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *first,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
