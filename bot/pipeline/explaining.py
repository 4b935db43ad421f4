"""The verdict on one reference that a person asks about."""

from __future__ import annotations

from datetime import datetime

from bot.errors import UsageError
from bot.model import Finding, ImageReference, Job, Kind, Location, Reference, Span, State, Trigger, Verdict
from bot.pipeline.configuring import configuration
from bot.pipeline.judging import judge
from bot.pipeline.looking import grounded
from bot.pipeline.services import Services
from bot.reference import parse_git, parse_image
from bot.visible import visible


def explain(text: str, services: Services, now: datetime) -> Verdict:
    """Return the verdict on one reference that a person asks about, as for a first pin.

    Raises `UsageError` where the text is no reference.
    """
    finding = asked_about(text)
    job = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
    config = configuration(services.reading(job), services)
    [verdict] = judge([grounded(finding, services)], config, services, now)
    return verdict


def asked_about(text: str) -> Finding:
    """Return the finding of a reference on the command line: an image, or an action of GitHub's."""
    reference: Reference | None = parse_image(text) or parse_git(text, host="github.com")
    if reference is None:
        raise UsageError(
            f"{visible(text)!r} is neither an image nor an action.",
            advice="Examples: node:22, ghcr.io/acme/app:1.4, actions/checkout@v4.",
        )
    kind = Kind.IMAGE if isinstance(reference, ImageReference) else Kind.ACTION
    return Finding(
        format="command-line",
        kind=kind,
        where="command line",
        location=Location(path="command line", span=Span(0, len(text)), line=1, column=0),
        value=text,
        reference=reference,
        state=State.FLOATING,
    )
