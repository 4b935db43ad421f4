"""GitLab's Code Quality report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from bot.model import Report
from bot.output.problems import Level, Problem, problems
from bot.visible import visible

_SEVERITY = {Level.ERROR: "critical", Level.WARNING: "major", Level.NOTE: "info"}


def dumps(report: Report) -> str:
    """Return the report's problems as a Code Quality array; fingerprints survive moved lines."""
    seen: Counter[str] = Counter()
    return json.dumps([_entry(one, seen) for one in problems(report)], indent=1) + "\n"


def _entry(one: Problem, seen: Counter[str]) -> dict[str, object]:
    key = f"{one.rule.value}\0{one.path}\0{one.text}"
    seen[key] += 1
    fingerprint = hashlib.sha256(f"{key}\0{seen[key]}".encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "description": visible(one.text, 1000),
        "check_name": one.rule.value,
        "fingerprint": fingerprint,
        "severity": _SEVERITY[one.level],
        "location": {"path": visible(one.path, 1000), "lines": {"begin": one.line}},
    }
