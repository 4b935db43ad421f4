"""How the GitHub stand-in writes what it knows: the JSON of the REST interface and of webhooks."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dulwich.objects import Commit, Tag
from github_git import Changed, Entry
from github_world import (
    SIGNATURE,
    WEB_FLOW,
    Account,
    CheckRun,
    Comment,
    Delivery,
    Installation,
    Issue,
    Label,
    Pull,
    Repository,
    Review,
    ReviewComment,
    World,
)

Json = dict[str, Any]


def node_id(kind: str, number: object) -> str:
    """Return a global id as GraphQL and REST both give it."""
    return f"{kind}_{base64.urlsafe_b64encode(str(number).encode()).decode().rstrip('=')}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _person(line: bytes) -> tuple[str, str]:
    name, _, address = line.decode("utf-8", "replace").partition(" <")
    return name, address.rstrip(">")


def signed(commit: Commit) -> bool:
    """Return whether the forge itself signed a commit."""
    return bool(commit.gpgsig == SIGNATURE.encode())


def _reactions(url: str) -> Json:
    names = ("total_count", "+1", "-1", "confused", "eyes", "heart", "hooray", "laugh", "rocket")
    return {"url": f"{url}/reactions", **dict.fromkeys(names, 0)}


@dataclass(frozen=True, slots=True)
class Shapes:
    world: World

    # --- people and the App

    def account(self, one: Account) -> Json:
        base = f"{self.world.url}/users/{one.login}"
        web = self.world.web
        page = f"{web}/apps/{one.login.removesuffix('[bot]')}" if one.type == "Bot" else f"{web}/{one.login}"
        return {
            "login": one.login,
            "id": one.id,
            "node_id": node_id({"Organization": "O", "Bot": "BOT"}.get(one.type, "U"), one.id),
            "avatar_url": f"{web}/avatars/u/{one.id}",
            "gravatar_id": "",
            "url": base,
            "html_url": page,
            "followers_url": f"{base}/followers",
            "following_url": f"{base}/following{{/other_user}}",
            "gists_url": f"{base}/gists{{/gist_id}}",
            "starred_url": f"{base}/starred{{/owner}}{{/repo}}",
            "subscriptions_url": f"{base}/subscriptions",
            "organizations_url": f"{base}/orgs",
            "repos_url": f"{base}/repos",
            "events_url": f"{base}/events{{/privacy}}",
            "received_events_url": f"{base}/received_events",
            "type": one.type,
            "site_admin": False,
        }

    def _maybe(self, one: Account | None) -> Json | None:
        return None if one is None else self.account(one)

    def app(self) -> Json:
        app = self.world.app
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": node_id("A", app.id),
            "client_id": app.client_id,
            "owner": self.account(app.owner),
            "name": app.slug,
            "description": "",
            "external_url": "https://bot.example",
            "html_url": f"{self.world.web}/apps/{app.slug}",
            "created_at": app.created_at,
            "updated_at": app.created_at,
            "permissions": dict(app.permissions),
            "events": list(app.events),
            "installations_count": len(self.world.installations),
        }

    def installation(self, one: Installation) -> Json:
        base = f"{self.world.url}/app/installations/{one.id}"
        kind = one.account.type
        return {
            "id": one.id,
            "client_id": self.world.app.client_id,
            "account": self.account(one.account),
            "repository_selection": "all" if one.repositories is None else "selected",
            "access_tokens_url": f"{base}/access_tokens",
            "repositories_url": f"{self.world.url}/installation/repositories",
            "html_url": f"{self.world.web}/settings/installations/{one.id}",
            "app_id": self.world.app.id,
            "app_slug": self.world.app.slug,
            "target_id": one.account.id,
            "target_type": kind,
            "permissions": dict(one.permissions),
            "events": list(self.world.app.events),
            "created_at": one.created_at,
            "updated_at": one.created_at,
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": self._maybe(one.suspended_by),
            "suspended_at": one.suspended_at,
        }

    # --- repositories

    def repository_url(self, one: Repository) -> str:
        return f"{self.world.url}/repos/{one.full_name}"

    def page(self, one: Repository) -> str:
        return f"{self.world.web}/{one.full_name}"

    def repository(self, one: Repository, *, full: bool = False) -> Json:
        base, page = self.repository_url(one), self.page(one)
        opened = sum(issue.state == "open" for issue in one.issues.values())
        plain = (
            "contributors deployments downloads events forks hooks languages merges stargazers subscribers"
            " subscription tags teams"
        )
        templated = {
            "archive": "/{archive_format}{/ref}",
            "assignees": "/assignees{/user}",
            "blobs": "/git/blobs{/sha}",
            "branches": "/branches{/branch}",
            "collaborators": "/collaborators{/collaborator}",
            "comments": "/comments{/number}",
            "commits": "/commits{/sha}",
            "compare": "/compare/{base}...{head}",
            "contents": "/contents/{+path}",
            "git_commits": "/git/commits{/sha}",
            "git_refs": "/git/refs{/sha}",
            "git_tags": "/git/tags{/sha}",
            "issue_comment": "/issues/comments{/number}",
            "issue_events": "/issues/events{/number}",
            "issues": "/issues{/number}",
            "keys": "/keys{/key_id}",
            "labels": "/labels{/name}",
            "milestones": "/milestones{/number}",
            "notifications": "/notifications{?since,all,participating}",
            "pulls": "/pulls{/number}",
            "releases": "/releases{/id}",
            "statuses": "/statuses/{sha}",
            "trees": "/git/trees{/sha}",
        }
        shape: Json = {
            "id": one.id,
            "node_id": node_id("R", one.id),
            "name": one.name,
            "full_name": one.full_name,
            "private": one.private,
            "owner": self.account(one.owner),
            "html_url": page,
            "description": None,
            "fork": one.parent is not None,
            "url": base,
            **{f"{name}_url": f"{base}/{name}" for name in plain.split()},
            **{f"{name}_url": base + rest for name, rest in templated.items()},
            "git_url": f"git://{page.partition('://')[2]}.git",
            "ssh_url": f"git@{page.partition('://')[2]}.git",
            "clone_url": f"{page}.git",
            "svn_url": page,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "forks_count": 0,
            "forks": 0,
            "stargazers_count": 0,
            "watchers_count": 0,
            "watchers": 0,
            "size": 0,
            "default_branch": one.default_branch,
            "open_issues_count": opened,
            "open_issues": opened,
            "is_template": False,
            "topics": [],
            "has_issues": True,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_downloads": True,
            "has_discussions": False,
            "archived": one.archived,
            "disabled": one.disabled,
            "visibility": "private" if one.private else "public",
            "pushed_at": one.pushed_at or one.created_at,
            "created_at": one.created_at,
            "updated_at": one.pushed_at or one.created_at,
            "license": None,
            "allow_forking": True,
            "web_commit_signoff_required": False,
        }
        if full:
            shape |= {"subscribers_count": 0, "network_count": 0, "permissions": self._permissions()}
            if one.parent is not None:
                shape |= {"parent": self.repository(one.parent), "source": self.repository(one.parent)}
        return shape

    def minimal(self, one: Repository) -> Json:
        return self.repository(one)

    def _permissions(self) -> Json:
        return {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}

    def label(self, repository: Repository, one: Label) -> Json:
        return {
            "id": one.id,
            "node_id": node_id("LA", one.id),
            "url": f"{self.repository_url(repository)}/labels/{one.name}",
            "name": one.name,
            "color": one.color,
            "default": False,
            "description": one.description or "",
        }

    # --- git

    def ref(self, repository: Repository, name: str, sha: str) -> Json:
        found = repository.git.find(sha)
        kind = "commit" if found is None else found.type_name.decode()
        base = f"{self.repository_url(repository)}/git"
        return {
            "ref": name,
            "node_id": node_id("REF", f"{repository.id}:{name}"),
            "url": f"{base}/{name}",
            "object": {"sha": sha, "type": kind, "url": f"{base}/{kind}s/{sha}"},
        }

    def tree(self, repository: Repository, tree: str, entries: Iterable[Entry], *, truncated: bool) -> Json:
        base = f"{self.repository_url(repository)}/git"
        listed = []
        for entry in entries:
            shape: Json = {
                "path": entry.path,
                "mode": f"{entry.mode:06o}",
                "type": entry.type,
                "sha": entry.sha,
            }
            if entry.type == "blob":
                shape |= {"size": len(repository.git.data(entry.sha)), "url": f"{base}/blobs/{entry.sha}"}
            elif entry.type == "tree":
                shape["url"] = f"{base}/trees/{entry.sha}"
            listed.append(shape)
        return {"sha": tree, "url": f"{base}/trees/{tree}", "tree": listed, "truncated": truncated}

    def _signer(self, line: bytes, seconds: int) -> Json:
        name, address = _person(line)
        return {"name": name, "email": address, "date": _moment(seconds)}

    def verification(self, commit: Commit) -> Json:
        if signed(commit):
            return {
                "verified": True,
                "reason": "valid",
                "signature": SIGNATURE,
                "payload": f"tree {commit.tree.decode()}\n",
                "verified_at": _moment(commit.commit_time),
            }
        reason = "unknown_key" if commit.gpgsig else "unsigned"
        signature = commit.gpgsig.decode() if commit.gpgsig else None
        return {
            "verified": False,
            "reason": reason,
            "signature": signature,
            "payload": None,
            "verified_at": None,
        }

    def git_commit(self, repository: Repository, commit: Commit) -> Json:
        sha, base, page = commit.id.decode(), self.repository_url(repository), self.page(repository)
        return {
            "sha": sha,
            "node_id": node_id("C", f"{repository.id}:{sha}"),
            "url": f"{base}/git/commits/{sha}",
            "html_url": f"{page}/commit/{sha}",
            "author": self._signer(commit.author, commit.author_time),
            "committer": self._signer(commit.committer, commit.commit_time),
            "tree": {"sha": commit.tree.decode(), "url": f"{base}/git/trees/{commit.tree.decode()}"},
            "message": commit.message.decode("utf-8", "replace"),
            "parents": [
                {
                    "sha": parent.decode(),
                    "url": f"{base}/git/commits/{parent.decode()}",
                    "html_url": f"{page}/commit/{parent.decode()}",
                }
                for parent in commit.parents
            ],
            "verification": self.verification(commit),
        }

    def _account_of(self, line: bytes) -> Json | None:
        """Return the account that a commit's person is, known by the address that GitHub hides it behind."""
        name, address = _person(line)
        if (name, address) == WEB_FLOW:
            return self.account(self.world.account("web-flow"))
        login = address.partition("@")[0].partition("+")[2]
        found = self.world.accounts.get(login.lower()) if login else None
        return None if found is None else self.account(found)

    def commit(self, repository: Repository, commit: Commit) -> Json:
        git = self.git_commit(repository, commit)
        sha, base = git["sha"], self.repository_url(repository)
        return {
            "sha": sha,
            "node_id": git["node_id"],
            "url": f"{base}/commits/{sha}",
            "html_url": git["html_url"],
            "comments_url": f"{base}/commits/{sha}/comments",
            "commit": {
                "url": git["url"],
                "author": git["author"],
                "committer": git["committer"],
                "message": git["message"],
                "tree": git["tree"],
                "comment_count": 0,
                "verification": git["verification"],
            },
            "author": self._account_of(commit.author),
            "committer": self._account_of(commit.committer),
            "parents": [
                {**parent, "url": parent["url"].replace("/git/commits/", "/commits/")}
                for parent in git["parents"]
            ],
        }

    def tag(self, repository: Repository, tag: Tag) -> Json:
        kind, sha = tag.object[0].type_name.decode(), tag.object[1].decode()
        base = f"{self.repository_url(repository)}/git"
        return {
            "node_id": node_id("T", f"{repository.id}:{tag.id.decode()}"),
            "tag": tag.name.decode(),
            "sha": tag.id.decode(),
            "url": f"{base}/tags/{tag.id.decode()}",
            "message": (tag.message or b"").decode("utf-8", "replace"),
            "tagger": self._signer(tag.tagger or b"nobody <nobody@example.com>", tag.tag_time or 0),
            "object": {"sha": sha, "type": kind, "url": f"{base}/{kind}s/{sha}"},
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        }

    def file(self, repository: Repository, ref: str, change: Changed) -> Json:
        """Return a file of a comparison; `ref` is the commit that it is looked at."""
        patch = repository.git.patch(change)
        lines = [] if patch is None else patch.split("\n")
        added = sum(line.startswith("+") for line in lines)
        removed = sum(line.startswith("-") for line in lines)
        entry = change.new or change.old
        assert entry is not None
        page, base = self.page(repository), self.repository_url(repository)
        shape: Json = {
            "sha": entry.sha,
            "filename": change.path,
            "status": change.status,
            "additions": added,
            "deletions": removed,
            "changes": added + removed,
            "blob_url": f"{page}/blob/{ref}/{change.path}",
            "raw_url": f"{page}/raw/{ref}/{change.path}",
            "contents_url": f"{base}/contents/{change.path}?ref={ref}",
        }
        if patch:
            shape["patch"] = patch
        return shape

    def content(self, repository: Repository, entry: Entry, ref: str, *, inline: bool) -> Json:
        """Return what the contents interface says of one path; `inline` with a file's bytes."""
        base, page = self.repository_url(repository), self.page(repository)
        # A file's executable bit is not told here, a submodule calls itself a file in a listing.
        kind = {"tree": "dir", "commit": "submodule"}.get(entry.type, "file")
        if entry.mode == 0o120000:
            kind = "symlink"
        part = {"dir": "tree"}.get(kind, "blob")
        git = f"{base}/git/{'trees' if kind in ('dir', 'submodule') else 'blobs'}/{entry.sha}"
        this = f"{base}/contents/{entry.path}?ref={ref}"
        html = f"{page}/{part}/{ref}/{entry.path}"
        shape: Json = {
            "name": entry.path.rpartition("/")[2],
            "path": entry.path,
            "sha": entry.sha,
            "size": 0,
            "url": this,
            "html_url": html,
            "git_url": git,
            "download_url": None,
            "type": kind,
            "_links": {"self": this, "git": git, "html": html},
        }
        if kind in ("file", "symlink"):
            data = repository.git.data(entry.sha)
            shape |= {"size": len(data), "download_url": f"{page}/raw/{ref}/{entry.path}"}
            if kind == "symlink" and inline:
                shape["target"] = data.decode("utf-8", "replace")
            elif inline:
                large = len(data) > 1_000_000
                shape |= {
                    "content": "" if large else base64.encodebytes(data).decode(),
                    "encoding": "none" if large else "base64",
                }
        elif kind == "submodule" and inline:
            shape["submodule_git_url"] = f"{page}-module.git"
        elif kind == "submodule":
            shape["type"] = "file"
        return shape

    # --- issues and pull requests

    def _association(self, repository: Repository, author: Account) -> str:
        if author is repository.owner:
            return "OWNER"
        return "COLLABORATOR" if author.login in repository.roles else "NONE"

    def issue(self, repository: Repository, one: Issue) -> Json:
        base, page = f"{self.repository_url(repository)}/issues/{one.number}", self.page(repository)
        html = f"{page}/{'pull' if isinstance(one, Pull) else 'issues'}/{one.number}"
        shape: Json = {
            "id": one.id,
            "node_id": node_id("PR" if isinstance(one, Pull) else "I", one.id),
            "url": base,
            "repository_url": self.repository_url(repository),
            "labels_url": f"{base}/labels{{/name}}",
            "comments_url": f"{base}/comments",
            "events_url": f"{base}/events",
            "html_url": html,
            "number": one.number,
            "state": one.state,
            "state_reason": None,
            "title": one.title,
            "body": one.body,
            "user": self.account(one.author),
            "labels": [self.label(repository, label) for label in one.labels],
            "assignee": self._maybe(next(iter(one.assignees), None)),
            "assignees": [self.account(each) for each in one.assignees],
            "milestone": None,
            "locked": one.locked,
            "active_lock_reason": None,
            "comments": sum(each.number == one.number for each in repository.comments.values()),
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "closed_at": one.closed_at,
            "closed_by": self._maybe(one.closed_by),
            "author_association": self._association(repository, one.author),
            "reactions": _reactions(base),
            "timeline_url": f"{base}/timeline",
            "performed_via_github_app": None,
        }
        if isinstance(one, Pull):
            pull = f"{self.repository_url(repository)}/pulls/{one.number}"
            shape["draft"] = one.draft
            shape["pull_request"] = {
                "url": pull,
                "html_url": html,
                "diff_url": f"{html}.diff",
                "patch_url": f"{html}.patch",
                "merged_at": one.merged_at,
            }
        return shape

    def _end(self, repository: Repository | None, label: str, ref: str, sha: str) -> Json:
        return {
            "label": label,
            "ref": ref,
            "sha": sha,
            "user": None if repository is None else self.account(repository.owner),
            "repo": None if repository is None else self.repository(repository),
        }

    def pull(self, repository: Repository, one: Pull, *, full: bool = False) -> Json:
        base = f"{self.repository_url(repository)}/pulls/{one.number}"
        issue, html = self.issue(repository, one), f"{self.page(repository)}/pull/{one.number}"
        statuses = f"{self.repository_url(repository)}/statuses/{one.head_sha}"
        shape: Json = {
            "url": base,
            "html_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "issue_url": issue["url"],
            "commits_url": f"{base}/commits",
            "review_comments_url": f"{base}/comments",
            "review_comment_url": f"{self.repository_url(repository)}/pulls/comments{{/number}}",
            "comments_url": issue["comments_url"],
            "statuses_url": statuses,
            **{
                name: issue[name]
                for name in [
                    "id",
                    "node_id",
                    "number",
                    "state",
                    "locked",
                    "title",
                    "user",
                    "body",
                    "labels",
                    "milestone",
                    "active_lock_reason",
                    "created_at",
                    "updated_at",
                    "closed_at",
                    "assignee",
                    "assignees",
                    "author_association",
                    "draft",
                ]
            },
            "merged_at": one.merged_at,
            "merge_commit_sha": one.merge_commit,
            "requested_reviewers": [self.account(each) for each in one.reviewers],
            "requested_teams": [],
            "head": self._end(one.head_repository, one.head_label, one.head_ref, one.head_sha),
            "base": self._end(
                repository, f"{repository.owner.login}:{one.base_ref}", one.base_ref, one.base_sha
            ),
            "_links": {
                "self": {"href": base},
                "html": {"href": html},
                "issue": {"href": issue["url"]},
                "comments": {"href": issue["comments_url"]},
                "review_comments": {"href": f"{base}/comments"},
                "review_comment": {"href": f"{self.repository_url(repository)}/pulls/comments{{/number}}"},
                "commits": {"href": f"{base}/commits"},
                "statuses": {"href": statuses},
            },
            "auto_merge": None,
        }
        if full:
            git = repository.git
            files = [self.file(repository, one.head_sha, change) for change in pull_changes(repository, one)]
            shape |= {
                "merged": one.merged_at is not None,
                "mergeable": None if one.state == "closed" else True,
                "rebaseable": None,
                "mergeable_state": "unknown" if one.state == "closed" else "draft" if one.draft else "clean",
                "merged_by": self._maybe(one.merged_by),
                "comments": issue["comments"],
                "review_comments": sum(
                    each.number == one.number for each in repository.review_comments.values()
                ),
                "maintainer_can_modify": one.maintainer_can_modify,
                "commits": len(git.between(one.base_sha, one.head_sha)),
                "additions": sum(file["additions"] for file in files),
                "deletions": sum(file["deletions"] for file in files),
                "changed_files": len(files),
            }
        return shape

    def comment(self, repository: Repository, one: Comment) -> Json:
        base, page = self.repository_url(repository), self.page(repository)
        return {
            "id": one.id,
            "node_id": node_id("IC", one.id),
            "url": f"{base}/issues/comments/{one.id}",
            "html_url": f"{page}/issues/{one.number}#issuecomment-{one.id}",
            "issue_url": f"{base}/issues/{one.number}",
            "user": self.account(one.author),
            "body": one.body,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "author_association": self._association(repository, one.author),
            "reactions": _reactions(f"{base}/issues/comments/{one.id}"),
            "performed_via_github_app": self.app() if one.author is self.world.app.bot else None,
        }

    def review(self, repository: Repository, one: Review) -> Json:
        html = f"{self.page(repository)}/pull/{one.number}#pullrequestreview-{one.id}"
        pull = f"{self.repository_url(repository)}/pulls/{one.number}"
        return {
            "id": one.id,
            "node_id": node_id("PRR", one.id),
            "user": self.account(one.author),
            "body": one.body,
            "state": one.state,
            "html_url": html,
            "pull_request_url": pull,
            "_links": {"html": {"href": html}, "pull_request": {"href": pull}},
            "commit_id": one.commit,
            "submitted_at": one.submitted_at,
            "author_association": self._association(repository, one.author),
        }

    def review_comment(self, repository: Repository, one: ReviewComment) -> Json:
        base = self.repository_url(repository)
        this, pull = f"{base}/pulls/comments/{one.id}", f"{base}/pulls/{one.number}"
        html = f"{self.page(repository)}/pull/{one.number}#discussion_r{one.id}"
        shape: Json = {
            "id": one.id,
            "node_id": node_id("PRRC", one.id),
            "url": this,
            "html_url": html,
            "pull_request_url": pull,
            "pull_request_review_id": one.review,
            "diff_hunk": "@@ -1 +1 @@",
            "path": one.path,
            "commit_id": one.commit,
            "original_commit_id": one.commit,
            "user": self.account(one.author),
            "body": one.body,
            "created_at": one.created_at,
            "updated_at": one.updated_at or one.created_at,
            "author_association": self._association(repository, one.author),
            "_links": {"self": {"href": this}, "html": {"href": html}, "pull_request": {"href": pull}},
            "side": one.side,
            "line": one.line,
            "original_line": one.original_line,
            "start_line": one.start_line,
            "original_start_line": one.original_start,
            "start_side": None if one.original_start is None else one.side,
            "subject_type": "file" if one.original_line is None else "line",
            # Counted from the hunk's head: every comment here stands in a hunk of its own.
            "position": None if one.line is None else 1,
            "original_position": None if one.original_line is None else 1,
            "reactions": _reactions(this),
        }
        if one.reply_to is not None:
            shape["in_reply_to_id"] = one.reply_to
        return shape

    # --- checks

    def check_run(self, repository: Repository, one: CheckRun) -> Json:
        base = f"{self.repository_url(repository)}/check-runs/{one.id}"
        pulls = [
            self._small(repository, pull)
            for pull in repository.pulls.values()
            # Only a push to the repository itself counts: a fork's pull request is not listed.
            if pull.state == "open" and pull.head_sha == one.head_sha and pull.head_repository is repository
        ]
        return {
            "id": one.id,
            "name": one.name,
            "node_id": node_id("CR", one.id),
            "head_sha": one.head_sha,
            "external_id": one.external_id,
            "url": base,
            "html_url": f"{self.page(repository)}/runs/{one.id}",
            "details_url": one.details_url or "https://bot.example",
            "status": one.status,
            "conclusion": one.conclusion,
            "started_at": one.started_at,
            "completed_at": one.completed_at,
            "output": {
                "title": one.output.get("title"),
                "summary": one.output.get("summary"),
                "text": one.output.get("text"),
                "annotations_count": len(one.annotations),
                "annotations_url": f"{base}/annotations",
            },
            "check_suite": {"id": self._suite(one.head_sha)},
            "app": None if one.app is None else self.app(),
            "pull_requests": pulls,
        }

    def _suite(self, sha: str) -> int:
        return int(sha[:8], 16)

    def check_suite(self, repository: Repository, sha: str, branch: str) -> Json:
        base = f"{self.repository_url(repository)}/check-suites/{self._suite(sha)}"
        return {
            "id": self._suite(sha),
            "node_id": node_id("CS", sha[:8]),
            "head_branch": branch,
            "head_sha": sha,
            "status": "queued",
            "conclusion": None,
            "url": base,
            "before": sha,
            "after": sha,
            "pull_requests": [],
            "app": self.app(),
            "created_at": self.world.clock.stamp(),
            "updated_at": self.world.clock.stamp(),
        }

    def _small(self, repository: Repository, pull: Pull) -> Json:
        def end(ref: str, sha: str) -> Json:
            repo = {"id": repository.id, "url": self.repository_url(repository), "name": repository.name}
            return {"ref": ref, "sha": sha, "repo": repo}

        return {
            "id": pull.id,
            "number": pull.number,
            "url": f"{self.repository_url(repository)}/pulls/{pull.number}",
            "head": end(pull.head_ref, pull.head_sha),
            "base": end(pull.base_ref, pull.base_sha),
        }

    # --- deliveries

    def delivery(self, one: Delivery, *, full: bool = False) -> Json:
        shape: Json = {
            "id": one.id,
            "guid": one.guid,
            "delivered_at": one.delivered_at,
            "redelivery": one.redelivery,
            "duration": 0.03,
            "status": "OK"
            if one.ok
            else "timed out"
            if one.status_code == 0
            else f"Invalid HTTP Response: {one.status_code}",
            "status_code": one.status_code,
            "event": one.event,
            "action": one.action,
            "installation_id": one.installation_id,
            "repository_id": one.repository_id,
            "throttled_at": None,
        }
        if full:
            shape |= {
                "url": "https://bot.example/webhooks/github",
                "request": {"headers": dict(one.headers), "payload": one.payload},
                "response": {"headers": {}, "payload": ""},
            }
        return shape


def pull_changes(repository: Repository, pull: Pull) -> list[Changed]:
    """Return the files of a pull request: from where its branch left its base to its head."""
    git = repository.git
    fork = git.merge_base(pull.base_sha, pull.head_sha)
    head = git.tree_of(pull.head_sha)
    assert head is not None
    return git.changes(None if fork is None else git.tree_of(fork), head)
