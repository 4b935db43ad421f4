"""What GitLab pipelines take from elsewhere: includes of projects, components and URLs, and steps.

Follows GitLab's CI/CD YAML reference (`include`, `run`) and its chapter on components: the last
part of a component's path is its name, and a commit wins over a tag, a tag over a branch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from bot.finders.gitlab_place import Place, marked, place
from bot.finders.gitlab_text import TEMPLATED, templated
from bot.finders.version_comments import version_comment
from bot.globs import MAX_GLOB
from bot.model import Comment, Finding, GitReference, Kind, SkipReason, State
from bot.reference import is_commit, is_git_ref, parse_image
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, get, scalar

FORMAT = "gitlab-ci"

_HERE = ("$CI_SERVER_FQDN", "${CI_SERVER_FQDN}", "$CI_SERVER_HOST", "${CI_SERVER_HOST}")
_HERE_URL = ("$CI_SERVER_URL", "${CI_SERVER_URL}")
_THIS = re.compile(r"\$\{?CI_PROJECT_PATH\b|\$\{?CI_COMMIT_")
_OWN_COMPONENT = re.compile(
    r"\$\{?CI_SERVER_(?:FQDN|HOST)\}?/\$\{?CI_PROJECT_PATH\}?/([A-Za-z0-9_.-]{1,255})@\$\{?CI_COMMIT_SHA\}?"
)
_PLACES = ("project", "ref", "component", "remote", "local")
_MAX_FORMS = 8
"""Globs that one include is taken apart to."""
_SHORT_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?")
_CATALOG = "the CI/CD catalog chooses the version; write a full one, such as `1.2.3`, to have it pinned"


def includes(tree: Tree, node: Node, where: str) -> Iterator[Finding]:
    """Yield the findings of an `include`, in any of its forms."""
    if isinstance(node, Sequence) and node.tag != "!reference":
        for number, item in enumerate(node.value):
            if not isinstance(item, Sequence):
                yield from includes(tree, item, f"{where}[{number}]")
    elif isinstance(node, Scalar):
        if node.value.startswith(("http://", "https://")):
            yield from _remote(tree, node, where, None)
        else:
            yield from _local(tree, node, where)
    elif isinstance(node, Mapping):
        yield from _mapping(tree, node, where)


def locals_of(node: Node | None) -> Iterator[str]:
    """Yield the files of the same repository that an `include` names, as written.

    A component of this project at this very commit is a file of `templates/`.
    """
    if isinstance(node, Sequence) and node.tag != "!reference":
        for item in node.value:
            if not isinstance(item, Sequence):
                yield from locals_of(item)
    elif isinstance(node, Scalar):
        if not node.value.startswith(("http://", "https://")):
            yield str(node.value)
    elif isinstance(node, Mapping):
        written = get(node, "local")
        for one in written.value if isinstance(written, Sequence) else (written,):
            text = scalar(one)
            if text:
                yield text
        own = _OWN_COMPONENT.fullmatch(scalar(get(node, "component")) or "")
        if own is not None:
            yield f"/templates/{own[1]}.yml"
            yield f"/templates/{own[1]}/template.yml"


def wildcards(written: str) -> tuple[str, ...]:
    """Return the globs of `bot.globs` that match what a local include with wildcards stands for.

    GitLab's own grammar: `*` stops at `/`, `**/` is any number of folders, none included, and any
    other `**` runs across folders.  None come back for what is no path, or too long to be told.
    """
    name = written.lstrip("/").removeprefix("./")
    parts = name.split("/")
    if not name.lower().endswith((".yml", ".yaml")) or "$" in name or "\\" in name or len(name) > MAX_GLOB:
        return ()
    if any(part in ("", ".", "..") for part in parts):
        return ()
    made = [""]
    for number, part in enumerate(parts):
        forms = _crossing(part, last=number == len(parts) - 1)
        made = [before + form for before in made for form in forms]
        if len(made) > _MAX_FORMS or any(len(one) > MAX_GLOB for one in made):
            return ()
    return tuple(dict.fromkeys(made))


def _crossing(part: str, *, last: bool) -> tuple[str, ...]:
    """Return one part of a path as globs in which `**` stands alone, the slash behind it included."""
    end = "" if last else "/"
    if part == "**" or "**" not in part:
        return (part + end,)
    first, *rest = re.split(r"\*\*+", part)
    if not last and rest[-1] == "":  # `a**/b`: the slash belongs to the wildcard
        rest = rest[:-1]
        forms = [f"{first}", f"{first}*/**/"] if not rest else []
        return tuple(forms)
    made = [first]
    for piece in rest:
        made = [before + joint + piece for before in made for joint in ("*", "*/**/*")]
        if len(made) > _MAX_FORMS:
            break
    return tuple(one + end for one in made)


def _mapping(tree: Tree, node: Mapping, where: str) -> Iterator[Finding]:
    for at, one in ((where, node), *((f"{where}.{name}", get(node, name)) for name in _PLACES)):
        if one is not None and (mark := marked(tree, one, at)) is not None:
            yield _finding(
                mark, reference=None, state=State.UNKNOWN, skip=SkipReason.VARIABLE, note=TEMPLATED
            )
            return
    project = get(node, "project")
    component = get(node, "component")
    remote = get(node, "remote")
    local = get(node, "local")
    for number, one in enumerate(local.value if isinstance(local, Sequence) else (local,)):
        if isinstance(one, Scalar):
            at = f"{where}.local[{number}]" if isinstance(local, Sequence) else f"{where}.local"
            yield from _local(tree, one, at)
    if isinstance(project, Scalar) and project.value:
        yield _project(tree, project, get(node, "ref"), get(node, "file"), where)
    if isinstance(component, Scalar) and component.value:
        yield _component(tree, component, f"{where}.component")
    if isinstance(remote, Scalar) and remote.value:
        yield from _remote(tree, remote, f"{where}.remote", get(node, "integrity"))


def _is_open(text: str) -> bool:
    """Return whether a text holds what the files do not show: a variable or a template's marker."""
    return "$" in text or templated(text)


