"""What a workflow builds and pushes, and which build arguments it passes to Dockerfiles."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bot.finders import github_matrix, scripts
from bot.model import BuildArgument, BuildContext, Built, Location
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, get, items, scalar

MAX_NAME = 500
"""Characters of an image's name, and of an environment variable that is put into one."""
MAX_SEARCHED = 20_000
"""Characters of a script or list in which a name's own line is looked for."""

_EXPRESSION = re.compile(r"\$\{\{([^{}]*)\}\}")
_MASK = re.compile(r"\$\{\{([0-9]{1,7})\}\}")
_ENV = re.compile(r"\s*env\.([A-Za-z_]\w*)\s*", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_ARGUMENT = re.compile(r"[A-Za-z_]\w*")
_CONTEXT = re.compile(r"[\w./:-]{1,300}", re.ASCII)
_KO = re.compile(r"(?<![\w-])ko\s+(?:build|publish|resolve|apply|create)\b")
_KO_REPO = re.compile(r"(?<!\w)KO_DOCKER_REPO=([^\s;&|]{1,500})")
_BUILDERS = ("docker", "podman", "nerdctl", "buildah", "kaniko", "crane", "skopeo", "buildctl", "ko ")
_WORKSPACE = re.compile(r"\$\{\{\s*github\.workspace\s*\}\}/?|\$\{?GITHUB_WORKSPACE\}?/?")
_DEFAULT_CONTEXT = "{{defaultContext}}"


@dataclass(slots=True)
class Facts:
    """What `Findings.built`, `arguments` and `contexts` hold, each once."""

    built: dict[str, Built] = field(default_factory=dict)
    arguments: dict[tuple[str, str | None], BuildArgument] = field(default_factory=dict)
    contexts: dict[tuple[str, str | None], BuildContext] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    """Ids of the nodes that were read: aliases must not multiply the work."""
    passed: dict[str | None, set[int]] = field(default_factory=dict)
    """The same of build arguments and contexts, which may be meant for several Dockerfiles."""
    dockerfiles: dict[str, None] = field(default_factory=dict)
    """Paths of Dockerfiles that are named, there or not."""


@dataclass(slots=True)
class _Step:
    """A step with what surrounds it."""

    tree: Tree
    node: Node
    env: list[dict[str, str]]
    folder: str | None
    """Where scripts run, relative to the repository; None where that cannot be told."""
    root: str | None
    """What `context` and `file` are relative to; None where that cannot be told."""
    matrix: Node | None = None
    values: github_matrix.Values = field(default_factory=github_matrix.Values)


def facts(tree: Tree) -> Facts:
    """Return what the steps of a workflow or composite action build and pass to builds."""
    made = Facts()
    seen: set[int] = set()
    for step in _steps(tree):
        if id(step.node) not in seen:
            seen.add(id(step.node))
            _uses(step, made)
            _run(step, made)
    folder = posixpath.dirname(tree.source.path)
    for document in tree.documents:
        image = scalar(get(get(document, "runs"), "image"))
        place = _join(folder, image) if image and len(image) <= MAX_NAME else None
        if place:
            made.dockerfiles[place] = None
    return made


def _steps(tree: Tree) -> Iterator[_Step]:
    root = _root(tree.source.path)
    known: dict[int, dict[str, str]] = {}
    seen: set[int] = set()
    values = github_matrix.Values()
    for document in tree.documents:
        env = _env(get(document, "env"), known)
        everywhere = _folder(get(document, "defaults"))
        for _, job in items(get(document, "jobs")):
            if id(job) in seen:
                continue
            seen.add(id(job))
            steps = get(job, "steps")
            if not isinstance(steps, Sequence) or id(steps) in seen:
                continue
            seen.add(id(steps))
            levels = [_env(get(job, "env"), known), env]
            moved = any(_checks_out_elsewhere(step) for step in steps.value)
            place = None if moved else root
            folder = _folder(get(job, "defaults")) or everywhere or ""
            for step in steps.value:
                inner = scalar(get(step, "working-directory")) or folder
                yield _Step(
                    tree=tree,
                    node=step,
                    env=[_env(get(step, "env"), known), *levels],
                    folder=_join(place, _WORKSPACE.sub("", inner)),
                    root=place,
                    matrix=get(get(job, "strategy"), "matrix"),
                    values=values,
                )
        composite = get(get(document, "runs"), "steps")
        if isinstance(composite, Sequence):
            for step in composite.value:
                # It runs in the workspace of whoever uses it.
                yield _Step(tree=tree, node=step, env=[_env(get(step, "env"), known)], folder=None, root=None)


def _root(path: str) -> str | None:
    for folder in (".github", ".gitea", ".forgejo"):
        before, found, _ = f"/{path}".partition(f"/{folder}/workflows/")
        if found:
            return before.lstrip("/")
    return None


def _env(node: Node | None, known: dict[int, dict[str, str]]) -> dict[str, str]:
    if node is None:
        return {}
    if id(node) not in known:
        known[id(node)] = {
            key.value.lower(): value.value
            for key, value in items(node)
            if isinstance(value, Scalar) and 0 < len(value.value) <= MAX_NAME and "\n" not in value.value
        }
    return known[id(node)]


def _folder(defaults: Node | None) -> str | None:
    return scalar(get(get(defaults, "run"), "working-directory"))


def _checks_out_elsewhere(step: Node) -> bool:
    action = (scalar(get(step, "uses")) or "").lower()
    return "/checkout@" in action and bool(scalar(get(get(step, "with"), "path")))


# --- actions -------------------------------------------------------------------------------


def _uses(step: _Step, made: Facts) -> None:
    action = (scalar(get(step.node, "uses")) or "").lower().partition("@")[0]
    inputs = get(step.node, "with")
    if not action or not isinstance(inputs, Mapping) or id(inputs) in made.seen:
        return
    made.seen.add(id(inputs))
    name = action.rpartition("/")[2]
    if name == "build-push-action":
        _build(step, inputs, made, files=("file",))
    elif name == "buildah-build":
        _build(step, inputs, made, files=("containerfiles", "dockerfiles"))
        _add_built(step, get(inputs, "image"), made, [_input(step, inputs, "image")])
    elif name == "metadata-action":
        lines = _lines(step, inputs, "images")
        _add_built(step, get(inputs, "images"), made, (_field(line, "name") or line for line in lines))
    elif name == "push-to-registry":
        image, registry = _input(step, inputs, "image"), _input(step, inputs, "registry")
        named = f"{registry.rstrip('/')}/{image}" if registry and image else image
        _add_built(step, get(inputs, "image"), made, [named])
    elif name == "bake-action":
        node = get(inputs, "set")
        found = [scripts.BAKE_SET.fullmatch(line) for line in _lines(step, inputs, "set")]
        for match in filter(None, found if node is None or id(node) not in made.seen else []):
            if match["argument"]:
                _add_argument(step, node, made, match["argument"], None)
            elif match["context"]:
                _add_context(step, node, made, match["context"], None)
        _add_built(step, node, made, [match["value"] for match in found if match and match["tags"]])


def _build(step: _Step, inputs: Mapping, made: Facts, *, files: tuple[str, ...]) -> None:
    tags = (tag for line in _lines(step, inputs, "tags") for tag in line.split(","))
    _add_built(step, get(inputs, "tags"), made, tags)
    outputs = (_field(line, "name") for line in _lines(step, inputs, "outputs"))
    _add_built(step, get(inputs, "outputs"), made, outputs)
    for name in files:
        written = (_join(step.root, _WORKSPACE.sub("", line)) for line in _lines(step, inputs, name))
        made.dockerfiles.update((path, None) for path in written if path)
    dockerfile = _dockerfile(step, inputs, files)
    for name, add in (("build-args", _add_argument), ("build-contexts", _add_context)):
        node = get(inputs, name)
        if node is not None and id(node) not in made.passed.setdefault(dockerfile, set()):
            made.passed[dockerfile].add(id(node))
            for line in (scalar(node) or "").splitlines():
                add(step, node, made, line.partition("=")[0], dockerfile)


def _dockerfile(step: _Step, inputs: Mapping, files: tuple[str, ...]) -> str | None:
    for name in files:
        written = _input(step, inputs, name)
        if written:
            return _join(step.root, _WORKSPACE.sub("", written)) if "\n" not in written else None
    context = _input(step, inputs, "context") or "."
    if context.startswith(_DEFAULT_CONTEXT):
        context = context.removeprefix(_DEFAULT_CONTEXT).removeprefix(":") or "."
    folder = _join(step.root, _WORKSPACE.sub("", context))
    return None if folder is None else posixpath.normpath(posixpath.join(folder, "Dockerfile"))


def _lines(step: _Step, inputs: Mapping, name: str) -> Iterator[str]:
    for line in (scalar(get(inputs, name)) or "").splitlines():
        if line.strip() and len(line) <= MAX_NAME:
            yield _expand(line.strip(), step.env)


def _input(step: _Step, inputs: Mapping, name: str) -> str:
    written = (scalar(get(inputs, name)) or "").strip()
    return _expand(written, step.env) if len(written) <= MAX_NAME else ""


def _field(line: str, name: str) -> str:
    """Return the value of a field in a comma-separated line: `type=image,name=acme/app`."""
    for part in line.split(","):
        key, equals, value = part.strip().strip('"').partition("=")
        if equals and key == name:
            return value
    return ""


# --- scripts -------------------------------------------------------------------------------


def _run(step: _Step, made: Facts) -> None:
    node = get(step.node, "run")
    script = scalar(node) or ""
    if node is None or id(node) in made.seen:
        return
    built: list[str] = []
    if any(name in script for name in _BUILDERS):
        masked = _Masked(script)
        shell = scripts.read(masked.text)
        built += (_expand(masked.shown(name), step.env) for name in shell.built if len(name) <= MAX_NAME)
        for named, add in ((shell.arguments, _add_argument), (shell.contexts, _add_context)):
            for name, dockerfile in named:
                place = None if dockerfile is None or step.folder is None else _join(step.folder, dockerfile)
                add(step, node, made, name, place)
    if _KO.search(script):
        built += [*_KO_REPO.findall(script), *_known("ko_docker_repo", step.env)]
    _add_built(step, node, made, built)


class _Masked:
    """A script whose expressions are numbers, so that their blanks and quotes end no words."""

    def __init__(self, script: str) -> None:
        self._expressions: list[str] = []
        self.text = _EXPRESSION.sub(self._mask, script)

    def shown(self, text: str) -> str:
        return _MASK.sub(self._unmask, text)

    def _unmask(self, found: re.Match[str]) -> str:
        # Quotes that were taken away may have put together what looks like a mask.
        number = int(found[1])
        return self._expressions[number] if number < len(self._expressions) else found[0]

    def _mask(self, found: re.Match[str]) -> str:
        self._expressions.append(found[0])
        return f"${{{{{len(self._expressions) - 1}}}}}"


def _known(name: str, env: list[dict[str, str]]) -> list[str]:
    return next(([level[name]] for level in env if name in level), [])


def _expand(text: str, env: list[dict[str, str]]) -> str:
    """Return text with the literals of `env` in it; other expressions stay."""

    def expression(found: re.Match[str]) -> str:
        named = _ENV.fullmatch(found[1])
        values = _known(named[1].lower(), env) if named else []
        return values[0] if values else found[0]

    def variable(found: re.Match[str]) -> str:
        values = _known((found[1] or found[2]).lower(), env)
        return values[0] if values else found[0]

    return _VARIABLE.sub(variable, _EXPRESSION.sub(expression, text))


# --- what is told --------------------------------------------------------------------------


def _add_built(step: _Step, node: Node | None, made: Facts, names: Iterable[str]) -> None:
    if node is None or id(node) in made.seen:
        return
    made.seen.add(id(node))
    for written in names:
        said = written.strip().strip("\"'")
        if not _says_something(said):
            continue
        for name in _of_matrix(step, said):
            if name not in made.built:
                made.built[name] = Built(name=name, location=_place(step.tree, node, name, said))


def _of_matrix(step: _Step, name: str) -> list[str]:
    """Return a name with each value that the matrix can give it; as it is where that is not known."""
    made = [name]
    for expression in dict.fromkeys(found[0] for found in _EXPRESSION.finditer(name)):
        values = step.values.of(step.matrix, expression)
        if values and len(values) * len(made) <= github_matrix.MAX_VALUES:
            made = [one.replace(expression, value) for one in made for value in values]
    return made


def _says_something(name: str) -> bool:
    """Return whether a name has literal parts by which it could be told from others."""
    literal = _VARIABLE.sub("", _EXPRESSION.sub("", name))
    if len(name) > MAX_NAME or name[:1] in ("-", "=", "`") or not literal.partition(":")[0].strip("/@"):
        return False
    return not any(character.isspace() or character in "{}`()" for character in literal)


def _add_argument(step: _Step, node: Node | None, made: Facts, name: str, dockerfile: str | None) -> None:
    name = name.strip().strip("\"'")
    if node is None or len(name) > MAX_NAME or not _ARGUMENT.fullmatch(name):
        return
    if (name, dockerfile) not in made.arguments:
        location = _place(step.tree, node, f"{name}=", name)
        made.arguments[name, dockerfile] = BuildArgument(name=name, dockerfile=dockerfile, location=location)


def _add_context(step: _Step, node: Node | None, made: Facts, name: str, dockerfile: str | None) -> None:
    name = _expand(name.strip().strip("\"'"), step.env)
    if node is not None and _CONTEXT.fullmatch(name) and (name, dockerfile) not in made.contexts:
        location = _place(step.tree, node, f"{name}=", name)
        made.contexts[name, dockerfile] = BuildContext(name=name, dockerfile=dockerfile, location=location)


def _place(tree: Tree, node: Node, *texts: str) -> Location:
    """Return where the first of some texts that a node holds stands in it, or else the node's start."""
    start, end = node.start_mark.index, node.end_mark.index
    for text in texts if end - start <= MAX_SEARCHED else ():
        at = tree.text.text.find(text, start, end)
        if at >= 0:
            return tree.source.location(tree.text.offset(at), tree.text.offset(at + len(text)))
    return tree.source.location(tree.text.offset(start), tree.text.offset(start))


def _join(root: str | None, path: str) -> str | None:
    """Return a path relative to the repository, or None where it is not literal or leads outside."""
    if root is None or "$" in path or "{{" in path or "://" in path or path.startswith(("/", "~", "git@")):
        return None
    joined = posixpath.normpath(posixpath.join(root, path))
    return None if joined.startswith("..") else joined.removeprefix("./")
