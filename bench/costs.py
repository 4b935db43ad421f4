"""What the service asks of a forge, request by request, in what people do all day.

The whole service stands in front of a stand-in that knows every request; what is asked once per owner and
hour, such as tokens, and labels and reviewers are counted aside.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import scenarios
from scenario_places import GitHubPlace, GitLabPlace
from waiting import until

from bot.model import Trigger
from bot.store.base import PlaceState, Sweep

SWEPT = 1000
_PATIENCE = 900.0
_ASIDE, _LISTING = "aside: ", "the listing:"
_GITHUB = {
    "GET /repos/{owner}/{repo}/installation": f"{_ASIDE}the owner's installation, once an hour",
    "POST /app/installations/{installation_id}/access_tokens": f"{_ASIDE}a token",
    "GET /app": f"{_ASIDE}who we are, once",
    "GET /app/installations": f"{_LISTING} the App's installations; once, for who we are",
    "GET /users/{username}": f"{_ASIDE}who we are, once",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/labels": f"{_ASIDE}labels",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers": f"{_ASIDE}reviewers",
    "GET /repos/{owner}/{repo}/git/trees/{tree_sha}": "every path at the commit",
    "POST /graphql pullRequest(number:": "what is proposed, where it branched off, and which files it changes",
    "POST /graphql file(path:": "what differs at its head, by path, and the contents",
    "POST /graphql object(oid:": "contents of the files that a finder could claim",
    "POST /graphql pullRequests(headRefName:": "base, our branch, our request and rules, just before writing",
    "POST /graphql resolveReviewThread(": "settle threads, and fold away the review of which none is left",
    "POST /graphql updateRefs(": "move our branch, from just where it was",
    "POST /graphql nodes(ids:": "heads of a hundred repositories",
    "POST /graphql ref(qualifiedName:": "where the base branch is",
    "POST /graphql repository(": "what the repository is, and its head",
    "GET /repos/{owner}/{repo}/rules/branches/{branch}": "rules for our branch",
    "POST /repos/{owner}/{repo}/git/trees": "write the files",
    "POST /repos/{owner}/{repo}/git/commits": "write the commit, signed by GitHub",
    "POST /repos/{owner}/{repo}/pulls": "open the pull request",
    "PATCH /repos/{owner}/{repo}/pulls/{pull_number}": "bring the pull request up to date",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}": "what is proposed",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}/files": "which of its lines can be commented on",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews": "the review, on its lines",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}/comments": "what we said of it before",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments": "what we said of it before",
    "GET /repos/{owner}/{repo}/compare/{basehead}": "where it branched off",
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs": "whether we reported on that commit before",
    "POST /repos/{owner}/{repo}/check-runs": "the check",
    "GET /installation/repositories": f"{_LISTING} a hundred repositories",
}
_GITLAB = {
    "GET /api/v4/user": f"{_ASIDE}who we are, once",
    "GET /api/v4/users": f"{_ASIDE}reviewers",
    "GET /api/v4/projects/{id}": "what the project is",
    "GET /api/v4/projects": f"{_LISTING} a hundred projects",
    "GET /api/v4/projects/{id}/repository/tree": "a hundred paths at the commit",
    "GET /api/v4/projects/{id}/repository/branches/{branch}": "where a branch is, and whether we may push",
    "GET /api/v4/projects/{id}/repository/branches": "where the base and our branch are",
    "GET /api/v4/projects/{id}/protected_branches": "whether our branch may be forced",
    "GET /api/v4/projects/{id}/repository/commits/{sha}": "what our branch's head is",
    "GET /api/v4/projects/{id}/repository/merge_base": "where it branched off",
    "GET /api/v4/projects/{id}/merge_requests": "our merge request, just before writing",
    "GET /api/v4/projects/{id}/merge_requests/{merge_request_iid}": "what is proposed",
    "GET /api/v4/projects/{id}/merge_requests/{merge_request_iid}/diffs": "which of its lines can be commented on",
    "POST /api/v4/projects/{id}/merge_requests/{merge_request_iid}/discussions": "the review, on its lines",
    "GET /api/v4/projects/{id}/merge_requests/{merge_request_iid}/discussions": "what we said of it before",
    "PUT /api/v4/projects/{id}/merge_requests/{merge_request_iid}/discussions/{discussion_id}": "settle a thread",
    "POST /api/v4/projects/{id}/merge_requests/{merge_request_iid}/draft_notes": "a remark, seen by nobody yet",
    "POST /api/v4/projects/{id}/merge_requests/{merge_request_iid}/draft_notes/bulk_publish": "the review, at once",
    "POST /api/v4/projects/{id}/repository/commits": "write files, commit and branch in one",
    "POST /api/v4/projects/{id}/merge_requests": "open the merge request, labels with it",
    "PUT /api/v4/projects/{id}/merge_requests/{merge_request_iid}": "bring the merge request up to date",
    "GET /api/v4/projects/{id}/repository/commits/{sha}/statuses": "whether we reported on that commit before",
    "POST /api/v4/projects/{id}/statuses/{sha}": "the check",
    "GET /api/v4/projects/{id}/repository/compare": "which files differ, and in which of their lines",
    "POST /api/graphql mergeRequest(iid:": "what is proposed, where its base is, and its pipeline",
    "POST /api/graphql blobs(paths:": "contents of the files that a finder could claim",
    "POST /api/graphql projects(ids:": "heads of a hundred projects",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    name: str
    """Method and operation; of a query what it asks for besides."""
    why: str

    @property
    def aside(self) -> bool:
        """Whether it is none of what is counted: tokens, labels, reviewers."""
        return self.why.startswith(_ASIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one act of people costs."""

    act: str
    most: int | None
    """How many requests it may be; None where nobody set a bound."""
    asked: tuple[Asked, ...]

    @property
    def counted(self) -> int:
        """How many requests it was, what is aside left out."""
        return sum(not one.aside for one in self.asked)


