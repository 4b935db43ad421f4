"""Every trust check's golden cases: what is gathered from scripted answers, and how it is judged.

A case is `tests/golden/trust/<check>/<case>/` with `case.json` (the reference, what the world
answers, the rule) and `expected.json` (the evidence and the judgement).  Each case must hold an
answer for whatever its check asks: the fakes fail loudly otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fakes
import goldens
import pytest

from bot.model import (
    Comment,
    Evidence,
    Finding,
    GitReference,
    Kind,
    Manifest,
    Reference,
    Resolution,
    Sighting,
    Span,
    State,
    Status,
    Subject,
    Unresolved,
    UnresolvedReason,
)
from bot.reference import parse_git, parse_image
from bot.refs.base import Advertised
from bot.source import Source
from bot.trust import CHECKS
from bot.trust.base import Demand, Rule, Sources

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CASES = sorted(goldens.GOLDEN.joinpath("trust").glob("*/*/case.json"))


def _reference(said: Mapping[str, Any]) -> Reference:
    text = said["reference"]
    found = parse_git(text, host="github.com") if said.get("kind", "image") != "image" else parse_image(text)
    assert found is not None, text
    return found


def _unresolved(reference: Reference, said: Mapping[str, str]) -> Unresolved:
    return Unresolved(
        reference=reference, reason=UnresolvedReason(said["reason"]), detail=said.get("detail", "no answer")
    )


def _manifest(reference: Reference, said: Mapping[str, Any]) -> Manifest | Unresolved:
    if "reason" in said:
        return _unresolved(reference, said)
    body = said["text"].encode() if "text" in said else json.dumps(said["body"]).encode()
    made = fakes.manifest(body, media_type=said["media_type"], platforms=said.get("platforms", ()))
    return Manifest(
        digest=said.get("digest", made.digest),
        media_type=made.media_type,
        size=said.get("size", made.size),
        is_index=said.get("is_index", made.is_index),
        platforms=made.platforms,
        body=body,
        source="fake",
    )


def _world(reference: Reference, digest: str, said: Mapping[str, Any]) -> Sources:
    images, refs, ledger = fakes.FakeImages(), fakes.FakeRefs(), None
    if "manifest" in said:
        images = fakes.FakeImages(manifests={digest: _manifest(reference, said["manifest"])})
    if isinstance(reference, GitReference):
        answers: dict[str, Advertised | Unresolved] = {}
        trees: dict[str, Mapping[str, bytes] | Unresolved] = {}
        if "refs" in said:
            refs_said = said["refs"]
            answers[reference.repository] = (
                _unresolved(reference, refs_said)
                if "reason" in refs_said
                else Advertised(
                    source="fake",
                    tags=refs_said.get("tags", {}),
                    branches=refs_said.get("branches", {}),
                    annotated=frozenset(refs_said.get("annotated", ())),
                )
            )
        if "files" in said:
            files = said["files"]
            trees[f"{reference.repository}@{digest}"] = (
                _unresolved(reference, files)
                if "reason" in files
                else {path: text.encode() for path, text in files.items()}
            )
        refs = fakes.FakeRefs(refs=answers, trees=trees)
    elif "sightings" in said:
        seen = tuple(
            Sighting(
                scope="",
                reference=str(reference),
                digest=one["digest"],
                first=datetime.fromisoformat(one["first"]),
                last=datetime.fromisoformat(one["last"]),
            )
            for one in said["sightings"]
        )
        ledger = fakes.FakeLedger({f"{reference.name}:{reference.followed_tag}": seen})
    return fakes.sources(images=images, refs=refs, ledger=ledger)


def _digest(said: Mapping[str, Any]) -> str:
    """Return the digest that the case names, else the one that its body has."""
    if "digest" in said:
        return str(said["digest"])
    manifest = said["manifest"]
    body = manifest["text"].encode() if "text" in manifest else json.dumps(manifest["body"]).encode()
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _finding(reference: Reference, said: Mapping[str, Any]) -> Finding:
    comment = said.get("comment")
    return Finding(
        format="golden",
        kind=Kind(said.get("kind", "image")),
        where="golden",
        location=Source("golden", b"x").location(0, 1),
        value=str(reference),
        reference=reference,
        state=State(said.get("state", "floating")),
        comment=Comment(span=Span(0, 0), text=f"# {comment}", version=comment) if comment else None,
    )


def _shown(evidence: Evidence) -> dict[str, Any]:
    return {
        "status": evidence.status.value,
        "facts": {name: list(v) if isinstance(v, tuple) else v for name, v in sorted(evidence.facts.items())},
        "detail": evidence.detail,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: goldens.name(case.parent))
def test_golden(case: Path) -> None:
    said = json.loads(case.read_bytes())
    check = CHECKS[case.parent.parent.name]
    reference, digest = _reference(said), _digest(said)
    resolution = None
    if "media_type" in said:
        resolution = Resolution(
            reference=reference, digest=digest, source="fake", media_type=said["media_type"]
        )
    subject = Subject(reference=reference, digest=digest, resolution=resolution)
    evidence = check.gather(subject, _world(reference, digest, said))
    assert (evidence.check, evidence.digest) == (check.name, digest)
    finding = _finding(reference, said)
    assert finding.kind in check.kinds
    old = None
    if "old" in said:
        before = said["old"]
        old = Evidence(
            check=check.name,
            digest=before["digest"],
            status=Status(before.get("status", "verified")),
            facts={k: tuple(v) if isinstance(v, list) else v for k, v in before.get("facts", {}).items()},
        )
    options = {
        k: tuple(v) if isinstance(v, list) else v for k, v in said.get("rule", {}).get("options", {}).items()
    }
    rule = Rule(demand=Demand(said.get("rule", {}).get("demand", "require")), options=options)
    judgement = check.judge(finding, old, evidence, rule, NOW)
    goldens.compare_json(
        case.with_name("expected.json"),
        {
            "evidence": _shown(evidence),
            "judgement": {"ruling": judgement.ruling.value, "text": judgement.text},
        },
    )


def test_every_check_has_goldens_of_every_ruling() -> None:
    for name in CHECKS:
        rulings = {
            json.loads(one.read_bytes())["judgement"]["ruling"]
            for one in goldens.GOLDEN.joinpath("trust", name).glob("*/expected.json")
        }
        assert rulings == {"pass", "fail", "unknown"}, name
