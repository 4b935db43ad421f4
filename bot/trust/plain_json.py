"""JSON that every reader reads alike.  Pure.

Readers written in Go, which most container tools are, match keys without regard to case (the long s
and the Kelvin sign included), and of a key that is there twice they take the last.  A document that
relies on either means two things, and is told apart here from one that means one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_FREE = "annotations"
"""Its keys are anybody's, and no reader folds them."""
_KNOWN = {
    name.casefold(): name
    for name in (
        "annotations",
        "architecture",
        "artifactType",
        "config",
        "data",
        "digest",
        "features",
        "fsLayers",
        "history",
        "layers",
        "manifests",
        "mediaType",
        "os",
        "os.features",
        "os.version",
        "platform",
        "schemaVersion",
        "signatures",
        "size",
        "subject",
        "urls",
        "variant",
    )
}
"""The keys of manifests, indexes, descriptors and platforms, of both specifications."""


class TwiceError(ValueError):
    """A key is there twice."""


def read(body: bytes) -> Any:
    """Return the JSON in `body`, which is UTF-8; raises `TwiceError` and other `ValueError`s."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_ambiguous(document: Any) -> bool:
    """Return whether some reader takes one key of a manifest for another, by its case."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            folded = {key.casefold() for key in value}
            if len(folded) != len(value):
                return True
            if any(_KNOWN.get(key.casefold(), key) != key for key in value):
                return True
            waiting += [one for key, one in value.items() if key != _FREE]
    return False


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise TwiceError
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(name)
