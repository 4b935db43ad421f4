"""GitHub, github.com and Enterprise Server alike: a GitHub App that reads much by few requests and writes little.

This is the front of the house; each room has a module beside it, `github_*.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from bot.errors import ForgeError, MissingError, MovedError
from bot.forges.base import (
    Account,
    Change,
    ChangedFile,
    Check,
    Missed,
    Opened,
    Request,
    RequestState,
    Review,
    Said,
    Spoken,
    Standing,
    Symptom,
    Wish,
    unheard,
)
from bot.forges.github_address import address
from bot.forges.github_app import App
from bot.forges.github_checks import Runs, report
from bot.forges.github_client import Client, Manners, RedirectedError, repository_path
from bot.forges.github_contents import Blobs, Contents
from bot.forges.github_deliveries import missed, webhook
from bot.forges.github_doctor import examine
from bot.forges.github_listing import repositories
from bot.forges.github_look import Look, Seen, rest_repository
from bot.forges.github_requests import Requests
from bot.forges.github_reviews import Reviews, changed
from bot.forges.github_rules import Rules, obstacles
from bot.forges.github_summaries import Summaries
from bot.forges.github_talk import GitHubTalk
from bot.forges.github_threads import Told
from bot.forges.github_transport import Transport, clean
from bot.forges.github_trees import Trees
from bot.forges.github_writing import Writing, Written, require_workflows, unverified
from bot.forges.pacing import Window
from bot.model import Repository, Snapshot, Webhook
from bot.reference import is_commit

_LOOKED = 120.0
"""Seconds for which it counts that there was no request: GitHub itself lets no second one be open."""


def nothing_ahead(_path: str, _head: bytes) -> bool:
    """Return False: nothing is read before it is asked for."""
    return False


@dataclass(frozen=True, slots=True)
class _Publishing:
    """What is being published to, in this thread."""

    repository: str
    writer: Client


class GitHubForge:
    """Repositories of a GitHub App's installations, as `owner/name`.

    `url` is that of the server; nothing that a payload or an answer says changes it.  `prefetch` says by
    path alone what is going to be asked for at a commit.  `owners` are the only accounts that are served,
    unless there are none.  `hook_url` is where webhooks should call us.
    """

    name = "github"

    def __init__(
        self,
        url: str,
        app_id: str,
        private_key: str,
        *,
        ca_bundle: str | None = None,
        prefetch: Callable[[str, bytes], bool] = nothing_ahead,
        clock: Callable[[], float] = time.time,
        owners: frozenset[str] = frozenset(),
        pause: Callable[[float], None] = time.sleep,
        hook_url: str = "",
        windows: Sequence[Window] = (),
    ) -> None:
        """`windows` say how fast content may be created in each installation."""
        place = address(url)
        self.host = place.host
        self._hook_url = hook_url
        self._clock = clock
        self._began = clock()
        self._manners = Manners(clock=clock, pause=pause, windows=windows)
        self._app = App(Transport(place, ca_bundle=ca_bundle), app_id, private_key, self._manners, owners)
        self._trees = Trees()
        self._contents = Contents(self._trees, Blobs(), prefetch)
        self._seen = Seen()
        self._rules = Rules(clock)
        self._written = Written()
        self._runs = Runs()
        self._told = Told()
        self._summaries = Summaries()
        self._publishing: ContextVar[_Publishing | None] = ContextVar("publishing", default=None)
        self._lock = threading.Lock()
        self._us: tuple[int, str] | None = None
        self._bot: Account | None = None
        self._looked: dict[tuple[str, str, str], float] = {}

    @property
    def hosting(self) -> GitHubForge:
        """Return itself: GitHub has requests, checks and a log of deliveries."""
        return self

    @property
    def talk(self) -> GitHubTalk:
        """Return what listens and answers."""
        return GitHubTalk(
            reading=self._at,
            writing=self._written_at,
            is_ours=self._is_ours,
            clock=self._clock,
            summaries=self._summaries,
        )

    # --- reading --------------------------------------------------------------------------

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        """Return the branch's short name and its commit; an empty `ref` is the default branch."""
        with self._at(repository) as client:
            return self._look(client, repository).head(ref)

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""
        _require_commit(commit)
        with self._at(repository) as client:
            return self._contents.snapshot(client, repository, commit, claims)

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""
        _require_commit(commit)
        with self._at(repository) as client:
            return self._contents.read(client, repository, commit, paths)

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """Return the newest common ancestor of two commits; raises `ForgeError` where there is none."""
        _require_commit(one)
        _require_commit(other)
        path = repository_path(repository, "compare", f"{one}...{other}")
        with self._at(repository) as client:
            try:
                # The changed files, up to 300 with their diffs, come with the first page alone.
                said = client.get(path, page=2, per_page=1).json()
            except MissingError:
                said = None
        found = said.get("merge_base_commit") if isinstance(said, dict) else None
        sha = found.get("sha") if isinstance(found, dict) else None
        if not isinstance(sha, str) or not is_commit(sha):
            raise ForgeError(f"{one[:12]} and {other[:12]} have no common ancestor on GitHub.")
        return sha

    def repository(self, name: str) -> Repository:
        """Return what GitHub says of a repository; raises `MissingError` or `MovedError`."""
        with self._at(name) as client:
            return self._look(client, name).repository()

    def repositories(self, owner: str = "") -> Iterator[Repository]:
        """Yield every repository that we may see, with heads."""
        return repositories(self._app, self._seen, owner)

    def branches(self, repository: str) -> Iterator[tuple[str, str]]:
        """Yield the name and commit of every branch; raises `MissingError` or `MovedError`."""
        with self._at(repository) as client:
            yield from self._look(client, repository).branches()

    def request(self, repository: str, number: int) -> Request:
        """Return a pull request; raises `MissingError`."""
        with self._at(repository) as client:
            request = self._look(client, repository).proposed(number)
        if request.since and request.changed:
            paths = [one.path for one in request.changed]
            self._contents.expect(repository, request.head, request.since, paths)
        return request

    def verified(self, repository: str, commit: str) -> str:
        """Return why GitHub does not show a commit as verified; empty where it does."""
        known = self._written.get(commit)
        if known is not None:
            return known
        _require_commit(commit)
        with self._at(repository) as client:
            return unverified(client.get(repository_path(repository, "git", "commits", commit)).json())

    def advise(self, repository: str, commit: str, paths: Iterable[str]) -> str:
        """Return nothing: GitHub has no word on workflows before they run."""
        del repository, commit, paths
        return ""

    # --- writing --------------------------------------------------------------------------

    def standing(self, repository: str, base: str, branch: str) -> Standing:
        """Return where a base and a branch of ours are, and which rules forbid to write it."""
        with self._at(repository) as client:
            found, ruled = self._look(client, repository).standing(base, branch)
            ruled = ruled and found.base is not None
            rules = self._rules.of(client, repository, branch) if ruled else ()
            against = obstacles(
                rules, branch, exists=found.branch is not None, client=client, repository=repository
            )
        key = repository.lower(), base, branch
        with self._lock:
            now = self._clock()
            self._looked = {one: at for one, at in self._looked.items() if now - at < _LOOKED}
            self._looked.pop(key, None)
            if found.request is None or found.request.state is not RequestState.OPEN:
                self._looked[key] = now
        return Standing(base=found.base, branch=found.branch, request=found.request, obstacles=against)

    @contextmanager
    def _within(self, repository: str) -> Iterator[None]:
        with self._moving(repository):
            writer = self._app.writer(repository)
        before = self._publishing.set(_Publishing(repository.lower(), writer))
        try:
            yield
        finally:
            self._publishing.reset(before)

    def publishing(self, repository: str) -> AbstractContextManager[None]:
        """Return a context in which one repository can be written to, by a token that reaches no further.

        The token is asked for with the first write, and dropped at the end.
        """
        return self._within(repository)

    def write(self, change: Change, intend: Callable[[str], None] = unheard) -> str:
        """Return the commit that now is the branch's head; see `Forge.write`."""
        _require_commit(change.parent)
        writer = self._writer(change.repository)
        self._require_workflows(change)
        with self._at(change.repository) as reader:
            return self._writing(change.repository, writer, reader).write(change, intend)

    def made(self, change: Change, commit: str) -> bool:
        """Return False: `intend` always hears of a commit before the branch is moved to it."""
        del change, commit
        return False

    def delete(self, repository: str, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; raises `SupersededError` where it is not."""
        writer = self._writer(repository)
        with self._at(repository) as reader:
            self._writing(repository, writer, reader).delete(branch, expected)

    def open(self, repository: str, base: str, branch: str, wish: Wish) -> Opened:
        """Return the open pull request from branch to base, made as wished."""
        key = repository.lower(), base, branch
        with self._lock:
            looked = self._clock() - self._looked.pop(key, -_LOOKED) < _LOOKED
        with self._requests(repository) as requests:
            return requests.open(base, branch, wish, looked=looked)

    def edit(self, repository: str, number: int, wish: Wish) -> Opened:
        """Make title and body of a pull request as wished."""
        with self._requests(repository) as requests:
            return requests.edit(number, wish)

    def close(self, repository: str, number: int, comment: str) -> None:
        """Say why, and close a pull request; one that is closed already is left without a word."""
        with self._requests(repository) as requests:
            requests.close(number, comment)

    def comment(self, repository: str, number: int, body: str) -> None:
        """Add a comment to a pull request."""
        with self._requests(repository) as requests:
            requests.comment(number, body)

    def check(self, repository: str, commit: str, check: Check, *, first: bool = False) -> None:
        """Report on a commit by the check run `moorline`, in place of what we said of it before."""
        writer = self._writer(repository)
        app, _ = self._ourselves()
        fresh = first or self._written.get(commit) is not None
        with self._moving(repository):
            report(writer, repository, commit, check, app=app, runs=self._runs, fresh=fresh)

    # --- reviewing ------------------------------------------------------------------------

    @property
    def reviewing(self) -> GitHubForge:
        """Return itself."""
        return self

    @property
    def comparing(self) -> None:
        """Return None: a delivery says whether a push was forced."""
        return

    def changed(self, repository: str, number: int) -> tuple[ChangedFile, ...]:
        """Return the files of a pull request with the hunks of their diffs."""
        with self._at(repository) as client:
            return changed(client, repository, number)

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
        writer = self._writer(repository)
        with self._moving(repository):
            reviews = Reviews(repository=repository, client=writer, is_ours=self._is_ours, told=self._told)
            return reviews.review(number, review, before, uncertain=uncertain)

    # --- the App itself -------------------------------------------------------------------

    def account(self) -> Account:
        """Return who we are; the id is that of the App's bot, or empty where GitHub does not tell it."""
        with self._lock:
            if self._bot is not None:
                return self._bot
        _, slug = self._ourselves()
        login = f"{slug}[bot]"
        made = Account(id=self._bot_id(login), login=login)
        if made.id:
            with self._lock:
                self._bot = made
        return made

    def missed(self, since: datetime) -> Iterator[Missed]:
        """Yield what GitHub tried to deliver since then and could not, oldest first, each once."""
        return missed(self._app.client, since)

    def webhooks(self) -> tuple[Webhook, ...]:
        """Return the App's webhook, and whether its newest deliveries arrived."""
        return webhook(self._app.client, self._hook_url, self._began - self._manners.skew)

    def test(self, webhook: Webhook) -> bool:
        """Return no: GitHub disables no webhook of an App, and has nothing to try it with."""
        del webhook
        return False

    def examine(self) -> Iterator[Symptom]:
        """Yield what a doctor would look at: key, clock, permissions, events, hook, installations, limits."""
        return examine(self._app, self._manners, self._hook_url)

    def _ourselves(self) -> tuple[int, str]:
        """Return the App's id and slug."""
        with self._lock:
            if self._us is not None:
                return self._us
        said = self._app.client.get("/app").json()
        number, slug = (said.get("id"), said.get("slug")) if isinstance(said, dict) else (None, None)
        if not isinstance(number, int) or not isinstance(slug, str) or not slug:
            raise ForgeError("GitHub does not say who the App is.", advice="Check MOORLINE_GITHUB_APP_ID.")
        with self._lock:
            self._us = number, slug
        return number, slug

    def _is_ours(self, author: object) -> bool:
        """Tell whether an author is our bot: REST writes `slug[bot]`, GraphQL the slug alone."""
        if not isinstance(author, dict):
            return False
        _, slug = self._ourselves()
        login = author.get("login")
        is_bot = "Bot" in (author.get("type"), author.get("__typename"))
        return is_bot and isinstance(login, str) and login.removesuffix("[bot]").lower() == slug.lower()

    def _bot_id(self, login: str) -> str:
        """Return the id of our bot's account; any installation can tell it."""
        try:
            one = next((each for each in self._app.installations() if not each.suspended), None)
            if one is None:
                return ""
            said = (
                self._app.installed(one).get(f"/users/{login.replace('[', '%5B').replace(']', '%5D')}").json()
            )
        except ForgeError:
            return ""
        number = said.get("id") if isinstance(said, dict) else None
        return str(number) if isinstance(number, int) else ""

    # --- places ---------------------------------------------------------------------------

    @contextmanager
    def _at(self, repository: str) -> Iterator[Client]:
        with self._moving(repository):
            yield self._app.reader(repository)

    @contextmanager
    def _written_at(self, repository: str) -> Iterator[Client]:
        writer = self._writer(repository)
        with self._moving(repository):
            yield writer

    @contextmanager
    def _moving(self, repository: str) -> Iterator[None]:
        """Turn a redirect into the name that the repository has now."""
        try:
            yield
        except RedirectedError as error:
            raise self._moved(repository, error) from None

    def _moved(self, repository: str, error: RedirectedError) -> ForgeError:
        if error.path is None:
            return error
        for client in self._who_may_know(repository):
            try:
                found = rest_repository(client.get(_whole(error.path)).json())
            except ForgeError:
                continue
            if found is not None and found.name.lower() != repository.lower():
                return MovedError(f"{clean(repository)} is {clean(found.name)} by now.", name=found.name)
        return MissingError(
            f"{clean(repository)} was moved to where the App is not installed.", advice="Install it there."
        )

    def _who_may_know(self, repository: str) -> Iterator[Client]:
        """Yield the clients that may see where a repository went: its old owner's first."""
        owner = repository.partition("/")[0].lower()
        try:
            every = [one for one in self._app.installations() if not one.suspended]
        except ForgeError:
            return
        for one in sorted(every, key=lambda each: each.account.lower() != owner)[:20]:
            yield self._app.installed(one)

    def _look(self, client: Client, repository: str) -> Look:
        return Look(client, repository, self._seen, self._is_ours, self._told)

    def _writer(self, repository: str) -> Client:
        held = self._publishing.get()
        if held is None or held.repository != repository.lower():
            raise ForgeError(f"{clean(repository)} is not being published to: nothing was written.")
        return held.writer

    def _writing(self, repository: str, writer: Client, reader: Client) -> Writing:
        return Writing(
            repository=repository,
            client=writer,
            reader=reader,
            look=self._look(writer, repository),
            trees=self._trees,
            contents=self._contents,
            seen=self._seen,
            rules=self._rules,
            written=self._written,
        )

    @contextmanager
    def _requests(self, repository: str) -> Iterator[Requests]:
        writer = self._writer(repository)
        with self._moving(repository):
            look = self._look(writer, repository)
            yield Requests(repository=repository, client=writer, look=look, is_ours=self._is_ours)

    def _require_workflows(self, change: Change) -> None:
        paths = {edit.path for edit in change.edits}
        try:
            require_workflows(paths, self._app.installation(change.repository).permissions)
        except ForgeError:
            # It may have been granted since: what is known of the installation may be an hour old.
            self._app.forget(change.repository.partition("/")[0])
            require_workflows(paths, self._app.installation(change.repository).permissions)


def _whole(path: str) -> str:
    """Return the path of the repository itself, of whatever in it a redirect names."""
    parts = path.partition("?")[0].split("/")
    return "/".join(parts[:3] if parts[1:2] == ["repositories"] else parts[:4])


def _require_commit(commit: str) -> None:
    if not is_commit(commit):
        raise ForgeError(f"{commit[:50]!a} is no full id of a commit.")
