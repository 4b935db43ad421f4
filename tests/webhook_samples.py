"""Deliveries in the shape of the documented payloads: headers and raw bodies on disk, signed by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goldens import GOLDEN

from bot.allowed_owners import AllowedOwners
from bot.store.base import Delivery
from webhooks.events import Context, Irrelevant

WEBHOOKS = GOLDEN / "webhooks"
OWNERS = AllowedOwners(entries=("acme",))
APP = "4100"
ACCOUNTS: Mapping[str, frozenset[str]] = {
    "github": frozenset({"9900", "moorline[bot]", "moorline"}),
    "gitlab": frozenset({"4200", "moorline-bot"}),
}


def samples(*forges: str) -> list[Path]:
    """Return the folders of the samples of some forges."""
    return sorted(found.parent for forge in forges for found in WEBHOOKS.joinpath(forge).glob("*/body"))


def name(sample: Path) -> str:
    """Return a sample's name for people."""
    return f"{sample.parent.name}/{sample.name}"


def read(sample: Path) -> tuple[dict[str, str], bytes]:
    """Return headers and raw body of a sample."""
    lines = sample.joinpath("headers").read_text(encoding="ascii").splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return headers, sample.joinpath("body").read_bytes()


def context(forge: str) -> Context:
    """Return what a reader is told in these tests."""
    return Context(owners=OWNERS, accounts=ACCOUNTS[forge], app=APP if forge == "github" else "")


def shown(found: Delivery | Irrelevant) -> dict[str, Any]:
    """Return what came of a delivery as JSON, without what is empty."""
    if isinstance(found, Irrelevant):
        return {"reason": found.reason.value, "event": found.event}
    jobs = [
        {key: value for key, value in asdict(job).items() if value not in ("", 0, None)} for job in found.jobs
    ]
    plain = {"event": found.event, "source": found.source, "id": found.id, "jobs": jobs}
    read_back: dict[str, Any] = json.loads(json.dumps(plain))
    return read_back
