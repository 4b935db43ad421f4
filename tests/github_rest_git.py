"""The GitHub stand-in's repositories over REST: branches, refs, trees, blobs, commits, contents, comparison."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from dulwich.objects import Blob, Commit, Tag, Tree
from github_access import sees
from github_call import NOT_ACCESSIBLE, Answer, Call, Route
from github_git import FOLDER, LINK, SUBMODULE, Entry, Git, MalformedError
from github_shapes import Json
from github_world import SIGNATURE, WEB_FLOW, Refused, Repository, invalid

WORKFLOWS = ".github/workflows/"
_MODES = {"100644": "blob", "100755": "blob", "040000": "tree", "160000": "commit", "120000": "blob"}
_HEX = re.compile(r"[0-9a-f]{40}")


def _started(call: Call) -> Git:
    """Return the repository's git; raises `Refused` with 409 where nothing was ever pushed."""
    if call.repository.empty:
        raise Refused(409, "Git Repository is empty.")
    return call.repository.git


# --- repositories and branches


def get_repository(call: Call) -> Answer:
    return Answer(call.shapes.repository(call.repository, full=True))


def list_branches(call: Call) -> Answer:
    heads = _heads(call.repository)
    page, headers = call.page(sorted(heads.items()))
    base = call.shapes.repository_url(call.repository)
    return Answer(
        [
            {
                "name": name,
                "commit": {"sha": sha, "url": f"{base}/commits/{sha}"},
                "protected": bool(call.repository.rules_for(name)),
            }
            for name, sha in page
        ],
        headers=headers,
    )


def _heads(repository: Repository) -> dict[str, str]:
    return {
        name.removeprefix("refs/heads/"): sha
        for name, sha in repository.git.refs.items()
        if name.startswith("refs/heads/")
    }


def get_branch(call: Call) -> Answer:
    name = call.parameters["branch"]
    sha = call.repository.git.branch(name)
    commit = None if sha is None else call.repository.git.commit_at(sha)
    if commit is None:
        raise Refused(404, "Branch not found")
    base, page = call.shapes.repository_url(call.repository), call.shapes.page(call.repository)
    protected = bool(call.repository.rules_for(name))
    return Answer(
        {
            "name": name,
            "commit": call.shapes.commit(call.repository, commit),
            "_links": {"self": f"{base}/branches/{name}", "html": f"{page}/tree/{name}"},
            "protected": protected,
            "protection": {
                "enabled": protected,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": f"{base}/branches/{name}/protection",
        }
    )


def list_tags(call: Call) -> Answer:
    base = call.shapes.repository_url(call.repository)
    tags = [
        (name.removeprefix("refs/tags/"), commit.id.decode())
        for name, sha in reversed(call.repository.git.refs.items())
        if name.startswith("refs/tags/") and (commit := call.repository.git.peeled(sha)) is not None
    ]
    page, headers = call.page(tags)
    return Answer(
        [
            {
                "name": name,
                "commit": {"sha": sha, "url": f"{base}/commits/{sha}"},
                "zipball_url": f"{base}/zipball/refs/tags/{name}",
                "tarball_url": f"{base}/tarball/refs/tags/{name}",
                "node_id": f"REF_{name}",
            }
            for name, sha in page
        ],
        headers=headers,
    )


def list_rules(call: Call) -> Answer:
    page, headers = call.page(call.repository.rules_for(call.parameters["branch"]))
    return Answer(list(page), headers=headers)


def get_ruleset(call: Call) -> Answer:
    wanted = call.identity("ruleset_id")
    if not any(
        rule.get("ruleset_id") == wanted for rules in call.repository.rules.values() for rule in rules
    ):
        raise Refused(404, "Not Found")
    passed = wanted in call.repository.bypassed
    return Answer(
        {
            "id": wanted,
            "name": f"ruleset {wanted}",
            "target": "branch",
            "source_type": "Repository",
            "source": call.repository.full_name,
            "enforcement": "active",
            "current_user_can_bypass": "always" if passed else "never",
        }
    )


def actions_permissions(call: Call) -> Answer:
    return Answer(dict(call.repository.actions_policy))


# --- refs


def get_ref(call: Call) -> Answer:
    git = _started(call)
    name = f"refs/{call.parameters['ref']}"
    sha = git.ref(name)
    if sha is None:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.ref(call.repository, name, sha))


