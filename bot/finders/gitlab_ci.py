"""Finds images, includes, components and steps in GitLab CI pipelines and component templates.

The files of one pipeline, joined by local includes and child pipelines, are looked at together,
since GitLab merges them before it expands a variable.  A file that no name gives away as GitLab's
is read where a pipeline includes it, and reported by the first file, by path, that does so.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from weakref import ReferenceType, ref

from bot import globs
from bot.finders import templated
from bot.finders.base import Files
from bot.finders.gitlab_facts import Facts, facts
from bot.finders.gitlab_includes import wildcards
from bot.finders.gitlab_link import link
from bot.finders.gitlab_pointers import MAX_NESTING, Request
from bot.finders.gitlab_text import PREDEFINED
from bot.finders.yaml import unread
from bot.model import Built, Finding, Findings, Unread, UnreadReason
from bot.source import Source
from bot.yamltree import check

__all__ = ["MAX_FILES", "PREDEFINED", "claims", "find", "needs", "paths"]

paths: tuple[str, ...] = (
    *(f"**/*gitlab-ci*{ending}" for ending in (".yml", ".yaml", *templated.YAML)),
    "**/.gitlab/*.yml",
    "**/.gitlab/*.yaml",
    "**/.gitlab-ci.d/**",
    "**/.gitlab-ci/**",
    "**/.gitlab/ci/**",
    "**/gitlab-ci/**",
    "**/ci/gitlab/**",
    "**/templates/*.yml",
    "**/templates/*/template.yml",
)

MAX_FILES = 150
"""Files that one pipeline may be made of: GitLab's own limit for includes."""

_NAME = re.compile(r"(?:.*\.)?gitlab-ci(?:[._-].*)?\.ya?ml", re.DOTALL)
_FOLDERS = ("/.gitlab-ci.d/", "/.gitlab-ci/", "/.gitlab/ci/", "/gitlab-ci/", "/ci/gitlab/")
_YAML = (".yml", ".yaml")
_ENDINGS = (*_YAML, *templated.YAML)
_HOME = re.compile(r"(?:.*/)?\.gitlab/[^/]+", re.DOTALL)
_TEMPLATE = re.compile(r"(?:.*/)?templates/(?:[^/]+|[^/]+/template)\.yml", re.DOTALL)
_OTHERS = re.compile(
    rb"^(?:apiVersion|kind|AWSTemplateFormatVersion|openapi|parameters|steps):|\{\{-|\{\{ ?\.", re.MULTILINE
)
_SPEC = re.compile(rb"^spec:[ \t]*(?:#[^\r\n]*)?\r?$", re.MULTILINE)
_SPEC_INPUTS = re.compile(rb"^[ \t]+(?:inputs|component|include):", re.MULTILINE)
_INPUT = re.compile(rb"\$\[\[[ ]*inputs\.")
_JOB = re.compile(rb"^[^\s#-][^\r\n]*:[ \t]*(?:#[^\r\n]*|&[^\s]+[ \t]*)?\r?$")
_NO_PIPELINE = re.compile(rb"^(?:apiVersion|kind|openapi|swagger):", re.MULTILINE)
_ROOT_KEY = re.compile(rb"^(?:image|include|stages|default|workflow)[ \t]*:", re.MULTILINE)
_PIPELINE_KEY = re.compile(rb"^[ \t]+(?:script|trigger|extends|image|services):(?:[ \t\r]|$)")
_FLOW_JOB = re.compile(
    rb"^[^\s#-][^\r\n]*:[ \t]*\{[^\r\n]*(?:script|trigger|extends|image)[ \t]*:", re.MULTILINE
)
_JOB_KEY = re.compile(rb"^[ \t]+(?:script|trigger):(?:[ \t\r]|$)")
_RELEVANT = re.compile(rb"image|services|include|variables|inputs|step|push|build|destination|copy|action")


def claims(path: str, head: bytes) -> bool:
    """Return whether a file is a GitLab pipeline or a part of one, by its name or as a component."""
    if not path.endswith(_ENDINGS):
        return False
    if _is_named(templated.plain(path)):
        return True
    if not path.endswith(_YAML):
        return False
    if ".gitlab/" in path and _HOME.fullmatch(path):
        return not head or _is_pipeline(head)
    if "templates/" not in path or not _TEMPLATE.fullmatch(path):
        return False
    return not head or _is_component(head)


def _is_named(path: str) -> bool:
    name = path.rpartition("/")[2]
    if "gitlab-ci" in name and _NAME.fullmatch(name):
        return True
    return "gitlab" in path and any(folder in f"/{path}" for folder in _FOLDERS)


def _is_pipeline(head: bytes) -> bool:
    """Return whether the head of a file in `.gitlab` is that of a pipeline, and not of settings."""
    if _NO_PIPELINE.search(head):
        return False
    return bool(_ROOT_KEY.search(head) or _FLOW_JOB.search(head)) or _has_job(head, _PIPELINE_KEY)


