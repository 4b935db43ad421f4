"""SARIF 2.1.0."""

from __future__ import annotations

import json
from urllib.parse import quote

from bot.model import Report
from bot.output.problems import HELP, Problem, Rule, counted, problems, worst
from bot.visible import visible

_LIMIT = 5_000
"""Results that code scanning shows of one run; the worst stay, the rest is counted in a notification."""


def dumps(report: Report) -> str:
    """Return the report's problems as a SARIF log."""
    from importlib.metadata import version  # noqa: PLC0415 - reads packages, and a tenth of the start-up

    found, left = worst(problems(report), _LIMIT)
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "Moorline",
                "version": version("moorline"),
                "rules": [{"id": rule.value, "shortDescription": {"text": HELP[rule]}} for rule in Rule],
            }
        },
        "results": [_result(one) for one in found],
    }
    if left:
        text = f"Left out are {counted(left)}; the JSON format has them all."
        run["invocations"] = [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "warning", "message": {"text": text}}],
            }
        ]
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(one: Problem) -> dict[str, object]:
    region: dict[str, object] = {"startLine": one.line}
    if one.start is not None:
        region |= {"byteOffset": one.start, "byteLength": one.length}
    uri = quote(one.path.encode("utf-8", "surrogateescape"), safe="/")
    return {
        "ruleId": one.rule.value,
        "level": one.level.value,
        "message": {"text": visible(one.text, 1000)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
    }
