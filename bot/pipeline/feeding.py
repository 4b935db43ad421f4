"""What files give, elsewhere than in a reference, to the variables within it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from bot.model import Finding, SkipReason
from bot.pipeline.looking import Survey

_OPEN = frozenset({SkipReason.VARIABLE, SkipReason.PARTIAL_VARIABLE, SkipReason.SHARED_VARIABLE})
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]{0,200})")
_MATRIX = re.compile(r"\bmatrix\.([A-Za-z_][A-Za-z0-9_-]{0,200})")
_KEY = re.compile(r"""(?:^|[{,]|- )\s{0,200}["']?([A-Za-z_][A-Za-z0-9_-]{0,200})["']?\s{0,20}:""")
_MOST = 100
"""Sets of keys that are looked for in one file; for more of them every line counts."""


def fed(survey: Survey) -> Callable[[Finding], frozenset[str]]:
    """Return what tells the lines that give the variables of a reference their values elsewhere.

    Arguments that are passed to a Dockerfile, and values of a workflow's matrix; none for any other reference.
    """
    arguments: dict[tuple[str, str | None], set[str]] = {}
    asked: Counter[str] = Counter()

    @cache
    def lines(path: str) -> tuple[str, ...]:
        data = survey.snapshot.files.get(path, b"").decode("utf-8", "replace")
        return tuple(line.rstrip("\r") for line in data.split("\n"))

    @cache
    def valued(path: str, keys: frozenset[str]) -> frozenset[str]:
        asked[path] += 1
        if asked[path] > _MOST:
            return every(path)
        return frozenset(_valued(lines(path), keys))

    @cache
    def every(path: str) -> frozenset[str]:
        return frozenset(line.strip() for line in lines(path))

    for one in survey.excuses.arguments:
        said = " ".join(
            line.strip() for line in lines(one.location.path)[one.location.line - 1 : one.location.line + 1]
        )
        arguments.setdefault((one.name, one.dockerfile), set()).add(said)

    def of(finding: Finding) -> frozenset[str]:
        if finding.skip not in _OPEN:
            return frozenset()
        path = finding.location.path
        names = dict.fromkeys(_VARIABLE.findall(finding.value))
        found = [arguments.get((name, it), set()) for name in names for it in (None, path)]
        keys = frozenset(_MATRIX.findall(finding.value))
        return frozenset().union(*found, valued(path, keys) if keys else ())

    return of


def _valued(lines: Sequence[str], keys: frozenset[str]) -> Iterator[str]:
    """Yield what stands behind each of these keys in a workflow, or is what the whole matrix comes from."""
    depth = -1
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        text = line.strip()
        named = set(_KEY.findall(line))
        if named & keys or ("matrix" in named and not text.endswith("matrix:")):
            depth = indent
            yield text
        elif depth >= 0 and text and (indent > depth or (indent == depth and text[:1] == "-")):
            yield text
        elif "&" in text and named:
            yield text  # what an alias stands for
        elif text:
            depth = -1
