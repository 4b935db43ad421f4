"""One reference explained: what it points to, what is known about that, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bot.model import Fact, GitReference, Outcome, Ruling, Verdict
from bot.output import document
from bot.output.wrapping import wrapped
from bot.visible import visible

_WORDS = {
    Outcome.PASS: "may be pinned",
    Outcome.WARN: "may be pinned, with a warning",
    Outcome.HOLD: "held: not enough evidence",
    Outcome.REFUSE: "refused",
}
_NAMES = {
    "size": "manifest size",
    "mutable": "mutable references",
    "mutable_count": "how many mutable",
    "like": "resembles",
    "strong": "easily mistaken",
}
"""What facts are called for people, where their own names say too little."""
_MARKS = {Ruling.PASS: "ok", Ruling.FAIL: "FAIL", Ruling.UNKNOWN: "?"}


def dumps(verdict: Verdict) -> str:
    """Return the verdict with its evidence as one JSON document."""
    made = {
        "version": 1,
        "reference": document.parts(verdict.finding.reference),
        **document.verdict(verdict),
        "evidence": [
            {
                "check": one.check,
                "digest": one.digest,
                "status": one.status.value,
                "facts": dict(one.facts),
                "detail": one.detail,
                "source": one.source,
            }
            for one in verdict.evidence
        ],
    }
    return json.dumps(made, indent=1) + "\n"


def lines(verdict: Verdict, width: int = 0) -> Iterator[str]:
    """Yield the verdict as lines for a terminal, of `width` columns where that is not 0."""
    yield visible(verdict.finding.value, 1000)
    rows = list(_named(verdict))
    if verdict.unresolved is not None:
        rows.append(("not known", visible(verdict.unresolved.detail, 1000)))
    elif verdict.candidate is not None:
        rows += _known(verdict)
    yield from _columns(rows, width)
    if verdict.candidate is None and verdict.outcome is not Outcome.REFUSE:
        return
    yield "checks"
    checks = [
        (f"{_MARKS[reason.ruling]:<4} {reason.check}", visible(reason.text, 1000))
        for reason in verdict.reasons
    ]
    yield from _columns(checks, width)
    yield f"verdict: {_WORDS[verdict.outcome]}"


def _columns(rows: list[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield a line for each row, its words below the name where they do not fit beside it."""
    longest = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        line = f"  {name:<{longest}}  {text}"
        if not width or len(line) <= width:
            yield line.rstrip()
            continue
        yield f"  {name}"
        yield from wrapped(text, width, 6)


def _named(verdict: Verdict) -> Iterator[tuple[str, str]]:
    reference = verdict.finding.reference
    if isinstance(reference, GitReference):
        yield "repository", visible(f"{reference.host}/{reference.repository}")
    elif reference is not None:
        yield "image", visible(f"{reference.registry}/{reference.repository}")


def _known(verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.candidate is None:
        return
    resolution = verdict.candidate.resolution
    is_git = isinstance(verdict.finding.reference, GitReference)
    yield "commit" if is_git else "digest", visible(verdict.candidate.target)
    yield "source", visible(resolution.source)
    if resolution.version:
        yield "version", visible(resolution.version)
    for evidence in verdict.evidence:
        for name, value in evidence.facts.items():
            if shown := _fact(name, value):
                yield _NAMES.get(name, visible(name.replace("_", " "))), shown


def _fact(name: str, value: Fact) -> str:
    if isinstance(value, tuple):
        return visible(", ".join(value), 500)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "size":
        return f"{value} bytes"
    return visible(str(value))
