"""Every repository that the App may see, with heads: a page of a hundred, and one query for their heads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bot.errors import ForgeError, TransientError
from bot.forges.github_app import App, Installation
from bot.forges.github_client import Client, NoGraphQLError, QueryError, SpentError
from bot.forges.github_look import Known, Seen, rest_repository
from bot.forges.github_transport import AmbiguousError, clean
from bot.model import Repository
from bot.reference import is_commit

_log = logging.getLogger("bot.forges.github")
_BATCH = 100
"""Repositories of one query: what GraphQL takes by their ids at most."""
_MOST = 100_000
_HEADS = (
    "query($ids: [ID!]!) { nodes(ids: $ids)"
    " { ... on Repository { id defaultBranchRef { name target { oid } } } } }"
)


def repositories(app: App, seen: Seen, owner: str = "") -> Iterator[Repository]:
    """Yield every repository of every installation, or of one owner's; archived ones and forks are marked.

    An installation that is suspended or refuses us is left out and logged; a head that was not told is empty.
    """
    for installation in app.installations():
        if owner and installation.account.lower() != owner.lower():
            continue
        try:
            yield from _of(app, installation, seen)
        except TransientError:
            raise
        except ForgeError as error:
            _log.warning("%s is left out of the list: %s", clean(installation.account), error.problem)


def _of(app: App, installation: Installation, seen: Seen) -> Iterator[Repository]:
    client = app.installed(installation)
    page: list[dict[str, Any]] = []
    for number, found in enumerate(client.pages("/installation/repositories", "repositories")):
        if number >= _MOST:
            raise ForgeError(f"more than {_MOST:,} repositories")
        if isinstance(found, dict) and rest_repository(found) is not None:
            page.append(found)
        if len(page) == _BATCH:
            yield from _with_heads(client, page, seen)
            page = []
    yield from _with_heads(client, page, seen)


def _with_heads(client: Client, page: Sequence[dict[str, Any]], seen: Seen) -> Iterator[Repository]:
    nodes = [one["node_id"] for one in page if isinstance(one.get("node_id"), str)]
    heads = _heads(client, nodes)
    for one in page:
        made = rest_repository(one)
        if made is None:
            continue
        node = one.get("node_id")
        branch, head = heads.get(str(node), (made.default_branch, ""))
        told = replace(made, default_branch=branch, head=head)
        if isinstance(node, str) and branch:
            seen.put(told.name, Known(node=node, default_branch=branch))
        yield told


def _heads(client: Client, nodes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return default branches and their commits by id; what could not be told is not in it."""
    if not nodes or not client.graphql_offered:
        return {}
    try:
        data = client.query(_HEADS, {"ids": list(nodes)}, patient=len(nodes) == 1)
    except SpentError as error:
        # A list can wait: by REST every head would cost a request.
        raise TransientError(error.problem, retry_after=error.retry_after) from None
    except NoGraphQLError:
        return {}
    except (AmbiguousError, QueryError):
        if len(nodes) == 1:
            return {}
        middle = len(nodes) // 2
        return {**_heads(client, nodes[:middle]), **_heads(client, nodes[middle:])}
    found = data.get("nodes")
    heads = {}
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            continue
        default = one.get("defaultBranchRef")
        if not isinstance(default, dict):
            heads[one["id"]] = "", ""
            continue
        target = default.get("target")
        oid = target.get("oid") if isinstance(target, dict) else None
        heads[one["id"]] = (
            str(default.get("name") or ""),
            oid if isinstance(oid, str) and is_commit(oid) else "",
        )
    return heads
