"""The review of a change: golden texts, and suggestions that come to exactly what a pin would write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import goldens
import pytest
import reports
from answering import AnyImages, AnyRefs
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_markdown import HOSTILE

from bot import candidates, pipeline, proposals
from bot.config import Config
from bot.model import (
    ChangedFile,
    Edit,
    Finding,
    Job,
    Outcome,
    Reason,
    Remark,
    Report,
    Review,
    Ruling,
    Snapshot,
    Span,
    Trigger,
    Unread,
    Unresolved,
    UnresolvedReason,
    Verdict,
)
from bot.trust.base import Sources

JOB = Job(forge="github", repository="acme/app", ref="refs/pull/7/head", trigger=Trigger.PULL_REQUEST)
ALL = 10**9
_LINK = re.compile(r'href="(https?://[^/"]*)')
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


@dataclass(frozen=True, slots=True)
class Files:
    """A repository at one commit."""

    commit: str
    files: Mapping[str, bytes]

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        kept = {path: data for path, data in self.files.items() if claims(path, data) and not left_out(path)}
        return Snapshot(commit=self.commit, files=kept)

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        return {path: self.files[path] for path in paths if path in self.files}

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        del paths
        return ()


def brought(head: Mapping[str, bytes], base: Mapping[str, bytes] | None = None) -> Report:
    """Return the report of what a head has and its merge base has not."""
    services = pipeline.Services(
        reading=lambda _job: Files("c" * 40, head),
        server=Config(),
        host="github.com",
        owner="acme",
        sources=Sources(images=AnyImages(), refs=AnyRefs()),
        pins=True,
    )
    there = Files("b" * 40, base or {})
    return pipeline.inspect(JOB, services, reports.NOW, pipeline.Before(since=there, rules=there))


def whole(paths: Collection[str]) -> tuple[ChangedFile, ...]:
    """Return files of which every line is shown."""
    return tuple(ChangedFile(path=path, hunks=((1, ALL),)) for path in sorted(paths))


def review(report: Report, shown: Callable[[Collection[str]], Iterable[ChangedFile]] = whole) -> Review:
    judged = pipeline.guard(report, Config())
    return pipeline.review(report, judged, shown, proposals.Standing(count=report.stood))


def applied(data: bytes, remarks: Iterable[Remark]) -> bytes:
    """Return a file after a person took every suggestion: forges keep the endings of its lines."""
    lines = data.split(b"\n")
    for remark in remarks:
        if remark.suggestion is None:
            continue
        texts = remark.suggestion.encode().split(b"\n")
        assert len(texts) == remark.last - remark.first + 1
        for number, text in enumerate(texts, remark.first):
            ending = b"\r" if lines[number - 1].endswith(b"\r") else b""
            lines[number - 1] = text + ending
    return b"\n".join(lines)


def test_golden_texts() -> None:
    found = reports.finding(value="node:20")
    update = reports.finding(value="node:20", line=2, start=19)
    held = reports.finding("api/Dockerfile", value="ghcr.io/acme/gone:1")
    refused = reports.finding("api/Dockerfile", value="evil.example/x:1", line=2, start=25)
    warned = reports.finding("web/Dockerfile", value="redis:7")
    files = {
        "Dockerfile": b"FROM node:20\nCOPY --from=node:20 /a /b\n",
        "api/Dockerfile": b"FROM ghcr.io/acme/gone:1\nFROM evil.example/x:1\n",
        "web/Dockerfile": b"FROM redis:7\n",
    }
    update = replace(update, location=replace(update.location, span=Span(25, 32)))
    held = replace(held, location=replace(held.location, span=Span(5, 24)))
    refused = replace(refused, location=replace(refused.location, span=Span(30, 46)))
    no = Reason(check="registries", ruling=Ruling.FAIL, text="evil.example is not allowed", demand="require")
    verdicts = [
        reports.pinned(found),
        reports.pinned(update),
        reports.unresolved(held, "the registry knows no such tag"),
        Verdict(finding=refused, outcome=Outcome.REFUSE, reasons=(no,)),
        reports.pinned(warned, warning="the name looks like another one"),
    ]
    report = replace(reports.report(*verdicts, files=files), stood=3)
    pins = [
        proposals.Pin(one, candidates.edits(one.candidate)) for one in verdicts if one.candidate is not None
    ]
    made = proposals.review(
        report,
        pins,
        verdicts[2:4],
        whole(files),
        proposals.Standing(count=3, link="https://forge.example/acme/app/pull/3"),
    )
    text = json.dumps(asdict(made), indent=2, ensure_ascii=False) + "\n"
    shown = f"{made.body}\n" + "".join(
        f"\n=== {one.path}:{one.first}-{one.last}\n{one.body}\n--- {one.suggestion}\n" for one in made.remarks
    )
    goldens.compare_tree(
        goldens.GOLDEN / "proposals" / "review",
        {"review.json": text.encode(), "review.md": shown.encode()},
    )


def test_nothing_is_said_of_a_clean_change() -> None:
    base = {"Dockerfile": b"FROM node:22\n"}
    made = review(brought({**base, "api/Dockerfile": b"FROM scratch\n"}, base))
    assert (made.remarks, made.body) == ((), "")


def test_only_what_came_in_is_said_and_the_rest_in_one_line() -> None:
    base = {"Dockerfile": b"FROM node:22\nFROM redis:7\n"}
    made = review(brought({"Dockerfile": b"FROM node:22\nFROM redis:7\nFROM alpine:3\n"}, base))
    [remark] = made.remarks
    assert (remark.path, remark.first, remark.last) == ("Dockerfile", 3, 3)
    assert remark.suggestion is not None
    assert remark.suggestion.startswith("FROM alpine:3@sha256:")
    assert "2 references that floated before: not held against this change" in made.body


CASES = {
    "crlf": b"FROM node:22\r\nRUN true\r\nFROM alpine:3 AS x\r\n",
    "tabs and comments": b"FROM\tnode:22\tAS\tbuild\n# a comment\nFROM alpine:3\n",
    "no newline at the end": b"FROM alpine:3\nFROM node:22",
    "neighbours that are no UTF-8": b"# caf\xe9\nFROM node:22\n# \xff\xfe\n",
    "several on one line": b"FROM node:22\nCOPY --from=alpine:3 /a /b\n",
    "a line that goes on": b"FROM \\\n  node:22 \\\n  AS x\nFROM alpine:3\n",
}


@pytest.mark.parametrize("name", CASES)
def test_every_suggestion_applied_is_what_a_pin_writes(name: str) -> None:
    data = CASES[name]
    report = brought({"Dockerfile": data})
    made = review(report)
    wanted = pipeline.confirm(report).files(report)
    assert made.remarks
    assert applied(data, made.remarks) == wanted["Dockerfile"]


WORKFLOW = b"""on: push
jobs:
  build:
    runs-on: ubuntu-latest
    container: node:22   # stays
    steps:
      - uses: actions/checkout@v4
      - {uses: actions/setup-node@v4, with: {a: "```"}}