def _local(tree: Tree, node: Scalar, where: str) -> Iterator[Finding]:
    """Yield a finding where the files do not show which files of this repository are included."""
    if _is_open(node.value):
        yield _finding(
            place(tree, node, where),
            reference=None,
            state=State.UNKNOWN,
            skip=SkipReason.VARIABLE,
            note="the files do not show which file of this repository this is",
        )
    elif "*" in node.value and not wildcards(node.value):
        yield _finding(
            place(tree, node, where),
            reference=None,
            state=State.UNKNOWN,
            skip=SkipReason.UNSUPPORTED,
            note="wildcards that cannot be followed",
        )


def _finding(
    at: Place,
    *,
    reference: GitReference | None,
    state: State,
    skip: SkipReason | None,
    note: str = "",
    comment: Comment | None = None,
    kind: Kind = Kind.INCLUDE,
) -> Finding:
    if skip is None and not at.plain:
        skip = SkipReason.ESCAPED
    return Finding(
        format=FORMAT,
        kind=kind,
        where=at.where,
        location=at.location,
        value=at.raw,
        reference=reference,
        state=state,
        skip=skip,
        note=note,
        comment=comment if at.plain else None,
    )


def _project(tree: Tree, project: Scalar, ref: Node | None, file: Node | None, where: str) -> Finding:
    name = project.value.strip("/")
    path = (scalar(file) or "").lstrip("/")
    if "$" in path:
        path = ""
    if not isinstance(ref, Scalar) or not ref.value:
        variable = _is_open(name)
        at = place(tree, project, f"{where}.project")
        if _THIS.search(name):
            return _finding(
                at, reference=None, state=State.FLOATING, skip=SkipReason.OWN, note="this project itself"
            )
        return _finding(
            at,
            reference=None if variable or not _is_project(name) else _git("", name, "", path),
            state=State.FLOATING,
            skip=SkipReason.NO_PLACE,
            note="follows the project's default branch; add `ref:` with a tag or commit",
        )
    at = place(tree, ref, f"{where}.ref")
    text = ref.value
    comment = version_comment(tree, ref, text)
    if _is_open(text) or _is_open(name):
        if is_commit(text):
            return _finding(at, reference=None, state=State.PINNED, skip=SkipReason.PINNED, comment=comment)
        known, own = not _is_open(text), _THIS.search(name) is not None
        return _finding(
            at,
            reference=None,
            state=State.FLOATING if known else State.UNKNOWN,
            skip=SkipReason.OWN if own else SkipReason.VARIABLE,
            note="this project itself"
            if own
            else f"the files do not show which {'project' if known else 'ref'} this is",
        )
    if not _is_project(name) or not is_git_ref(text):
        return _finding(
            at,
            reference=None,
            state=State.UNKNOWN,
            skip=SkipReason.INVALID,
            note="not a project's path and ref by their grammar",
        )
    reference = _git("", name, text, path)
    if text == "HEAD":
        return _finding(
            at,
            reference=reference,
            state=State.FLOATING,
            skip=SkipReason.VARIABLE,
            note="`HEAD` is whatever branch is the default; name a tag or a branch to have it pinned",
        )
    return _settled(at, reference, comment)


