"""GitLab.com and self-managed GitLab, by REST and GraphQL with an access token.

The parts stand in the siblings `gitlab_*`: the questions (`api`, `session`), reading (`listing`, `blobs`,
`files`), projects, branches with their one write, rules, merge requests, statuses and lint, hooks, doctor.

GitLab names a commit only after it has made it, so that `intend` hears of it just after the write.  What
is lost with a crash in between is found again by `made`, which knows a commit of ours by what it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from bot.errors import ForgeError, MissingError
from bot.forges import gitlab_comparing
from bot.forges.base import (
    Account,
    Change,
    ChangedFile,
    Check,
    Hosting,
    Missed,
    Opened,
    Request,
    Review,
    Said,
    Spoken,
    Standing,
    Symptom,
    Wish,
    unheard,
)
from bot.forges.gitlab_answers import Node, flag, text
from bot.forges.gitlab_answers import commit as commit_of
from bot.forges.gitlab_api import Api
from bot.forges.gitlab_branches import Branches
from bot.forges.gitlab_checks import Checks
from bot.forges.gitlab_doctor import Doctor
from bot.forges.gitlab_files import Files, Grown
from bot.forges.gitlab_hooks import Hooks
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_look import Look
from bot.forges.gitlab_people import People
from bot.forges.gitlab_projects import Project, Projects
from bot.forges.gitlab_requests import Requests
from bot.forges.gitlab_reviews import Reviews
from bot.forges.gitlab_rules import Rules
from bot.forges.gitlab_talk import GitLabTalk
from bot.forges.pacing import Window
from bot.model import Repository, Snapshot, Webhook
from bot.reference import is_commit, is_git_ref

_JUST_NOW = 60.0
_PULL = re.compile(r"refs/(?:pull|merge-requests)/([1-9][0-9]{0,17})/head")


def _nothing(_path: str, _head: bytes) -> bool:
    return False


class GitLabForge:
    """One GitLab server as one token sees it; safe for threads.

    `prefetch` tells by its path which files will be asked for: the first question at a commit brings them
    all.  `clock` is the time in seconds since 1970.  `hook_url` is where webhooks call us, and `owners` are
    the groups and users that are served; none stands for all.  Raises `ConfigurationError` for an address,
    a token or a file of certificates that cannot be used; asks nothing yet.
    """

    name = "gitlab"

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_bundle: str | None = None,
        prefetch: Callable[[str, bytes], bool] = _nothing,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        hook_url: str = "",
        owners: frozenset[str] = frozenset(),
        windows: Sequence[Window] = (),
        identity: Callable[[str], str] = lambda _name: "",
    ) -> None:
        """`windows` say how fast content may be created with the token.

        `identity` tells the id of the project that was last seen under a name by any process, else nothing.
        """
        self._api = Api(url, token, ca_bundle=ca_bundle, clock=clock, pause=pause, windows=windows)
        self._projects = Projects(self._api, clock, owners, identity)
        self._people = People(self._api, clock)
        self._files = Files(self._api, prefetch)
        self._branches = Branches(self._api, self._files, self._people.person)
        self._rules = Rules(self._api, clock)
        self._requests = Requests(self._api, self._people, clock)
        self._refs: Kept[tuple[int, str], str] = Kept(10_000)
        self._new: Kept[tuple[int, str], bool] = Kept(1_000, seconds=_JUST_NOW, clock=clock)
        self._look = Look(self._api)
        self._pipelines: Kept[tuple[int, str], int] = Kept(1_000, seconds=_JUST_NOW, clock=clock)
        self._checks = Checks(self._api, self._refs, self._new, self._pipelines)
        self._reviews = Reviews(self._api, lambda: self._people.number, clock, self._files.grew)
        self._hooks = Hooks(self._api, self._projects, hook_url, owners, clock, lambda: self._people.admin)
        self._doctor = Doctor(self._api, self._people, self._projects, self._hooks, hook_url)

    @property
    def hosting(self) -> Hosting:
        """Return this forge: GitLab has everything."""
        return self

    @property
    def talk(self) -> GitLabTalk:
        """Return what listens and answers."""
        return GitLabTalk(api=self._api, projects=self._projects, people=self._people)

    # --- reading --------------------------------------------------------------------------

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        """Return the branch's name and its commit; see `Forge.head`.  A full commit id stands for itself."""
        project = self._projects.find(repository)
        pull = _PULL.fullmatch(ref)
        if pull is not None:
            return ref, self._proposed(project, int(pull[1]))
        if is_commit(ref):
            found = commit_of(self._api.get(f"/projects/{project.id}/repository/commits/{ref}", _BRIEF), "id")
            if found is None:
                raise MissingError(f"There is no commit {ref}.")
            return ref, found
        name = ref.removeprefix("refs/heads/") or project.default_branch
        said = self._branches.one(project.id, name) if is_git_ref(name) else None
        if not ref and (said is None or not flag(said, "default")):
            # What is remembered of the project may be some minutes old: another branch may be the default.
            project = self._projects.fresh(repository)
            name = project.default_branch
            said = self._branches.one(project.id, name) if is_git_ref(name) else None
        if said is not None and not _is_of(said, project):
            now = self._projects.fresh(repository)  # raises where it has another name by now
            if now.id != project.id:
                return self.head(repository, ref)
        found = commit_of(said, "commit", "id")
        if found is None:
            what = f"There is no branch {name[:200]!a}." if name else "The repository has no branch yet."
            raise MissingError(what, advice="Name a branch that exists.")
        self._refs.put((project.id, found), name)
        return name, found

    def _proposed(self, project: Project, number: int) -> str:
        request = self._requests.one(project.id, number)
        if not request.head:
            raise MissingError(f"The merge request !{number} proposes no commit.")
        ref = f"refs/merge-requests/{number}/head" if request.fork else request.branch
        self._refs.put((project.id, request.head), ref)
        return request.head

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""
        project = self._projects.find(repository)
        return self._files.snapshot(project.id, project.name, _full(commit), claims)

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""
        project = self._projects.find(repository)
        return self._files.read(project.id, project.name, _full(commit), paths)

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """Return the newest common ancestor of two commits; raises `ForgeError` where there is none."""
        project = self._projects.find(repository)
        query = {"refs[]": [_full(one), _full(other)]}
        try:
            found = commit_of(self._api.get(f"/projects/{project.id}/repository/merge_base", query), "id")
        except MissingError:
            found = None
        if found is None:
            raise ForgeError(f"{one} and {other} have no common ancestor that GitLab knows.")
        return found

    # --- writing --------------------------------------------------------------------------

    def standing(self, repository: str, base: str, branch: str) -> Standing:
        """Return where a base and a branch of ours are; two questions, and two more for rules now and then."""
        project = self._projects.find(repository)
        there = self._branches.several(project.id, base, branch)
        request = self._requests.newest(project.id, base, branch)
        at = commit_of(there.get(branch), "commit", "id")
        if at is not None:
            self._refs.put((project.id, at), branch)
        return Standing(
            base=commit_of(there.get(base), "commit", "id"),
            branch=at,
            request=request,
            obstacles=self._rules.obstacles(project, self._people.number, branch, there=there.get(branch)),
        )

    def publishing(self, repository: str) -> AbstractContextManager[None]:
        """Return a context that asks for nothing: GitLab's tokens cannot be narrowed for a while."""
        del repository
        return nullcontext()

    def write(self, change: Change, intend: Callable[[str], None] = unheard) -> str:
        """Return the commit that now is the branch's head; file modes are kept.

        `intend` hears of it as soon as GitLab has named it, which is just after the write.  Raises
        `GuardError`, `SupersededError`, and `UncertainError` where nobody knows and it is not there yet.
        """
        _full(change.parent)
        project = self._projects.find(change.repository)
        made = self._branches.write(project, change)
        intend(made)
        self._refs.put((project.id, made), change.branch)
        self._new.put((project.id, made), value=True)
        return made

    def made(self, change: Change, commit: str) -> bool:
        """Return whether `commit` is just what `write` makes of the change: see `Branches.made`."""
        return self._branches.made(self._projects.find(change.repository), change, _full(commit))

    def delete(self, repository: str, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; raises `SupersededError` where it is not."""
        self._branches.delete(self._projects.find(repository), branch, expected)

    # --- hosting --------------------------------------------------------------------------

    def account(self) -> Account:
        """Return who we are; the answer is remembered."""
        return self._people.account()

    def repository(self, name: str) -> Repository:
        """Return what GitLab says of a project now; raises `MissingError` or `MovedError`."""
        project = self._projects.fresh(name)
        said = self._branches.one(project.id, project.default_branch) if project.default_branch else None
        return project.repository(commit_of(said, "commit", "id") or "")

    def repositories(self, owner: str = "") -> Iterator[Repository]:
        """Yield every project that we are a member of, with heads: two questions for a hundred."""
        return self._projects.repositories(owner)

    def branches(self, repository: str) -> Iterator[tuple[str, str]]:
        """Yield the name and commit of every branch, a hundred by each question."""
        yield from self._branches.every(self._projects.find(repository).id)

    def verified(self, repository: str, commit: str) -> str:
        """Return empty: GitLab signs commits of its API where its administrator wants that, not where we do."""
        del repository, commit
        return ""

    def request(self, repository: str, number: int) -> Request:
        """Return a merge request; raises `MissingError`."""
        project = self._projects.find(repository)
        looked = self._look.at(project, number, self._people.number)
        if looked is None:
            request = self._requests.one(project.id, number)
        else:
            request = looked.request
            self._pipelines.put((project.id, request.head), looked.pipeline)
            if not request.fork:
                self._refs.put((project.id, request.head), request.branch)
            if looked.paths and self._files.holds(project.id, request.since, looked.paths):
                # A file that got another name has one that was not there before.
                request = replace(
                    request, changed=tuple(ChangedFile(path=one, hunks=()) for one in looked.paths)
                )
                self._files.grew(
                    project.id,
                    request.head,
                    Grown(since=request.since, there=frozenset(looked.paths), gone=frozenset()),
                )
        self._reviews.note(project.id, request)
        return request

    def open(self, repository: str, base: str, branch: str, wish: Wish) -> Opened:
        """Return the open merge request from branch to base, made as wished; one that is there is edited."""
        return self._requests.open(self._projects.find(repository), base, branch, wish)

    def edit(self, repository: str, number: int, wish: Wish) -> Opened:
        """Make title and body of an open merge request as wished; all else is left to people."""
        return self._requests.edit(self._projects.find(repository), number, wish)

    def close(self, repository: str, number: int, comment: str) -> None:
        """Say why, and close a merge request; one that is closed already is left without a word."""
        self._requests.close(self._projects.find(repository).id, number, comment)

    def comment(self, repository: str, number: int, body: str) -> None:
        """Add a note to a merge request."""
        self._requests.comment(self._projects.find(repository).id, number, body)

    def check(self, repository: str, commit: str, check: Check, *, first: bool = False) -> None:
        """Set the status `moorline` of a commit; GitLab has no annotations, `check.url` leads to them."""
        self._checks.report(self._projects.find(repository).id, _full(commit), check, first=first)

    def advise(self, repository: str, commit: str, paths: Iterable[str]) -> str:
        """Return what GitLab's CI lint says, where the pipeline's configuration is among the paths."""
        return self._checks.lint(self._projects.find(repository), _full(commit), paths)

    @property
    def reviewing(self) -> GitLabForge:
        """Return itself."""
        return self

    @property
    def comparing(self) -> GitLabForge:
        """Return itself: no delivery of GitLab's says whether a push was forced."""
        return self

    def differing(self, repository: str, before: str, after: str) -> frozenset[str] | None:
        """Return the paths at which two commits differ, None where GitLab does not tell all of them."""
        project = self._projects.find(repository)
        return gitlab_comparing.differing(self._api, project.id, _full(before), _full(after))

    def changed(self, repository: str, number: int) -> tuple[ChangedFile, ...]:
        """Return the files of a merge request with the hunks of their diffs."""
        return self._reviews.changed(self._projects.find(repository).id, number)

    def review(
        self,
        repository: str,
        number: int,
        review: Review,
        before: tuple[Spoken, ...] = (),
        *,
        uncertain: bool = False,
    ) -> Said:
        """Say a review in one go in place of what we said before; see `Reviewing`."""
        project = self._projects.find(repository).id
        return self._reviews.review(project, number, review, before, uncertain=uncertain)

    def missed(self, since: datetime) -> Iterator[Missed]:
        """Yield what GitLab could not deliver to our hooks since then, oldest first, each once."""
        return self._hooks.missed(since)

    def webhooks(self) -> tuple[Webhook, ...]:
        """Return the hooks that call us, and whether GitLab has disabled them; see `Hosting`."""
        return self._hooks.webhooks()

    def test(self, webhook: Webhook) -> bool:
        """Return whether GitLab tried a hook with success, which enables it."""
        return self._hooks.test(webhook.id)

    def examine(self) -> Iterator[Symptom]:
        """Yield what a doctor would look at."""
        return self._doctor.examine()


def _is_of(branch: Node, project: Project) -> bool:
    """Return whether a branch is of the project's name: what was looked up minutes ago may be renamed.

    Its page tells, whose address need not be the one at which we ask.
    """
    page = text(branch, "web_url")
    return not page or f"/{project.name}/" in page


_BRIEF = {"stats": "false"}


def _full(text: str) -> str:
    """Return a full commit id: nothing else is let into a URL.  Raises `MissingError`."""
    if not is_commit(text):
        raise MissingError(f"{text[:100]!a} is no full commit id.")
    return text
