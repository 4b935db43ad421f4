"""One proposal or several: what goes into each, where it lives, and how it and the bot present themselves."""

from __future__ import annotations

import re
from dataclasses import replace

import goldens
import pytest
import reports
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_markdown import HOSTILE

from bot import cron, proposals
from bot.config import Config, Grouping, Schedule, Updates
from bot.model import Edit, Finding, GitReference, Kind, Proposal, Report, SkipReason, Span, State, Verdict
from bot.proposals.groups import belongs, group_of
from bot.reference import is_git_ref

EDIT = Edit(
    path="Dockerfile",
    span=Span(5, 12),
    expected=b"node:20",
    replacement=b"node:20@" + reports.DIGEST.encode(),
)
BY_IMAGE, BY_DIRECTORY = Config(group=Grouping.IMAGE), Config(group=Grouping.DIRECTORY)


def make(
    report: Report,
    written: list[Verdict],
    config: Config,
    group: str,
    *,
    introduces: bool = False,
    address: str = "",
) -> Proposal:
    return proposals.pin(
        report, written, (EDIT,), (), config, "main", group=group, introduces=introduces, address=address
    )


def several() -> tuple[Report, list[Verdict]]:
    written = [
        reports.pinned(reports.finding()),
        reports.pinned(reports.finding("api/Dockerfile", value="node:22", line=3)),
        reports.pinned(reports.finding("api/build/Dockerfile", value="quay.io/acme/web:1"), source="quay.io"),
    ]
    others = [
        reports.unresolved(reports.finding("api/Dockerfile", value="ghcr.io/acme/gone:1"), "no such tag"),
        reports.unresolved(reports.finding("web/Dockerfile", value="node:99"), "no such tag"),
        reports.skipped(
            reports.finding("api/Dockerfile", value="acme/own", skip=SkipReason.BUILT_HERE, note="built here")
        ),
        reports.skipped(
            reports.finding("Dockerfile", value="redis:7", state=State.PINNED, skip=SkipReason.PINNED)
        ),
    ]
    trouble = (reports.unread("api/broken.yml", "no YAML", 3), reports.unread("broken.yml", "no YAML"))
    return reports.report(*written, *others, trouble=trouble), written


def test_a_repository_is_one_group() -> None:
    _, written = several()
    assert proposals.groups(written, Config()) == ((proposals.GROUP, tuple(written)),)
    assert proposals.groups([], Config()) == proposals.groups([], BY_IMAGE) == ()


def test_an_image_is_one_group_whatever_its_tags() -> None:
    _, written = several()
    made = dict(proposals.groups(written, BY_IMAGE))
    assert list(made) == ["image/docker.io/library/node", "image/quay.io/acme/web"]
    assert made["image/docker.io/library/node"] == tuple(written[:2])


def test_an_action_is_no_image_of_that_name() -> None:
    image = reports.finding(value="acme/tool:1")
    action = replace(
        image,
        kind=Kind.ACTION,
        reference=GitReference(host="github.com", repository="acme/tool", ref="v1", path="sub"),
    )
    assert group_of(image, Grouping.IMAGE) == "image/docker.io/acme/tool"
    assert group_of(action, Grouping.IMAGE) == "image/github.com/acme/tool"
    assert isinstance(action.reference, GitReference)
    shouted = replace(action, reference=replace(action.reference, repository="Acme/Tool", ref="v2"))
    assert group_of(shouted, Grouping.IMAGE) == group_of(action, Grouping.IMAGE)


def test_a_directory_is_one_group_without_those_below() -> None:
    _, written = several()
    made = dict(proposals.groups(written, BY_DIRECTORY))
    assert list(made) == ["directory/.", "directory/api", "directory/api/build"]
    assert made["directory/api"] == (written[1],)


@pytest.mark.parametrize("config", [BY_IMAGE, BY_DIRECTORY])
def test_golden_texts_of_groups(config: Config) -> None:
    report, written = several()
    made = {}
    for number, (group, verdicts) in enumerate(proposals.groups(written, config)):
        one = make(report, list(verdicts), config, group)
        assert one.group == group
        made[f"{number}.md"] = f"{one.branch}\n{one.title}\n\n{one.body}".encode()
        made[f"{number}.txt"] = one.message.encode()
    goldens.compare_tree(goldens.GOLDEN / "proposals" / config.group.value, made)