def matching_refs(call: Call) -> Answer:
    git = _started(call)
    prefix = f"refs/{call.parameters['ref']}"
    found = [
        call.shapes.ref(call.repository, name, sha)
        for name, sha in git.refs.items()
        if name.startswith(prefix)
    ]
    return Answer(found)


def post_ref(call: Call) -> Answer:
    _started(call)
    asked = call.body
    name, sha = str(asked["ref"]), str(asked["sha"])
    create_ref(call, name, sha)
    shape = call.shapes.ref(call.repository, name, sha)
    return Answer(shape, 201, {"Location": shape["url"]})


def create_ref(call: Call, name: str, sha: str) -> None:
    """Create a ref; raises `Refused` where GitHub would."""
    git = call.repository.git
    if not re.fullmatch(r"refs/[^/]+/.+", name) or name.endswith("/"):
        raise Refused(
            422,
            "Reference name must start with 'refs/' and contain at least two slashes, as in 'refs/heads/a'.",
        )
    if _bad_name(name):
        raise Refused(422, f"{name} is not a valid ref name.")
    _known(git, name, sha)
    if git.ref(name) is not None:
        raise Refused(422, "Reference already exists")
    if any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in git.refs):
        # git keeps refs as files: `a` and `a/b` cannot both be.
        raise Refused(422, "Reference update failed")
    _obey(call, name, None, sha, force=False)
    may_write_workflows(call, sha)
    call.world.move(call.repository, name, sha, call.actor)
    if name.startswith("refs/heads/"):
        call.happened("create", ref=name)
    call.happened("push", ref=name, before=None, after=sha)


def update_ref(call: Call) -> Answer:
    git = _started(call)
    name, asked = f"refs/{call.parameters['ref']}", call.body
    sha, force = str(asked["sha"]), bool(asked.get("force", False))
    before = git.ref(name)
    if before is None:
        raise Refused(422, "Reference does not exist")
    _known(git, name, sha)
    move_ref(call, name, before, sha, force=force)
    return Answer(call.shapes.ref(call.repository, name, sha))


def move_ref(call: Call, name: str, before: str, sha: str, *, force: bool) -> None:
    """Move a ref that is there; raises `Refused` where GitHub would."""
    git = call.repository.git
    if not force and before not in git.ancestors(sha):
        raise Refused(422, "Update is not a fast forward")
    _obey(call, name, before, sha, force=force)
    may_write_workflows(call, sha)
    call.world.move(call.repository, name, sha, call.actor)
    if before != sha:
        call.happened("push", ref=name, before=before, after=sha)


def remove_ref(call: Call) -> Answer:
    _started(call)
    delete_ref(call, f"refs/{call.parameters['ref']}")
    return Answer(None, 204)


def delete_ref(call: Call, name: str) -> None:
    """Delete a ref; raises `Refused` where GitHub would."""
    before = call.repository.git.ref(name)
    if before is None:
        raise Refused(422, "Reference does not exist")
    if name == f"refs/heads/{call.repository.default_branch}":
        raise Refused(422, "Cannot delete the default branch")
    _obey(call, name, before, None, force=True)
    call.world.move(call.repository, name, None, call.actor)
    call.happened("delete", ref=name)
    call.happened("push", ref=name, before=before, after=None)


def _bad_name(name: str) -> bool:
    """Return whether git-check-ref-format would refuse a name."""
    return bool(re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.$", name)) or any(
        part.startswith(".") or part.endswith(".lock") for part in name.split("/")
    )