def _is_component(head: bytes) -> bool:
    """Return whether the head of a file is that of a component, and of nothing that looks like one."""
    if _INPUT.search(head):
        return True
    if _OTHERS.search(head):
        return False
    spec = _SPEC.search(head)
    if spec is not None and _SPEC_INPUTS.search(head, spec.end()):
        return True
    return _has_job(head, _JOB_KEY)


def _has_job(head: bytes, wanted: re.Pattern[bytes]) -> bool:
    """Return whether a mapping at the root has one of the wanted keys."""
    indent: bytes | None = None
    within = False
    for line in head.splitlines():
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        blank = line[: len(line) - len(line.lstrip())]
        if not blank:
            within, indent = _JOB.match(line) is not None, None
        elif within:
            indent = blank if indent is None else indent
            if blank == indent and wanted.match(line):
                return True
    return False


_MAX_NEEDED = 2000
_needed: dict[tuple[str, int, int], tuple[str, ...]] = {}
"""What files need, by path and content, as Python's keyed hash tells it: a run asks several times."""


def needs(source: Source) -> tuple[str, ...]:
    """Return the files that the pipeline includes locally, from the root and from folders above it."""
    if b"include" not in source.data:
        return ()
    key = (source.path, len(source.data), hash(source.data))
    made = _needed.get(key)  # threads share it: asked once
    if made is None:
        made = _needs(source)
        if len(_needed) >= _MAX_NEEDED:
            _needed.clear()
        _needed[key] = made
    return made


def _needs(source: Source) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for written in facts(source).locals[:MAX_FILES]:
        if "*" in written:
            found.update(dict.fromkeys(one for level in _levels(source.path, written) for one in level))
        else:
            found.update(dict.fromkeys(_candidates(source.path, written)))
    found.pop(source.path, None)
    return tuple(found)


