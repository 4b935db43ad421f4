"""Whether registries answer, take our logins, and let us pull for a while."""

from __future__ import annotations

from collections.abc import Iterable

from bot.doctor.findings import Finding, Findings, Part, Pen
from bot.registries.budget import DOCKER_HUB_API
from bot.registries.examining import Looked, Reply

_FEW = 0.1
"""The part of a limit that is few to have left."""
_pen = Pen(Part.REGISTRIES)


def examine(looked: Iterable[Looked]) -> Findings:
    """Yield what was seen of each registry."""
    for one in looked:
        yield _finding(one)


def _finding(one: Looked) -> Finding:
    target = one.target
    subject = "Docker Hub" if target.host == DOCKER_HUB_API else target.host
    if target.serves:
        names = ", ".join("every other" if name == "*" else name for name in target.serves)
        subject = f"{subject} for {names}"
    who = "with its login" if target.login else "without a login"
    match one.reply:
        case Reply.AWAY:
            return _pen.unknown(subject, one.detail, "Try again later; images of it are held meanwhile.")
        case Reply.REFUSED:
            return _pen.trouble(subject, one.detail, _advice(one))
        case Reply.FINE:
            if one.left is None:
                return _pen.ok(subject, f"It answers {who}.")
            said = (
                f"It answers {who}; {one.left:,}{f' of {one.limit:,}' if one.limit else ''} pulls are left."
            )
            if one.left < (one.limit or 100) * _FEW:
                return _pen.note(subject, said, "Log in, or set a mirror in MOORLINE_REGISTRY_MIRRORS.")
            return _pen.ok(subject, said)


def _advice(one: Looked) -> str:
    if one.target.login:
        return f"Log in again: docker login {one.target.login.key}"
    if one.target.serves:
        return "Correct MOORLINE_REGISTRY_MIRRORS, or give it a login in Docker's config.json."
    return ""
