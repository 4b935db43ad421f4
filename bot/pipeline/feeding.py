"""What files give, elsewhere than in a reference, to the variables within it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bot.model import Finding, SkipReason
from bot.pipeline.looking import Survey

_OPEN = frozenset({SkipReason.VARIABLE, SkipReason.PARTIAL_VARIABLE, SkipReason.SHARED_VARIABLE})
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]{0,200})")
_MATRIX = re.compile(r"\bmatrix\.([A-Za-z_][A-Za-z0-9_-]{0,200})")
_KEY = re.compile(r"""(?:^|[{,]|- )\s{0,200}["']?([A-Za-z_][A-Za-z0-9_-]{0,200})["']?\s{0,20}:""")
_BELOW = 200
"""Lines of one value that are looked at."""


def fed(finding: Finding, survey: Survey) -> frozenset[str]:
    """Return the lines that give the variables of a reference their values, as far as they stand elsewhere.

    Arguments that are passed to a Dockerfile, and values of a workflow's matrix; none for any other reference.
    """
    if finding.skip not in _OPEN:
        return frozenset()
    names = set(_VARIABLE.findall(finding.value))
    found = {
        " ".join(_lines(survey, one.location.path, one.location.line, 2))
        for one in survey.excuses.arguments
        if one.name in names and one.dockerfile in (None, finding.location.path)
    }
    keys = set(_MATRIX.findall(finding.value))
    return frozenset({*found, *_valued(survey, finding.location.path, keys)} if keys else found)


def _valued(survey: Survey, path: str, keys: set[str]) -> Iterator[str]:
    """Yield what stands behind each of these keys in a workflow, or is what the whole matrix comes from."""
    lines = survey.snapshot.files.get(path, b"").decode("utf-8", "replace").splitlines()
    below = 0
    depth = -1
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        text = line.strip()
        named = set(_KEY.findall(line))
        if named & keys or ("matrix" in named and not text.endswith("matrix:")):
            depth, below = indent, _BELOW
            yield text
        elif depth >= 0 and below and text and (indent > depth or (indent == depth and text[:1] == "-")):
            below -= 1
            yield text
        elif "&" in text and named:
            yield text  # what an alias stands for
        elif text:
            depth = -1


def _lines(survey: Survey, path: str, first: int, count: int) -> list[str]:
    data = survey.snapshot.files.get(path, b"").decode("utf-8", "replace")
    return [line.strip() for line in data.split("\n")[first - 1 : first - 1 + count]]
