"""A job as plain JSON: in a row of what is wanted, and in what the engine is handed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.model import Job, Trigger


def encode_job(job: Job) -> dict[str, Any]:
    """Return a job as plain JSON."""
    return {
        "forge": job.forge,
        "repository": job.repository,
        "ref": job.ref,
        "trigger": job.trigger.value,
        "head": job.head,
        "before": job.before,
        "changed": None if job.changed is None else list(job.changed),
        "number": job.number,
        "identity": job.identity,
        "default_branch": job.default_branch,
    }


def decode_job(value: Mapping[str, Any]) -> Job:
    """Return the job that `encode_job` wrote."""
    changed = value["changed"]
    return Job(
        forge=value["forge"],
        repository=value["repository"],
        ref=value["ref"],
        trigger=Trigger(value["trigger"]),
        head=value["head"],
        before=value["before"],
        changed=None if changed is None else tuple(changed),
        number=value["number"],
        identity=value["identity"],
        # What an older version handed to the engine has none.
        default_branch=value.get("default_branch", ""),
    )
