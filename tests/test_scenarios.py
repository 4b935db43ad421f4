"""The same scenarios on `git`, GitHub, GitHub Enterprise Server and GitLab, through the whole service."""

from __future__ import annotations

import base64
import json
import pickle
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import databases
import pytest
from databases import BACKENDS
from scenario_places import EXECUTABLE, LINK, SUBMODULE, Can, Content, GitHubPlace, Proposed
from scenarios import PLACES, TRUSTED, Repo, Rig, Scene, database, rig, scene

from bot.model import Job, Trigger
from bot.runs import acts
from bot.service import Service
from bot.service_settings import Settings
from bot.settings import Lookups
from bot.store.base import Ending, ProposalState
from bot.store.plain_jobs import decode_job, encode_job
from bot.store.tables import metadata

BRANCH = "moorline/pin/main"


@pytest.fixture(scope="module", params=PLACES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One service for all scenarios of a place.

    Those on Enterprise Server are the same as those on GitHub: with them all of them run on Postgres, too.
    """
    backend = "postgres" if request.param == "github-enterprise" else "sqlite"
    folder = tmp_path_factory.mktemp(request.param)
    with database(backend) as url, rig(request.param, folder, database=url) as made:
        yield made


@pytest.fixture
def here(running: Rig) -> Iterator[Scene]:
    with scene(running) as made:
        yield made


def dockerfile(*images: str | bytes) -> bytes:
    """Return a Dockerfile with a stage for each image."""
    names = [one.encode() if isinstance(one, str) else one for one in images]
    return b"".join(b"FROM %s AS s%d\n" % (name, number) for number, name in enumerate(names))


# --- one proposal, kept up to date --------------------------------------------------------


def test_a_push_becomes_one_proposal(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"README": b"x\n"})
    crlf = b"# caf\xc3\xa9\r\nFROM " + tool.encode() + b"\r\nRUN true"
    app.push({"Dockerfile": (EXECUTABLE, crlf), "docs/Dockerfile.txt": b"FROM x\n"})
    made = app.proposal
    assert (made.branch, made.base, made.state) == (BRANCH, "main", "open")
    assert app.proposed() == crlf.replace(tool.encode(), here.pin(tool))
    assert here.place.mode(app.name, "Dockerfile", made.branch) == EXECUTABLE
    assert here.place.read(app.name, "README", made.branch) == b"x\n"
    assert "Pin 1 image to its digest" in made.title
    assert "Moorline-Digest: " in here.place.message(app.name, made.head)
    assert [one.ending for one in app.runs()] == [Ending.PUBLISHED]  # what we do ourselves starts nothing
    if Can.REQUESTS in here.place.can:
        assert "This is Moorline, and its first proposal here" in made.body


def test_a_secret_would_be_found(here: Scene) -> None:
    """What every scenario is searched for in the end."""
    assert here.rig.leaks() == []
    for secret in (here.place.secrets()[-1], "glpat-0123456789abcdef", "ghs_0123456789abcdef"):
        here.rig.said.lines.append(f"a line with {secret}")
        assert here.rig.leaks() != []
        here.rig.said.lines.pop()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_secret_in_the_database_would_be_found(tmp_path: Path, backend: str) -> None:
    with database(backend) as url, rig("git", tmp_path, works=False, database=url) as made:
        assert made.leaks() == []
        made.store.audit.add("moorline", "proposal.published", "ghs_0123456789abcdef", {}, datetime.now(UTC))
        assert made.leaks() == ["the database: ghs_012345..."]


def test_a_second_push_updates_it_in_place(here: Scene) -> None:
    tool, other = here.image(), here.image("other")
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    first = app.proposal
    base = app.push({"web/Dockerfile": dockerfile(other)})
    assert app.proposal.number == first.number
    assert app.proposal.branch == first.branch
    assert app.proposed("web/Dockerfile") == dockerfile(here.pin(other))
    assert app.proposed() == dockerfile(here.pin(tool))
    assert len(app.every()) == 1
    assert base == app.heads()["main"]


def test_a_digest_that_moved_updates_it_in_place(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    first = app.proposal
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"RUN true\n"})
    assert app.proposed() == dockerfile(here.pin(tool)) + b"RUN true\n"
    assert app.proposal.number == first.number
    assert app.proposal.head != first.head
    assert len(app.every()) == 1


def test_a_push_that_cannot_matter_costs_no_request(here: Scene) -> None:
    here.needs(Can.COUNTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    app.push({"README": b"x\n"})
    made = app.proposal
    # GitLab does not say whether a push was forced.
    compared = ["GET /api/v4/projects/{id}/repository/compare"] if here.place.forge == "gitlab" else []
    assert app.cost(lambda: app.push({"main.py": b"1\n"})) == compared
    assert app.cost(lambda: app.push({"main.py": b"2\n"})) == compared
    assert app.cost(lambda: app.push({"Dockerfile": b"FROM x\n"}, "topic")) == []
    assert app.proposal == made
    app.push({"Dockerfile": dockerfile(here.image()) + b"USER 1\n"})
    assert app.proposed().endswith(b"USER 1\n")


def test_a_burst_of_pushes_is_answered_at_its_newest(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    for number in range(5):
        here.place.push(app.name, {"Dockerfile": dockerfile(tool) + b"USER %d\n" % number}, "main")
    here.rig.tell()
    assert app.proposed() == dockerfile(here.pin(tool)) + b"USER 4\n"
    assert len(app.every()) == 1
    assert len(app.runs()) <= 3


def test_a_forced_push_is_looked_at_whole(here: Scene) -> None:
    tool, other = here.image(), here.image("other")
    app = here.repository({"Dockerfile": dockerfile(tool), "README": b"x\n"})
    first = app.heads()["main"]
    app.push({"Dockerfile": dockerfile(other)})
    assert app.proposed() == dockerfile(here.pin(other))
    app.push({"main.py": b"1\n"}, start=first, force=True)
    assert app.proposed() == dockerfile(here.pin(tool))
    assert len(app.every()) == 1


def test_what_a_forced_push_throws_away_is_missed(here: Scene) -> None:
    """What comes with it says nothing of a Dockerfile: no sweep would look at what was taken for scanned."""
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    first = app.push({"README": b"x\n"})
    app.push({"Dockerfile": b"FROM scratch\n"})
    assert app.open() == []
    app.push({"README": b"y\n"}, start=first, force=True)
    assert app.proposed() == dockerfile(here.pin(here.image()))


def test_every_branch_that_is_looked_after_has_its_own(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool), ".moorline.yml": b"refs: [release/*]\n"})
    app.push({"README": b"x\n"})
    app.push({"web/Dockerfile": dockerfile(tool)}, "release/1")
    bases = {one.base: one for one in app.open()}
    assert set(bases) == {"main", "release/1"}
    assert bases["release/1"].branch == "moorline/pin/release/1"
    found = here.place.read(app.name, "web/Dockerfile", bases["release/1"].branch)
    assert found == dockerfile(here.pin(tool))
    assert here.place.read(app.name, "web/Dockerfile", bases["main"].branch) is None


@pytest.mark.parametrize("by", ["image", "directory"])
def test_groups_have_proposals_of_their_own(here: Scene, by: str) -> None:
    tool, other = here.image(), here.image("other")
    said = f"proposal: {{group: {by}}}\n".encode()
    files = {"a/Dockerfile": dockerfile(tool), "b/Dockerfile": dockerfile(other), ".moorline.yml": said}
    app = here.repository(files)
    app.push({"README": b"x\n"})
    by_text = {
        ("a" if here.place.read(app.name, "a/Dockerfile", one.branch) != files["a/Dockerfile"] else "b"): one
        for one in app.open()
    }
    assert set(by_text) == {"a", "b"}
    assert all(f"/{by}/" in one.branch for one in by_text.values())
    app.push({"b/Dockerfile": None})
    assert app.proposal.branch == by_text["a"].branch
    assert by_text["b"].branch not in app.heads()
    if Can.REQUESTS in here.place.can:
        [gone] = [one for one in app.every() if one.number == by_text["b"].number]
        assert gone.state == "closed"
        assert len(app.comments(gone)) == 1
        assert app.comments(by_text["a"]) == []


# --- what they look like ------------------------------------------------------------------

LOOKS = b"""\
proposal:
  branch-prefix: bot/pins-
  title-prefix: "chore: "
  commit-prefix: "build: "
  sign-off: Pin Bot <bot@example.com>
  issue: OPS-12
  labels: [dependencies, pins]
  reviewers: [ann, nobody-knows]
  assignees: [bob]
  draft: true
  squash: true
"""


def test_it_looks_as_the_configuration_says(here: Scene) -> None:
    app = here.repository({"Dockerfile": dockerfile(here.image()), ".moorline.yml": LOOKS})
    app.push({"README": b"x\n"})
    made = app.proposal
    message = here.place.message(app.name, made.head)
    assert made.branch == "bot/pins-pin/main"
    assert message.startswith("build: OPS-12 Pin 1 image to its digest\n")
    assert message.rstrip().endswith("Signed-off-by: Pin Bot <bot@example.com>")
    if Can.REQUESTS not in here.place.can:
        return
    assert made.title.removeprefix("Draft: ") == "chore: OPS-12 Pin 1 image to its digest"
    assert set(made.labels) == {"dependencies", "pins"}
    assert (made.reviewers, made.assignees, made.draft) == (("ann",), ("bob",), True)
    assert Can.SQUASH not in here.place.can or made.squash is True
    [stored] = here.store.proposals.standing(here.place.forge, app.identity)
    assert "nobody-knows" in stored.detail
    # An update leaves them as they are.
    app.push({"Dockerfile": dockerfile(here.image("other"))})
    assert set(app.proposal.labels) == {"dependencies", "pins"}
    assert app.proposal.number == made.number


def test_commits_are_shown_as_verified_or_it_is_said_that_they_are_not(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    app.push({"README": b"x\n"})
    [stored] = here.store.proposals.standing(here.place.forge, app.identity)
    if isinstance(here.place, GitHubPlace):
        signed = here.place.is_signed(app.name, app.proposal.head)
        assert signed is (Can.SIGNS in here.place.can)
        assert ("verified" in app.proposal.body) is not signed
        assert ("verified" in stored.detail) is not signed


def test_bytes_that_are_hard_to_handle_stay_as_they_are(here: Scene) -> None:
    tool = here.image()
    name, pinned = tool.encode(), here.pin(tool)
    large = b"# padding \xff\r\n" * 50_000 + b"FROM " + name + b"\r\n"
    assert len(large) > 512_000
    files: dict[str, Content] = {
        "large/Dockerfile": large,
        "bom/Dockerfile": b"\xef\xbb\xbfFROM " + name + b" AS a\r\n\r\n",
        "latin/Dockerfile": b"# \xe9t\xe9\nFROM\t " + name + b"   AS b\n\n\n# end",
        "run/Dockerfile": (EXECUTABLE, b"FROM " + name),
    }
    app = here.repository({"README": b"x\n"})
    app.push(files)
    branch = app.proposal.branch
    for path, content in files.items():
        data = content[1] if isinstance(content, tuple) else content
        assert data is not None
        assert here.place.read(app.name, path, branch) == data.replace(name, pinned), path
    assert here.place.mode(app.name, "run/Dockerfile", branch) == EXECUTABLE


def test_links_and_submodules_are_not_touched(here: Scene) -> None:
    tool = here.image()
    module = b"0123456789abcdef0123456789abcdef01234567"
    app = here.repository(
        {
            "real/Dockerfile": dockerfile(tool),
            "link/Dockerfile": (LINK, b"../real/Dockerfile"),
            "away/Dockerfile": (LINK, b"/etc/passwd"),
            "module/Dockerfile": (SUBMODULE, module),
        }
    )
    app.push({"README": b"x\n"})
    branch = app.proposal.branch
    assert app.proposed("real/Dockerfile") == dockerfile(here.pin(tool))
    assert here.place.mode(app.name, "link/Dockerfile", branch) == LINK
    assert here.place.read(app.name, "link/Dockerfile", branch) == b"../real/Dockerfile"
    assert here.place.mode(app.name, "away/Dockerfile", branch) == LINK
    assert here.place.mode(app.name, "module/Dockerfile", branch) == SUBMODULE


# --- configuration ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_a_repository_may_ask_to_be_left_alone(here: Scene, mode: str) -> None:
    app = here.repository(
        {"Dockerfile": dockerfile(here.image()), ".moorline.yml": f"mode: {mode}\n".encode()}
    )
    app.push({"README": b"x\n"})
    assert app.last() is Ending.NOTHING
    assert app.every() == []
    assert set(app.heads()) == {"main"}
    app.push({".moorline.yml": b"mode: propose\n"})
    assert app.proposal.base == "main"


def test_a_broken_configuration_is_said_with_its_line(here: Scene) -> None:
    app = here.repository(
        {"Dockerfile": dockerfile(here.image()), ".moorline.yml": b"preset: default\nmode: sleep\n"}
    )
    app.push({"README": b"x\n"})
    assert app.last() is Ending.FAILED
    assert ".moorline.yml:2" in app.runs()[-1].detail
    assert set(app.heads()) == {"main"}
    app.push({".moorline.yml": b"preset: default\n"})
    assert app.proposal.base == "main"


@pytest.mark.parametrize("name", [".github", "moorline-config"])
def test_the_owners_file_is_a_floor(here: Scene, name: str) -> None:
    here.needs(Can.OWNERS)
    if name.startswith(".") and here.place.forge != "github":
        pytest.skip(f"{here.place.forge}: no repository of that name")
    owners = b"mode: observe\nproposal: {labels: [ours], title-prefix: 'acme: '}\n"
    policy = here.repository({".moorline.yml": owners}, name)
    app = here.repository({"Dockerfile": dockerfile(here.image()), ".moorline.yml": b"mode: propose\n"})
    app.push({"README": b"x\n"})
    assert app.last() is Ending.NOTHING
    assert app.every() == []
    # The owner thinks better of it, and from the next push on that rules.
    policy.push({".moorline.yml": owners.replace(b"observe", b"propose")})
    app.push({".moorline.yml": b"proposal: {labels: [mine]}\n"})
    assert app.proposal.title.startswith("acme: Pin")
    assert app.proposal.labels == ("mine",)


def test_each_group_above_has_its_say(here: Scene) -> None:
    here.needs(Can.GROUPS)
    here.repository(
        {".moorline.yml": b"proposal: {title-prefix: 'top: ', labels: [top]}\n"}, "moorline-config"
    )
    here.repository({".moorline.yml": b"proposal: {labels: [team]}\n"}, "team/moorline-config")
    app = here.repository({"Dockerfile": dockerfile(here.image())}, "team/web/app")
    app.push({"README": b"x\n"})
    assert app.proposal.title.startswith("top: Pin")
    assert app.proposal.labels == ("team",)


def test_where_another_bot_refreshes_digests_only_first_pins_are_proposed(here: Scene) -> None:
    tool, old = here.image(), here.image("old")
    there = here.pin(old)
    settings = b"trust: {checks: {age: off}}\n"
    app = here.repository(
        {"Dockerfile": dockerfile(tool, there), ".moorline.yml": settings, "renovate.json": b"{}"}
    )
    here.move(old)
    app.push({"README": b"x\n"})
    assert app.proposed() == dockerfile(here.pin(tool), there)
    app.push({"renovate.json": None})
    assert app.proposed() == dockerfile(here.pin(tool), here.pin(old))


# --- people's word ------------------------------------------------------------------------


def test_what_a_person_closed_stays_closed(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    app.settle(app.proposal, "closed")
    assert app.fates() == [(f"{here.place.forge}:ann", "proposal.declined")]
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"RUN true\n"})
    assert app.open() == []
    assert len(app.every()) == 1
    # Something else is proposed without what was declined.
    other = here.image("other")
    app.push({"Dockerfile": dockerfile(tool, other)})
    assert app.proposed() == dockerfile(tool, here.pin(other))
    assert "a person closed the proposal" in app.proposal.body


def test_a_close_that_nobody_told_of_counts_as_well(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    app.settle(app.proposal, "closed", told=False)
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"RUN true\n"})
    assert app.open() == []
    assert len(app.every()) == 1
    assert app.fates() == [(f"{here.place.forge}:ann", "proposal.declined")]


def test_what_is_opened_again_is_kept_up_to_date(here: Scene) -> None:
    here.needs(Can.REQUESTS, Can.REOPEN)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    first = app.proposal
    app.settle(first, "closed")
    app.settle(first, "open")
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"RUN true\n"})
    assert app.proposal.number == first.number
    assert app.proposed() == dockerfile(here.pin(tool)) + b"RUN true\n"


def test_after_a_merge_nothing_is_said(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    made = app.proposal
    app.settle(made, "merged")
    assert here.place.read(app.name, "Dockerfile", "main") == dockerfile(here.pin(tool))
    assert app.open() == []
    assert app.comments(made) == []
    assert app.states() == [ProposalState.MERGED]
    assert app.fates() == [(f"{here.place.forge}:ann", "proposal.merged")]
    app.push({"README": b"y\n"})
    app.push({"web/Dockerfile": dockerfile(here.image("other"))})
    assert app.proposal.number != made.number
    assert "first proposal here" not in app.proposal.body


def test_with_nothing_left_to_pin_it_is_closed(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    made = app.proposal
    app.push({"Dockerfile": dockerfile(here.pin(tool))})
    assert app.open() == []
    assert set(app.heads()) == {"main"}
    assert app.states() == [ProposalState.SUPERSEDED]
    if Can.REQUESTS in here.place.can:
        assert len(app.comments(made)) == 1
    app.push({"Dockerfile": dockerfile(tool)})
    assert app.proposal.branch == made.branch  # our own closing declines nothing


def test_a_branch_that_somebody_squats_on_is_left_alone(here: Scene) -> None:
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    theirs = app.push({"theirs": b"x\n"}, BRANCH, told=False)
    app.push({"README": b"x\n"})
    assert app.heads()[BRANCH] == theirs
    assert app.open() == []
    assert app.last() is Ending.FAILED
    assert "left alone" in app.runs()[-1].detail
    assert "Delete the branch, and Moorline goes on." in app.runs()[-1].detail
    app.drop(BRANCH)
    app.push({"Dockerfile": dockerfile(here.image()) + b"USER 1\n"})
    assert app.proposal.branch == BRANCH


def test_a_branch_that_somebody_committed_to_is_left_alone(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    made = app.proposal
    theirs = app.push({"theirs": b"x\n"}, BRANCH)
    for number in range(2):
        here.move(tool)
        app.push({"Dockerfile": dockerfile(tool) + b"USER %d\n" % number})
    assert app.heads()[BRANCH] == theirs
    assert "left alone" in app.runs()[-1].detail
    if Can.REQUESTS in here.place.can:
        assert app.proposal.number == made.number
        [comment] = app.comments(made)
        assert "stands back" in comment


@pytest.mark.parametrize("told", ["in turn", "backwards"])
def test_a_base_that_is_gone_takes_its_proposal_along(here: Scene, told: str) -> None:
    here.needs(Can.REQUESTS)  # the plain hook passes deletions over
    app = here.repository({"Dockerfile": dockerfile(here.image()), ".moorline.yml": b"refs: [release/*]\n"})
    app.push({"README": b"x\n"}, "release/1")
    first = app.proposal
    assert first.base == "release/1"
    app.drop("release/1", told=told)
    assert app.open() == []
    assert set(app.heads()) == {"main"}
    # GitHub closes the request itself: no person turned it down.
    app.push({"README": b"y\n"}, "release/1")
    assert app.proposal.number != first.number


# --- which repositories -------------------------------------------------------------------


def test_a_repository_that_is_new_to_us_gets_its_first_look(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    app.install()
    assert "first proposal here" in app.proposal.body


def test_a_repository_with_nothing_in_it_waits_for_its_first_push(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository(None)
    app.install()
    assert app.last() is Ending.NOTHING
    app.push({"Dockerfile": dockerfile(here.image())})
    assert app.proposal.base == "main"


def test_a_default_branch_of_another_name(here: Scene) -> None:
    app = here.repository({"Dockerfile": dockerfile(here.image())}, default="trunk/v2")
    app.push({"README": b"x\n"})
    assert (app.proposal.base, app.proposal.branch) == ("trunk/v2", "moorline/pin/trunk/v2")


@pytest.mark.parametrize("moves", ["renamed", "given away"])
def test_a_repository_that_moved_keeps_its_proposal(here: Scene, moves: str) -> None:
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    made = app.proposal
    old, app.name = app.name, f"{here.owner}/new" if moves == "renamed" else f"{here.owner}-heirs/app"
    here.place.rename(old, app.name)
    here.rig.tell()
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"USER 1\n"})
    assert app.proposal.number == made.number
    assert app.proposed() == dockerfile(here.pin(tool)) + b"USER 1\n"
    assert len(app.every()) == 1


def test_a_path_that_passed_on_while_another_worker_remembered_it(here: Scene) -> None:
    """Each process remembers for minutes which repository a name leads to; what one saw, all know."""
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    variables = here.rig.variables
    with Service(Settings.from_environ(variables), Lookups.from_environ(variables)) as other:
        job = Job(forge=here.place.forge, repository=app.identity, ref="main", trigger=Trigger.PUSH)
        other._work.publish(other._work.plan(job) or "")
        here.place.rename(app.name, f"{app.name}-before")
        here.rig.tell()
        passed = here.repository({"Dockerfile": dockerfile(tool)})
        passed.install()
        head = passed.push({"Dockerfile": dockerfile(tool) + b"USER 2\n"}, told=False)
        known = here.store.repositories.get(here.place.forge, passed.identity)
        assert known is not None
        job = replace(job, head=head, identity=known.repository.id)
        other._work.publish(other._work.plan(job) or "")
    assert passed.proposed() == dockerfile(here.pin(tool)) + b"USER 2\n"


def test_a_move_that_nobody_told_of(here: Scene) -> None:
    """The next push comes under the new name, and everything that is known of the old one belongs to it."""
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    made = app.proposal
    here.place.rename(app.name, f"{here.owner}/new")
    here.place.forget()
    app.name = f"{here.owner}/new"
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"USER 1\n"})
    assert app.proposal.number == made.number
    assert len(app.every()) == 1


def test_what_is_archived_is_left_alone(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    here.place.push(app.name, {"README": b"x\n"}, "main")
    here.place.archive(app.name)
    here.rig.tell()
    assert app.every() == []
    assert set(app.heads()) == {"main"}


def test_forks_are_not_served(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    fork = Repo(here, f"{here.owner}-fork/app-too")
    here.place.fork_here(app.name, fork.name)
    fork.push({"README": b"x\n"})
    assert fork.last() is Ending.NOTHING
    assert fork.every() == []


def test_what_we_may_not_see_any_more_is_left_as_it_is(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    assert app.proposal.number
    here.move(tool)
    here.place.push(app.name, {"Dockerfile": dockerfile(tool) + b"USER 1\n"}, "main")
    told: list[tuple[str, Mapping[str, str], bytes]] = []

    def keep(path: str, headers: Mapping[str, str], body: bytes) -> int:
        told.append((path, headers, body))
        return 202

    here.place.tell(keep)
    here.place.hide(app.name)
    for one in told:
        assert here.rig.receive(*one) == 202
    here.rig.tell()
    standing = app.every()
    if Can.INSTALLS in here.place.can:  # it tells who took it away
        known = here.store.repositories.get(here.place.forge, app.identity)
        assert known is not None
        assert known.gone
        assert app.states() == [ProposalState.PUBLISHED]  # until we see what became of it
    else:
        assert app.last() is Ending.FAILED
        assert "does not show it to us" in app.runs()[-1].detail
    assert standing == app.every()


def test_a_rule_that_forbids_our_branches_is_said(here: Scene) -> None:
    if not {Can.RULES, Can.PROTECTS} & here.place.can:
        pytest.skip(f"{here.place.forge}: no rules about branches")
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    here.place.forbid(app.name)
    app.push({"README": b"x\n"})
    assert app.last() is Ending.FAILED
    assert "feature/" in app.runs()[-1].detail or "not allowed to push" in app.runs()[-1].detail
    assert set(app.heads()) == {"main"}
    assert app.every() == []


# --- what people propose ------------------------------------------------------------------

FLOATS = ("failure", "failed")


def test_a_request_of_a_person_is_checked(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"README": b"x\n"})
    head = app.push({"Dockerfile": dockerfile(here.image())}, "topic")
    number = here.place.request(app.name, "topic")
    here.rig.tell()
    [check] = app.checks(head)
    assert check.state in FLOATS
    assert app.every() == []
    # GitLab counts the thread on the line, GitHub does not.
    said = app.comments(Proposed(number=number, title="", body="", branch="", base="", head=""))
    assert len(said) == (here.place.forge == "gitlab")
    # A better one: nothing of what it brings in floats.
    head = app.push({"Dockerfile": dockerfile(here.pin(here.image()))}, "topic")
    [check] = app.checks(head)
    assert check.state == "success"


def test_a_request_from_a_fork_is_checked(here: Scene) -> None:
    here.needs(Can.REQUESTS, Can.FORKS)
    app = here.repository({"README": b"x\n"})
    _, head = here.place.fork(app.name, {"Dockerfile": dockerfile(here.image())}, "topic")
    here.place.forget()
    here.place.request(app.name, "topic", fork=True)
    here.rig.tell()
    [check] = app.checks(head)
    assert check.state in FLOATS
    assert "Dockerfile" in check.text


def test_a_merge_queue_is_answered(here: Scene) -> None:
    here.needs(Can.QUEUE)
    app = here.repository({"README": b"x\n"})
    head = app.push({"Dockerfile": dockerfile(here.image())}, "topic")
    headers, body = here.place.queue(app.name, "topic")
    assert here.rig.receive("/webhooks/github", headers, body) == 202
    here.rig.tell()
    [check] = app.checks(head)
    assert check.state in FLOATS
    assert app.every() == []


def test_our_own_proposal_passes(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    app.push({"README": b"x\n"})
    assert [one.state for one in app.checks(app.proposal.head)] == ["success"]


def test_the_lint_of_a_changed_pipeline_stands_in_the_request(here: Scene) -> None:
    here.needs(Can.LINT)
    tool = here.image()
    app = here.repository({".gitlab-ci.yml": b"build:\n  image: %s\n  script: [make]\n" % tool.encode()})
    app.push({"README": b"x\n"})
    assert here.pin(tool) in app.proposed(".gitlab-ci.yml")
    assert "CI lint accepts" in app.proposal.body


# --- other ways to the same end -----------------------------------------------------------


def test_a_tree_that_is_listed_in_part_is_walked(here: Scene) -> None:
    here.needs(Can.TRUNCATES)
    assert isinstance(here.place, GitHubPlace)
    tool = here.image()
    files = {f"folder{number}/sub/file": b"x\n" for number in range(12)}
    app = here.repository(
        {**files, "folder9/sub/Dockerfile": dockerfile(tool), "z/Dockerfile": dockerfile(tool)}
    )
    here.place.hub.switches.tree_entries = 20
    try:
        app.push({"README": b"x\n"})
    finally:
        here.place.hub.switches.tree_entries = 100_000
    assert app.proposed("folder9/sub/Dockerfile") == dockerfile(here.pin(tool))
    assert app.proposed("z/Dockerfile") == dockerfile(here.pin(tool))


def test_two_owners_have_nothing_in_common(here: Scene) -> None:
    """What is sent for one owner's repository is good for that owner alone, and for one repository to write."""
    here.needs(Can.REQUESTS)
    apps = []
    for owner in (here.owner, f"{here.owner}-others"):
        apps.append(here.repository({"Dockerfile": dockerfile(here.image())}, owner=owner))
        apps[-1].push({"README": b"x\n"})
    assert all(app.proposal for app in apps)
    if not isinstance(here.place, GitHubPlace):
        return
    hub = here.place.hub
    for seen in hub.requests:
        parts = seen.path.split("/")
        if parts[1:2] != ["repos"] or not parts[2].startswith(here.owner):
            continue
        if parts[4:] == ["installation"]:
            assert seen.kind == "app"
            continue
        token = hub.world.tokens[seen.token]
        assert token.installation.account.login == parts[2]
        if seen.method != "GET":
            assert token.repositories is not None
            assert [one.name for one in token.repositories] == [parts[3]]
        else:
            assert "write" not in token.permissions.values() or token.repositories is not None


def test_a_login_is_used_for_its_owner_alone(here: Scene) -> None:
    here.needs(Can.REQUESTS)
    tool, secret = here.image(), here.image(where="private")
    files: dict[str, Content] = {"Dockerfile": dockerfile(tool, secret)}
    stranger, trusted = here.repository(files), here.repository(files, owner=TRUSTED)
    here.rig.images.logins.clear()
    stranger.push({"README": b"x\n"})
    assert stranger.proposed() == dockerfile(here.pin(tool), secret)
    assert "private/tool" in stranger.proposal.body
    assert here.rig.images.logins == []
    trusted.push({"README": b"x\n"})
    assert trusted.proposed() == dockerfile(here.pin(tool), here.pin(secret))
    assert "registry.example.net/private/tool" in here.rig.images.logins
    here.rig.images.logins.clear()
    stranger.push({"Dockerfile": dockerfile(tool, secret) + b"USER 1\n"})
    assert stranger.proposed() == dockerfile(here.pin(tool), secret) + b"USER 1\n"
    assert here.rig.images.logins == []


def test_no_more_are_open_than_the_configuration_lets(here: Scene) -> None:
    files: dict[str, Content] = {
        f"d{number}/Dockerfile": dockerfile(here.image(f"tool{number}")) for number in range(4)
    }
    said = b"proposal: {group: directory}\nlimits: {open: 2}\n"
    app = here.repository({**files, ".moorline.yml": said})
    app.push({"README": b"x\n"})
    assert len(app.open()) == 2
    app.push({"d0/Dockerfile": None, "d1/Dockerfile": None})
    app.push({"README": b"y\n", "d2/Dockerfile": dockerfile(here.image("tool2")) + b"USER 1\n"})
    assert len(app.open()) == 2


def test_a_registry_that_is_down_is_asked_again(here: Scene) -> None:
    """What can be looked up is proposed meanwhile, and what was proposed is not taken back."""
    tool, other = here.image(), here.image("other")
    app = here.repository({"Dockerfile": dockerfile(tool, other)})
    here.rig.images.down.add(other.rpartition(":")[0])
    try:
        app.push({"README": b"x\n"})
        assert app.proposed() == dockerfile(here.pin(tool), other)
        assert app.last() is Ending.PARKED
        assert {one.ending for one in app.runs()} == {Ending.POSTPONED, Ending.PARKED}
    finally:
        here.rig.images.down.clear()
    app.push({"README": b"y\n", "Dockerfile": dockerfile(tool, other) + b"USER 1\n"})
    assert app.proposed() == dockerfile(here.pin(tool), here.pin(other)) + b"USER 1\n"
    here.rig.images.down.add(other.rpartition(":")[0])
    try:
        app.push({"Dockerfile": dockerfile(tool, other) + b"USER 2\n"})
    finally:
        here.rig.images.down.clear()
    assert app.proposed() == dockerfile(here.pin(tool), here.pin(other)) + b"USER 1\n"
    assert len(app.open()) == 1


# --- what the job engine keeps ------------------------------------------------------------

WRITTEN = frozenset({"inputs", "output", "error", "request", "attributes", "progress", "schedule"})
"""Columns of the engine that hold what its serializer made."""
_RUN = re.compile(r"[0-9a-f]{32}")
_ACTS = re.compile(r"[0-9A-Za-z@._: -]{1,2000}")
"""What a plan comes to: verbs, each with an id and a word at most."""


def kept(rows: Iterable[tuple[str, str, object]]) -> Iterator[tuple[str, object]]:
    """Yield column and meaning of what the engine wrote; fail for what is no JSON of plain values."""
    for table, column, value in rows:
        if table in metadata.tables or table == "alembic_version" or value is None:
            continue
        assert isinstance(value, str | int | float | uuid.UUID), (table, column, type(value))
        assert not isinstance(value, str) or not value.startswith(("gAS", "\x80")), (table, column)
        if column in WRITTEN:
            assert isinstance(value, str), (table, column)
            yield column, json.loads(value)
        elif column == "serialization":
            assert value == "portable_json"


def test_the_engine_keeps_json_of_names_and_ids_alone(here: Scene) -> None:
    """It would pickle, had nobody told it otherwise: then whoever writes to the database runs code here."""
    if here.rig.name in ("github", "gitlab"):
        pytest.skip("the same on SQLite as with git, and on Postgres as with Enterprise Server")
    app = here.repository({"Dockerfile": dockerfile(here.image())})
    app.push({"README": b"x\n"})
    app.push({".moorline.yml": b"secret-word: [\n"})
    here.rig.images.down.add("*")
    try:
        app.push({".moorline.yml": None, "Dockerfile": dockerfile(here.image("other"))})
    finally:
        here.rig.images.down.clear()
    found = Counter[str]()
    for column, value in kept(databases.contents(here.rig.variables["MOORLINE_DATABASE_URL"])):
        found[column] += value is not None
        assert column in ("inputs", "output") or value is None, (column, value)
        if column == "inputs":
            assert isinstance(value, dict)
            assert value.keys() == {"positionalArgs", "namedArgs"}
            run, job = value["positionalArgs"]
            assert _RUN.fullmatch(run)
            assert encode_job(decode_job(job)) == job
        elif isinstance(value, dict):
            assert value.keys() <= {"ending", "detail", "retry_after", "proposal"}
            if "proposal" in value:
                assert _ACTS.fullmatch(value["proposal"])
                assert acts.decode(value["proposal"])  # raises for what is no verb
            assert "proposal" in value or value["ending"] in set(Ending)
        elif value is not None:
            assert value in set(Ending)
    runs = len(app.runs())
    assert runs > 3
    assert found["inputs"] >= runs
    assert found["output"] >= 2 * runs


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(pickle.dumps({"ending": "published"})).decode(),
        pickle.dumps("published"),
        "\x80\x04\x95",
    ],
)
def test_what_is_pickled_would_be_found(value: object) -> None:
    with pytest.raises((AssertionError, ValueError)):
        list(kept([("workflow_output", "output", value)]))
    with pytest.raises(AssertionError):
        list(kept([("workflow_status", "serialization", "py_pickle")]))


