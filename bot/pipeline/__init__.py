"""The verbs: inspect, propose, publish.  The only place that joins the stages.

    Job -> Snapshot -> Findings -> Selection -> Resolutions -> Candidates -> Evidence -> Verdicts
        = Report -> Edits, Proposal -> Published

Everything down to the report reads; only `publish` and `withdraw` write.  Each module below does one of
the joins, in this order: `looking`, `resolving`, `judging`, `inspecting`; `confirming`, `proposing`;
`publishing`, `withdrawing`; beside them `comparing`, `reviewing` and `guarding` for what people propose.
"""

from __future__ import annotations

from bot.pipeline.configuring import BrokenError, configuration, mistakes
from bot.pipeline.confirming import Confirmed, confirm
from bot.pipeline.declining import pinned, without
from bot.pipeline.explaining import explain
from bot.pipeline.guarding import guard
from bot.pipeline.inspecting import BESIDE, Before, inspect
from bot.pipeline.looking import Survey, grounded, look
from bot.pipeline.owning import Ours, may_write
from bot.pipeline.proposing import propose
from bot.pipeline.publishing import publish
from bot.pipeline.reading import AtCommit, Reading
from bot.pipeline.reviewing import review
from bot.pipeline.services import Ground, Services
from bot.pipeline.transient import passing, unpins
from bot.pipeline.withdrawing import withdraw

__all__ = [
    "BESIDE",
    "AtCommit",
    "Before",
    "BrokenError",
    "Confirmed",
    "Ground",
    "Ours",
    "Reading",
    "Services",
    "Survey",
    "configuration",
    "confirm",
    "explain",
    "grounded",
    "guard",
    "inspect",
    "look",
    "may_write",
    "mistakes",
    "passing",
    "pinned",
    "propose",
    "publish",
    "review",
    "unpins",
    "withdraw",
    "without",
]