"""


def test_a_version_comment_goes_along_and_flow_mappings_stay_whole() -> None:
    path = ".github/workflows/ci.yml"
    report = brought({path: WORKFLOW})
    made = review(report)
    assert applied(WORKFLOW, made.remarks) == pipeline.confirm(report).files(report)[path]
    assert [one.first for one in made.remarks] == [5, 7, 8]
    assert all(one.suggestion is not None for one in made.remarks)


def test_two_references_on_one_line_are_one_suggestion() -> None:
    data = b"services:\n  a: {image: 'node:22'}\n  b: {image: alpine:3}\n"
    one_line = b"services: {a: {image: 'node:22'}, b: {image: alpine:3}}\n"
    for text, count in ((data, 2), (one_line, 1)):
        report = brought({"compose.yml": text})
        made = review(report)
        assert len(made.remarks) == count
        assert applied(text, made.remarks) == pipeline.confirm(report).files(report)["compose.yml"]


_LINES = st.sampled_from(
    [
        "FROM node:22",
        "FROM\talpine:3 AS a",
        "FROM redis:7  ",
        "# caf\u00e9",
        "RUN /bin/true",
        "COPY --from=busybox:1 /a /b",
        "",
        "FROM \\",
        "# /merge",
    ]
)


@given(
    st.lists(st.tuples(_LINES, st.sampled_from(["\n", "\r\n"])), max_size=8),
    st.lists(_LINES, max_size=3),
    st.booleans(),
)
def test_whatever_the_file_suggestions_come_to_what_a_pin_writes(
    lines: list[tuple[str, str]], before: list[str], ended: bool
) -> None:
    data = "".join(f"{line}{ending}" for line, ending in lines).encode()
    data = data if ended else data.rstrip(b"\r\n")
    base = {"Dockerfile": "".join(f"{line}\n" for line in before).encode()}
    report = brought({"Dockerfile": data}, base)
    made = review(report)
    wanted = pipeline.confirm(report).files(report).get("Dockerfile", data)
    assert applied(data, made.remarks) == wanted
    for remark in made.remarks:
        assert not any(line.startswith("/") for line in remark.body.splitlines())
        assert not any(line.lstrip().startswith("/") for line in (remark.suggestion or "").split("\n"))
    # What every diff must show is enough for what came in on lines of its own.
    for shown in (proposals.sure("Dockerfile", base["Dockerfile"], data),):
        for first, last in shown.hunks:
            kept = data.split(b"\n")[first - 1 : last]
            assert not set(kept) & set(base["Dockerfile"].split(b"\n"))


def test_a_file_with_another_name_brings_in_what_is_new_in_it() -> None:
    old = b"FROM node:22\nRUN true\n"
    report = brought({"new/Dockerfile": old + b"FROM alpine:3\n"}, {"old/Dockerfile": old})
    shown = [ChangedFile(path="new/Dockerfile", hunks=((1, 3),), old_path="old/Dockerfile")]
    [remark] = review(report, lambda _paths: shown).remarks
    assert (remark.path, remark.first) == ("new/Dockerfile", 3)
    assert report.stood == 1


@pytest.mark.parametrize(
    "line",
    [
        "FROM node:22 \u202e# harmless",  # what a reviewer sees is not what it says
        "FROM node:22 \u00a0\u200b",
        "FROM node:22 " + "#" * 5000,
    ],
)
def test_what_a_comment_would_not_keep_is_not_suggested(line: str) -> None:
    made = review(brought({"Dockerfile": f"{line}\nFROM alpine:3\n".encode()}))
    assert [one.first for one in made.remarks] == [2]


def test_what_would_be_an_order_to_gitlab_is_not_suggested() -> None:
    data = b"on: push\njobs:\n  a:\n    container: {image: node:22}\n"
    flow = b"/close: {image: node:22}\n"
    assert review(brought({".github/workflows/ci.yml": data})).remarks
    report = brought({".gitlab-ci.yml": flow})
    assert [one.value for one in (verdict.finding for verdict in report.verdicts)] == ["node:22"]
    assert review(report).remarks == ()


def test_only_lines_of_one_hunk_are_spoken_of() -> None:
    report = brought({"Dockerfile": b"FROM \\\n  node:22\nFROM alpine:3\n"})

    def shown(*hunks: tuple[int, int]) -> list[tuple[int, int]]:
        made = review(report, lambda _paths: [ChangedFile(path="Dockerfile", hunks=hunks)])
        return [(one.first, one.last) for one in made.remarks]

    assert shown((1, 3)) == [(2, 2), (3, 3)]
    assert shown((1, 1), (3, 3)) == [(3, 3)]
    assert shown((1, 1)) == shown() == []
    assert review(report, lambda _paths: [ChangedFile(path="other", hunks=((1, 9),))]).remarks == ()


def test_a_crowd_is_bounded_and_the_rest_counted() -> None:
    data = "".join(f"FROM node:{number}\n" for number in range(100)).encode()
    made = review(brought({"Dockerfile": data}))
    assert len(made.remarks) == 30
    assert "70 more are told by the check" in made.body


def test_what_moved_is_not_another_topic() -> None:
    one = review(brought({"Dockerfile": b"FROM node:22\n"}))
    other = review(brought({"Dockerfile": b"# moved\n\nFROM node:22\n"}))
    twice = review(brought({"Dockerfile": b"FROM node:22\nFROM node:22\n"}))
    [topic] = {remark.topic for made in (one, other, twice) for remark in made.remarks}
    assert topic
    assert len({remark.around for remark in twice.remarks}) == 2


def test_trouble_that_may_pass_is_left_to_the_check() -> None:
    report = brought({"Dockerfile": b"FROM node:22\n"})
    [verdict] = report.verdicts
    assert verdict.finding.reference is not None
    for reason, count in ((UnresolvedReason.TIMEOUT, 0), (UnresolvedReason.NOT_FOUND, 1)):
        trouble = Unresolved(reference=verdict.finding.reference, reason=reason, detail="nothing there")
        failed = replace(verdict, outcome=Outcome.HOLD, candidate=None, unresolved=trouble)
        assert len(review(replace(report, verdicts=(failed,))).remarks) == count


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_stranger_wrote_is_more_than_text(text: str) -> None:
    value = text.encode("utf-8", "surrogateescape")
    data = b"FROM " + value + b"\n"
    found = reports.finding(value=text)
    found = replace(found, location=replace(found.location, span=Span(5, 5 + len(value))))
    reason = Reason(check="registries", ruling=Ruling.FAIL, text=text, demand="require")
    verdict = Verdict(finding=found, outcome=Outcome.REFUSE, reasons=(reason,))
    made = proposals.review(
        reports.report(verdict, files={"Dockerfile": data}),
        (),
        [verdict],
        [ChangedFile(path="Dockerfile", hunks=((1, ALL),))],
        proposals.Standing(count=1, link=f"https://forge.example/{text}"),
    )
    for markdown in (made.body, *(one.body for one in made.remarks)):
        html = PARSER.render(markdown)
        assert "<script" not in html
        assert "<img" not in html
        assert set(_LINK.findall(html)) <= {"https://forge.example"}
        assert not any(line.lstrip().startswith("/") for line in markdown.splitlines())


def test_the_edits_of_a_pin_stay_within_its_lines() -> None:
    report = brought({"Dockerfile": b"FROM node:22\n"})
    [verdict] = report.verdicts
    finding: Finding = verdict.finding
    odd = Edit(path="Dockerfile", span=finding.location.span, expected=b"node:22", replacement=b"a\nb")
    made = proposals.review(report, [proposals.Pin(verdict, (odd,))], (), whole(["Dockerfile"]))
    assert made.remarks == ()