def _settled(
    at: Place, reference: GitReference, comment: Comment | None = None, kind: Kind = Kind.INCLUDE
) -> Finding:
    pinned = is_commit(reference.ref.lower())
    return _finding(
        at,
        reference=None if pinned and not is_commit(reference.ref) else reference,
        state=State.PINNED if pinned else State.FLOATING,
        skip=SkipReason.PINNED if pinned else None,
        comment=comment,
        kind=kind,
    )


def _git(host: str, repository: str, ref: str, path: str) -> GitReference:
    return GitReference(host=host, repository=repository, ref=ref, path=path)


def _is_project(name: str) -> bool:
    pieces = name.split("/")
    return len(pieces) > 1 and len(name) <= 1024 and all(map(_is_name, pieces))


def _is_name(piece: str) -> bool:
    return _NAMESPACE.fullmatch(piece) is not None and not piece.endswith((".", ".git"))


def _component(tree: Tree, node: Scalar, where: str) -> Finding:
    at = place(tree, node, where)
    address, found, version = node.value.partition("@")
    comment = version_comment(tree, node, version)
    host, _, path = address.partition("/")
    if host in _HERE:
        host = ""
    if any(map(_is_open, (path, host, version))):
        own = _THIS.search(path) is not None
        return _finding(
            at,
            reference=None,
            state=State.PINNED if is_commit(version) else State.UNKNOWN,
            skip=SkipReason.PINNED if is_commit(version) else SkipReason.OWN if own else SkipReason.VARIABLE,
            note="" if is_commit(version) else "this project's own component" if own else "holds a variable",
        )
    repository, _, name = path.rpartition("/")
    catalog = version == "~latest" or _SHORT_VERSION.fullmatch(version) is not None
    if (
        not found
        or (host and not _HOST.fullmatch(host))
        or not _is_project(repository)
        or not _is_name(name)
        or not (catalog or is_git_ref(version))
    ):
        return _finding(
            at,
            reference=None,
            state=State.UNKNOWN,
            skip=SkipReason.INVALID,
            note="expected host/group/project/component@version",
        )
    reference = _git(host.lower(), repository, version, name)
    if catalog:
        return _finding(
            at, reference=reference, state=State.FLOATING, skip=SkipReason.UNSUPPORTED, note=_CATALOG
        )
    return _settled(at, reference, comment)


# --- URLs ---------------------------------------------------------------------------------


def _remote(tree: Tree, node: Scalar, where: str, integrity: Node | None) -> Iterator[Finding]:
    at = place(tree, node, where)
    shown = _without_secrets(at)
    if _INTEGRITY.fullmatch(scalar(integrity) or ""):
        yield _finding(shown, reference=None, state=State.PINNED, skip=SkipReason.PINNED)
        return
    found = _raw_url(node.value)
    if found is None:
        variable = _is_open(node.value)
        yield _finding(
            shown,
            reference=None,
            state=State.UNKNOWN if variable else State.FLOATING,
            skip=SkipReason.VARIABLE if variable else SkipReason.NO_PLACE,
            note="the files do not show which URL this is"
            if variable
            else "add `integrity:` with the file's SHA-256, or include a file of a project at a commit",
        )
        return
    reference, start = found
    if not at.plain:
        yield _finding(shown, reference=reference, state=State.FLOATING, skip=SkipReason.ESCAPED)
        return
    part = at.part(start, start + len(reference.ref))
    if "ref_type=" in node.value and not is_commit(reference.ref):
        yield _finding(
            part,
            reference=reference,
            state=State.FLOATING,
            skip=SkipReason.NO_PLACE,
            note="`ref_type` in the URL would make the server look for a branch or tag of that name",
        )
        return
    yield _settled(part, reference, version_comment(tree, node, reference.ref))


