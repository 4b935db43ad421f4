"""The GitHub stand-in's App over REST: installations, tokens, limits, webhook configuration and deliveries."""

from __future__ import annotations

from github_access import issue, sees
from github_call import Answer, Call, Route
from github_shapes import Json
from github_world import Installation, Refused


def get_app(call: Call) -> Answer:
    return Answer(call.shapes.app())


def list_installations(call: Call) -> Answer:
    page, headers = call.page(list(call.world.installations.values()))
    return Answer([call.shapes.installation(one) for one in page], headers=headers)


def _installation(call: Call) -> Installation:
    found = call.world.installations.get(call.identity("installation_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def get_installation(call: Call) -> Answer:
    return Answer(call.shapes.installation(_installation(call)))


def installation_of_repository(call: Call) -> Answer:
    found = call.world.installation_of(call.repository)
    if found is None:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.installation(found))


def _installation_of_account(call: Call, login: str, kind: str) -> Answer:
    for one in call.world.installations.values():
        if one.account.login.lower() == login.lower() and (one.account.type == "Organization") is (
            kind == "org"
        ):
            return Answer(call.shapes.installation(one))
    raise Refused(404, "Not Found")


def installation_of_organization(call: Call) -> Answer:
    return _installation_of_account(call, call.parameters["org"], "org")


def installation_of_user(call: Call) -> Answer:
    return _installation_of_account(call, call.parameters["username"], "user")


def get_user(call: Call) -> Answer:
    found = call.world.accounts.get(call.parameters["username"].lower())
    if found is None:
        raise Refused(404, "Not Found")
    now = call.world.clock.stamp()
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    blanks = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"), None)
    return Answer(
        {**call.shapes.account(found), **blanks, "blog": "", **counts, "created_at": now, "updated_at": now}
    )


def create_token(call: Call) -> Answer:
    token = issue(
        call.world,
        call.switches,
        _installation(call),
        call.body,
        call.request.headers.get("X-GitHub-Stateless-S2S-Token", ""),
    )
    selected = token.installation.repositories is not None or token.repositories is not None
    shape: Json = {
        "token": token.value,
        "expires_at": call.world.clock.stamp(token.expires),
        "permissions": dict(token.permissions),
        "repository_selection": "selected" if selected else "all",
    }
    if token.repositories is not None:
        shape["repositories"] = [call.shapes.repository(one) for one in token.repositories]
    return Answer(shape, 201)


def list_repositories(call: Call) -> Answer:
    token = call.caller.token
    if token is None:
        raise Refused(403, "Resource not accessible by integration")
    covered = call.world.covered(token.installation)
    reached = [one for one in covered if sees(call.world, call.caller, one)]
    page, headers = call.page(reached)
    return Answer(
        {
            "total_count": len(reached),
            "repository_selection": "all" if token.installation.repositories is None else "selected",
            "repositories": [call.shapes.repository(one) for one in page],
        },
        headers=headers,
    )


def organization_repositories(call: Call) -> Answer:
    login = call.parameters["org"].lower()
    account = call.world.accounts.get(login)
    if account is None or account.type != "Organization":
        raise Refused(404, "Not Found")
    found = [
        one
        for one in call.world.repositories.values()
        if one.owner is account and (not one.private or sees(call.world, call.caller, one))
    ]
    page, headers = call.page(found)
    return Answer([call.shapes.minimal(one) for one in page], headers=headers)


def get_hook(call: Call) -> Answer:
    # The secret is never given back.
    return Answer(
        {"url": call.world.hook_url, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    )


def patch_hook(call: Call) -> Answer:
    asked = call.body
    call.world.hook_url = str(asked.get("url", call.world.hook_url))
    call.world.hook_secret = str(asked.get("secret", call.world.hook_secret))
    return get_hook(call)


def list_deliveries(call: Call) -> Answer:
    wanted = call.query("status")
    found = [
        one
        for one in reversed(call.world.recent_deliveries())
        if not wanted or one.ok is (wanted == "success")
    ]
    size, cursor = min(call.number("per_page", 30), 100), call.query("cursor")
    start = 0
    if cursor:
        ids = [f"v1_{one.id}" for one in found]
        if cursor not in ids:
            raise Refused(422, "Validation Failed", errors=[{"code": "invalid", "field": "cursor"}])
        start = ids.index(cursor)
    links = {}
    if start + size < len(found):
        links["next"] = {"cursor": f"v1_{found[start + size].id}"}
    return Answer(
        [call.shapes.delivery(one) for one in found[start : start + size]], headers=call.link(links)
    )


def get_delivery(call: Call) -> Answer:
    for one in call.world.recent_deliveries():
        if one.id == call.identity("delivery_id"):
            return Answer(call.shapes.delivery(one, full=True))
    raise Refused(404, "Not Found")


def attempt(call: Call) -> Answer:
    for one in call.world.recent_deliveries():
        if one.id == call.identity("delivery_id"):
            call.world.redeliver.append(one)
            return Answer({}, 202)
    raise Refused(404, "Not Found")


def convert_manifest(call: Call) -> Answer:
    secret = call.world.manifests.pop(call.parameters["code"], None)
    if secret is None:
        raise Refused(404, "Not Found")
    return Answer({**call.shapes.app(), **secret}, 201)


ROUTES: dict[str, Route] = {
    "POST /app-manifests/{code}/conversions": Route(handler=convert_manifest, by_anyone=True),
    "GET /app": Route(handler=get_app, by_app=True),
    "GET /app/installations": Route(handler=list_installations, by_app=True),
    "GET /app/installations/{installation_id}": Route(handler=get_installation, by_app=True),
    "POST /app/installations/{installation_id}/access_tokens": Route(handler=create_token, by_app=True),
    "GET /repos/{owner}/{repo}/installation": Route(handler=installation_of_repository, by_app=True),
    "GET /orgs/{org}/installation": Route(handler=installation_of_organization, by_app=True),
    "GET /users/{username}/installation": Route(handler=installation_of_user, by_app=True),
    "GET /users/{username}": Route(handler=get_user),
    "GET /orgs/{org}/repos": Route(handler=organization_repositories),
    "GET /installation/repositories": Route(handler=list_repositories),
    "GET /app/hook/config": Route(handler=get_hook, by_app=True),
    "PATCH /app/hook/config": Route(handler=patch_hook, by_app=True),
    "GET /app/hook/deliveries": Route(handler=list_deliveries, by_app=True),
    "GET /app/hook/deliveries/{delivery_id}": Route(handler=get_delivery, by_app=True),
    "POST /app/hook/deliveries/{delivery_id}/attempts": Route(handler=attempt, by_app=True),
}
