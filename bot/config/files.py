"""Configuration files: where they stand, and what one of them says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from bot import cron
from bot.config.nouns import (
    KEEP_TAGS,
    AllowRule,
    CheckSetting,
    Config,
    Environment,
    Floating,
    Grouping,
    Guard,
    IgnoreRule,
    Limits,
    Mode,
    Own,
    Places,
    Preset,
    Schedule,
    Unreachable,
    Updates,
)
from bot.config.table import table
from bot.config_schema import Reader
from bot.errors import ConfigurationError
from bot.source import Source
from bot.yamltree import Node, Scalar, Unparsable, compose

PLACES = (".moorline.yml", ".github/.moorline.yml", ".gitlab/.moorline.yml")
"""Where a repository's configuration may stand: in one of these places."""
MISNAMED = (
    *(".moorline.yaml", ".github/.moorline.yaml", ".gitlab/.moorline.yaml"),
    *(".github/moorline.yml", ".github/moorline.yaml", ".gitlab/moorline.yml", ".gitlab/moorline.yaml"),
)
"""Names that people may give it by mistake: an error, rather than a file that nobody reads."""
CONFIG_PATHS = (*PLACES, *MISNAMED)
"""What `load` wants to see of a repository."""
OWNER_REPOSITORIES = (".github", "moorline-config")
"""Names of the repositories whose file rules all of an owner's; a GitLab group can have the second only."""
OWNER_PATHS = (".moorline.yml", ".moorline.yaml", "moorline.yml", "moorline.yaml")
"""What `load_owner` wants to see of them; but for the first, all are mistakes."""
MAX_BYTES = 64 * 1024


def load(files: Mapping[str, bytes]) -> Config:
    """Return the configuration among a repository's files; the defaults where there is none.

    Raises `ConfigurationError` for a broken file, for a misnamed one, and where two places hold one.
    """
    for path in MISNAMED:
        if path in files:
            meant = f"{path.rpartition('/')[0]}/.moorline.yml".removeprefix("/")
            raise ConfigurationError(
                "this name is not read", path=path, expected=meant, advice="Rename the file."
            )
    there = [path for path in PLACES if path in files]
    if len(there) > 1:
        raise ConfigurationError(
            f"configuration stands in {' and '.join(there)}",
            path=there[1],
            expected="one file",
            advice=f"Move everything into {there[0]} and remove the other.",
        )
    return parse(there[0], files[there[0]]) if there else Config()


def load_owner(found: Mapping[str, Mapping[str, bytes]]) -> Config:
    """Return an owner's policy among the files of their `OWNER_REPOSITORIES`, by the repository's full name.

    Raises `ConfigurationError` as `load` does; it names the repository before the path.
    """
    there: list[str] = []
    for repository, files in found.items():
        for path in OWNER_PATHS[1:]:
            if path in files:
                raise ConfigurationError(
                    "this name is not read",
                    path=f"{repository}/{path}",
                    expected=f"{repository}/{OWNER_PATHS[0]}",
                    advice="Rename the file.",
                )
        there += [repository] if OWNER_PATHS[0] in files else []
    if len(there) > 1:
        raise ConfigurationError(
            f"the owner's policy stands in {' and '.join(there)}",
            path=f"{there[1]}/{OWNER_PATHS[0]}",
            expected="one file",
            advice=f"Move everything into {there[0]} and remove the other.",
        )
    if not there:
        return Config()
    return parse(f"{there[0]}/{OWNER_PATHS[0]}", found[there[0]][OWNER_PATHS[0]], policy=True)


def holds_policy(repository: str) -> bool:
    """Return whether a repository by its full name may hold its owner's policy, which then is its own, too."""
    return repository.rpartition("/")[2].lower() in OWNER_REPOSITORIES


def parse(path: str, data: bytes, *, policy: bool = False) -> Config:
    """Return the configuration that a file holds; an empty one gives the defaults.

    With `policy` the file is a server's or an owner's, and may delegate.  Raises
    `ConfigurationError` with path, line, key and what was expected.
    """
    reader, root = _opened(path, data)
    if root is None:
        return Config(path=path)
    return _config(path, table(policy=policy).read(root, "", reader))


def problems(path: str, data: bytes, *, policy: bool = False) -> tuple[ConfigurationError, ...]:
    """Return all that is wrong with a file, in its order; `parse` raises the first of them.

    Each names path, line, key and what was expected.  Where the file is no YAML there is but one.
    """
    found: list[ConfigurationError] = []
    try:
        reader, root = _opened(path, data)
        if root is not None:
            reader.problems = found
            table(policy=policy).read(root, "", reader)
    except ConfigurationError as error:
        found.append(error)
    return tuple(sorted(found, key=lambda one: one.line or 0))