def _without_secrets(at: Place) -> Place:
    """Return the place of a URL without user information and query, which may hold tokens."""
    if not at.plain:
        return at
    start, end = 0, len(at.raw)
    for mark in ("?", "#"):
        found = at.raw.find(mark)
        end = found if 0 <= found < end else end
    authority = at.raw.find("://") + 3
    slash = at.raw.find("/", authority)
    user = at.raw.rfind("@", authority, slash if slash >= 0 else end)
    if user >= 0:
        start = user + 1
    return at.part(start, end) if start < end else at


def _raw_url(url: str) -> tuple[GitReference, int] | None:
    """Return the file of a git repository that a URL names, and where in the URL its ref starts.

    Known are GitLab's `/-/raw/REF/`, GitHub's `/raw/REF/` and raw.githubusercontent.com, and the
    `/raw/branch/`, `/raw/tag/` and `/raw/commit/` of Gitea and Forgejo.  A ref is taken to be one
    part of the path unless it says `refs/heads/` or `refs/tags/`.
    """
    host, position = _authority(url)
    if host is None:
        return None
    end = min(at if (at := url.find(mark, position)) >= 0 else len(url) for mark in ("?", "#"))
    pieces = url[position:end].split("/")
    if any(_is_open(piece) or unquote(piece) != piece for piece in pieces):
        return None
    if host == "raw.githubusercontent.com":
        host, project, at = "github.com", pieces[:2], 2
    elif "-" in pieces and pieces[pieces.index("-") :][1:2] == ["raw"]:
        project = pieces[: pieces.index("-")]
        at = len(project) + 2
    elif len(pieces) > 3 and pieces[2] == "raw":
        project, at = pieces[:2], 3
        if pieces[3] in ("branch", "tag", "commit") and host != "github.com":
            at = 4 if pieces[3] == "commit" else len(pieces)
    else:
        return None
    parts_of_ref = (
        3 if pieces[at : at + 1] == ["refs"] and pieces[at + 1 : at + 2] in (["heads"], ["tags"]) else 1
    )
    ref = "/".join(pieces[at : at + parts_of_ref])
    path = "/".join(pieces[at + parts_of_ref :])
    if not path or not _is_project("/".join(project)) or not is_git_ref(ref) or ref == "HEAD":
        return None
    start = position + sum(len(piece) + 1 for piece in pieces[:at])
    return GitReference(host=host, repository="/".join(project), ref=ref, path=path), start


def _authority(url: str) -> tuple[str | None, int]:
    """Return a URL's host, empty for the own server, and where its path starts behind the `/`."""
    for here in _HERE_URL:
        if url.startswith(f"{here}/"):
            return "", len(here) + 1
    if not url.isascii() or not url.startswith(("http://", "https://")):
        return None, 0
    start = url.find("://") + 3
    slash = url.find("/", start)
    if slash < 0:
        return None, 0
    authority = url[start:slash].rpartition("@")[2]
    if authority in _HERE:
        return "", slash + 1
    if not _HOST.fullmatch(authority):
        return None, 0
    return authority.lower(), slash + 1


# --- steps --------------------------------------------------------------------------------


def steps(tree: Tree, node: Node, where: str) -> Iterator[Finding]:
    """Yield the findings of a job's `run`, or of one of its items: CI/CD functions, formerly steps, and actions."""
    if isinstance(node, Mapping):
        yield from _item(tree, node, where)
    elif isinstance(node, Sequence) and node.tag != "!reference":
        for number, item in enumerate(node.value):
            yield from _item(tree, item, f"{where}[{number}]")


