"""The GitHub stand-in's GraphQL: an excerpt of GitHub's own schema, executed over the same repositories."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from contract_checks import CONTRACTS
from dulwich.objects import Blob, Commit, Tag, Tree
from github_access import sees
from github_call import NOT_ACCESSIBLE, Call
from github_git import SUBMODULE, Entry, Git, MalformedError
from github_rest_git import add_commit, create_ref, delete_ref, move_ref
from github_shapes import node_id, pull_changes, signed
from github_threads import Threads, refused
from github_world import Account, Pull, Refused, Repository
from graphql import DocumentNode, GraphQLError, GraphQLSchema, build_schema, execute_sync, parse, validate

TEXT_LIMIT = 512_000
Node = dict[str, Any]


class QueryError(AssertionError):
    """A query is none by GitHub's schema."""


class TimedOutError(Exception):
    """A query asks for more than the server gives in ten seconds."""


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """Return the excerpt of GitHub's schema, read once a process."""
    return build_schema((CONTRACTS / "github.graphql").read_text())


@lru_cache(maxsize=256)
def document(query: str) -> DocumentNode:
    """Return a query read; raises `QueryError` where it is not what the schema takes."""
    try:
        read = parse(query)
        errors = validate(schema(), read)
    except GraphQLError as error:
        errors = [error]
    if errors:
        raise QueryError("; ".join(error.message for error in errors))
    return read


def execute(call: Call, query: str, variables: Mapping[str, Any] | None, name: str | None = None) -> Node:
    """Return a query's `data` and `errors`; raises `QueryError` and `TimedOutError`."""
    run = _Run(call)
    root = {"__typename": "Query", **run.query(), **run.mutations()}
    result = execute_sync(
        schema(), document(query), root_value=root, variable_values=dict(variables or {}), operation_name=name
    )
    if run.objects > call.switches.graphql_objects:
        raise TimedOutError
    answer: Node = {"data": result.data}
    if result.errors:
        for error in result.errors:
            if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
                raise error.original_error
        answer["errors"] = [_error(error) for error in result.errors]
    return answer


def _error(error: GraphQLError) -> Node:
    said: Node = {"message": error.message}
    if error.path:
        said["path"] = error.path
    if error.locations:
        said["locations"] = [{"line": one.line, "column": one.column} for one in error.locations]
    if error.extensions and "type" in error.extensions:
        said["type"] = error.extensions["type"]
    return said


def _refuse(kind: str, message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"type": kind})


def text_of(data: bytes) -> str | None:
    """Return what `Blob.text` makes of a file: cut, decoded, its BOM gone; None for a binary one."""
    if b"\0" in data[:8000]:
        return None
    cut = data[:TEXT_LIMIT]
    if cut != data:
        # A character that the cut went through is left out.
        while cut and cut[-1] & 0xC0 == 0x80:
            cut = cut[:-1]
        if cut and cut[-1] >= 0xC0:
            cut = cut[:-1]
    return cut.decode("utf-8-sig", "replace")


