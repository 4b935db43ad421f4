"""GitHub Actions, and Gitea's and Forgejo's: workflows, reusable workflows and actions.

Follows "Workflow syntax for GitHub Actions" and "Metadata syntax for GitHub Actions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Files
from dataclasses import dataclass
from functools import lru_cache

from bot.finders import github_builds, github_inputs, github_matrix, github_steps, templated
from bot.finders.github_anchors import elsewhere
from bot.finders.version_comments import version_comment
from bot.finders.yaml import Hit, Table, unread
from bot.model import (
    Finding,
    Findings,
    GitReference,
    Kind,
    Reference,
    SkipReason,
    State,
    UnreadReason,
)
from bot.reference import is_commit, is_digest, parse_git, parse_image
from bot.source import Source
from bot.yamltree import Mapping, Scalar, Tree, Unparsable, check, compose, get

FORMAT = "github-actions"

paths: tuple[str, ...] = (
    "**/.github/workflows/*.yml",
    "**/.github/workflows/*.yaml",
    "**/.gitea/workflows/*.yml",
    "**/.gitea/workflows/*.yaml",
    "**/.forgejo/workflows/*.yml",
    "**/.forgejo/workflows/*.yaml",
    "**/workflow-templates/*.yml",
    "**/workflow-templates/*.yaml",
    "**/action.yml",
    "**/action.yaml",
    *(
        f"**/{place}{ending}"
        for place in (
            ".github/workflows/*",
            ".gitea/workflows/*",
            ".forgejo/workflows/*",
            "workflow-templates/*",
            "action",
        )
        for ending in templated.YAML
    ),
)

_ENDINGS = (".yml", ".yaml", *templated.YAML)
_FOLDERS = ("/.github/workflows", "/.gitea/workflows", "/.forgejo/workflows", "/workflow-templates")
_ACTIONS = ("/action.yml", "/action.yaml")

_USES = frozenset({"jobs.*.uses", "jobs.*.steps[].uses", "runs.steps[].uses"})
_IMAGES = ("jobs.*.container", "jobs.*.container.image", "jobs.*.services.*", "jobs.*.services.*.image")
_INPUTS = ("build-contexts", "set")
_CONTEXTS = [f"{steps}[].with.{name}" for steps in ("jobs.*.steps", "runs.steps") for name in _INPUTS]
_TABLE = Table([*sorted(_USES), *_IMAGES, "runs.image"])
_CONTEXT_TABLE = Table(_CONTEXTS)

_WORDS = (b"uses", b"image", b"container", b"services", b"docker", b"KO_DOCKER_REPO", b"\\")
"""Without one of these there is nothing to find; an escape may hide a key."""
_RUNS = re.compile(rb"""^["']?runs["']?[ \t]*:""", re.MULTILINE)
_JOBS = re.compile(rb"""^["']?jobs["']?[ \t]*:""", re.MULTILINE)

_NO_TEXT = frozenset({"tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"})
_DOCKER = "docker://"
_DOCKER_IMAGE = b"docker-image://"
_CONTEXT = re.compile(r"(?<==)docker-image://((?:\$\{\{[^{}\n]*\}\}|[^\s\"',\\$])+)")
"""The image of a named context: `node=docker-image://node:22`, or `app.contexts.node=...` for bake."""
_OPTION = re.compile(r"(?<![^\s\"',])image=((?:\$\{\{[^{}\n]*\}\}|[^\s\"',\\$])+)")
"""The image among the options of a builder: `image=moby/buildkit:v0.16.0,network=host`."""
MAX_CONTEXTS = 10_000
"""Characters of a step's contexts or options in which images are looked for."""
_URL = re.compile(
    r"https?://(?P<host>[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)/(?P<rest>[^\s?#]+)", re.IGNORECASE
)
_TEMPLATE = re.compile(r"\{\{|\{%|<<|%\{")
_WHOLE = re.compile(r"\s*\$?\{\{[^{}]*\}\}\s*")
_SHORT_COMMIT = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{7,39}")
_UPPER_COMMIT = re.compile(r"[0-9A-Fa-f]{40}")
_SCOPE = re.compile(r"\$\{\{\s*([A-Za-z]+)\s*[.\[]")

_FORGEJO = "data.forgejo.org"
_FORGEJO_NOTE = (
    f"Forgejo takes this from its DEFAULT_ACTIONS_URL, {_FORGEJO} unless its server says otherwise."
)
_SCOPES = {
    "env": "GitHub does not know `env` here.",
    "inputs": "Whoever starts or calls this workflow passes the value.",
    "vars": "The value is a variable of the repository or organisation.",
    "secrets": "The value is a secret.",
    "needs": "An earlier job makes the value.",
    "steps": "An earlier step makes the value.",
    "matrix": "The file does not show the matrix's values.",
}
_COMPUTED = "Only a whole `${{ matrix.name }}` or `${{ inputs.name }}` is followed to the values it can have."
_STEP_ENV = "The value of `env` is not followed here: write the reference in its place."
_NAMED = re.compile(r"\s*\$\{\{\s*\w+(?:\s*\.\s*[\w-]+|\s*\[\s*'[^']*'\s*\])+\s*\}\}\s*")


def claims(path: str, head: bytes) -> bool:
    """Return whether the path is a workflow's or an action's; GitHub compares names with case."""
    del head  # what an `action.yml` really is shows in its `runs:`, which may stand far down
    if not path.endswith(_ENDINGS):
        return False
    place = f"/{templated.plain(path)}"
    return place.endswith(_ACTIONS) or place.rpartition("/")[0].endswith(_FOLDERS)


def needs(source: Source) -> tuple[str, ...]:
    """Return nothing: what a workflow refers to stands in it."""
    del source
    return ()


def find(source: Source, files: Files[str, bytes]) -> Findings:
    """Return the actions, workflows and images that a file runs, and what it builds."""
    if not any(word in source.data for word in _WORDS):
        return _nothing(source)
    tree = compose(source)
    if isinstance(tree, Unparsable):
        return Findings(unread=(unread(source, tree),) if _is_ours(source, tree) else ())
    if not f"/{source.path}".rpartition("/")[0].endswith(_FOLDERS) and not any(
        isinstance(get(document, "runs"), Mapping) for document in tree.documents
    ):
        return Findings()  # an `action.yml` of something else
    facts = github_builds.facts(tree)
    references = _File(tree, files).findings()
    return Findings(
        references=tuple(sorted(references, key=lambda one: (one.location.span, one.where))),
        built=tuple(facts.built.values()),
        arguments=tuple(facts.arguments.values()),
        contexts=tuple(facts.contexts.values()),
    )


def dockerfiles(source: Source, files: Files[str, bytes]) -> tuple[str, ...]:
    """Return the paths of the Dockerfiles that a file names, there or not."""
    del files
    return _dockerfiles(source.path, source.data)


@lru_cache(maxsize=32)
def _dockerfiles(path: str, data: bytes) -> tuple[str, ...]:
    tree = compose(Source(path, data))
    return () if isinstance(tree, Unparsable) else tuple(github_builds.facts(tree).dockerfiles)


def _nothing(source: Source) -> Findings:
    """Return the findings of a file without any telling word: whether it is broken."""
    trouble = check(source)
    if trouble is None or templated.is_template(source.path, source.data) or not _is_ours(source, trouble):
        return Findings()
    return Findings(unread=(unread(source, trouble),))


def _is_ours(source: Source, trouble: Unparsable) -> bool:
    """Return whether a file that cannot be read would be a workflow or action if it could."""
    folder = f"/{source.path}".rpartition("/")[0]
    if folder.endswith(_FOLDERS[:-1]):
        return True
    if trouble.reason is UnreadReason.NOT_UTF8 and b"\0" in source.data:
        return True
    return bool((_JOBS if folder.endswith(_FOLDERS[-1]) else _RUNS).search(source.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What a value's text says."""

    reference: Reference | None
    state: State
    skip: SkipReason | None = None
    note: str = ""


class _File:
    """One file's findings, one for each place."""

    def __init__(self, tree: Tree, files: Files[str, bytes]) -> None:
        self._tree = tree
        self._fed = github_matrix.fed(tree)
        inputs = github_inputs.fed(tree, files)
        self._fed.literals += inputs.literals
        self._fed.slots |= inputs.slots
        self._found: dict[tuple[int, int], Finding] = {}
        self._elsewhere: dict[int, str] = {}
        place = f"/{tree.source.path}"
        self._forgejo = "/.forgejo/workflows/" in place

    def findings(self) -> list[Finding]:
        taken = [
            (hit, hit.node)
            for hit in _TABLE.walk(self._tree)
            if isinstance(hit.node, Scalar) and _is_text(hit.node) and id(hit.node) not in self._fed.slots
        ]
        steps = [one for one in github_steps.inputs(self._tree) if id(one.node) not in self._fed.slots]
        ids = {id(node) for _, node in taken} | {id(one.node) for one in steps}
        self._elsewhere = elsewhere(self._tree, ids)
        for hit, node in taken:
            self._take(hit, node)
        for one in steps:
            if one.listed:
                self._within(one.node, one.where, _OPTION)
            elif _is_text(one.node):
                self._image(one.node, one.where, step=True)
        for literal in self._fed.literals:
            if _is_text(literal.node):
                self._image(literal.node, literal.where, literal=literal)
        if _DOCKER_IMAGE in self._tree.source.data:
            for hit in _CONTEXT_TABLE.walk(self._tree):
                if isinstance(hit.node, Scalar):
                    self._within(hit.node, hit.where, _CONTEXT)
        return list(self._found.values())

    def _take(self, hit: Hit, node: Scalar) -> None:
        if hit.path == "runs.image":
            if _has_scheme(node.value):  # anything else is a Dockerfile of the action
                self._image(node, hit.where)
        elif hit.path not in _USES or _has_scheme(node.value):
            self._image(node, hit.where)
        elif not node.value.startswith(("./", "../", ".\\")) and node.value not in (".", ".."):
            self._action(node, hit.where)

    def _image(
        self,
        node: Scalar,
        where: str,
        *,
        literal: github_matrix.Literal | None = None,
        step: bool = False,
    ) -> None:
        text = node.value.strip("\n") if node.style in ("|", ">") else node.value
        lead = len(_DOCKER) if _has_scheme(text) else 0
        reading = _read_image(text[lead:], step=step)
        if literal is not None:
            reading = _as_literal(reading, literal)
        self._add(node, where, Kind.IMAGE, reading, lead=lead, literal=literal)

    def _within(self, node: Scalar, where: str, form: re.Pattern[str]) -> None:
        """Add the images among the named contexts or options of a build, each on its line."""
        text, offset = self._tree.text.text, self._tree.text.offset
        start = node.start_mark.index
        end = min(node.end_mark.index, start + MAX_CONTEXTS)
        escaped = node.style == '"' and "\\" in text[start:end]
        for found in form.finditer(text, start, end):
            reading = _read_image(found[1], step=True)
            place = (offset(found.start(1)), offset(found.end(1)))
            if place not in self._found:
                self._found[place] = Finding(
                    format=FORMAT,
                    kind=Kind.IMAGE,
                    where=where,
                    location=self._tree.source.location(*place),
                    value=found[1],
                    reference=reading.reference,
                    state=reading.state,
                    skip=SkipReason.ESCAPED if escaped and reading.skip is None else reading.skip,
                    note=reading.note,
                )

    def _action(self, node: Scalar, where: str) -> None:
        text = node.value.strip("\n") if node.style in ("|", ">") else node.value
        reading = _read_uses(text, default=_FORGEJO if self._forgejo else "github.com")
        self._add(node, where, Kind.ACTION, reading)

    def _add(
        self,
        node: Scalar,
        where: str,
        kind: Kind,
        reading: _Reading,
        *,
        lead: int = 0,
        literal: github_matrix.Literal | None = None,
    ) -> None:
        span = self._tree.span(node)
        skip, note = reading.skip, reading.note
        if span is not None:
            start, end = span.start + lead, span.end
        else:
            raw = self._tree.raw(node)
            start, end = raw.start, raw.end
            if skip is None:
                skip, note = SkipReason.ESCAPED, ""
        if skip is None and id(node) in self._elsewhere:
            skip = SkipReason.SHARED_VARIABLE
            note = f"Its anchor also feeds `{self._elsewhere[id(node)]}`: a pin would show up there too."
        if start >= end or (start, end) in self._found:
            return
        comment = None
        if kind is Kind.ACTION and isinstance(reading.reference, GitReference) and span is not None:
            comment = version_comment(self._tree, node, reading.reference.ref)
        self._found[start, end] = Finding(
            format=FORMAT,
            kind=kind,
            where=where,
            location=self._tree.source.location(start, end),
            value=self._tree.source.data[start:end].decode("utf-8"),
            reference=reading.reference,
            state=reading.state,
            skip=skip,
            note=note,
            comment=comment,
            argument=literal.argument or None if literal else None,
        )


def _is_text(node: Scalar) -> bool:
    """Return whether a scalar says something: `null`, `~` and `false` leave an image out."""
    return bool(node.value) and node.tag not in _NO_TEXT


def _has_scheme(text: str) -> bool:
    return text[: len(_DOCKER)].lower() == _DOCKER


def _as_literal(reading: _Reading, literal: github_matrix.Literal) -> _Reading:
    if reading.skip is not None:
        return reading
    return _Reading(
        reference=reading.reference,
        state=reading.state,
        skip=literal.skip if literal.shared else None,
        note=literal.shared or literal.note,
    )


def _read_image(text: str, *, step: bool = False) -> _Reading:
    reference = parse_image(text)
    if reference is not None:
        if reference.digest is not None:
            return _Reading(reference=reference, state=State.PINNED, skip=SkipReason.PINNED)
        return _Reading(reference=reference, state=State.FLOATING)
    if not _TEMPLATE.search(text):
        return _invalid("This is no image reference by its grammar.")
    if is_digest(text.rpartition("@")[2]):
        return _Reading(reference=None, state=State.PINNED, skip=SkipReason.PINNED)
    if _WHOLE.fullmatch(text):
        return _variable(text, step=step)
    note = "A digest behind an expression would make other values of it fail in silence"
    if "matrix." in text:
        note += "; put whole references into the matrix, and each of them can be pinned"
    return _Reading(reference=None, state=State.UNKNOWN, skip=SkipReason.PARTIAL_VARIABLE, note=f"{note}.")


def _read_uses(text: str, *, default: str) -> _Reading:
    if _TEMPLATE.search(text):
        if "${{" in text:
            return _Reading(
                reference=None,
                state=State.UNKNOWN,
                skip=SkipReason.VARIABLE,
                note="GitHub evaluates no expressions in `uses`.",
            )
        return _Reading(
            reference=None, state=State.UNKNOWN, skip=SkipReason.VARIABLE, note="A template fills this in."
        )
    url = _URL.fullmatch(text)
    if url is not None:
        reference = parse_git(url["rest"], host=url["host"].lower())
    else:
        reference = parse_git(text, host=default)
    if reference is None:
        if "@" not in text:
            return _invalid("The action is named without a ref, which GitHub refuses.")
        return _invalid("This is no `owner/repository/path@ref`.")
    ref = reference.ref
    if is_commit(ref):
        return _Reading(reference=reference, state=State.PINNED, skip=SkipReason.PINNED)
    if _UPPER_COMMIT.fullmatch(ref) and ref != ref.lower():
        return _invalid("A commit is written in lower-case digits.")
    if _SHORT_COMMIT.fullmatch(ref):
        return _Reading(
            reference=reference,
            state=State.FLOATING,
            skip=SkipReason.UNSUPPORTED,
            note="A shortened commit cannot be told from the name of a branch: write all 40 digits.",
        )
    note = _FORGEJO_NOTE if url is None and default == _FORGEJO else ""
    return _Reading(reference=reference, state=State.FLOATING, note=note)


def _invalid(note: str) -> _Reading:
    return _Reading(reference=None, state=State.UNKNOWN, skip=SkipReason.INVALID, note=note)


def _variable(text: str, *, step: bool) -> _Reading:
    scope = _SCOPE.search(text)
    note = _SCOPES.get(scope[1].lower(), "") if scope else ""
    named = scope[1].lower() if scope else ""
    if named in ("matrix", "inputs") and not _NAMED.fullmatch(text):
        note = _COMPUTED
    elif named == "env" and step:
        note = _STEP_ENV
    if not text.lstrip().startswith("${{"):
        note = "A template fills this in."
    return _Reading(reference=None, state=State.UNKNOWN, skip=SkipReason.VARIABLE, note=note)