def _opened(path: str, data: bytes) -> tuple[Reader, Node | None]:
    """Return a file's reader and the root of its document, or None where it says nothing."""
    if len(data) > MAX_BYTES:
        raise ConfigurationError(
            f"the file has {len(data)} bytes", path=path, line=1, expected=f"at most {MAX_BYTES}"
        )
    tree = compose(Source(path, data))
    if isinstance(tree, Unparsable):
        raise ConfigurationError(
            f"not readable as YAML: {tree.detail}",
            path=path,
            line=tree.line,
            expected="UTF-8" if tree.detail == "not UTF-8" else "YAML",
            advice="Put quotes around a glob or a schedule that begins with `*`." if b"*" in data else "",
        )
    reader = Reader(path, tree)
    if len(tree.documents) > 1:
        reader.fail(tree.documents[1], "", "a second document begins", expected="one document")
    root = tree.documents[0] if tree.documents else None
    return reader, None if isinstance(root, Scalar) and root.tag.endswith(":null") else root


def _config(path: str, said: Mapping[str, Any]) -> Config:
    where, look, guard = said.get("proposal", {}), said.get("paths", {}), said.get("guard", {})
    when, most = said.get("schedule", {}), said.get("limits", {})
    checks = said.get("trust", {}).get("checks", {})
    return Config(
        path=path,
        given=frozenset(_keys(said)),
        preset=Preset(said.get("preset", Preset.DEFAULT)),
        mode=Mode(said.get("mode", Mode.PROPOSE)),
        own=Own(said.get("own", Own.REPORT)),
        formats=MappingProxyType(dict(said.get("formats", {}))),
        places=(Places(**look),) if look else (),
        ignore=tuple(_ignore(one) for one in said.get("ignore", ())),
        allow=tuple(AllowRule(**one, origin=path) for one in said.get("allow", ())),
        registries=said.get("registries", {}).get("allow"),
        environments=tuple(_environment(one) for one in said.get("environments", ())),
        checks=_settings(checks),
        keep_tags=_once((*KEEP_TAGS, *said.get("keep-tags", ()))),
        branch_prefix=where.get("branch-prefix", "moorline/"),
        title_prefix=_spaced(where.get("title-prefix", "")),
        commit_prefix=_spaced(where.get("commit-prefix", "")),
        sign_off=where.get("sign-off", ""),
        issue=where.get("issue", ""),
        group=Grouping(where.get("group", Grouping.REPOSITORY)),
        labels=_once(where.get("labels", ())),
        reviewers=_once(where.get("reviewers", ())),
        assignees=_once(where.get("assignees", ())),
        draft=where.get("draft", False),
        squash=where.get("squash"),
        remove_source_branch=where.get("remove-source-branch", True),
        refs=_once(said.get("refs", ())),
        updates=Updates(said.get("updates", Updates.AUTO)),
        schedule=Schedule(**{name: (cron.parse(text),) for name, text in when.items()}),
        limits=Limits(**{name.replace("-", "_"): number for name, number in most.items()}),
        guard=Guard(
            floating=Floating(guard["floating"]) if "floating" in guard else None,
            held=Floating(guard["held"]) if "held" in guard else None,
            unreachable=Unreachable(guard["unreachable"]) if "unreachable" in guard else None,
        ),
        delegate=frozenset(said.get("delegate", ())),
    )


def _spaced(prefix: str) -> str:
    """Return a prefix that stands apart from what follows: `chore:` becomes `chore: `."""
    return f"{prefix.strip()} " if prefix else ""


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _ignore(said: Mapping[str, Any]) -> IgnoreRule:
    """Return a rule; a registry is the glob of all its images."""
    rest = {name: value for name, value in said.items() if name != "registry"}
    registry: str | None = said.get("registry")
    if registry is not None:
        rest["image"] = registry if "/" in registry else f"{registry}/**"
    return IgnoreRule(**rest)


def _environment(said: Mapping[str, Any]) -> Environment:
    return Environment(
        name=said["name"],
        paths=said["paths"],
        registries=said.get("registries", {}).get("allow"),
        checks=_settings(said.get("checks", {})),
    )


def _settings(said: Mapping[str, Mapping[str, Any]]) -> Mapping[str, CheckSetting]:
    return MappingProxyType(
        {
            name: CheckSetting(
                demand=one.get("demand"),
                options=MappingProxyType({key: value for key, value in one.items() if key != "demand"}),
            )
            for name, one in said.items()
        }
    )


def _keys(said: Mapping[str, Any], before: str = "") -> Iterable[str]:
    for key, value in said.items():
        yield f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{before}{key}.")
