"""Every place where a stranger's words stand: no link, mention, reference or order comes of them anywhere.

Names of images, tags, paths, branches and accounts, reasons that people give, words of registries and of
parsers, and what a configuration says: each text of each template is hostile at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from importlib.resources import files

import linking
import pytest
import reports
from gitlab_quick_actions import extract
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_answers import part
from test_markdown import HOSTILE, hostile

from bot import proposals
from bot.config import Config, Grouping
from bot.errors import ConfigurationError
from bot.model import ChangedFile, GitReference, Outcome, Reason, Report, Ruling, SkipReason, State, Verdict
from bot.proposals import checks, lasting, notes, render
from bot.proposals.answers import Kind, Part, Row, answer
from bot.reference import parse_image

EVERYWHERE = ((1, 10**9),)
OURS = (
    "https://hub.docker.com/",
    "https://github.com/",
    "https://forge.example/",
    "ghcr.io/acme/*",
    "registry.example.com",
)
"""What templates say themselves."""


def texts(text: str) -> Iterator[str]:
    """Yield all Markdown that is made of one text, in every place where a stranger's can stand."""
    for kind in Kind:
        yield re.sub(r"#7(?= for|,)", "", answer([part(kind, text), part(kind, text, request=True)]))
    report, written = judged(text)
    for grouping in Grouping:
        config = Config(group=grouping, refs=(text,))
        for group, verdicts in proposals.groups(written, config):
            made = proposals.pin(report, list(verdicts), (), (), config, "main", group=group, introduces=True)
            yield made.body
            many = [replace(verdicts[0]) for _ in range(400)]
            yield proposals.pin(report, many, (), (), config, "main", group=group).body
    rules = (checks.Rules(before={text: b"x"}, after={text: f"x # {text}".encode("utf-8", "replace")}),)
    title, summary = checks.guard(report, report.unread, "c" * 40, rules)
    yield summary
    yield checks.explained(summary, [text], 1)
    yield checks.undecided(text)[1]
    wrong = ConfigurationError(text, path=text, line=3, advice=text)
    yield from (checks.broken([wrong, wrong], "c" * 40, whose)[1] for whose in ("change", "base", "branch"))
    yield checks.overridden(title, summary, text, text)[1]
    share = checks.Share(number=1, base=text, title=title, summary=summary)
    yield checks.shared([share, replace(share, number=0)])[1]
    review = proposals.review(
        report,
        (),
        report.verdicts,
        [ChangedFile(path=one, hunks=EVERYWHERE) for one in report.snapshot.files],
        proposals.Standing(count=1, link=f"https://forge.example/{text}"),
    )
    yield review.body
    yield from (one.body for one in review.remarks)
    pin = proposals.pins.row_of(written[0], written[0].candidate) if written[0].candidate else None
    assert pin is not None
    trouble = {"what": text, "word": "held", "why": text}
    yield render.render("remark.md.j2", {"pins": (pin,), "troubles": (trouble,)})
    line = lasting.Line(
        key="ignore", what="image", name=text, check=text, because=text, by=text, until=date(2026, 5, 1)
    )
    view = {"path": text, "new": True, "lines": (line,), "count": 1}
    yield render.render("lasting.md.j2", view)
    yield notes.noted("Ours.", [text, text], "")
    yield notes.continues(text)
    yield notes.unfollowed(text)