def test_a_group_speaks_of_itself_alone() -> None:
    report, written = several()
    body = make(report, written[1:2], BY_DIRECTORY, "directory/api").body
    assert "ghcr.io/acme/gone:1" in body
    assert "api/broken.yml" in body
    assert "node:99" not in body
    assert "`broken.yml`" not in body
    body = make(report, written[:2], BY_IMAGE, "image/docker.io/library/node").body
    assert "node:99" in body
    assert "gone" not in body


def test_what_is_said_in_vain_is_said_in_every_group() -> None:
    report, written = several()
    report = replace(report, notes=("`mode` does not count.",))
    assert "does not count" in make(report, written[1:2], BY_DIRECTORY, "directory/api").body


# --- branches -----------------------------------------------------------------------------

BASES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=250
).filter(lambda text: is_git_ref(text) and len(text.encode()) <= 250)
PATHS = st.text(min_size=1, max_size=300)


def found(path: str) -> Finding:
    return reports.finding(path)


@given(base=BASES, path=PATHS, grouping=st.sampled_from(Grouping))
def test_a_branch_is_a_valid_ref_of_bounded_length(base: str, path: str, grouping: Grouping) -> None:
    group = group_of(found(path), grouping)
    assert group.isascii()
    assert group.isprintable()
    assert len(group) <= 220
    assert belongs(found(path), group)
    branch = proposals.branch_name(base, Config(branch_prefix="p" * 59 + "/"), group)
    assert is_git_ref(branch), branch
    assert len(branch.encode()) <= 240
    assert branch.startswith(proposals.branch_name("", Config(branch_prefix="p" * 59 + "/"), group))


@given(
    bases=st.lists(
        st.sampled_from(["main", "release/1", "release", "main/directory/x"]), min_size=2, max_size=2
    ),
    paths=st.lists(PATHS, min_size=2, max_size=2),
    grouping=st.lists(st.sampled_from(Grouping), min_size=2, max_size=2),
)
def test_two_branches_never_meet(bases: list[str], paths: list[str], grouping: list[Grouping]) -> None:
    """Unless their bases cannot exist side by side, neither is a folder of the other, as git would have it."""
    groups = [group_of(found(path), one) for path, one in zip(paths, grouping, strict=True)]
    first, second = (
        proposals.branch_name(base, Config(), group) for base, group in zip(bases, groups, strict=True)
    )
    if (bases[0], groups[0]) == (bases[1], groups[1]):
        assert first == second
        return
    assert first != second
    if not bases[0].startswith(f"{bases[1]}/") and not bases[1].startswith(f"{bases[0]}/"):
        assert not first.startswith(f"{second}/")
        assert not second.startswith(f"{first}/")


def test_a_branch_knows_no_digest() -> None:
    report, written = several()
    other = reports.pinned(written[0].finding, "sha256:" + "cd" * 32)
    group = "image/docker.io/library/node"
    assert make(report, written[:1], BY_IMAGE, group).branch == make(report, [other], BY_IMAGE, group).branch


def test_the_branch_of_a_repository_is_as_it_was() -> None:
    assert proposals.branch_name("main", Config()) == "moorline/pin/main"
    assert proposals.branch_name("release/1.2", Config()) == "moorline/pin/release/1.2"


# --- the introduction ---------------------------------------------------------------------


def test_golden_introduction() -> None:
    report, written = several()
    config = Config(refs=("release/*",))
    made = make(report, written, config, proposals.GROUP, introduces=True, address="@harbour")
    goldens.compare_tree(goldens.GOLDEN / "proposals" / "introduction", {"body.md": made.body.encode()})
    later = make(report, written, Config(refs=("release/*",)), proposals.GROUP)
    assert "first proposal" not in later.body
    assert made.title == later.title
    assert made.digest == later.digest