NOTHING = "a push that touches nothing relevant"
MEANWHILE = "a push that touches nothing relevant, while a proposal of ours stands"
ELSEWHERE = "a push to a branch that nobody asked to have looked at, without a request"
FIRST = "a push that changes one Dockerfile: the first proposal"
UPDATE = "a push that changes one Dockerfile: the proposal that stands is updated"
FRESH = "the very first push of an owner's, which becomes a proposal"
KNOWN = "a push to a repository that is new to us, with nothing to propose"
REQUEST = "a request that changes one Dockerfile is opened: the check and the review"
ADDED = "a request that adds a Dockerfile is opened: the check and the review"
SEVERAL = "a request with two references is opened: the check and the review"
CLEAN = "a request that changes one Dockerfile, and pins it, is opened: the check"
PUSHED = "a push to a reviewed request, one reference more: the check and the review"
KEPT = "a push to a reviewed request, nothing more to say: the check"
SWAPPED = "a push to a reviewed request, one pinned and one more: all of it"
SETTLED = "a push to a reviewed request, both pinned: the check, both threads settled"
LISTING = "a sweep of {} repositories that did not change: the listing"
HARMLESS = "a request that changes nothing relevant is opened: the check"
SWEEP = "a sweep of {} repositories that did not change: everything else"

BOUNDS: Mapping[str, Mapping[str, int]] = {
    "github": {
        NOTHING: 0,
        MEANWHILE: 0,
        ELSEWHERE: 0,
        FIRST: 8,
        UPDATE: 8,
        KNOWN: 4,
        REQUEST: 4,
        ADDED: 4,
        SEVERAL: 4,
        CLEAN: 3,
        PUSHED: 4,
        KEPT: 3,
        SWAPPED: 5,
        SETTLED: 4,
        HARMLESS: 2,
    },
    # GitLab has no query that tells of two branches and requests at once, nor one that speaks of several lines.
    "gitlab": {
        # Nothing that GitLab tells says whether a push was forced: one comparison does.
        NOTHING: 1,
        MEANWHILE: 1,
        ELSEWHERE: 0,
        FIRST: 7,
        UPDATE: 10,
        KNOWN: 5,
        REQUEST: 4,
        ADDED: 5,
        SEVERAL: 7,
        CLEAN: 3,
        PUSHED: 4,
        KEPT: 4,
        SWAPPED: 6,
        SETTLED: 5,
        HARMLESS: 2,
    },
}


