"""The proposal's texts: golden for an ordinary report, harmless for a hostile one."""

from __future__ import annotations

import re
from dataclasses import replace

import goldens
import pytest
import reports
from markdown_it import MarkdownIt
from test_markdown import HOSTILE

from bot import proposals
from bot.config import Config
from bot.model import Edit, GitReference, Reason, Report, Ruling, SkipReason, Span, State, Verdict
from bot.proposals.asking import for_reviewers
from bot.proposals.render import render_text

EDIT = Edit(
    path="Dockerfile",
    span=Span(5, 12),
    expected=b"node:20",
    replacement=b"node:20@" + reports.DIGEST.encode(),
)


def make(report: Report, written: list[Verdict], config: Config | None = None) -> proposals.Proposal:
    return proposals.pin(report, written, (EDIT,), (), config or Config(), "main")


def ordinary() -> tuple[Report, list[Verdict]]:
    written = [
        reports.pinned(reports.finding()),
        reports.pinned(
            reports.finding(line=4, value="busybox", start=40, where="COPY --from"), warning="looks odd"
        ),
        reports.pinned(reports.finding("web/Dockerfile", value="quay.io/acme/web:1"), source="quay.io"),
    ]
    others = [
        reports.unresolved(
            reports.finding("x/Dockerfile", value="ghcr.io/acme/gone:1"), "ghcr.io has no such tag"
        ),
        reports.skipped(
            reports.finding(
                "y/Dockerfile",
                value="node:${V}",
                state=State.UNKNOWN,
                skip=SkipReason.VARIABLE,
                note="V is not set",
            )
        ),
    ]
    trouble = (reports.unread("broken.yml", "mapping values are not allowed here", 3),)
    return reports.report(*written, *others, trouble=trouble), written


def test_golden_texts() -> None:
    report, written = ordinary()
    made = make(report, written)
    goldens.compare_tree(
        goldens.GOLDEN / "proposals" / "ordinary",
        {
            "title.txt": f"{made.title}\n".encode(),
            "body.md": made.body.encode(),
            "message.txt": made.message.encode(),
            "branch.txt": f"{made.branch}\n".encode(),
        },
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_harmless(text: str) -> None:
    found = reports.finding(f"{text}/Dockerfile")
    verdict = reports.pinned(found, source=text, warning=text)
    odd = reports.skipped(
        reports.finding(text, value=text, state=State.UNKNOWN, skip=SkipReason.INVALID, note=text)
    )
    gone = reports.unresolved(reports.finding(text, value="node:1"), text)
    report = reports.report(verdict, odd, gone, trouble=(reports.unread(text, text),))
    made = make(report, [verdict])
    html = MarkdownIt("gfm-like", {"linkify": False}).render(made.body)
    for tag in ("<script", "<img", "<!--"):
        assert tag not in html
    links = re.findall(r'href="([^"]*)"', html)
    assert all(link.startswith("https://hub.docker.com/") for link in links)
    assert not any(line.lstrip().startswith("/") for line in made.body.splitlines())
    for plain in (made.title, made.message):
        assert text not in plain


def test_a_huge_report_still_fits() -> None:
    written = [reports.pinned(reports.finding(f"service{n}/Dockerfile")) for n in range(3000)]
    gone = [
        reports.unresolved(reports.finding(f"gone{n}/Dockerfile", value="node:1"), "x" * 300)
        for n in range(200)
    ]
    made = make(reports.report(*written, *gone), written)
    assert len(made.body) < 65_536
    assert "3000 references" in made.body
    assert "gone0/Dockerfile:1" in made.body  # what was held is said, however long the rest is
    assert "more that did not fit" in made.body


def test_the_content_hash_knows_edits_not_the_base_commit() -> None:
    report, written = ordinary()
    first = make(report, written)
    assert make(report, written).digest == first.digest
    assert f"Moorline-Digest: {first.digest}\n" in first.message


def test_configuration_shapes_the_texts() -> None:
    report, written = ordinary()
    config = Config(
        title_prefix="deps: ",
        commit_prefix="build: ",
        branch_prefix="bots/",
        sign_off="Bot <bot@example.com>",
    )
    made = make(report, written, config)
    assert made.title.startswith("deps: Pin")
    assert made.message.startswith("build: Pin")
    assert made.branch == "bots/pin/main"
    assert made.message.endswith("Signed-off-by: Bot <bot@example.com>\n")


def test_a_template_cannot_show_what_no_filter_has_seen() -> None:
    report, written = ordinary()
    view = proposals.view(report, written, ())
    with pytest.raises(TypeError, match="without a filter"):
        render_text("{{ view.commit }}", view)


def test_reviewers_are_told_whom_to_ask_and_not_what_to_set() -> None:
    for said, shown in {
        "The egress guard refuses x:1: it is y. Set MOORLINE_A, or MOORLINE_B if it is meant to be reached.": (
            "The egress guard refuses x:1: it is y. Ask whoever runs Moorline if it is meant to be reached."
        ),
        "x wants a login; it logs in to none; name a mirror in MOORLINE_GIT_MIRRORS, or ignore it.": (
            "x wants a login; it logs in to none; ask whoever runs Moorline, or ignore it."
        ),
        "ghcr.io has no such tag.": "ghcr.io has no such tag.",
    }.items():
        assert for_reviewers(said) == shown
        held = reports.unresolved(reports.finding(), said)
        written = reports.pinned(reports.finding(line=9))
        body = make(reports.report(written, held), [written]).body
        assert "MOORLINE_" not in body
        assert "hoever runs Moorline" in body or "MOORLINE_" not in said


def test_a_row_names_the_version_and_the_required_checks_that_passed() -> None:
    action = GitReference(host="github.com", repository="actions/checkout", ref="v4")
    pinned = reports.pinned(reports.finding())
    assert pinned.candidate is not None
    resolution = replace(pinned.candidate.resolution, reference=action, version="v4.3.1")
    reasons = tuple(
        Reason(check=check, ruling=ruling, text="x", demand=demand)
        for check, ruling, demand in (
            ("git-refs", Ruling.PASS, "require"),
            ("nested-refs", Ruling.PASS, "warn"),
            ("age", Ruling.FAIL, "require"),
            ("digest-honesty", Ruling.PASS, "require"),
        )
    )
    verdict = replace(pinned, candidate=replace(pinned.candidate, resolution=resolution), reasons=reasons)
    body = make(reports.report(verdict), [verdict]).body
    row = next(line for line in body.splitlines() if line.startswith("| 1 |"))
    assert "| `v4.3.1` [`" in row
    assert row.endswith("| git-refs, digest-honesty |")
