"""Reports as text: the formats' shapes, and that hostile names cannot leave them."""

from __future__ import annotations

import base64
import difflib
import json
import os
import re
from collections import Counter
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import goldens
import pytest
import reports
from hypothesis import given
from hypothesis import strategies as st
from test_markdown import HOSTILE

from bot.model import Evidence, Fact, Outcome, Reason, Report, Ruling, SkipReason, State, Status, Verdict
from bot.output import FORMATS, diff, document, explanation, table


def ordinary() -> Report:
    floating = reports.skipped(reports.finding())
    written = reports.pinned(reports.finding(line=2, start=20, value="busybox"))
    refused = reports.pinned(reports.finding(line=3, start=40, value="nodejs:20"), warning="looks like node")
    refused = Verdict(
        finding=refused.finding,
        outcome=Outcome.REFUSE,
        reasons=refused.reasons,
        candidate=refused.candidate,
    )
    pinned = reports.skipped(
        reports.finding(
            line=4, start=60, value=f"redis@{reports.DIGEST}", state=State.PINNED, skip=SkipReason.PINNED
        )
    )
    variable = reports.skipped(
        reports.finding(
            line=5,
            start=140,
            value="a:${V}",
            state=State.UNKNOWN,
            skip=SkipReason.VARIABLE,
            note="V is not set",
        )
    )
    gone = reports.unresolved(reports.finding("x/Dockerfile", value="acme/gone:1"), "no such tag")
    trouble = (reports.unread("broken.yml", "not YAML", 3),)
    return reports.report(floating, written, refused, pinned, variable, gone, trouble=trouble)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_golden(name: str) -> None:
    text = FORMATS[name](ordinary())
    goldens.compare_tree(goldens.GOLDEN / "output" / name, {"report": text.encode()})


def test_golden_table() -> None:
    report = ordinary()
    lines = [
        f"{row.place} | {row.value} | {row.state} | {row.tone} | {row.note}"
        for row in table.rows(report, everything=True)
    ]
    text = "\n".join([*lines, *table.unread(report), table.summary(report)]) + "\n"
    goldens.compare_tree(goldens.GOLDEN / "output" / "table", {"report": text.encode()})


def test_golden_explanation() -> None:
    for verdict in ordinary().verdicts[1:3]:
        name = verdict.outcome.value
        text = "\n".join(explanation.lines(verdict)) + "\n"
        goldens.compare_tree(goldens.GOLDEN / "output" / "explanation" / name, {"text": text.encode()})
        assert json.loads(explanation.dumps(verdict))["verdict"]["outcome"] == name


def test_an_explanation_reads_well_and_fits_a_narrow_terminal() -> None:
    verdict = ordinary().verdicts[1]
    facts: dict[str, Fact] = {"size": 491, "mutable_count": 0, "like": "nginx", "strong": True}
    evidence = Evidence(check="x", digest="", status=Status.VERIFIED, facts=facts)
    reason = Reason(check="age", ruling=Ruling.PASS, text="no age is asked for " * 5)
    verdict = replace(verdict, evidence=(evidence,), reasons=(reason,))
    wide = list(explanation.lines(verdict))
    for told in ("manifest size     491 bytes", "how many mutable  0", "resembles         nginx"):
        assert f"  {told}" in wide
    assert "  easily mistaken   yes" in wide
    narrow = list(explanation.lines(verdict, 40))
    assert all(len(line) <= 40 or " " not in line.strip() for line in narrow)
    assert "".join(narrow).replace(" ", "") == "".join(wide).replace(" ", "")


def test_a_scan_has_the_documented_keys() -> None:
    made = json.loads(FORMATS["json"](ordinary()))
    assert made["version"] == 1
    assert made["files"] == 2
    first = made["references"][0]
    assert set(first) == {
        *("path", "line", "column", "kind", "format", "where", "value", "state", "skip", "note", "reference"),
    }
    assert first["reference"] == {
        "registry": "docker.io",
        "repository": "library/node",
        "tag": "20",
        "digest": None,
    }
    assert first["skip"] is None