@dataclass(slots=True)
class _Run:
    """One query's execution."""

    call: Call
    objects: int = 0
    _known: dict[int, Node] = field(default_factory=dict)

    # --- where a query starts

    def query(self) -> Node:
        return {
            "repository": self._repository_field,
            "repositoryOwner": self._owner_field,
            "rateLimit": lambda _info, **_: self._rate_limit(),
            "node": lambda _info, id: self._node(id),  # noqa: A006  # the schema's name
            "nodes": lambda _info, ids: [self._node(one) for one in ids],
        }

    def _rate_limit(self) -> Node:
        left = self.call.world.budget(self.call.caller.token, "graphql")
        return {
            "cost": 1,
            "limit": self.call.world.hourly,
            "remaining": left,
            "used": self.call.world.hourly - left,
            "nodeCount": 0,
            "resetAt": self.call.world.clock.stamp(self.call.world.resets),
        }

    def _repository_field(self, _info: object, owner: str, name: str, followRenames: bool = True) -> Node:  # noqa: N803  # the schema's name
        full = f"{owner}/{name}"
        found = self.call.world.named(full) or (self.call.world.moved(full) if followRenames else None)
        if found is None or not self._visible(found):
            raise _refuse("NOT_FOUND", f"Could not resolve to a Repository with the name '{full}'.")
        return self._repository(found)

    def _owner_field(self, _info: object, login: str) -> Node | None:
        found = self.call.world.accounts.get(login.lower())
        return None if found is None else self._account(found)

    def _node(self, wanted: str) -> Node:
        for repository in self.call.world.repositories.values():
            if not self._visible(repository):
                continue
            if node_id("R", repository.id) == wanted:
                return self._repository(repository)
            for pull in repository.pulls.values():
                if node_id("PR", pull.id) == wanted:
                    return self._pull(repository, pull)
            if (review := self._threads(repository).node(wanted)) is not None:
                self._needs(repository, "pull_requests")
                return review
        raise _refuse("NOT_FOUND", f"Could not resolve to a node with the global id of '{wanted}'")

    def _visible(self, repository: Repository) -> bool:
        return not repository.private or sees(self.call.world, self.call.caller, repository)

    def _needs(self, repository: Repository, permission: str, level: str = "read") -> None:
        if not repository.private and level == "read":
            return
        inside = sees(self.call.world, self.call.caller, repository)
        if not inside or not self.call.caller.may(permission, level):
            raise _refuse("FORBIDDEN", NOT_ACCESSIBLE)
        if level != "read" and repository.archived:
            raise _refuse("UNPROCESSABLE", "Repository was archived so is read-only.")

    # --- repositories and people

    def _account(self, one: Account) -> Node:
        def owned(_info: object, **page: Any) -> Node:
            found = [
                each
                for each in self.call.world.repositories.values()
                if each.owner is one and self._visible(each)
            ]
            return _connection(found, self._repository, page)

        return {
            "__typename": one.type,
            "id": node_id({"Organization": "O", "Bot": "BOT"}.get(one.type, "U"), one.id),
            "databaseId": one.id,
            "login": one.login,
            "name": None,
            "email": "",
            "avatarUrl": lambda _info, **_: f"{self.call.world.web}/avatars/u/{one.id}",
            "url": f"{self.call.world.web}/{one.login}",
            "resourcePath": f"/{one.login}",
            "repository": lambda info, name, **more: self._repository_field(info, one.login, name, **more),
            "repositories": owned,
        }

    def _repository(self, one: Repository) -> Node:
        if one.id in self._known:
            return self._known[one.id]
        page = self.call.shapes.page(one)
        made: Node = {
            "__typename": "Repository",
            "id": node_id("R", one.id),
            "databaseId": one.id,
            "name": one.name,
            "nameWithOwner": one.full_name,
            "description": None,
            "isArchived": one.archived,
            "isDisabled": one.disabled,
            "isEmpty": one.empty,
            "isFork": one.parent is not None,
            "isInOrganization": one.owner.type == "Organization",
            "isLocked": False,
            "isMirror": False,
            "isPrivate": one.private,
            "isTemplate": False,
            "visibility": "PRIVATE" if one.private else "PUBLIC",
            "viewerPermission": None,
            "webCommitSignoffRequired": False,
            "createdAt": one.created_at,
            "pushedAt": one.pushed_at or None,
            "updatedAt": one.pushed_at or one.created_at,
            "url": page,
            "resourcePath": f"/{one.full_name}",
            "owner": lambda _info: self._account(one.owner),
            "parent": lambda _info: (
                None if one.parent is None or not self._visible(one.parent) else self._repository(one.parent)
            ),
            "defaultBranchRef": lambda _info: self._ref(one, f"refs/heads/{one.default_branch}"),
            "ref": lambda _info, qualifiedName: self._qualified(one, qualifiedName),  # noqa: N803  # the schema's name
            "refs": lambda _info, **page: self._refs(one, page),
            "object": lambda _info, expression=None, oid=None: self._object_field(one, expression, oid),
            "pullRequest": lambda _info, number: self._pull_field(one, number),
            "pullRequests": lambda _info, **page: self._pulls(one, page),
            "label": lambda _info, name: self._label(one, name),
            "rulesets": lambda _info, **_page: {
                "totalCount": len({rule.get("ruleset_id") for rules in one.rules.values() for rule in rules})
            },
        }
        self._known[one.id] = made
        return made

    def _label(self, one: Repository, name: str) -> Node | None:
        found = one.labels.get(name.lower())
        if found is None:
            return None
        return {
            "__typename": "Label",
            "id": node_id("LA", found.id),
            "name": found.name,
            "color": found.color,
            "description": found.description,
            "isDefault": False,
            "createdAt": one.created_at,
            "url": f"{self.call.shapes.page(one)}/labels/{found.name}",
        }

    # --- refs and objects

    def _qualified(self, one: Repository, name: str) -> Node | None:
        for candidate in (name, f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"):
            if candidate.startswith("refs/") and (found := self._ref(one, candidate)) is not None:
                return found
        return None

    def _ref(self, one: Repository, name: str) -> Node | None:
        self._needs(one, "contents")
        sha = one.git.ref(name)
        if sha is None:
            return None
        prefix = "/".join(name.split("/")[:2]) + "/"
        return {
            "__typename": "Ref",
            "id": node_id("REF", f"{one.id}:{name}"),
            "name": name.removeprefix(prefix),
            "prefix": prefix,
            "repository": self._repository(one),
            "target": lambda _info: self._object(one, sha),
            "associatedPullRequests": lambda _info, **page: self._pulls(one, page, ref=name),
        }

    def _refs(self, one: Repository, page: Mapping[str, Any]) -> Node:
        self._needs(one, "contents")
        prefix, wanted = page["refPrefix"], page.get("query") or ""
        names = [
            name for name in one.git.refs if name.startswith(prefix) and wanted in name.removeprefix(prefix)
        ]
        return _connection(names, lambda name: self._ref(one, name), page)

    def _object_field(self, one: Repository, expression: str | None, oid: str | None) -> Node | None:
        self._needs(one, "contents")
        self.objects += 1
        name, colon, path = (expression or oid or "").partition(":")
        name = one.default_branch if name == "HEAD" else name
        sha = one.git.resolve(name)
        if sha is None:
            return None
        if not colon:
            return self._object(one, sha)
        tree = one.git.tree_of(sha)
        entry = None if tree is None else one.git.lookup(tree, path)
        if entry is None or entry.mode == SUBMODULE:
            return None
        return self._object(one, entry.sha)

    def _object(self, one: Repository, sha: str) -> Node | None:
        found = one.git.find(sha)
        page = self.call.shapes.page(one)
        common: Node = {
            "id": node_id("OBJ", f"{one.id}:{sha}"),
            "oid": sha,
            "abbreviatedOid": sha[:7],
            "repository": self._repository(one),
            "commitUrl": f"{page}/commit/{sha}",
            "commitResourcePath": f"/{one.full_name}/commit/{sha}",
        }
        if isinstance(found, Blob):
            return {**common, **self._blob(found)}
        if isinstance(found, Tree):
            return {
                **common,
                "__typename": "Tree",
                "entries": lambda _info: [self._entry(one, entry) for entry in one.git.entries(sha)],
            }
        if isinstance(found, Commit):
            return {**common, **self._commit(one, found)}
        if isinstance(found, Tag):
            return {
                **common,
                "__typename": "Tag",
                "name": found.name.decode(),
                "message": (found.message or b"").decode("utf-8", "replace"),
                "tagger": None if found.tagger is None else self._actor(found.tagger, found.tag_time or 0),
                "target": lambda _info: self._object(one, found.object[1].decode()),
            }
        return None

    def _blob(self, blob: Blob) -> Node:
        data = blob.data
        return {
            "__typename": "Blob",
            "byteSize": len(data),
            "isBinary": b"\0" in data[:8000],
            "isTruncated": len(data) > TEXT_LIMIT,
            "text": lambda _info: text_of(data),
        }

    def _entry(self, one: Repository, entry: Entry) -> Node:
        name = entry.path.rpartition("/")[2]
        raw = base64.b64encode(entry.path.encode("utf-8", "surrogateescape")).decode()
        return {
            "__typename": "TreeEntry",
            "name": name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "nameRaw": raw,
            "path": entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "pathRaw": raw,
            "extension": "." + name.rpartition(".")[2] if "." in name else "",
            "mode": entry.mode,
            "type": entry.type,
            "oid": entry.sha,
            "size": len(one.git.data(entry.sha)) if entry.type == "blob" else 0,
            "isGenerated": False,
            "submodule": None,
            "repository": self._repository(one),
            "object": lambda _info: None if entry.mode == SUBMODULE else self._object(one, entry.sha),
        }

    def _actor(self, line: bytes, seconds: int) -> Node:
        name, _, address = line.decode("utf-8", "replace").partition(" <")
        return {
            "name": name,
            "email": address.rstrip(">"),
            "date": self.call.world.clock.stamp(seconds),
            "user": None,
        }

    def _commit(self, one: Repository, commit: Commit) -> Node:
        git, sha = one.git, commit.id.decode()
        message = commit.message.decode("utf-8", "replace")
        headline, _, rest = message.partition("\n")
        parents = [parent.decode() for parent in commit.parents]
        page = self.call.shapes.page(one)
        signature = None
        if commit.gpgsig:
            signature = {
                "__typename": "GpgSignature",
                "email": "noreply@github.com",
                "isValid": signed(commit),
                "keyId": "B5690EEEBB952194",
                "payload": "",
                "signature": commit.gpgsig.decode(),
                "signer": None,
                "state": "VALID" if signed(commit) else "UNKNOWN_KEY",
                "wasSignedByGitHub": signed(commit),
                "verifiedAt": None,
            }
        return {
            "__typename": "Commit",
            "author": self._actor(commit.author, commit.author_time),
            "committer": self._actor(commit.committer, commit.commit_time),
            "authoredDate": self.call.world.clock.stamp(commit.author_time),
            "committedDate": self.call.world.clock.stamp(commit.commit_time),
            "committedViaWeb": signed(commit),
            "changedFilesIfAvailable": None,
            "message": message,
            "messageHeadline": headline,
            "messageBody": rest.strip("\n"),
            "signature": signature,
            "url": f"{page}/commit/{sha}",
            "treeUrl": f"{page}/tree/{sha}",
            "tree": lambda _info: self._object(one, commit.tree.decode()),
            "parents": lambda _info, **page: _connection(parents, lambda each: self._object(one, each), page),
            "history": lambda _info, **page: _connection(
                list(git.ancestors(sha)), lambda each: self._object(one, each), page
            ),
            "file": lambda _info, path: self._file(one, commit, path),
        }

    def _file(self, one: Repository, commit: Commit, path: str) -> Node | None:
        entry = one.git.lookup(commit.tree.decode(), path)
        return None if entry is None else self._entry(one, entry)

    # --- pull requests

    def _pull_field(self, one: Repository, number: int) -> Node:
        self._needs(one, "pull_requests")
        found = one.pulls.get(number)
        if found is None:
            raise _refuse("NOT_FOUND", f"Could not resolve to a PullRequest with the number of {number}.")
        return self._pull(one, found)

    def _pulls(self, one: Repository, page: Mapping[str, Any], ref: str = "") -> Node:
        self._needs(one, "pull_requests")
        states, labels = page.get("states"), page.get("labels")
        found = [
            pull
            for pull in one.pulls.values()
            if (not states or _state(pull) in states)
            and page.get("headRefName") in (None, pull.head_ref)
            and page.get("baseRefName") in (None, pull.base_ref)
            and (not labels or {label.name for label in pull.labels} & set(labels))
            and (not ref or (pull.head_repository is one and ref == f"refs/heads/{pull.head_ref}"))
        ]
        order = page.get("orderBy")
        if order:
            attribute = {"UPDATED_AT": "updated_at"}.get(order["field"], "created_at")
            found.sort(
                key=lambda pull: (getattr(pull, attribute), pull.number), reverse=order["direction"] == "DESC"
            )
        return _connection(found, lambda pull: self._pull(one, pull), page)

    def _pull(self, one: Repository, pull: Pull) -> Node:
        head = pull.head_repository
        url = f"{self.call.shapes.page(one)}/pull/{pull.number}"
        return {
            "__typename": "PullRequest",
            "id": node_id("PR", pull.id),
            "databaseId": pull.id,
            "fullDatabaseId": str(pull.id),
            "number": pull.number,
            "title": pull.title,
            "body": pull.body or "",
            "state": _state(pull),
            "isDraft": pull.draft,
            "closed": pull.state == "closed",
            "closedAt": pull.closed_at,
            "merged": pull.merged_at is not None,
            "mergedAt": pull.merged_at,
            "mergedBy": None if pull.merged_by is None else self._account(pull.merged_by),
            "mergeable": "MERGEABLE",
            "mergeCommit": lambda _info: (
                None if pull.merge_commit is None else self._object(one, pull.merge_commit)
            ),
            "locked": pull.locked,
            "createdAt": pull.created_at,
            "updatedAt": pull.updated_at,
            "url": url,
            "permalink": url,
            "resourcePath": f"/{one.full_name}/pull/{pull.number}",
            "author": self._account(pull.author),
            "authorAssociation": "NONE",
            "maintainerCanModify": pull.maintainer_can_modify,
            "isCrossRepository": head is not one,
            "headRefName": pull.head_ref,
            "headRefOid": pull.head_sha,
            "headRef": lambda _info: None if head is None else self._ref(head, f"refs/heads/{pull.head_ref}"),
            "headRepository": lambda _info: (
                None if head is None or not self._visible(head) else self._repository(head)
            ),
            "headRepositoryOwner": None if head is None else self._account(head.owner),
            "baseRefName": pull.base_ref,
            "baseRefOid": pull.base_sha,
            "baseRef": lambda _info: self._ref(one, f"refs/heads/{pull.base_ref}"),
            "baseRepository": lambda _info: self._repository(one),
            "repository": lambda _info: self._repository(one),
            "changedFiles": lambda _info: len(pull_changes(one, pull)),
            "labels": lambda _info, **page: _connection(
                pull.labels, lambda label: self._label(one, label.name), page
            ),
            "timelineItems": lambda _info, **page: _connection(
                [pull] if pull.state == "closed" else [], self._closing, page
            ),
            **self._threads(one).fields(pull),
        }

    def _closing(self, pull: Pull) -> Node:
        """Return the event by which a pull request ended: of the kinds of events the cut has this one."""
        who = pull.closed_by
        return {
            "__typename": "ClosedEvent",
            "id": node_id("CE", pull.id),
            "actor": None if who is None else self._account(who),
            "createdAt": pull.closed_at,
        }

    def _threads(self, one: Repository) -> Threads:
        return Threads(
            repository=one,
            account=self._account,
            commit=lambda sha: self._object(one, sha),
            paged=_connection,
            viewer=self.call.actor,
        )

    # --- writing

    def mutations(self) -> Node:
        return {
            name: lambda _info, input, act=act: self._acted(act, input)  # noqa: A006  # the schema's name
            for name, act in {
                "createRef": self._create_ref,
                "updateRef": self._update_ref,
                "updateRefs": self._update_refs,
                "deleteRef": self._delete_ref,
                "createCommitOnBranch": self._create_commit,
                "resolveReviewThread": self._resolve,
                "minimizeComment": self._minimize,
                "addReaction": self._react,
            }.items()
        }

    def _acted(self, act: Callable[[Node], Node], asked: Node) -> Node:
        try:
            return {"clientMutationId": asked.get("clientMutationId"), **act(asked)}
        except Refused as refused:
            kind = {403: "FORBIDDEN", 404: "NOT_FOUND"}.get(refused.status, "UNPROCESSABLE")
            raise _refuse(kind, refused.message) from None

    def _writing(self, repository_id: str) -> Call:
        for one in self.call.world.repositories.values():
            if node_id("R", one.id) == repository_id and self._visible(one):
                self._needs(one, "contents", "write")
                return replace(self.call, target=one)
        raise _refuse("NOT_FOUND", f"Could not resolve to a node with the global id of '{repository_id}'")

    def _refs_writing(self, ref_id: str) -> tuple[Call, str]:
        for one in self.call.world.repositories.values():
            for name in one.git.refs if self._visible(one) else ():
                if node_id("REF", f"{one.id}:{name}") == ref_id:
                    self._needs(one, "contents", "write")
                    return replace(self.call, target=one), name
        raise _refuse("NOT_FOUND", f"Could not resolve to a node with the global id of '{ref_id}'")

    def _resolve(self, asked: Node) -> Node:
        if not self.call.switches.resolves:
            raise refused()
        return self._settled(lambda threads: threads.resolve(asked["threadId"]), asked["threadId"])

    def _minimize(self, asked: Node) -> Node:
        if not self.call.switches.minimizes:
            raise refused()
        return self._settled(
            lambda threads: threads.minimize(asked["subjectId"], asked["classifier"]), asked["subjectId"]
        )

    def _react(self, asked: Node) -> Node:
        return self._settled(
            lambda threads: threads.react(asked["subjectId"], asked["content"]), asked["subjectId"]
        )

    def _settled(self, act: Callable[[Threads], Node | None], wanted: str) -> Node:
        for one in self.call.world.repositories.values():
            if self._visible(one) and (done := act(self._threads(one))) is not None:
                self._needs(one, "pull_requests", "write")
                return done
        raise _refuse("NOT_FOUND", f"Could not resolve to a node with the global id of '{wanted}'")

    def _create_ref(self, asked: Node) -> Node:
        call = self._writing(asked["repositoryId"])
        create_ref(call, asked["name"], asked["oid"])
        return {"ref": self._ref(call.repository, asked["name"])}

    def _update_ref(self, asked: Node) -> Node:
        call, name = self._refs_writing(asked["refId"])
        before = call.repository.git.ref(name)
        assert before is not None
        move_ref(call, name, before, asked["oid"], force=bool(asked.get("force")))
        return {"ref": self._ref(call.repository, name)}

    def _delete_ref(self, asked: Node) -> Node:
        call, name = self._refs_writing(asked["refId"])
        delete_ref(call, name)
        return {}

    def _update_refs(self, asked: Node) -> Node:
        """All or none; `beforeOid` is what the ref must be at, zeros where it must not be."""
        call = self._writing(asked["repositoryId"])
        git = call.repository.git
        for one in asked["refUpdates"]:
            here, expected = git.ref(one["name"]) or "0" * 40, one.get("beforeOid")
            if expected is not None and expected != here:
                raise _refuse(
                    "UNPROCESSABLE", f"Reference update failed: {one['name']} is at {here}, not {expected}"
                )
            if one["afterOid"] != "0" * 40 and git.find(one["afterOid"]) is None:
                raise _refuse("UNPROCESSABLE", "Object does not exist")
        for one in asked["refUpdates"]:
            name, after = one["name"], one["afterOid"]
            before = git.ref(name)
            if after == "0" * 40:
                delete_ref(call, name)
            elif before is None:
                create_ref(call, name, after)
            else:
                move_ref(call, name, before, after, force=bool(one.get("force")))
        return {}

    def _create_commit(self, asked: Node) -> Node:
        """One commit on a branch that is at the expected head; every file of it becomes 100644."""
        branch = asked["branch"]
        if branch.get("id"):
            call, ref = self._refs_writing(branch["id"])
        else:
            found = self.call.world.named(branch.get("repositoryNameWithOwner") or "")
            if found is None or not self._visible(found):
                raise _refuse("NOT_FOUND", "Could not resolve to a Repository with that name.")
            self._needs(found, "contents", "write")
            call, ref = replace(self.call, target=found), f"refs/heads/{branch['branchName']}"
        git = call.repository.git
        head = git.ref(ref)
        if head is None:
            raise _refuse("NOT_FOUND", f"No branch {ref} in {call.repository.full_name}")
        if head != asked["expectedHeadOid"]:
            raise _refuse(
                "STALE_DATA",
                f'Expected branch to point to "{asked["expectedHeadOid"]}" but it did not. Pull and try again.',
            )
        sha = self._committed(call, git, head, asked)
        move_ref(call, ref, head, sha, force=False)
        return {"commit": self._object(call.repository, sha), "ref": self._ref(call.repository, ref)}

    def _committed(self, call: Call, git: Git, head: str, asked: Node) -> str:
        changes: dict[str, tuple[int, str] | None] = {}
        files = asked.get("fileChanges") or {}
        for one in files.get("additions") or ():
            changes[one["path"]] = (0o100644, git.add_blob(base64.b64decode(one["contents"])))
        for one in files.get("deletions") or ():
            if one["path"] in changes:
                raise _refuse("UNPROCESSABLE", "A path may only be named once.")
            changes[one["path"]] = None
        try:
            tree = git.grafted(git.tree_of(head), changes)
        except (KeyError, MalformedError):
            raise _refuse("UNPROCESSABLE", "A path requested for deletion does not exist.") from None
        message = asked["message"]
        text = message["headline"] + (f"\n\n{message['body']}" if message.get("body") else "")
        return add_commit(call, tree, [head], text, {})


def _state(pull: Pull) -> str:
    return "MERGED" if pull.merged_at is not None else pull.state.upper()


def _connection(items: Sequence[Any], shape: Callable[[Any], Any], page: Mapping[str, Any]) -> Node:
    """Return a page of a list in GitHub's manner: 100 at most, one of `first` and `last` given."""
    first, last = page.get("first"), page.get("last")
    if (first is None) is (last is None):
        raise _refuse(
            "MISSING_PAGINATION_BOUNDARIES",
            "You must provide a `first` or `last` value to properly paginate.",
        )
    size = int((first if last is None else last) or 0)
    if not 0 <= size <= 100:
        raise _refuse("EXCESSIVE_PAGINATION", f"Requesting {size} records exceeds the limit of 100 records.")
    start = 0 if page.get("after") is None else _position(page["after"]) + 1
    end = len(items) if page.get("before") is None else _position(page["before"])
    if last is None:
        end = min(end, start + size)
    else:
        start = max(start, end - size)
    chosen = list(range(start, max(start, end)))
    return {
        "totalCount": len(items),
        "nodes": lambda _info: [shape(items[at]) for at in chosen],
        "edges": lambda _info: [{"cursor": _cursor(at), "node": shape(items[at])} for at in chosen],
        "pageInfo": {
            "hasNextPage": end < len(items),
            "hasPreviousPage": start > 0,
            "startCursor": _cursor(chosen[0]) if chosen else None,
            "endCursor": _cursor(chosen[-1]) if chosen else None,
        },
    }


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _position(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("cursor:"))
    except (binascii.Error, ValueError):
        raise _refuse(
            "INVALID_CURSOR_ARGUMENTS", f"`{cursor}` does not appear to be a valid cursor."
        ) from None
