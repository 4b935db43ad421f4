"""Other bots: which digests Renovate or Dependabot refresh in a repository, as their configuration says.

Read as their documents describe it (https://docs.renovatebot.com/configuration-options/ and GitHub's
Dependabot options reference), and read loosely: what is not understood refreshes nothing here, so
that Moorline does.  Takes linear time and never raises on any bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot import globs, json5
from bot.model import Finding, Kind
from bot.peer_forms import DEPENDABOT, RENOVATE, parses
from bot.source import Source
from bot.yamltree import Node, Sequence, Unparsable, compose, get, scalar

_RENOVATE = (
    "renovate.json",
    "renovate.json5",
    ".github/renovate.json",
    ".github/renovate.json5",
    ".gitlab/renovate.json",
    ".gitlab/renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
    ".renovaterc.json5",
)
"""In the order in which Renovate looks for its file; the first is the one."""
_PACKAGE = "package.json"
_DEPENDABOT = (".github/dependabot.yml", ".github/dependabot.yaml")
PEER_PATHS = (*_RENOVATE, _PACKAGE, *_DEPENDABOT)
"""What `refreshed` wants to see of a repository."""

MAX_BYTES = 256 * 1024
_MAX_ENTRIES = 200
"""How many entries of one list are looked at."""

_IMAGES = frozenset({Kind.IMAGE})
_ECOSYSTEMS: Mapping[str, tuple[str, frozenset[Kind]]] = {
    "docker": ("dockerfile", _IMAGES),
    "docker-compose": ("compose", _IMAGES),
    "github-actions": ("github-actions", frozenset({Kind.ACTION})),
}
"""By Dependabot's name: our format, and what it refreshes there; not the images of workflows."""
_MANAGERS: Mapping[str, tuple[str, frozenset[Kind]]] = {
    "dockerfile": ("dockerfile", _IMAGES),
    "docker-compose": ("compose", _IMAGES),
    "gitlabci": ("gitlab-ci", _IMAGES),
    "github-actions": ("github-actions", frozenset({Kind.ACTION, Kind.IMAGE})),
}
"""By Renovate's name; it follows tags of GitLab's includes, and knows nothing of their commits."""
_SOURCES = {Kind.IMAGE: frozenset({"docker"}), Kind.ACTION: frozenset({"github-tags", "github-digest"})}
"""Renovate's data sources behind our kinds."""
_DEFAULT = "$default"
"""What Renovate calls the default branch."""
_OFF = frozenset({"disableRenovate", "disableDigestUpdates"})
_OFF_FOR_IMAGES = "docker:disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Digests that another bot keeps up to date."""

    peer: str
    """`Renovate` or `Dependabot`."""
    path: str
    """The file that says so."""
    format: str
    """The name of a finder."""
    kinds: frozenset[Kind]
    folders: tuple[str, ...] | None = None
    """Globs of the folders whose files it reads, the root as an empty one; None for all of them."""
    include: tuple[str, ...] = ()
    """Globs of the only paths that it looks at, if there are any."""
    exclude: tuple[str, ...] = ()
    """Globs of the paths that it does not look at."""
    branches: tuple[str, ...] = ()
    """The branches that it does this for, `$default` being the default one; none for that alone."""

    def covers(self, path: str) -> bool:
        """Return whether it looks at a file."""
        folder = path.rpartition("/")[0]
        if self.format == "github-actions" and folder == ".github/workflows":
            folder = ""  # this is where Dependabot looks for the root's
        if self.folders is not None and not any(_folder(glob, folder) for glob in self.folders):
            return False
        if self.include and not any(globs.matches(glob, path) for glob in self.include):
            return False
        return not any(globs.matches(glob, path) for glob in self.exclude)


def refreshed(files: Mapping[str, bytes]) -> tuple[Refresh, ...]:
    """Return which digests other bots refresh, by the files of `PEER_PATHS` that a repository has."""
    return (*_renovate(files), *_dependabot(files))


def refreshes(
    found: tuple[Refresh, ...], finding: Finding, data: bytes, branch: str = "", *, default: bool = True
) -> Refresh | None:
    """Return who refreshes a reference in its file, which holds `data`, or None.

    `default` says whether the file is on the default branch; `branch` is its name, as far as it is known.
    """
    for one in found:
        there = branch in one.branches or (default and _DEFAULT in (one.branches or (_DEFAULT,)))
        same = one.format == finding.format and finding.kind in one.kinds
        if there and same and one.covers(finding.location.path) and parses(one.peer, finding, data):
            return one
    return None


def _folder(glob: str, folder: str) -> bool:
    return glob == folder if not glob or not folder else globs.matches(glob, folder)


# --- Dependabot ---------------------------------------------------------------------------


