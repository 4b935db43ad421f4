"""Evidence of a look-up that gave no answer."""

from __future__ import annotations

import math
from collections.abc import Collection

from bot.model import Evidence, Fact, Status, Subject, Unresolved, UnresolvedReason


def evidence(
    check: str, subject: Subject, answer: Unresolved, lies: Collection[UnresolvedReason] = ()
) -> Evidence:
    """Return why nothing is known: INVALID where the answer was one of `lies`, else ERROR.

    Facts are the `reason` and, where the server named a time, `retry_after` in whole seconds.
    """
    facts: dict[str, Fact] = {"reason": answer.reason.value}
    if answer.retry_after is not None and math.isfinite(answer.retry_after):
        facts["retry_after"] = math.ceil(answer.retry_after)
    return Evidence(
        check=check,
        digest=subject.digest,
        status=Status.INVALID if answer.reason in lies else Status.ERROR,
        facts=facts,
        detail=answer.detail,
    )
