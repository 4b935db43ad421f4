"""The second verb: from a report to proposals."""

from __future__ import annotations

from dataclasses import replace

from bot import proposals
from bot.config import Config, Mode
from bot.model import Looks, Proposal, Report
from bot.pipeline.confirming import confirm, edits_of, trouble_with
from bot.pipeline.declining import pinned


def propose(
    report: Report, config: Config, base: str, *, introduces: bool = False, address: str = ""
) -> tuple[Proposal, ...]:
    """Return the proposals that a report leads to, one for each of the configuration's groups.

    There are none where nothing is to be written, or where the configuration lets Moorline only look.
    The first of them introduces Moorline where asked to.  `address` is what a command to us begins with;
    empty where comments are not heard.
    """
    if config.mode is not Mode.PROPOSE or report.commit is None:
        return ()
    confirmed = confirm(report)
    looks = Looks(
        labels=config.labels,
        reviewers=config.reviewers,
        assignees=config.assignees,
        draft=config.draft,
        squash=config.squash,
        remove_branch=config.remove_source_branch,
    )
    made: list[Proposal] = []
    for group, verdicts in proposals.groups(confirmed.written, config):
        # Confirmed together is not confirmed alone, and alone is how it is merged.
        if len(verdicts) < len(confirmed.written) and trouble_with(report, verdicts) is not None:
            continue
        text = proposals.pin(
            report,
            verdicts,
            edits_of(verdicts),
            confirmed.unread,
            config,
            base,
            group=group,
            introduces=introduces and not made,
            address=address,
        )
        made.append(replace(text, pins=tuple(map(pinned, verdicts)), looks=looks))
    return tuple(made)