def judged(text: str) -> tuple[Report, list[Verdict]]:
    """Return a report all of whose words are one text, and what of it is written."""
    found = reports.finding(f"{text}/Dockerfile")
    pinned = reports.pinned(found, source=text, warning=text)
    assert pinned.candidate is not None
    git = GitReference(host="github.com", repository=text, ref=text)
    resolution = replace(pinned.candidate.resolution, reference=git, version=text)
    of_git = replace(pinned, candidate=replace(pinned.candidate, resolution=resolution))
    reason = Reason(check="registries", ruling=Ruling.FAIL, text=text, demand="require")
    refused = Verdict(
        finding=replace(reports.finding(value=text), reference=parse_image("node:1")),
        outcome=Outcome.REFUSE,
        reasons=(reason, replace(reason, text=f"MOORLINE_{text}")),
    )
    odd = reports.skipped(
        reports.finding(text, value=text, state=State.UNKNOWN, skip=SkipReason.INVALID, note=text)
    )
    gone = reports.unresolved(reports.finding(text, value="node:1"), text)
    trouble = (reports.unread(text, text), reports.unread(text, text, 3))
    lines = {"Dockerfile": b"FROM x\n", text: b"FROM x\n", f"{text}/Dockerfile": b"FROM x\n"}
    report = reports.report(pinned, of_git, refused, odd, gone, files=lines, trouble=trouble)
    return replace(report, notes=(text,), stood=2), [pinned, of_git]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hostile)
@example("closes #1 and @acme/security: www.evil.example")
def test_no_place_lets_a_text_be_more(text: str) -> None:
    for made in texts(text):
        linking.is_harmless(made, OURS)
        assert extract(made)[1] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_no_title_or_message_does(text: str) -> None:
    _, written = judged(text)
    for grouping in Grouping:
        config = Config(group=grouping)
        for group, verdicts in proposals.groups(written, config):
            report = reports.report(*verdicts)
            made = proposals.pin(report, list(verdicts), (), (), config, "main", group=group)
            for plain in (made.title, made.message):
                assert linking.found(plain.replace(made.digest, ""), linking.IN_NAMES) == []
                assert linking.ORDERS.search(plain) is None


SETTING = "ghcr.io cannot be reached. Set MOORLINE_CA_BUNDLE, or ignore it."
ASKED = "`ghcr.io` cannot be reached. Ask whoever runs Moorline, or ignore it."


def test_nobody_is_told_to_set_what_only_the_operator_can() -> None:
    row = Row(place="x:1", value="node:22", state="held", why=SETTING)
    verdict = reports.unresolved(reports.finding(), SETTING)
    unread = reports.unread("x", SETTING)
    report = reports.report(verdict, files={"Dockerfile": b"FROM node:20\n"}, trouble=(unread,))
    changed = [ChangedFile(path="Dockerfile", hunks=EVERYWHERE)]
    review = proposals.review(report, (), [verdict], changed)
    pinned = reports.pinned(reports.finding(line=2), warning=SETTING)
    report = reports.report(verdict, pinned, trouble=(unread,))
    for made in (
        answer([Part(kind=Kind.EXPLAINED, rows=(row,), since=reports.NOW)]),
        checks.guard(report, [unread], "c" * 40)[1],
        checks.undecided(SETTING)[1],
        review.remarks[0].body,
        proposals.pin(report, [pinned], (), (), Config(), "main").body,
        notes.noted("Ours.", [SETTING], ""),
    ):
        assert ASKED in made
        assert "MOORLINE_" not in made
    assert "MOORLINE_" not in checks.explained("Ours.", [SETTING], 0)
    # What a person wrote is theirs.
    assert "`MOORLINE_CA_BUNDLE`" in answer([Part(kind=Kind.OVERRIDDEN, because=SETTING)])


def test_no_template_is_left_out() -> None:
    used = render._environment().cache
    assert used is not None
    used.clear()
    for _ in texts("node:22"):
        pass
    there = {one.name for one in files("bot.proposals").joinpath("templates").iterdir()}
    # That title is ours, and says the path of the configuration.
    assert there - {name for _, name in used} == {"lasting_title.txt.j2"}


@given(st.sampled_from(HOSTILE))
def test_the_oracle_sees_what_is_not_defused(text: str) -> None:
    """What is judged harmless is so because of what was done to it, not since nothing is seen."""
    linked = [one for one in linking.HARMFUL if one in text]
    outside, _, links = linking.read(text)
    assert not linked or links or linking.found(outside, linking.IN_PROSE) or linking.ORDERS.search(text)