@pytest.mark.parametrize("text", [*HOSTILE, "\udcff\udcfe", "a%0A::error::b", "x,line=1::error::y"])
def test_hostile_names(text: str) -> None:
    report = reports.report(
        reports.skipped(reports.finding(text, value=text, note=text)),
        reports.unresolved(reports.finding(text, value="node:1"), text),
        trouble=(reports.unread(text, text),),
    )
    for name in ("json", "sarif", "codequality"):
        assert json.loads(FORMATS[name](report).encode("utf-8"))
    commands = FORMATS["github"](report).encode("utf-8").decode().splitlines()
    assert len(commands) == 3
    for line in commands:
        assert re.fullmatch(r"::(warning|notice) file=[^,]*,line=\d+,title=[^:,]*::[^\x00-\x1f]*", line)
    for row in table.rows(report, everything=True):
        shown = row.place + row.value + row.note
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", shown)


def crowded(refused: int, floating: int, unread: int) -> Report:
    """Return a report whose worst problems come last."""
    floats = [reports.skipped(reports.finding(f"a{number:05}")) for number in range(floating)]
    why = Reason(check="x", ruling=Ruling.FAIL, text="not allowed")
    bad = [
        replace(one, outcome=Outcome.REFUSE, reasons=(why,))
        for one in (reports.skipped(reports.finding(f"z{number:05}")) for number in range(refused))
    ]
    return reports.report(*floats, *bad, trouble=tuple(reports.unread(f"n{n:05}", "") for n in range(unread)))


def test_sarif_leaves_out_what_is_least_bad_and_says_how_much() -> None:
    [run] = json.loads(FORMATS["sarif"](crowded(1, 5_002, 7)))["runs"]
    levels = Counter(one["level"] for one in run["results"])
    assert levels == {"error": 1, "warning": 4_999}
    names = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
    assert names == sorted(names), "in the order of the files, for all that"
    [told] = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"] == "Left out are 3 warnings and 7 notes; the JSON format has them all."
    [run] = json.loads(FORMATS["sarif"](crowded(5_001, 1, 1)))["runs"]
    [told] = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"].startswith("Left out are 1 error, 1 warning and 1 note;")
    assert "invocations" not in json.loads(FORMATS["sarif"](crowded(0, 5_000, 0)))["runs"][0]


@pytest.mark.parametrize(
    ("counts", "shown", "told"),
    [
        ((10, 10, 10), (10, 10, 10), ""),
        ((11, 0, 0), (10, 0, 1), "1 error"),
        ((12, 1_013, 3), (10, 10, 4), "2 errors and 1,003 warnings"),
        ((11, 0, 10), (10, 0, 10), "1 error and 1 note"),
        ((0, 0, 12), (0, 0, 10), "3 notes"),
    ],
)
def test_a_step_says_as_many_annotations_as_github_shows(
    counts: tuple[int, int, int], shown: tuple[int, int, int], told: str
) -> None:
    lines = FORMATS["github"](crowded(*counts)).splitlines()
    kinds = Counter(line.split()[0] for line in lines)
    assert tuple(kinds[f"::{kind}"] for kind in ("error", "warning", "notice")) == shown
    last = f"::notice title=Moorline::Not annotated are {told}; they stand in the log."
    assert (lines[-1] == last) is bool(told)
    assert sum("title=Moorline" in line for line in lines) == bool(told)
    assert len(lines) == sum(counts) + bool(told), "nothing is left out of the log"


@pytest.mark.parametrize("name", ["::error::x", " ::error::x", "a\n::error::x", "##[error]x", "a ##[error]x"])
def test_what_is_in_the_log_alone_is_no_command(name: str) -> None:
    many = [reports.skipped(reports.finding(name, value=f"{name}{number}")) for number in range(12)]
    lines = FORMATS["github"](reports.report(*many)).split("\n")[:-1]
    plain = [line for line in lines if not line.startswith("::warning file=")]
    assert len(lines) == 13
    assert [line[:9] for line in plain] == ["warning: ", "warning: ", "::notice "]
    assert not any("##[" in line for line in plain)


