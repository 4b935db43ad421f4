"""The GitLab stand-in's users, tokens, groups, projects, members, labels and CI lint."""

from __future__ import annotations

import re
from typing import Any

import gitlab_shapes as shapes
import yaml
from gitlab_http import Call, Need, Refusal, Reply, Route, answer, missing, paged
from gitlab_world import Label, Level, Project, User, World, iso

P, G = "/api/v4/projects/{id}", "/api/v4/groups/{id}"
_OPEN = Need(login=False)
_MEMBER = Need(level=Level.GUEST)


def current_user(call: Call) -> Reply:
    """Return who asks."""
    one = call.user
    return answer(
        shapes.user(call.world, one)
        | {
            "bot": one.bot,
            "created_at": iso(one.created),
            "is_admin": one.admin,
            "email": one.person.email,
            "commit_email": one.person.email,
            "public_email": None,
            "can_create_project": True,
        }
    )


def current_token(call: Call) -> Reply:
    """Return the token that asks."""
    _ = call.user
    assert call.token is not None
    return answer(shapes.token(call.token, call.world.clock()))


def version(call: Call) -> Reply:
    """Return the version."""
    return answer({"version": call.world.version, "revision": "0123abcd"})


def metadata(call: Call) -> Reply:
    """Return the version and the edition."""
    kas = {"enabled": False, "externalUrl": None, "version": None}
    said = {"version": call.world.version, "revision": "0123abcd", "kas": kas}
    return answer(said | {"enterprise": call.world.version.endswith("-ee")})


def users(call: Call) -> Reply:
    """Find users by their exact name or by a search."""
    name, search = call.asked("username").lower(), call.asked("search").lower()
    found = [
        one
        for one in call.world.users.values()
        if (not name or one.username.lower() == name) and search in one.username.lower()
    ]
    return paged(call, found, lambda one: shapes.user(call.world, one))


def user(call: Call) -> Reply:
    """Return one user."""
    text = call.parts["user_id"]
    found = call.world.users.get(int(text)) if text.isdigit() else None
    if found is None:
        raise missing("User")
    return answer(shapes.user(call.world, found) | {"bot": found.bot})


def project(call: Call) -> Reply:
    """Return one project."""
    return answer(shapes.project(call.world, call.project, call.anyone))


def _wanted(call: Call, one: Project) -> bool:
    least = call.number("min_access_level", 1) if call.asked("min_access_level") else 0
    if call.flag("membership"):
        least = max(least, Level.GUEST)
    if call.flag("owned"):
        least = Level.OWNER
    archived = call.flag("archived")
    return (
        call.world.sees(call.anyone, one)
        and call.world.level(call.anyone, one) >= least
        and (archived is None or one.archived == archived)
        and call.asked("visibility") in ("", one.visibility)
        and call.asked("search").lower() in one.path.lower()
        and (not call.flag("with_merge_requests_enabled") or one.merge_requests_enabled)
        and iso(one.active) >= call.asked("last_activity_after")
    )


def _sorted(call: Call, found: list[Project]) -> list[Project]:
    orders = {
        "id": lambda one: one.id,
        "name": lambda one: one.name.lower(),
        "path": lambda one: one.slug.lower(),
        "created_at": lambda one: (one.created, one.id),
        "updated_at": lambda one: (one.active, one.id),
        "last_activity_at": lambda one: (one.active, one.id),
    }
    order = call.asked("order_by") or "created_at"
    if order not in orders:
        raise Refusal(400, "order_by does not have a valid value", key="error")
    return sorted(found, key=orders[order], reverse=call.asked("sort") != "asc")


def projects(call: Call) -> Reply:
    """List projects; by keyset only in order of their ids."""
    found = _sorted(call, [one for one in call.world.projects.values() if _wanted(call, one)])
    simple = bool(call.flag("simple")) or call.anyone is None

    def shape(one: Project) -> object:
        return shapes.project(call.world, one, call.anyone, simple=simple)

    after, before = call.asked("id_after"), call.asked("id_before")
    found = [
        one for one in found if (not after or one.id > int(after)) and (not before or one.id < int(before))
    ]
    if call.asked("pagination") != "keyset":
        if call.number("page", 1) * call.per_page > 50_000:
            why = "Offset pagination has a maximum allowed offset of 50000 for requests that return objects"
            raise Refusal(405, why, key="error")
        return paged(call, found, shape)
    if call.asked("order_by") != "id":
        raise Refusal(405, "Keyset pagination is not yet available for this type of request", key="error")
    part = found[: call.per_page]
    headers: tuple[tuple[str, str], ...] = ()
    if len(found) > len(part):
        side = "id_after" if call.asked("sort") == "asc" else "id_before"
        following = call.link(**{side: part[-1].id})
        headers = (("Link", f'<{following}>; rel="next"'),)
    return answer([shape(one) for one in part], 200, headers)


def groups(call: Call) -> Reply:
    """List the groups that one can see."""
    world, least = call.world, call.number("min_access_level", 1) if call.asked("min_access_level") else 0
    found = [
        one
        for one in world.groups.values()
        if (level := world.group_level(call.anyone, one)) >= max(least, 1)
        or (not least and not level and one.visibility == "public")
    ]
    found = [one for one in found if call.asked("search") in one.path]
    if call.flag("top_level_only"):
        found = [one for one in found if "/" not in one.path]
    return paged(call, sorted(found, key=lambda one: one.path), lambda one: shapes.group(world, one))


def group(call: Call) -> Reply:
    """Return one group."""
    return answer(shapes.group(call.world, call.group))


