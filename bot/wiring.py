"""Puts the parts together: settings in, services out.  Ordinary code, nothing registers itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from bot.config import Config, parse
from bot.errors import ConfigurationError
from bot.forges.directory import Directory
from bot.model import Job
from bot.pipeline import AtCommit, Before, Ground, Services
from bot.pipeline.reading import Below
from bot.progress import Report as Progress
from bot.settings import Lookups
from bot.trust.base import Ledger, Sources

if TYPE_CHECKING:
    from bot.forges.base import Forge
    from bot.forges.git import GitForge
    from bot.refs.smart import GitHosts
    from bot.registries.egress import GuardedPool
    from bot.registries.examining import Looked
    from bot.service_settings import Settings
    from bot.store.base import WritableLedger

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 32
"""Look-ups in flight.  Registries answer in tens of milliseconds; more would only queue there."""

_SWEEP_SECONDS, _SWEEP_TROUBLE_SECONDS = 600.0, 60.0
"""How long one look-up serves every repository of a sweep: short enough to be one look at the world."""
GITHUB, GITLAB = "github.com", "gitlab.com"


def spread(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results in the order of the items, several worked on at a time."""
    if len(items) < 2:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(AT_ONCE, len(items)), thread_name_prefix="look-up")
    waits = True
    try:
        return list(pool.map(work, items))
    except KeyboardInterrupt:
        waits = False  # nobody wants to wait for servers now
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)


def ground(directory: Directory, lookups: Lookups) -> Ground:
    """Return what a look at a folder needs: nothing of it asks the network."""
    host, repository = directory.origin() or ("", "")
    return Ground(
        reading=lambda _job: directory,
        server=policy(lookups),
        host=host,
        owner=repository.partition("/")[0],
        hosts=own_hosts(host if host != GITHUB else "", lookups),
    )


def policy(lookups: Lookups) -> Config:
    """Return the server's own configuration; raises `ConfigurationError` where it cannot be used."""
    if lookups.policy is None:
        return Config()
    try:
        data = lookups.policy.read_bytes()
    except OSError as error:
        problem = f"{lookups.policy} cannot be read: {error.strerror}"
        raise ConfigurationError(problem, key="MOORLINE_POLICY") from error
    return parse(str(lookups.policy), data, policy=True)


def own_hosts(host: str, lookups: Lookups) -> dict[str, str]:
    """Return what GitLab's own variables stand for, as far as that is known."""
    server = host or lookups.gitlab_host
    known = {"": server, "$CI_SERVER_FQDN": server, "$CI_SERVER_HOST": server}
    if server == GITLAB:
        known["$CI_REGISTRY"] = "registry.gitlab.com"
    return known


@contextmanager
def looking(
    directory: Directory, *, ledger: Ledger | None = None, progress: Progress | None = None
) -> Iterator[Services]:
    """Yield what look-ups for a folder need; connections are closed at the end."""
    with Network(Lookups.from_environ(os.environ)) as network:
        yield network.services(ground(directory, network.lookups), ledger=ledger, progress=progress)


@contextmanager
def remembering(file: Path | None, directory: Directory) -> Iterator[WritableLedger | None]:
    """Yield the ledger for a folder in a SQLite file, which is made where it is missing; None without one.

    Raises `StoreError` where the file cannot be used.
    """
    if file is None:
        yield None
        return
    from bot.store.sql import Store

    name = str(file).replace("%", "%25").replace("?", "%3F")  # it becomes part of a URL
    with Store(f"sqlite:///{name}") as store:
        yield store.ledger(scope(ground(directory, Lookups())))


