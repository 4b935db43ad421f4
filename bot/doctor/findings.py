"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bot.errors import MoorlineError
from bot.forges.base import Health, Symptom


class Part(StrEnum):
    """What is looked at, in this order.  Closed: the JSON has it."""

    SETTINGS = "settings"
    POLICY = "policy"
    DATABASE = "database"
    RECEIVER = "receiver"
    REGISTRIES = "registries"
    GIT = "git"
    GITHUB = "github"
    GITLAB = "gitlab"


class Mark(StrEnum):
    """How something looks.  Closed: the JSON has it."""

    OK = "ok"
    NOTE = "note"
    TROUBLE = "trouble"
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's."""

    part: Part
    mark: Mark
    subject: str
    """What was looked at, in a few words."""
    text: str
    """What was seen, in one sentence."""
    advice: str = ""
    """What a person can do."""


Findings: TypeAlias = Iterator[Finding]

_MARKS = {Health.OK: Mark.OK, Health.NOTE: Mark.NOTE, Health.TROUBLE: Mark.TROUBLE}


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes the findings of one part."""

    part: Part

    def ok(self, subject: str, text: str) -> Finding:
        """Return that something is as it should be."""
        return Finding(part=self.part, mark=Mark.OK, subject=subject, text=text)

    def note(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return what a person may want to change."""
        return Finding(part=self.part, mark=Mark.NOTE, subject=subject, text=text, advice=advice)

    def trouble(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return what keeps something from working, or puts it at risk."""
        return Finding(part=self.part, mark=Mark.TROUBLE, subject=subject, text=text, advice=advice)

    def unknown(self, subject: str, text: str, advice: str = "") -> Finding:
        """Return that something could not be looked at."""
        return Finding(part=self.part, mark=Mark.UNKNOWN, subject=subject, text=text, advice=advice)

    def failed(self, subject: str, error: MoorlineError) -> Finding:
        """Return an error as trouble."""
        return self.trouble(subject, error.problem, error.advice)

    def of(self, symptom: Symptom) -> Finding:
        """Return what a forge says of itself."""
        return Finding(
            part=self.part,
            mark=_MARKS[symptom.health],
            subject=symptom.subject,
            text=symptom.text,
            advice=symptom.advice,
        )