class Party:
    """The service in front of one stand-in, with a repository whose owner is known already."""

    def __init__(self, rig: scenarios.Rig, scene: scenarios.Scene) -> None:
        self.rig = rig
        self.scene = scene
        self.swept = 0
        self._done = 0
        self.image, self.other = scene.image("tool"), scene.image("other")
        self.pinned = b"FROM " + scene.pin(self.image) + b"\n"
        self.floating = f"FROM {self.image}\n".encode()
        self.repository("known", self.floating).push({"README.md": b"once per owner\n"})
        self.fresh = Cost(act=FRESH, most=None, asked=self.since())

    @property
    def forge(self) -> str:
        return self.rig.place.forge

    def repository(self, name: str, dockerfile: bytes) -> scenarios.Repo:
        return self.scene.repository({"Dockerfile": dockerfile, "README.md": b"# A tool\n"}, name)

    def since(self) -> tuple[Asked, ...]:
        """Return what was asked since the last time."""
        found = tuple(_requests(self.rig.place))
        fresh, self._done = found[self._done :], len(found)
        return fresh

    def cost(self, act: str) -> Cost:
        return Cost(act=act, most=BOUNDS[self.forge][act], asked=self.since())


@contextmanager
def party(forge: str, folder: Path, *, validates: bool = True) -> Iterator[Party]:
    """Yield the service in front of a stand-in; `validates` off spares the contracts, for measuring."""
    with scenarios.rig(forge, folder) as rig:
        place = rig.place
        if isinstance(place, GitHubPlace):
            place.hub.validates = validates
        elif isinstance(place, GitLabPlace):
            place.lab.application.validate = validates
        with scenarios.scene(rig) as scene:
            yield Party(rig, scene)


def acts(at: Party) -> Iterator[Cost]:
    """Do what people do, and yield what each act costs."""
    yield at.fresh
    tool = at.repository("tool", at.pinned)
    tool.push({"README.md": b"# The tool\n"})
    yield at.cost(KNOWN)
    tool.push({"README.md": b"# A better tool\n"})
    yield at.cost(NOTHING)
    tool.push({"Dockerfile": at.floating}, "topic")
    yield at.cost(ELSEWHERE)
    tool.push({"Dockerfile": at.floating})
    assert len(tool.every()) == 1, tool.details()
    yield at.cost(FIRST)
    tool.push({"Dockerfile": at.floating + f"COPY --from={at.other} /a /b\n".encode()})
    assert len(tool.every()) == 1, tool.details()
    yield at.cost(UPDATE)
    tool.push({"README.md": b"# The best tool\n"})
    yield at.cost(MEANWHILE)
    reviewed = at.repository("reviewed", at.pinned)
    reviewed.push({"README.md": b"# To be reviewed\n"})
    at.rig.place.push(reviewed.name, {"Dockerfile": at.floating}, "proposed")
    at.since()
    at.rig.place.request(reviewed.name, "proposed")
    at.rig.tell()
    assert reviewed.checks(reviewed.heads()["proposed"]), reviewed.details()
    yield at.cost(REQUEST)
    yield from _reviewed(at, reviewed)
    at.rig.place.push(reviewed.name, {"README.md": b"# Read by people\n"}, "harmless")
    at.since()
    at.rig.place.request(reviewed.name, "harmless")
    at.rig.tell()
    assert [one.state for one in reviewed.checks(reviewed.heads()["harmless"])] == ["success"]
    yield at.cost(HARMLESS)


def _reviewed(at: Party, app: scenarios.Repo) -> Iterator[Cost]:
    """Do to requests what is done to them: what was proposed last is reviewed already."""

    def pushed(files: Mapping[str, bytes], act: str, branch: str = "proposed") -> Cost:
        before = app.heads().get(branch)
        at.rig.place.push(app.name, files, branch)
        at.since()
        if before is None:
            at.rig.place.request(app.name, branch)
        at.rig.tell()
        assert app.checks(app.heads()[branch]), app.details()
        return at.cost(act)

    more = f"COPY --from={at.other} /a /b\n".encode()
    pinned = b"COPY --from=" + at.scene.pin(at.other) + b" /a /b\n"
    yield pushed({"Dockerfile": at.floating + more}, PUSHED)
    yield pushed({"Dockerfile": b"# one\n" + at.floating + b"# two\n" + more}, KEPT)
    yield pushed({"Dockerfile": at.pinned + more + at.floating}, SWAPPED)
    yield pushed({"Dockerfile": at.pinned + pinned + at.pinned}, SETTLED)
    yield pushed({"api/Dockerfile": at.floating}, ADDED, "added")
    yield pushed({"Dockerfile": at.floating + more}, SEVERAL, "several")
    yield pushed({"Dockerfile": at.pinned + pinned}, CLEAN, "clean")