class Network:
    """The way to registries and git hosts: one guarded pool, shared by everything that looks up."""

    def __init__(self, lookups: Lookups) -> None:
        """Raise `ConfigurationError` for settings that cannot be used."""
        from bot.registries.budget import Budget
        from bot.registries.credentials import Credentials
        from bot.registries.egress import Allowed, guarded_pool
        from bot.registries.memos import Memos

        self.lookups = lookups
        self._pool: GuardedPool = guarded_pool(
            allowed=[Allowed.parse(one) for one in lookups.allowed],
            ca_bundle=lookups.ca_bundle,
            maxsize=AT_ONCE,
        )
        self._credentials = Credentials.from_docker_config(
            lookups.docker_config, os.environ, owners=lookups.credential_owners
        )
        self._memo = Memos.shared()
        self._sweep = Memos.of_one_sweep(_SWEEP_SECONDS, _SWEEP_TROUBLE_SECONDS)
        self._sweep_refs: dict[str, GitHosts] = {}
        self._budget = Budget()

    def reaching(self, addresses: Iterable[str]) -> GuardedPool:
        """Return a pool that also reaches what the operator named: http and https addresses."""
        from bot.registries.egress import Allowed

        return self._pool.extended(
            Allowed.parse(address) for address in addresses if address.startswith(("http://", "https://"))
        )

    def registries(self) -> Iterator[Looked]:
        """Yield what each mirror and each login leads to answers now."""
        from bot.registries.docker_config import docker_logins
        from bot.registries.examining import examine, targets

        logins = docker_logins(self.lookups.docker_config, os.environ)
        found = targets(self.lookups.registry_mirrors, logins, self._pool.rules.allowed)
        return examine(found, pool=self._pool, realms=self.lookups.registry_realms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def services(
        self,
        base: Ground,
        *,
        ledger: Ledger | None = None,
        trusted: bool = True,
        progress: Progress | None = None,
        swept: bool = False,
    ) -> Services:
        """Return services for one run on behalf of one owner; a ledger makes updates possible.

        The runs of a sweep (`swept`) share their look-ups for some minutes.
        """
        from bot.registries.client import RegistryClient
        from bot.registries.credentials import Scope

        images = RegistryClient(
            pool=self._pool,
            mirrors=self.lookups.registry_mirrors,
            realms=self.lookups.registry_realms,
            credentials=self._credentials,
            scope=Scope(owner=base.principal, trusted=trusted),
            memo=self._memo,
            answers=self._sweep if swept else None,
            budget=self._budget,
        )
        refs = self._refs(base.host or GITHUB, swept=swept)
        made = {one.name: getattr(base, one.name) for one in fields(base)}
        if progress is not None:
            made["progress"] = progress
        return Services(
            **made,
            sources=Sources(images=images, refs=refs, ledger=ledger),
            spread=spread,
            scope=scope(base, trusted=trusted),
            updates=ledger is not None,
        )

    def _refs(self, own_host: str, *, swept: bool) -> GitHosts:
        from bot.refs.smart import GitHosts
        from bot.registries.egress import Allowed, BlockedError

        if swept and own_host in self._sweep_refs:
            return self._sweep_refs[own_host]
        made = GitHosts(
            self._pool,
            mirrors=self.lookups.git_mirrors,
            own_host=own_host,
            mirror_pool=lambda url: self._pool.extended([Allowed.parse(url)]),
            blocked=(BlockedError,),
        )
        if swept:
            self._sweep_refs[own_host] = made
        return made


def scope(base: Ground, *, trusted: bool = True) -> str:
    """Return the name under which look-ups on behalf of an owner are remembered."""
    return f"{base.principal}{'' if trusted else ' untrusted'}"


# --- git ----------------------------------------------------------------------------------


def git_forge(root: Path) -> GitForge:
    """Return the forge that is the repository around a folder."""
    from bot.forges.git import GitForge

    return GitForge(roots=[str(root)])


def staged(directory: Directory) -> tuple[Below, bool]:
    """Return how to read what is staged in the repository around a folder, and whether it has a commit yet.

    Git tells the index that it commits from to what it calls.  Raises `ForgeError` where there is none.
    """
    from bot.forges.git import STAGED, GitForge

    named = os.environ.get("GIT_INDEX_FILE")
    forge = GitForge(roots=[str(directory.root)], index=Path(named).absolute() if named else None)
    repository = str(directory.root)
    return Below(AtCommit(forge, repository, STAGED), directory.start), forge.begun(repository)


def before(root: Path, revision: str) -> Before:
    """Return what the repository around a folder is held against: `revision`, and where its head left it.

    Raises `ForgeError` where there is no such revision or no common ancestor.
    """
    forge = git_forge(root)
    since = forge.merge_base(str(root), "HEAD", revision)
    # What two names have in common when they name one commit is that commit.
    rules = forge.merge_base(str(root), revision, revision)
    return Before(
        since=AtCommit(forge, str(root), since),
        rules=AtCommit(forge, str(root), rules),
    )


def served_git(roots: Iterable[str], repositories: Mapping[str, str], network: Network) -> GitForge:
    """Return the forge that serves the operator's repositories, and no others."""
    from bot.forges.git import GitForge
    from bot.forges.gitremote import MAX_ANSWER
    from bot.forges.places import one_name
    from bot.registries.egress import BlockedError

    addresses = tuple(one_name(address) for address in repositories.values())
    local = [address for address in addresses if address.startswith("/")]
    return GitForge(
        roots=[*roots, *local],
        pool=network.reaching(addresses).extended(body=MAX_ANSWER),
        blocked=(BlockedError,),
        login=network.lookups.git_logins.login,
        ssh=any(address.startswith("ssh://") for address in addresses),
    )


def git_ground(job: Job, lookups: Lookups) -> Ground:
    """Return the ground of a job of the git forge: its address says host and owner, if it is a URL."""
    parts = urlsplit(job.repository)
    host = (parts.hostname or "") if parts.scheme in ("http", "https", "ssh") else ""
    owner = parts.path.strip("/").partition("/")[0] if host else ""
    return Ground(
        reading=_unread,
        server=policy(lookups),
        host=host,
        owner=owner,
        principal=f"{host}/{owner}" if host else job.repository,
        hosts=own_hosts(host if host != GITHUB else "", lookups),
    )


# --- forges -------------------------------------------------------------------------------


def forges(
    settings: Settings,
    lookups: Lookups,
    network: Network,
    identity: Callable[[str, str], str] = lambda _forge, _name: "",
) -> dict[str, Forge]:
    """Return every forge that is configured, by its name; raises `ConfigurationError`.

    `identity` tells the id of the repository that any process last saw under a forge's name, else nothing.
    """
    from bot import finders
    from bot.forges import forge_class
    from bot.forges.pacing import Window

    made: dict[str, Forge] = {}
    if settings.git_roots or settings.git_repositories:
        made["git"] = served_git(settings.git_roots, settings.git_repositories, network)
    owners = frozenset(owner.lower() for owner in settings.allowed_owners)
    if settings.github_app_id:
        made["github"] = forge_class("github")(
            lookups.github_url,
            settings.github_app_id,
            settings.github_key(),
            ca_bundle=lookups.ca_bundle,
            prefetch=finders.claims,
            hook_url=_hook_url(settings, "github"),
            owners=owners,
            windows=(
                Window(settings.github_writes_per_minute, 60.0),
                Window(settings.github_writes_per_hour, 3600.0),
            ),
        )
    if settings.gitlab_token.get_secret_value():
        made["gitlab"] = forge_class("gitlab")(
            lookups.gitlab_url,
            settings.gitlab_token.get_secret_value(),
            ca_bundle=lookups.ca_bundle,
            prefetch=finders.claims,
            hook_url=_hook_url(settings, "gitlab"),
            owners=owners,
            windows=(Window(settings.gitlab_writes_per_minute, 60.0),),
            identity=partial(identity, "gitlab"),
        )
    return made


def _hook_url(settings: Settings, forge: str) -> str:
    """Return where a forge's webhooks should call us, or nothing where that is not set."""
    return f"{settings.public_url}/webhooks/{forge}" if settings.public_url else ""


def job_ground(job: Job, lookups: Lookups) -> Ground:
    """Return the ground of a job of any forge."""
    match job.forge:
        case "github":
            return _hosted(job, lookups.github_host, lookups, {})
        case "gitlab":
            return _hosted(job, lookups.gitlab_host, lookups, own_hosts(lookups.gitlab_host, lookups))
        case _:
            return git_ground(job, lookups)


def _hosted(job: Job, host: str, lookups: Lookups, hosts: Mapping[str, str]) -> Ground:
    owner = job.repository.partition("/")[0]
    return Ground(
        reading=_unread,
        server=policy(lookups),
        host=host,
        owner=owner,
        principal=f"{host}/{owner}",
        hosts=hosts,
    )


def _unread(job: Job) -> AtCommit:
    raise ValueError(f"nothing said at which commit to read {job.repository}")
