"""One reference explained: what it points to, what is known about that, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bot.model import Fact, GitReference, Outcome, Ruling, Verdict
from bot.output import document
from bot.visible import visible

_WORDS = {
    Outcome.PASS: "may be pinned",
    Outcome.WARN: "may be pinned, with a warning",
    Outcome.HOLD: "held: not enough evidence",
    Outcome.REFUSE: "refused",
}
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


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield the verdict as lines for a terminal."""
    reference = verdict.finding.reference
    yield visible(verdict.finding.value, 1000)
    if isinstance(reference, GitReference):
        yield f"  repository  {visible(f'{reference.host}/{reference.repository}')}"
    elif reference is not None:
        yield f"  image       {visible(f'{reference.registry}/{reference.repository}')}"
    if verdict.unresolved is not None:
        yield f"  not known   {visible(verdict.unresolved.detail, 1000)}"
        return
    if verdict.candidate is None:
        return
    resolution = verdict.candidate.resolution
    what = "commit" if isinstance(reference, GitReference) else "digest"
    yield f"  {what}      {visible(verdict.candidate.target)}"
    yield f"  source      {visible(resolution.source)}"
    if resolution.version:
        yield f"  version     {visible(resolution.version)}"
    for evidence in verdict.evidence:
        for name, value in evidence.facts.items():
            if shown := _fact(value):
                yield f"  {visible(name.replace('_', ' ')):<11} {shown}"
    yield "checks"
    for reason in verdict.reasons:
        yield f"  {_MARKS[reason.ruling]:<4} {reason.check:<16} {visible(reason.text, 1000)}"
    yield f"verdict: {_WORDS[verdict.outcome]}"


def _fact(value: Fact) -> str:
    if isinstance(value, tuple):
        return visible(", ".join(value), 500)
    return ("yes" if value else "no") if isinstance(value, bool) else visible(str(value))