def _known(git: Git, name: str, sha: str) -> None:
    if not _HEX.fullmatch(sha):
        raise Refused(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    found = git.find(sha)
    if found is None:
        raise Refused(422, "Object does not exist")
    if name.startswith("refs/heads/") and not isinstance(found, Commit):
        raise Refused(422, "Object is not a commit")


def _obey(call: Call, name: str, before: str | None, after: str | None, *, force: bool) -> None:
    """Hold a move of a branch to the rulesets in force."""
    if not name.startswith("refs/heads/"):
        return
    branch = name.removeprefix("refs/heads/")
    git = call.repository.git
    forced = before is not None and after is not None and force and before not in git.ancestors(after)
    for rule in call.repository.rules_for(branch):
        if rule.get("ruleset_id") in call.repository.bypassed:
            continue
        kind, parameters = rule["type"], rule.get("parameters", {})
        broken = {
            "creation": before is None and "Cannot create ref due to creations being restricted.",
            "update": before is not None and after is not None and "Cannot update this protected ref.",
            "deletion": after is None and "Cannot delete this branch",
            "non_fast_forward": forced and "Cannot force-push to this branch",
            "pull_request": after is not None
            and before is not None
            and "Changes must be made through a pull request.",
            "required_signatures": after is not None
            and before != after
            and any(
                not (commit := git.commit_at(sha)) or commit.gpgsig != SIGNATURE.encode()
                for sha in git.between(before or _base(call), after)
            )
            and "Commits must have verified signatures.",
            "branch_name_pattern": before is None
            and not _fits(branch, parameters)
            and "Branch name must match the pattern.",
            "commit_message_pattern": after is not None
            and not _fits(_message(git, after), parameters)
            and "Commit message must match the pattern.",
        }.get(kind, False)
        if broken:
            raise Refused(422, f"Repository rule violations found\n\n{broken}\n\n")


def _base(call: Call) -> str:
    return call.repository.git.branch(call.repository.default_branch) or ""


def _message(git: Git, sha: str) -> str:
    commit = git.commit_at(sha)
    return "" if commit is None else commit.message.decode("utf-8", "replace")


def _fits(text: str, parameters: Mapping[str, Any]) -> bool:
    pattern = str(parameters.get("pattern", ""))
    matched = {
        "starts_with": text.startswith(pattern),
        "ends_with": text.endswith(pattern),
        "contains": pattern in text,
        "regex": re.search(pattern, text) is not None,
    }[str(parameters.get("operator", "regex"))]
    return matched is not bool(parameters.get("negate", False))


def may_write_workflows(call: Call, sha: str) -> None:
    """Raise `Refused` where a commit brings workflow files that no branch has, without the permission."""
    if call.caller.may("workflows", "write"):
        return
    git = call.repository.git
    commit = git.peeled(sha)
    if commit is None:
        return

    def workflows(tree: str) -> set[Entry]:
        folder = git.lookup(tree, WORKFLOWS.rstrip("/"))
        return set() if folder is None or folder.mode != FOLDER else set(git.walk(folder.sha, WORKFLOWS))

    known: set[Entry] = set()
    for head in set(_heads(call.repository).values()):
        tree = git.tree_of(head)
        known |= set() if tree is None else workflows(tree)
    for entry in sorted(workflows(commit.tree.decode()) - known, key=lambda one: one.path):
        if entry.mode != FOLDER:
            raise Refused(
                403,
                f"refusing to allow a GitHub App to create or update workflow `{entry.path}` without "
                "`workflows` permission",
            )


# --- trees, blobs, commits, tags


def get_tree(call: Call) -> Answer:
    git = _started(call)
    name = call.parameters["tree_sha"]
    sha = git.resolve(name)
    tree = None if sha is None else git.tree_of(sha)
    if tree is None:
        raise Refused(404, "Not Found")
    # Any value asks for it, `0` and `false` too.
    entries = list(git.walk(tree) if "recursive" in call.request.args else git.entries(tree))
    limit = call.switches.tree_entries
    return Answer(call.shapes.tree(call.repository, tree, entries[:limit], truncated=len(entries) > limit))


def create_tree(call: Call) -> Answer:
    git = _started(call)
    asked = call.body
    base = asked.get("base_tree")
    if base is not None and not isinstance(git.find(str(base)), Tree):
        raise Refused(422, "base_tree is not a valid tree oid")
    if not asked["tree"] and base is None:
        raise Refused(422, "Invalid tree info")
    changes = {str(item.get("path", "")): _entry(call, item) for item in asked["tree"]}
    try:
        made = git.grafted(None if base is None else str(base), changes)
    except MalformedError:
        raise Refused(422, "tree.path contains a malformed path component") from None
    except KeyError:
        # So it says when a path that is to be deleted is not there.
        raise Refused(422, "GitRPC::BadObjectState") from None
    shape = call.shapes.tree(call.repository, made, git.entries(made), truncated=False)
    return Answer(shape, 201, {"Location": shape["url"]})


def _entry(call: Call, item: Json) -> tuple[int, str] | None:
    """Return what one entry of a new tree asks for: mode and object, or None for its removal."""
    path, mode, kind = str(item.get("path") or ""), item.get("mode"), item.get("type")
    if not path:
        raise Refused(422, "tree.path can't be blank")
    if mode not in _MODES:
        raise Refused(422, "Must supply a valid tree.mode")
    if kind is not None and kind != _MODES[mode]:
        raise Refused(422, f"tree.type {kind} does not go with tree.mode {mode}")
    if ("sha" in item) is ("content" in item):
        raise Refused(422, "Must supply either tree.sha or tree.content.")
    if path.lower().startswith(WORKFLOWS) and not call.caller.may("workflows", "write"):
        raise Refused(403, NOT_ACCESSIBLE)
    git = call.repository.git
    if "content" in item:
        return int(mode, 8), git.add_blob(str(item["content"]).encode())
    if item["sha"] is None:
        return None
    _fitting(git, str(item["sha"]), mode)
    return int(mode, 8), str(item["sha"])


def _fitting(git: Git, sha: str, mode: str) -> None:
    kind = _MODES[mode]
    if kind == "commit":
        return
    wanted = Blob if kind == "blob" else Tree
    if not isinstance(git.find(sha), wanted):
        raise Refused(422, f"tree.sha {sha} is not a valid {kind}")


def get_blob(call: Call) -> Answer:
    git = _started(call)
    sha = call.parameters["file_sha"]
    if not _HEX.fullmatch(sha):
        raise Refused(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    found = git.find(sha)
    if not isinstance(found, Blob):
        raise Refused(404, "Not Found")
    data = found.data
    if call.accepts("raw"):
        return Answer(data, headers={"Content-Type": "application/vnd.github.raw+json; charset=utf-8"})
    return Answer(
        {
            "sha": sha,
            "node_id": f"B_{sha}",
            "size": len(data),
            "url": f"{call.shapes.repository_url(call.repository)}/git/blobs/{sha}",
            "content": base64.encodebytes(data).decode(),
            "encoding": "base64",
        }
    )


def create_blob(call: Call) -> Answer:
    git = _started(call)
    asked = call.body
    data = str(asked["content"]).encode()
    if asked.get("encoding", "utf-8") == "base64":
        try:
            data = base64.b64decode("".join(str(asked["content"]).split()), validate=True)
        except binascii.Error:
            raise Refused(422, "content is not valid Base64") from None
    if len(data) > 40 << 20:
        raise Refused(422, "Your input was rejected because it was too large.")
    sha = git.add_blob(data)
    url = f"{call.shapes.repository_url(call.repository)}/git/blobs/{sha}"
    return Answer({"sha": sha, "url": url}, 201, {"Location": url})


def get_git_commit(call: Call) -> Answer:
    git = _started(call)
    commit = git.commit_at(call.parameters["commit_sha"])
    if commit is None:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.git_commit(call.repository, commit))


def create_commit(call: Call) -> Answer:
    git = _started(call)
    asked = call.body
    tree = str(asked["tree"])
    if git.tree_of(tree) != tree:
        raise Refused(422, "Tree SHA does not exist")
    parents = [str(parent) for parent in asked.get("parents", ())]
    if any(git.commit_at(parent) is None for parent in parents):
        raise Refused(422, "Parent SHA does not exist or is not a commit object")
    sha = add_commit(call, tree, parents, str(asked["message"]), asked)
    commit = git.commit_at(sha)
    assert commit is not None
    shape = call.shapes.git_commit(call.repository, commit)
    return Answer(shape, 201, {"Location": shape["url"]})


def add_commit(call: Call, tree: str, parents: list[str], message: str, asked: Json) -> str:
    """Store a commit as the App makes it; the forge signs it only where the App names nobody itself."""
    bot, now = call.world.app.bot, int(call.world.clock.now())
    author = (bot.login, f"{bot.id}+{bot.login}@users.noreply.github.com", now)
    committer: tuple[str, str, int] | None = (*WEB_FLOW, now)
    signature = str(asked.get("signature") or "")
    if any(asked.get(name) for name in ("author", "committer", "signature")):
        author = _signer(asked.get("author"), author)
        committer = _signer(asked.get("committer"), author)
    elif call.world.signs and not call.switches.drop_unverified:
        signature = SIGNATURE
    else:
        committer = None
    return call.repository.git.commit(
        tree, parents, message, author=author, committer=committer, signature=signature
    )


def _signer(asked: Json | None, otherwise: tuple[str, str, int]) -> tuple[str, str, int]:
    if not asked:
        return otherwise
    if not asked.get("name") or not asked.get("email"):
        raise invalid("Commit", "author", code="missing_field")
    return str(asked["name"]), str(asked["email"]), otherwise[2]


def get_tag(call: Call) -> Answer:
    git = _started(call)
    found = git.find(call.parameters["tag_sha"])
    if not isinstance(found, Tag):
        raise Refused(404, "Not Found")
    return Answer(call.shapes.tag(call.repository, found))


# --- history


def _commit(call: Call, name: str) -> Commit:
    git = call.repository.git
    sha = git.resolve(name)
    commit = None if sha is None else git.peeled(sha)
    if commit is None:
        raise Refused(422, f"No commit found for SHA: {name}")
    return commit


def get_commit(call: Call) -> Answer:
    git = _started(call)
    commit = _commit(call, call.parameters["ref"])
    sha = commit.id.decode()
    if call.accepts("sha"):
        return Answer(sha.encode(), headers={"Content-Type": "application/vnd.github.sha; charset=utf-8"})
    shape = call.shapes.commit(call.repository, commit)
    before = git.tree_of(commit.parents[0].decode()) if commit.parents else None
    changes = git.changes(before, commit.tree.decode())
    page, headers = call.page(changes, default=300)
    files = [call.shapes.file(call.repository, sha, change) for change in page]
    added, removed = (sum(file[name] for file in files) for name in ("additions", "deletions"))
    shape |= {"files": files, "stats": {"additions": added, "deletions": removed, "total": added + removed}}
    return Answer(shape, headers=headers)


def list_commits(call: Call) -> Answer:
    git = _started(call)
    name = call.query("sha", call.repository.default_branch)
    sha = git.resolve(name)
    commit = None if sha is None else git.peeled(sha)
    if commit is None:
        raise Refused(404, "Not Found")
    found = []
    for each in git.ancestors(commit.id.decode()):
        one = git.commit_at(each)
        if one is not None and _touches(git, one, call.query("path")):
            found.append(one)
    page, headers = call.page(found)
    return Answer([call.shapes.commit(call.repository, one) for one in page], headers=headers)


def _touches(git: Git, commit: Commit, path: str) -> bool:
    if not path:
        return True
    before = git.tree_of(commit.parents[0].decode()) if commit.parents else None
    here = git.lookup(commit.tree.decode(), path)
    there = None if before is None else git.lookup(before, path)
    return here != there


def compare(call: Call) -> Answer:
    git = _started(call)
    spec = call.parameters["basehead"]
    base_name, dots, head_name = spec.partition("...")
    if not dots:
        raise Refused(404, "Not Found")
    base, head = (_end(call, name) for name in (base_name, head_name))
    base_sha, head_sha = base.id.decode(), head.id.decode()
    fork = git.merge_base(base_sha, head_sha)
    merge_base = None if fork is None else git.commit_at(fork)
    if merge_base is None:
        raise Refused(404, f"No common ancestor between {base_name} and {head_name}.")
    ahead, behind = git.between(base_sha, head_sha), git.between(head_sha, base_sha)
    changes = git.changes(merge_base.tree.decode(), head.tree.decode())
    commits, headers = call.page(ahead, default=250)
    first = call.number("page", 1) == 1
    page = f"{call.shapes.page(call.repository)}/compare/{spec}"
    return Answer(
        {
            "url": f"{call.shapes.repository_url(call.repository)}/compare/{spec}",
            "html_url": page,
            "permalink_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": call.shapes.commit(call.repository, base),
            "merge_base_commit": call.shapes.commit(call.repository, merge_base),
            "status": {
                (False, False): "identical",
                (True, False): "ahead",
                (False, True): "behind",
                (True, True): "diverged",
            }[bool(ahead), bool(behind)],
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [
                call.shapes.commit(call.repository, commit)
                for sha in commits
                if (commit := git.commit_at(sha)) is not None
            ],
            # Files stand on the first page only, and no more than 300 of them.
            "files": [
                call.shapes.file(call.repository, head_sha, change)
                for change in (changes[:300] if first else ())
            ],
        },
        headers=headers,
    )


def _end(call: Call, name: str) -> Commit:
    repository = call.repository
    owner, colon, branch = name.partition(":")
    if colon:
        found = next(
            (
                one
                for one in call.world.repositories.values()
                if one.owner.login.lower() == owner.lower()
                and (one is repository or one.parent is repository or repository.parent is one)
            ),
            None,
        )
        if found is None or (found.private and not sees(call.world, call.caller, found)):
            raise Refused(404, "Not Found")
        repository, name = found, branch
    sha = repository.git.resolve(name)
    commit = None if sha is None else repository.git.peeled(sha)
    if commit is None:
        raise Refused(404, "Not Found")
    return commit


# --- contents


def get_content(call: Call) -> Answer:
    repository, path = call.repository, call.parameters["path"].strip("/")
    git = repository.git
    name = call.query("ref", repository.default_branch)
    sha = git.resolve(name)
    tree = None if sha is None else git.tree_of(sha)
    if tree is None:
        if repository.empty:
            raise Refused(404, "This repository is empty.")
        raise Refused(404, f"No commit found for the ref {name}")
    entry = git.lookup(tree, path)
    if entry is None:
        raise Refused(404, "Not Found")
    if entry.mode == FOLDER:
        return _folder(call, entry, name)
    if entry.mode == LINK:
        # A link to a file in the repository is followed without a word.
        entry = _followed(git, tree, entry)
    if call.accepts("raw") and entry.mode != SUBMODULE:
        data = git.data(entry.sha)
        return Answer(data, headers={"Content-Type": "application/vnd.github.raw+json; charset=utf-8"})
    if entry.type == "blob" and len(git.data(entry.sha)) > 100_000_000:
        raise Refused(403, "This API returns blobs up to 100 MB in size.")
    return _typed(call, call.shapes.content(repository, entry, name, inline=True))


def _folder(call: Call, entry: Entry, name: str) -> Answer:
    prefix = f"{entry.path}/" if entry.path else ""
    inside = call.repository.git.entries(entry.sha, prefix)[:1000]
    listed = [call.shapes.content(call.repository, one, name, inline=False) for one in inside]
    if call.accepts("object"):
        return _typed(
            call, {**call.shapes.content(call.repository, entry, name, inline=False), "entries": listed}
        )
    return Answer(listed)


def _typed(call: Call, shape: Json) -> Answer:
    if call.accepts("object"):
        return Answer(shape, headers={"Content-Type": "application/vnd.github.object+json; charset=utf-8"})
    return Answer(shape)


def _followed(git: Git, tree: str, entry: Entry) -> Entry:
    target = git.data(entry.sha).decode("utf-8", "surrogateescape")
    if target.startswith("/"):
        return entry
    parts = entry.path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return entry
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    found = git.lookup(tree, "/".join(parts))
    if found is None or found.type != "blob" or found.mode == LINK:
        return entry
    return Entry(entry.path, found.mode, found.sha)


def put_content(call: Call) -> Answer:
    git, asked, path = call.repository.git, call.body, call.parameters["path"]
    branch = str(asked.get("branch") or call.repository.default_branch)
    head = git.branch(branch)
    if head is None and not call.repository.empty:
        raise Refused(404, f"Branch {branch} not found")
    tree = None if head is None else git.tree_of(head)
    old = None if tree is None else git.lookup(tree, path)
    if old is not None and "sha" not in asked:
        raise Refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if old is not None and asked["sha"] != old.sha:
        raise Refused(409, f"{path} does not match {asked['sha']}")
    if path.lower().startswith(WORKFLOWS) and not call.caller.may("workflows", "write"):
        raise Refused(403, NOT_ACCESSIBLE)
    blob = git.add_blob(base64.b64decode(str(asked["content"])))
    made = git.grafted(tree, {path: (0o100644, blob)})
    sha = add_commit(call, made, [] if head is None else [head], str(asked["message"]), asked)
    _obey(call, f"refs/heads/{branch}", head, sha, force=False)
    call.world.move(call.repository, f"refs/heads/{branch}", sha, call.actor)
    call.happened("push", ref=f"refs/heads/{branch}", before=head, after=sha)
    commit = git.commit_at(sha)
    assert commit is not None
    entry = Entry(path, 0o100644, blob)
    shape = {
        "content": call.shapes.content(call.repository, entry, branch, inline=False),
        "commit": call.shapes.git_commit(call.repository, commit),
    }
    return Answer(shape, 201 if old is None else 200)


def list_releases(call: Call) -> Answer:
    page, headers = call.page([_release(call, one) for one in call.repository.releases])
    return Answer(list(page), headers=headers)


def get_release(call: Call) -> Answer:
    for one in call.repository.releases:
        if one["tag_name"] == call.parameters["tag"]:
            return Answer(_release(call, one))
    raise Refused(404, "Not Found")


def _release(call: Call, one: Json) -> Json:
    base, page = call.shapes.repository_url(call.repository), call.shapes.page(call.repository)
    return {
        "url": f"{base}/releases/{one['id']}",
        "html_url": f"{page}/releases/tag/{one['tag_name']}",
        "assets_url": f"{base}/releases/{one['id']}/assets",
        "upload_url": f"{base}/releases/{one['id']}/assets{{?name,label}}",
        "tarball_url": f"{base}/tarball/{one['tag_name']}",
        "zipball_url": f"{base}/zipball/{one['tag_name']}",
        "node_id": f"RE_{one['id']}",
        "target_commitish": call.repository.default_branch,
        "name": one["tag_name"],
        "draft": False,
        "prerelease": False,
        "immutable": False,
        "created_at": call.repository.created_at,
        "published_at": call.repository.created_at,
        "author": call.shapes.account(call.repository.owner),
        "assets": [],
        "body": "",
        **one,
    }


_REPO, _GIT = "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/git"
_READS, _WRITES = ("contents",), ("contents",)
ROUTES: dict[str, Route] = {
    f"GET {_REPO}": Route(handler=get_repository, permissions=("metadata",)),
    f"GET {_REPO}/branches": Route(handler=list_branches, permissions=_READS),
    f"GET {_REPO}/branches/{{branch}}": Route(handler=get_branch, permissions=_READS),
    f"GET {_REPO}/tags": Route(handler=list_tags, permissions=_READS),
    f"GET {_REPO}/rules/branches/{{branch}}": Route(handler=list_rules, permissions=("metadata",)),
    f"GET {_REPO}/rulesets/{{ruleset_id}}": Route(handler=get_ruleset, permissions=("metadata",)),
    f"GET {_REPO}/actions/permissions": Route(handler=actions_permissions, permissions=("administration",)),
    f"GET {_GIT}/ref/{{ref}}": Route(handler=get_ref, permissions=_READS),
    f"GET {_GIT}/matching-refs/{{ref}}": Route(handler=matching_refs, permissions=_READS),
    f"POST {_GIT}/refs": Route(handler=post_ref, permissions=_WRITES, level="write"),
    f"PATCH {_GIT}/refs/{{ref}}": Route(handler=update_ref, permissions=_WRITES, level="write"),
    f"DELETE {_GIT}/refs/{{ref}}": Route(handler=remove_ref, permissions=_WRITES, level="write"),
    f"GET {_GIT}/trees/{{tree_sha}}": Route(handler=get_tree, permissions=_READS),
    f"POST {_GIT}/trees": Route(handler=create_tree, permissions=_WRITES, level="write"),
    f"GET {_GIT}/blobs/{{file_sha}}": Route(handler=get_blob, permissions=_READS),
    f"POST {_GIT}/blobs": Route(handler=create_blob, permissions=_WRITES, level="write"),
    f"GET {_GIT}/commits/{{commit_sha}}": Route(handler=get_git_commit, permissions=_READS),
    f"POST {_GIT}/commits": Route(handler=create_commit, permissions=_WRITES, level="write"),
    f"GET {_GIT}/tags/{{tag_sha}}": Route(handler=get_tag, permissions=_READS),
    f"GET {_REPO}/commits": Route(handler=list_commits, permissions=_READS),
    f"GET {_REPO}/commits/{{ref}}": Route(handler=get_commit, permissions=_READS),
    f"GET {_REPO}/compare/{{basehead}}": Route(handler=compare, permissions=_READS),
    f"GET {_REPO}/contents/{{path}}": Route(handler=get_content, permissions=_READS),
    f"PUT {_REPO}/contents/{{path}}": Route(handler=put_content, permissions=_WRITES, level="write"),
    f"GET {_REPO}/releases": Route(handler=list_releases, permissions=_READS),
    f"GET {_REPO}/releases/tags/{{tag}}": Route(handler=get_release, permissions=_READS),
}
