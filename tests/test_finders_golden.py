"""Every finder's golden cases: what is found, and the file once everything is pinned.

A case is `tests/golden/finders/<format>/<case>/` with `repo/`, `findings.json` and `pinned/`,
which holds only the files that an edit touches.  Digests and commits are made up from the
reference's text, so that two references never share one by chance.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import goldens
import pytest

from bot import candidates, edits, finders
from bot.model import Findings, GitReference, ImageReference, Resolution
from bot.reference import is_commit


def digest_for(reference: ImageReference | GitReference) -> str:
    """Return a digest or commit that stands for whatever the reference names."""
    made = hashlib.sha256(str(reference).encode()).hexdigest()
    return f"sha256:{made}" if isinstance(reference, ImageReference) else made[:40]


def resolve(reference: ImageReference | GitReference) -> Resolution:
    """Return the made-up answer to a look-up."""
    version = ""
    if isinstance(reference, GitReference) and not is_commit(reference.ref):
        version = f"{reference.ref}.9.1" if reference.ref in {"v1", "v2", "v3", "v4"} else reference.ref
    return Resolution(reference=reference, digest=digest_for(reference), source="golden", version=version)


def listed(found: list[tuple[str, str, Findings]]) -> dict[str, object]:
    """Return findings as the JSON of `findings.json`."""
    contexts = [[one.name, one.dockerfile] for _, _, findings in found for one in findings.contexts]
    return {
        "references": [
            {
                "path": one.location.path,
                "line": one.location.line,
                "column": one.location.column,
                "kind": one.kind.value,
                "format": one.format,
                "where": one.where,
                "value": one.value,
                "state": one.state.value,
                "skip": one.skip.value if one.skip else None,
                **({"argument": one.argument} if one.argument else {}),
                **({"comment": one.comment.text} if one.comment and one.comment.text else {}),
                **({"note": one.note} if one.note else {}),
            }
            for _, _, findings in found
            for one in findings.references
        ],
        "unread": [
            {"path": one.path, "reason": one.reason.value, "line": one.line, "detail": one.detail}
            for _, _, findings in found
            for one in findings.unread
        ],
        "built": [one.name for _, _, findings in found for one in findings.built],
        "arguments": [[one.name, one.dockerfile] for _, _, findings in found for one in findings.arguments],
        **({"contexts": contexts} if contexts else {}),
    }


@pytest.mark.parametrize("case", goldens.cases("finders"), ids=goldens.name)
def test_golden(case: Path) -> None:
    files = goldens.read_tree(case / "repo")
    found = list(finders.find(files))
    references = [one for _, _, findings in found for one in findings.references]
    for one in references:
        span = one.location.span
        assert files[one.location.path][span.start : span.end] == one.value.encode()
    goldens.compare_json(case / "findings.json", listed(found))

    chosen = [
        candidates.candidate(one, resolve(one.reference))
        for one in references
        if one.skip is None and one.reference is not None
    ]
    made = [edit for candidate in chosen for edit in candidates.edits(candidate)]
    pinned = edits.apply(files, made)
    goldens.compare_tree(case / "pinned", pinned)

    again = [one for _, _, findings in finders.find({**files, **pinned}) for one in findings.references]
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(references, again, targets, made) is None
    assert not [one for one in again if one.skip is None], "a second run proposes something"