def find(source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return what the file holds, and what local includes hold that no other file reports."""
    return _repository(source, files).get(source.path, Findings())


# --- the repository's pipelines -----------------------------------------------------------


class _Latest:
    """The findings of the repository that was looked at last.

    Every file of it asks for the same work.  What is kept holds no file's bytes.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[ReferenceType[Files] | None, dict[str, Findings]] = (None, {})
        """Replaced as one: threads share it."""

    def get(self, files: Files) -> dict[str, Findings]:
        known, made = self._kept
        if known is None or known() is not files:
            made = _Repository(_yaml(files)).findings()
            self._kept = (ref(files), made)
        return made


_latest = _Latest()


def _repository(source: Source, files: Mapping[str, bytes]) -> dict[str, Findings]:
    claimed = claims(source.path, source.data[:4096])
    if claimed and isinstance(files, Files) and files.get(source.path) == source.data:
        return _latest.get(files)
    return _Repository({**_yaml(files), source.path: source.data}, source.path).findings()


def _yaml(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.lower().endswith(_ENDINGS)}


class _Repository:
    def __init__(self, files: dict[str, bytes], asked: str = "") -> None:
        self.files = files
        self.claimed = sorted(
            path for path, data in files.items() if path == asked or claims(path, data[:4096])
        )
        self.facts: dict[str, Facts] = {}
        self.targets: dict[tuple[str, str], tuple[str, ...]] = {}
        self.owners: dict[str, str] = {}
        self.refused: dict[str, list[str]] = defaultdict(list)
        self._globbed: dict[str, tuple[str, ...]] = {}
        self._ordered = sorted(files)
        self._unmatched: dict[str, dict[str, None]] = defaultdict(dict)

    def findings(self) -> dict[str, Findings]:
        roots = set(self.claimed)
        for path in self.claimed:
            self._reach(path, roots)
        made: dict[str, list[Finding]] = defaultdict(list)
        built: dict[str, list[Built]] = defaultdict(list)
        for pipeline in self._pipelines():
            self._refer(pipeline)
            complete = len(pipeline) <= MAX_FILES and not any(
                self.facts[path].unread or self.refused.get(path) for path in pipeline
            )
            linked = link([self.facts[path] for path in pipeline], self.targets, complete=complete)
            for path, found in linked.findings.items():
                made[self.owners[path]] += found
            for path, named in linked.built.items():
                built[self.owners[path]] += named
        owned: dict[str, list[Facts]] = defaultdict(list)
        for path in sorted(self.owners, key=lambda one: (one != self.owners[one], one)):
            owned[self.owners[path]].append(self.facts[path])
        return {
            path: Findings(
                references=tuple(sorted(made[path], key=lambda one: _order(one, path))),
                unread=tuple(one for file in owned[path] for one in file.unread) + self._refusals(path),
                built=tuple(
                    dict.fromkeys((*(one for file in owned[path] for one in file.built), *built[path]))
                ),
                arguments=tuple(one for file in owned[path] for one in file.arguments),
                contexts=tuple(one for file in owned[path] for one in file.contexts),
            )
            for path in self.claimed
        }

    def _refer(self, pipeline: list[str]) -> None:
        """Read files once more for what the `!reference` of others ask them for."""
        if not any(self.facts[path].asked for path in pipeline):
            return
        given: dict[str, dict[Request, int]] = defaultdict(dict)
        for path in pipeline:
            if not _RELEVANT.search(self.files[path]):
                self.facts[path] = facts(Source(path, self.files[path]))
        for _ in range(MAX_NESTING):
            asked: dict[Request, int] = {}
            for path in pipeline:
                for one, depth in self.facts[path].asked.items():
                    asked[one] = min(depth, asked.get(one, depth))
            done = True
            for path in pipeline:
                there = self.facts[path]
                fresh = {
                    one: depth
                    for one, depth in asked.items()
                    if one.target[0] in there.keys and there.asked.get(one, depth + 1) > depth
                }
                if fresh:
                    done = False
                    given[path].update(fresh)
                    self.facts[path] = facts(Source(path, self.files[path]), given[path])
            if done:
                return

    def _refusals(self, path: str) -> tuple[Unread, ...]:
        refused = (
            (one, f"more than {MAX_FILES} local includes of {path}") for one in self.refused.get(path, ())[:1]
        )
        unmatched = (
            (path, f"no file here matches the include `{one[:200]}`") for one in self._unmatched.get(path, ())
        )
        return tuple(
            Unread(path=where, reason=UnreadReason.LEFT_OUT, detail=detail)
            for where, detail in (*refused, *unmatched)
        )

    def _read(self, path: str) -> Facts:
        if path not in self.facts:
            source = Source(path, self.files[path])
            self.facts[path] = facts(source) if _RELEVANT.search(source.data) else _nothing(source)
        return self.facts[path]

    def _reach(self, root: str, roots: set[str]) -> None:
        """Read a claimed file and what it includes down to other claimed files."""
        self.owners[root] = root
        pending, seen = [root], {root}
        while pending:
            path = pending.pop(0)
            for written in self._read(path).locals[: MAX_FILES * 2]:
                found = self._resolve(root, path, written)
                self.targets[path, written] = found
                for one in found:
                    if one in seen or one in roots or self.owners.get(one, root) != root:
                        continue
                    if len(seen) > MAX_FILES:
                        self.refused[root].append(one)
                        continue
                    seen.add(one)
                    self.owners[one] = root
                    pending.append(one)

    def _resolve(self, root: str, path: str, written: str) -> tuple[str, ...]:
        if "*" in written:
            return self._glob(root, path, written)
        for base in dict.fromkeys((root, path)):
            for one in _candidates(base, written):
                if one in self.files:
                    return (one,)
        return ()

    def _glob(self, root: str, path: str, written: str) -> tuple[str, ...]:
        """Return the files that a wildcard stands for, at the first folder where it stands for any."""
        for base in dict.fromkeys((root, path)):
            for level in _levels(base, written):
                found = dict.fromkeys(one for glob in level for one in self._matching(glob))
                found.pop(path, None)
                if found:
                    return tuple(sorted(found))[: MAX_FILES * 2]
        if wildcards(written):
            self._unmatched[root][written] = None
        return ()

    def _matching(self, glob: str) -> tuple[str, ...]:
        if glob not in self._globbed:
            wanted = globs.select(glob, self._ordered)
            self._globbed[glob] = tuple(one for _, one in zip(range(MAX_FILES * 2), wanted, strict=False))
        return self._globbed[glob]

    def _pipelines(self) -> Iterator[list[str]]:
        """Yield the files that belong together, by path."""
        neighbours: dict[str, set[str]] = defaultdict(set)
        for (path, _), found in self.targets.items():
            for one in found:
                if one in self.facts:
                    neighbours[path].add(one)
                    neighbours[one].add(path)
        seen: set[str] = set()
        for start in sorted(self.facts):
            if start in seen:
                continue
            pending, together = [start], {start}
            while pending:
                for one in neighbours[pending.pop()] - together:
                    together.add(one)
                    pending.append(one)
            seen |= together
            yield sorted(together)


def _nothing(source: Source) -> Facts:
    """Return the facts of a file without any relevant word: whether it is broken."""
    if templated.is_template(source.path, source.data):
        return Facts(path=source.path)
    trouble = check(source)
    return Facts(path=source.path, unread=() if trouble is None else (unread(source, trouble),))


def _order(finding: Finding, path: str) -> tuple[bool, str, int, int]:
    location = finding.location
    return location.path != path, location.path, location.span.start, location.span.end


def _candidates(base: str, written: str) -> Iterator[str]:
    """Yield where a local include may lie: GitLab starts at the root, a nested template at its own."""
    name = written.lstrip("/")
    if not name.lower().endswith(_YAML) or "$" in name or "\\" in name or len(name) > 1024:
        return
    folders = base.split("/")[:-1][:20]
    for depth in range(len(folders) + 1):
        path = posixpath.normpath("/".join((*folders[:depth], name)))
        if not path.startswith(("../", "/")) and path != "..":
            yield path


def _levels(base: str, written: str) -> Iterator[tuple[str, ...]]:
    """Yield the globs of a local include with wildcards, for the root and for each folder down to the file."""
    folders = base.split("/")[:-1][:20]
    made = wildcards(written)
    for depth in range(len(folders) + 1 if made else 0):
        above = "".join(f"{folder}/" for folder in folders[:depth])
        if "*" not in above:
            yield tuple(above + one for one in made)