@pytest.mark.parametrize("introduces", [True, False])
def test_commands_are_named_where_comments_are_heard_alone(introduces: bool) -> None:
    report, written = several()
    deaf = make(report, written, Config(), proposals.GROUP, introduces=introduces).body
    body = make(report, written, Config(), proposals.GROUP, introduces=introduces, address="@harbour").body
    assert " help`" not in deaf
    assert "`@harbour help`" in body
    assert "`@harbour ignore IMAGE because REASON`" in body


@pytest.mark.parametrize(
    ("config", "said", "unsaid"),
    [
        (Config(updates=Updates.NEVER), "leaves what is pinned as it is", "follows the tags"),
        (Config(updates=Updates.ALWAYS), "follows the tags that it pinned", "Renovate"),
        (Config(), "neither Renovate nor Dependabot", "leaves what is pinned"),
        (Config(group=Grouping.IMAGE), "for each image", "for each folder"),
        (Config(group=Grouping.DIRECTORY), "for each folder", "for each image"),
        (
            Config(schedule=Schedule(first=(cron.parse("0 4 * * 1"), cron.parse("monthly")))),
            "first pins `0 4 * * 1` and `monthly`",
            "`weekly`",
        ),
    ],
)
def test_the_introduction_says_what_is_configured(config: Config, said: str, unsaid: str) -> None:
    report, written = several()
    body = make(report, written, config, proposals.GROUP, introduces=True).body
    assert said in body
    assert unsaid not in body


def test_the_first_proposal_of_a_huge_repository_introduces_the_bot_too() -> None:
    written = [reports.pinned(reports.finding(f"service{n}/Dockerfile")) for n in range(3000)]
    body = make(reports.report(*written), written, Config(), proposals.GROUP, introduces=True).body
    assert len(body) < 65_536
    assert "first proposal" in body
    assert "found 3000 references" in body


# --- what the configuration asks for ------------------------------------------------------


def test_an_issue_stands_behind_the_prefix() -> None:
    report, written = several()
    config = Config(issue="OPS-12", title_prefix="deps: ", commit_prefix="build(deps): ")
    made = make(report, written, config, proposals.GROUP)
    assert made.title.startswith("deps: OPS-12 Pin 3")
    assert made.message.startswith("build(deps): OPS-12 Pin 3")
    made = make(report, written, Config(issue="OPS-12"), proposals.GROUP)
    assert made.title.startswith("OPS-12 Pin")


def test_a_draft_says_so() -> None:
    report, written = several()
    assert "It is a draft" in make(report, written, Config(draft=True), proposals.GROUP).body
    assert "It is a draft" not in make(report, written, Config(), proposals.GROUP).body


# --- hostile names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [*HOSTILE, "../..", "GH-1\nSigned-off-by: x <y@z>", "\udcff", "-", "Draft: x"]
)
@pytest.mark.parametrize("config", [BY_DIRECTORY, BY_IMAGE])
def test_hostile_names_of_groups_are_harmless(text: str, config: Config) -> None:
    verdict = reports.pinned(reports.finding(f"{text}/x/Dockerfile"), source=text, warning=text)
    [(group, verdicts)] = proposals.groups([verdict], config)
    config = replace(config, refs=(text,))
    made = make(reports.report(verdict), list(verdicts), config, group, introduces=True)
    html = MarkdownIt("gfm-like", {"linkify": False}).render(made.body)
    for tag in ("<script", "<img", "<!--"):
        assert tag not in html
    links = re.findall(r'href="([^"]*)"', html)
    assert all(link.startswith("https://hub.docker.com/") for link in links)
    assert not any(line.lstrip().startswith("/") for line in made.body.splitlines())
    subject, blank, _ = made.message.split("\n", 2)
    assert (subject, blank) == (made.title, "")
    for plain in (made.title, made.branch, group):
        assert plain.isprintable()
        assert plain.isascii()
        assert len(plain) <= 250
        assert not set(plain) & set("@#!<>[]`|\\~%&$")
    assert is_git_ref(made.branch)
    made.body.encode()
    made.message.encode()