def test_names_that_are_not_utf8_can_be_had_back() -> None:
    names = [b"\xff\xfe/Dockerfile", b"\xfe\xff/Dockerfile", "ä/Dockerfile".encode(), b"a%FF/Dockerfile"]
    paths = [os.fsdecode(name) for name in names]
    report = reports.report(
        *(reports.skipped(reports.finding(path, note=f"see {path}:1")) for path in paths),
        trouble=tuple(reports.unread(path, path) for path in paths),
    )
    made = json.loads(FORMATS["json"](report))
    assert json.dumps(made, ensure_ascii=False).encode("utf-8")
    for listed in (made["references"], made["unread"]):
        assert [one["path"] for one in listed][2:] == ["ä/Dockerfile", "a%FF/Dockerfile"]
        assert [one["path"] for one in listed][:2] == ["\N{REPLACEMENT CHARACTER}" * 2 + "/Dockerfile"] * 2
        assert [base64.b64decode(one["path_bytes"]) for one in listed[:2]] == names[:2]
        assert all("path_bytes" not in one for one in listed[2:])
    uris = [
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for one in json.loads(FORMATS["sarif"](report))["runs"][0]["results"]
    ]
    assert document.unread(reports.unread("\ud800", ""))["path"] == "\N{REPLACEMENT CHARACTER}"
    assert [unquote_to_bytes(uri) for uri in uris] == [*names, *names]
    prints = [one["fingerprint"] for one in json.loads(FORMATS["codequality"](report))]
    assert len(set(prints)) == len(prints)
    swapped = reports.report(*reversed(report.verdicts))
    assert {one["fingerprint"] for one in json.loads(FORMATS["codequality"](swapped))} <= set(prints)


def test_fingerprints_differ_and_survive_moved_lines() -> None:
    def prints(offset: int) -> list[str]:
        twice = [reports.skipped(reports.finding(line=line + offset, start=line * 10)) for line in (1, 2)]
        return [one["fingerprint"] for one in json.loads(FORMATS["codequality"](reports.report(*twice)))]

    assert len(set(prints(0))) == 2
    assert prints(0) == prints(7)


LINE = st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))


@given(st.lists(st.tuples(LINE, st.booleans()), min_size=1, max_size=40), st.booleans())
def test_a_diff_gives_the_new_file_back(lines: list[tuple[bytes, bool]], last: bool) -> None:
    old = [f"{number} ".encode() + line for number, (line, _) in enumerate(lines)]
    new = [line + b"!" if changed else line for line, (_, changed) in zip(old, lines, strict=True)]
    end = b"\n" if last else b""
    made = list(diff.diff("f", b"\n".join(old) + end, b"\n".join(new) + end))

    patched = [diff._shown(line) for line in old]
    position = 0
    for line in made:
        if line.part is diff.Part.HUNK:
            position = int(line.text.split()[1].removeprefix("-").split(",")[0]) - 1
        elif line.part in (diff.Part.OLD, diff.Part.SAME):
            assert patched[position] == line.text[1:]
            patched[position] = ""
            position += 1
    shown = [line.text[1:] for line in made if line.part in (diff.Part.NEW, diff.Part.SAME)]
    assert sorted(filter(None, patched + shown)) == sorted(diff._shown(line) for line in new)


def test_a_diff_reads_as_people_know_it() -> None:
    old = b"".join(b"line %d\n" % number for number in range(30))
    new = old.replace(b"line 3\n", b"line three\n").replace(b"line 4\n", b"line four\n")
    new = new.replace(b"line 20\n", b"line twenty\n")
    made = [line.text for line in diff.diff("a.yml", old, new)]
    theirs = difflib.unified_diff(
        old.decode().splitlines(), new.decode().splitlines(), "a/a.yml", "b/a.yml", lineterm=""
    )
    assert made == list(theirs)