def swept(at: Party, count: int) -> tuple[Cost, Cost]:
    """Sweep so many repositories twice; return what the second time costs: the listing, and all else."""
    names = [f"swept-{number:04}" for number in range(count)]
    for name in names:
        at.repository(name, at.pinned)
    at.swept = count
    _sweep(at, 1)
    at.since()
    _sweep(at, 2)
    asked = at.since()
    listing = tuple(one for one in asked if one.why.startswith(_LISTING))
    return (
        Cost(act=LISTING.format(f"{count:,}"), most=None, asked=listing),
        Cost(
            act=SWEEP.format(f"{count:,}"),
            most=count // 50,
            asked=tuple(one for one in asked if one not in listing),
        ),
    )


def _sweep(at: Party, number: int) -> None:
    """Sweep everything, as `moorline sweep` asks the worker to."""
    store, now = at.rig.store, datetime.now(UTC)
    sweep = Sweep(
        id=f"sweep-{number}",
        forge=at.forge,
        trigger=Trigger.SWEEP,
        owners=(),
        globs=(),
        who="operator",
        started=now,
    )
    store.sweeps.begin(sweep, now)
    until(lambda: not store.sweeps.pending(sweep.id, now + timedelta(days=1)), seconds=_PATIENCE)
    counts = store.sweeps.counts(sweep.id)
    wanted = PlaceState.UNCHANGED if number > 1 else PlaceState.CHANGED
    assert counts.get(wanted, 0) >= at.swept, counts
    until(at.rig.is_idle)


def _requests(place: object) -> Iterator[Asked]:
    if isinstance(place, GitHubPlace):
        for hub in list(place.hub.requests):
            yield _named(hub.route or f"{hub.method} {hub.path}", hub.body, _GITHUB)
    elif isinstance(place, GitLabPlace):
        for lab in list(place.lab.requests):
            yield _named(f"{lab.method} {lab.template or lab.path}", lab.body, _GITLAB)


def _named(operation: str, body: bytes, known: Mapping[str, str]) -> Asked:
    if not operation.endswith("/graphql"):
        return Asked(name=operation, why=known.get(operation, ""))
    query = str(json.loads(body)["query"])
    for name, why in known.items():
        asked, _, part = name.partition("graphql ")
        if part and asked in operation and part in query:
            return Asked(name=f"{operation} {part.partition('(')[0]}", why=why)
    return Asked(name=operation, why="")


def show(costs: Sequence[Cost], *, requests: bool = True) -> str:
    """Return the table: what each act costs, and what for."""
    lines = []
    for one in costs:
        bound = "" if one.most is None else f"  (at most {one.most})"
        aside = sum(each.aside for each in one.asked)
        lines.append(f"{one.act:<76} {one.counted:>3}{bound}{f', {aside} aside' if aside else ''}")
        counted = Counter((each.name, each.why) for each in one.asked)
        for (name, why), count in counted.items() if requests else ():
            lines.append(f"  {f'{count} x ' if count > 1 else '':>7}{name:<79} {why}")
    return "".join(f"{line}\n" for line in lines)


def table(forge: str, count: int = SWEPT) -> list[Cost]:
    """Return what everything costs on a forge, with the listing that a sweep of so many begins with."""
    with (
        tempfile.TemporaryDirectory(prefix="moorline-bench-") as folder,
        party(forge, Path(folder)) as at,
    ):
        costs = list(acts(at))
    with (
        tempfile.TemporaryDirectory(prefix="moorline-bench-") as folder,
        party(forge, Path(folder), validates=False) as at,
    ):
        return [*costs, *swept(at, count)]


def main() -> None:
    """Print the tables; end with 1 where something costs more than it may."""
    dear = []
    for forge in BOUNDS:
        print(f"\n{forge}: requests; tokens, who we are, labels and reviewers are aside")
        costs = table(forge)
        print(show(costs), end="", flush=True)
        dear += [one.act for one in costs if one.most is not None and one.counted > one.most]
    for act in dear:
        print(f"WRONG: {act}")
    sys.exit(1 if dear else 0)


if __name__ == "__main__":
    main()