def group_projects(call: Call) -> Reply:
    """List a group's projects, with those of its subgroups where asked for; by page only."""
    deep, path = call.flag("include_subgroups"), call.group.path
    found = [
        one
        for one in call.world.projects.values()
        if (one.namespace == path or (deep and one.namespace.startswith(f"{path}/"))) and _wanted(call, one)
    ]
    simple = bool(call.flag("simple"))
    return paged(
        call,
        _sorted(call, found),
        lambda one: shapes.project(call.world, one, call.anyone, simple=simple),
    )


def _members(world: World, held: Project) -> list[tuple[User, int]]:
    return [(one, level) for one in world.users.values() if (level := world.level(one, held))]


def members(call: Call) -> Reply:
    """List members, inherited ones too."""
    found = _members(call.world, call.project)
    return paged(call, found, lambda one: shapes.member(call.world, one[0], one[1]))


def member(call: Call) -> Reply:
    """Return one member, inherited or not."""
    for one, level in _members(call.world, call.project):
        if str(one.id) == call.parts["user_id"]:
            return answer(shapes.member(call.world, one, level))
    raise missing("Not found")


def labels(call: Call) -> Reply:
    """List labels."""
    found = [one for one in call.project.labels.values() if call.asked("search") in one.name]
    return paged(call, found, shapes.label)


def create_label(call: Call) -> Reply:
    """Make a label; a 409 where it is there."""
    name, color = call.body["name"], call.body["color"]
    if name in call.project.labels:
        raise Refusal(409, "Label already exists")
    if re.fullmatch(r"#(?:[0-9a-fA-F]{3}){1,2}|[a-z]+", color) is None:
        raise Refusal(400, {"color": ["must be a valid color code"]})
    made = Label(id=next(call.world.ids), name=name, color=color, description=call.body.get("description"))
    call.project.labels[name] = made
    return answer(shapes.label(made), 201)


class _Loader(yaml.SafeLoader):
    """Reads GitLab's own tags as nothing."""


_Loader.add_multi_constructor("!", lambda *_: None)
_RESERVED = (
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "before_script",
    "after_script",
    "cache",
    "spec",
    "pages",
)


def lint_text(text: str) -> dict[str, Any]:
    """Return what a much simpler CI lint says of a file."""
    errors: list[str] = []
    jobs: dict[str, Any] = {}
    try:
        documents = [one for one in yaml.load_all(text, _Loader) if one is not None]
    except yaml.YAMLError as error:
        errors.append(f"Invalid configuration format: {error}".split("\n", 1)[0])
    else:
        root = documents[-1] if documents else None
        if not isinstance(root, dict):
            errors.append("Invalid configuration format")
        else:
            jobs = {name: job for name, job in root.items() if name not in _RESERVED}
            errors += _job_errors(jobs, included="include" in root)
    merged = text if not errors else None
    return {"valid": not errors, "errors": errors, "warnings": [], "merged_yaml": merged, "includes": []}


def _job_errors(jobs: dict[str, Any], *, included: bool) -> list[str]:
    found = []
    visible = {name: job for name, job in jobs.items() if not str(name).startswith(".")}
    if not visible and not included:
        found.append("jobs config should contain at least one visible job")
    for name, job in visible.items():
        if not isinstance(job, dict):
            found.append(f"jobs {name} config should be a hash")
        elif not {"script", "run", "trigger", "extends"} & job.keys():
            found.append(f"jobs:{name} config should implement the script:, run:, or trigger: keyword")
    return found


def _linted(call: Call, text: str) -> Reply:
    said = call.world.lint
    if callable(said):
        said = said(call.project, text)
    return answer(dict(said) if said is not None else lint_text(text))


def lint(call: Call) -> Reply:
    """Lint the project's file as it is at a ref."""
    held = call.project
    if held.empty:
        raise missing("Repository")
    commit = held.repository.resolve(call.asked("content_ref") or call.asked("sha") or "HEAD")
    if commit is None:
        raise missing("Commit")
    if call.flag("dry_run") and call.world.level(call.anyone, held) < Level.DEVELOPER:
        why = "Insufficient permissions to create a new pipeline"
        return answer({"valid": False, "errors": [why], "warnings": []})
    entry = held.repository.entry(commit, held.ci_config_path or ".gitlab-ci.yml")
    if entry is None:
        said = {"valid": False, "errors": ["Please provide content of .gitlab-ci.yml"], "warnings": []}
        return answer(said)
    return _linted(call, (held.repository.blob(entry.oid) or b"").decode("utf-8", "replace"))


def lint_content(call: Call) -> Reply:
    """Lint a text."""
    return _linted(call, call.body["content"])


ROUTES = (
    Route("GET", "/api/v4/user", current_user),
    Route("GET", "/api/v4/personal_access_tokens/self", current_token),
    Route("GET", "/api/v4/version", version),
    Route("GET", "/api/v4/metadata", metadata),
    Route("GET", "/api/v4/users", users),
    Route("GET", "/api/v4/users/{user_id}", user),
    Route("GET", "/api/v4/projects", projects, _OPEN),
    Route("GET", P, project, _OPEN),
    Route("GET", "/api/v4/groups", groups, _OPEN),
    Route("GET", G, group, _OPEN),
    Route("GET", f"{G}/projects", group_projects, _OPEN),
    Route("GET", f"{P}/members/all", members, _OPEN),
    Route("GET", f"{P}/members/all/{{user_id}}", member, _OPEN),
    Route("GET", f"{P}/labels", labels, _OPEN),
    Route("POST", f"{P}/labels", create_label, Need(level=Level.REPORTER)),
    Route("GET", f"{P}/ci/lint", lint, Need(code=True, login=False)),
    Route("POST", f"{P}/ci/lint", lint_content, Need(code=True, level=Level.DEVELOPER)),
)