def _item(tree: Tree, item: Node, here: str) -> Iterator[Finding]:
    for name in ("step", "func"):
        step = get(item, name)
        if isinstance(step, Scalar):
            yield from _step(tree, step, f"{here}.{name}")
        elif isinstance(step, Mapping):
            yield from _step_mapping(tree, step, f"{here}.{name}")
    action = get(item, "action")
    if isinstance(action, Scalar) and action.value and not action.value.startswith("."):
        yield _unsupported(tree, action, f"{here}.action", Kind.ACTION)


def _unsupported(tree: Tree, node: Scalar, where: str, kind: Kind) -> Finding:
    ref = node.value.rpartition("@")[2]
    pinned = is_commit(ref) or ref.startswith("sha256:")
    return _finding(
        place(tree, node, where),
        reference=None,
        state=State.PINNED if pinned else State.UNKNOWN if "$" in node.value else State.FLOATING,
        skip=SkipReason.PINNED if pinned else SkipReason.UNSUPPORTED,
        note="" if pinned else "an experimental form that is not pinned yet",
        kind=kind,
    )


def _step(tree: Tree, node: Scalar, where: str) -> Iterator[Finding]:
    text = node.value
    if not text or text.startswith((".", "/", "builtin:")):
        return
    at = place(tree, node, where)
    if "$" in text:
        yield _finding(
            at, reference=None, state=State.UNKNOWN, skip=SkipReason.VARIABLE, kind=Kind.ACTION,
            note="holds an expression",
        )  # fmt: skip
        return
    address, found, ref = text.partition("@")
    address = address.removeprefix("https://")
    host, _, rest = address.partition("/")
    repository, _, path = rest.partition("/-/")
    if not found and "." in host and _is_project(repository):
        yield _finding(
            at, reference=_git(host.lower(), repository, "", path), state=State.FLOATING,
            skip=SkipReason.NO_PLACE, kind=Kind.ACTION, note="add `@` with a tag or commit",
        )  # fmt: skip
    elif found and _HOST.fullmatch(host) and "." in host and _is_project(repository) and is_git_ref(ref):
        yield _settled(
            at, _git(host.lower(), repository, ref, path), version_comment(tree, node, ref), Kind.ACTION
        )
    elif parse_image(text.removeprefix("oci:").removeprefix("oci://")) is not None:
        yield _unsupported(tree, node, where, Kind.IMAGE)
    else:
        yield _finding(
            at, reference=None, state=State.UNKNOWN, skip=SkipReason.INVALID, kind=Kind.ACTION,
            note="expected host/group/project@ref",
        )  # fmt: skip


def _step_mapping(tree: Tree, node: Mapping, where: str) -> Iterator[Finding]:
    git = get(node, "git")
    url, rev = get(git, "url"), get(git, "rev")
    if isinstance(url, Scalar) and isinstance(rev, Scalar) and rev.value:
        host, _, repository = url.value.removeprefix("https://").removesuffix(".git").partition("/")
        at = place(tree, rev, f"{where}.git.rev")
        if "$" in url.value or "$" in rev.value:
            yield _finding(
                at, reference=None, state=State.UNKNOWN, skip=SkipReason.VARIABLE, kind=Kind.ACTION,
                note="holds an expression",
            )  # fmt: skip
        elif _HOST.fullmatch(host) and _is_project(repository) and is_git_ref(rev.value):
            path = scalar(get(git, "dir")) or ""
            yield _settled(
                at,
                _git(host.lower(), repository, rev.value, path),
                version_comment(tree, rev, rev.value),
                Kind.ACTION,
            )
        else:
            yield _finding(
                at, reference=None, state=State.UNKNOWN, skip=SkipReason.INVALID, kind=Kind.ACTION,
                note="expected a repository's URL and a revision",
            )  # fmt: skip
    oci = get(node, "oci")
    repository_node, tag = get(oci, "repository"), get(oci, "tag")
    if isinstance(repository_node, Scalar) and repository_node.value:
        shown = tag if isinstance(tag, Scalar) and tag.value else repository_node
        yield _unsupported(tree, shown, f"{where}.oci.{'tag' if shown is tag else 'repository'}", Kind.IMAGE)