def _dependabot(files: Mapping[str, bytes]) -> Iterator[Refresh]:
    path = next((one for one in _DEPENDABOT if one in files), None)
    if path is None or len(files[path]) > MAX_BYTES:
        return
    tree = compose(Source(path, files[path]))
    if isinstance(tree, Unparsable) or not tree.documents or scalar(get(tree.documents[0], "version")) != "2":
        return
    for entry in _nodes(get(tree.documents[0], "updates")):
        known = _ECOSYSTEMS.get(scalar(get(entry, "package-ecosystem")) or "")
        if known is None or scalar(get(entry, "open-pull-requests-limit")) == "0" or _ignores_all(entry):
            continue
        texts = [scalar(get(entry, "directory"))] + [scalar(one) for one in _nodes(get(entry, "directories"))]
        format_, kinds = known
        yield Refresh(
            peer=DEPENDABOT,
            path=path,
            format=format_,
            kinds=kinds,
            folders=tuple(_fitting([text.strip("/") for text in texts if text is not None], empty=True)),
            exclude=tuple(_fitting([scalar(one) or "" for one in _nodes(get(entry, "exclude-paths"))])),
            branches=tuple(filter(None, (scalar(get(entry, "target-branch")),))),
        )


def _ignores_all(entry: Node) -> bool:
    """Return whether an entry ignores everything, whichever version."""
    return any(
        scalar(get(one, "dependency-name")) == "*"
        and get(one, "versions") is None
        and get(one, "update-types") is None
        for one in _nodes(get(entry, "ignore"))
    )


def _nodes(node: Node | None) -> list[Node]:
    return list(node.value[:_MAX_ENTRIES]) if isinstance(node, Sequence) else []


# --- Renovate -----------------------------------------------------------------------------


def _renovate(files: Mapping[str, bytes]) -> Iterator[Refresh]:
    path, said = _renovate_file(files)
    if said is None or said.get("enabled") is False or said.get("mode") == "silent":
        return
    presets = _texts(said.get("extends"))
    names = {preset.removeprefix("default").removeprefix(":") for preset in presets}
    if _OFF & names or _switched_off(said, "digest"):
        return
    # Patterns of branches are passed over: what they stand for is refreshed by us.
    branches = tuple(_texts(said.get("baseBranchPatterns")) or _texts(said.get("baseBranches")))
    wanted = _texts(said.get("includePaths"))
    include = tuple(_fitting(wanted))
    if wanted and not include:
        return
    managers = _texts(said.get("enabledManagers")) if isinstance(said.get("enabledManagers"), list) else None
    for manager, (format_, kinds) in _MANAGERS.items():
        if managers is not None and manager not in managers:
            continue
        section = said.get(manager)
        if _switched_off(said, manager) or (isinstance(section, dict) and _switched_off(section, "digest")):
            continue
        no_images = _OFF_FOR_IMAGES in presets or _switched_off(said, "docker")
        left = {
            kind
            for kind in kinds
            if not (no_images and kind is Kind.IMAGE) and not _ruled_out(said, manager, kind)
        }
        if left:
            yield Refresh(
                peer=RENOVATE,
                path=path,
                format=format_,
                kinds=frozenset(left),
                include=include,
                branches=branches,
                exclude=tuple(_fitting(_texts(said.get("ignorePaths")))),
            )


def _renovate_file(files: Mapping[str, bytes]) -> tuple[str, dict[str, json5.Value] | None]:
    """Return which file Renovate reads, and what it holds, or None where that cannot be read."""
    for path in _RENOVATE:
        if path in files:
            return path, _loaded(files[path])
    package = _loaded(files[_PACKAGE]) if _PACKAGE in files else None
    section = package.get("renovate") if package is not None else None
    return _PACKAGE, section if isinstance(section, dict) else None


def _loaded(data: bytes) -> dict[str, json5.Value] | None:
    if len(data) > MAX_BYTES:
        return None
    value = json5.loads(data.decode("utf-8", "replace"))
    return value if isinstance(value, dict) else None


def _texts(value: json5.Value) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value[:_MAX_ENTRIES] if isinstance(one, str)] if isinstance(value, list) else []


def _switched_off(said: Mapping[str, json5.Value], name: str) -> bool:
    section = said.get(name)
    return isinstance(section, dict) and section.get("enabled") is False


def _ruled_out(said: Mapping[str, json5.Value], manager: str, kind: Kind) -> bool:
    """Return whether a package rule switches the digests of a kind off in a manager's files as a whole."""
    rules = said.get("packageRules")
    return isinstance(rules, list) and any(
        isinstance(rule, dict) and _rules_out(rule, manager, kind) for rule in rules[:_MAX_ENTRIES]
    )


def _rules_out(rule: Mapping[str, json5.Value], manager: str, kind: Kind) -> bool:
    if rule.get("enabled") is not False and not _switched_off(rule, "digest"):
        return False
    met = {
        "matchManagers": {manager},
        "matchDatasources": _SOURCES[kind],
        "matchUpdateTypes": {"digest"},
        "matchPackageNames": {"*", "**"},
    }
    return all(
        name in met and bool(met[name] & set(_texts(wanted)))
        for name, wanted in rule.items()
        if name.startswith("match")
    )


def _fitting(texts: list[str], *, empty: bool = False) -> Iterator[str]:
    """Yield those of some globs that we can match; the others are passed over."""
    for text in texts:
        glob = text.removeprefix("./")
        if (empty and not glob) or globs.wrong(glob) is None:
            yield glob