# --- a server without GraphQL, at last ----------------------------------------------------


def test_where_queries_are_used_up_a_proposal_is_made_by_rest(here: Scene) -> None:
    place = here.place
    if not isinstance(place, GitHubPlace):
        pytest.skip(f"{place.forge}: no hour's limit for queries alone")
    tool = here.image()
    look = b"proposal: {labels: [pins], reviewers: [ann], assignees: [bob]}\n"
    app = here.repository({"Dockerfile": dockerfile(tool), "a/b/Dockerfile": dockerfile(tool)})
    app.push({".moorline.yml": look}, told=False)
    place.hub.exhaust(600, resource="graphql")
    try:
        asked = app.cost(lambda: app.push({"README": b"x\n"}))
    finally:
        place.hub.world.hourly = 0
    assert asked.count("POST /graphql") == 1
    assert [one.ending for one in app.runs()] == [Ending.PUBLISHED]
    made = app.proposal
    assert app.proposed("a/b/Dockerfile") == app.proposed() == dockerfile(here.pin(tool))
    assert (made.labels, made.reviewers, made.assignees) == (("pins",), ("ann",), ("bob",))


def test_a_server_that_refuses_graphql_is_served_all_the_same(here: Scene) -> None:
    """The last one: whoever has met the refusal may remember it."""
    here.needs(Can.GRAPHQL)
    here.place.refuse_graphql(403)
    tool = here.image()
    files: dict[str, Content] = {"Dockerfile": dockerfile(tool), "a/b/Dockerfile": dockerfile(tool)}
    app = here.repository(files)
    app.push({"README": b"x\n"})
    assert app.proposed("a/b/Dockerfile") == app.proposed() == dockerfile(here.pin(tool))
    made = app.proposal
    app.settle(made, "closed")
    assert app.open() == []
    app.push({"c/Dockerfile": dockerfile(here.image("other"))})
    assert app.proposal.number != made.number
    assert app.proposed("c/Dockerfile") == dockerfile(here.pin(here.image("other")))
