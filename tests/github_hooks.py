"""The GitHub stand-in's webhooks: payloads in the documented shapes, signed, and how they are told."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import Any

from github_git import NOBODY, Git
from github_shapes import Json, Shapes, node_id
from github_world import (
    Account,
    CheckRun,
    Comment,
    Delivery,
    Installation,
    Issue,
    Pull,
    Repository,
    Review,
    ReviewComment,
    World,
)

LARGEST = 25 << 20
MOST_COMMITS = 2048


@dataclass(frozen=True, slots=True)
class Hooks:
    world: World
    shapes: Shapes

    def delivery(
        self,
        event: str,
        action: str = "",
        *,
        repository: Repository | None = None,
        installation: Installation | None = None,
        sender: Account | None = None,
        guid: str = "",
        **about: Any,
    ) -> Delivery:
        """Return a delivery of an event, signed; `about` is what the event is about."""
        if installation is None and repository is not None:
            installation = self.world.installation_of(repository)
        sender = sender or (repository.owner if repository is not None else self.world.app.owner)
        payload: Json = {"action": action} if action else {}
        payload |= getattr(self, f"_{event}")(action, repository, installation, sender, about)
        if repository is not None:
            payload.setdefault("repository", self.shapes.repository(repository))
            if repository.owner.type == "Organization":
                payload["organization"] = self._organization(repository.owner)
        if installation is not None and "installation" not in payload:
            payload["installation"] = {
                "id": installation.id,
                "node_id": node_id("IN", installation.id),
            }
        payload["sender"] = self.shapes.account(sender)
        body = json.dumps(payload, separators=(",", ":")).encode()
        guid = guid or str(uuid.uuid4())
        return Delivery(
            id=self.world.next(),
            guid=guid,
            event=event,
            action=action or None,
            delivered_at=self.world.clock.stamp(),
            headers=self._headers(event, guid, body),
            body=body,
            payload=payload,
            installation_id=None if installation is None else installation.id,
            repository_id=None if repository is None else repository.id,
        )

    def _headers(self, event: str, guid: str, body: bytes) -> dict[str, str]:
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/3f1a2b4",
            "X-GitHub-Delivery": guid,
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": "501",
            "X-GitHub-Hook-Installation-Target-ID": str(self.world.app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if self.world.hook_secret:
            key = self.world.hook_secret.encode()
            headers["X-Hub-Signature"] = "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest()
            headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        if self.world.enterprise:
            headers["X-GitHub-Enterprise-Host"] = self.world.web.partition("://")[2]
            headers["X-GitHub-Enterprise-Version"] = "3.19.0"
        return headers

    def _organization(self, one: Account) -> Json:
        shape, base = self.shapes.account(one), f"{self.world.url}/orgs/{one.login}"
        kept = {name: shape[name] for name in ("login", "id", "node_id", "avatar_url")}
        links = ("repos", "events", "hooks", "issues")
        return {
            **kept,
            "url": base,
            "description": None,
            **{f"{name}_url": f"{base}/{name}" for name in links},
            "members_url": f"{base}/members{{/member}}",
            "public_members_url": f"{base}/public_members{{/member}}",
        }

    # --- events, each given what it is about

    def _ping(self, *_: Any) -> Json:
        base = f"{self.world.url}/app/hook"
        return {
            "zen": "Keep it logically awesome.",
            "hook_id": 501,
            "hook": {
                "type": "App",
                "id": 501,
                "name": "web",
                "active": True,
                "events": list(self.world.app.events),
                "config": {"content_type": "json", "insecure_ssl": "0", "url": self.world.hook_url},
                "updated_at": self.world.app.created_at,
                "created_at": self.world.app.created_at,
                "app_id": self.world.app.id,
                "deliveries_url": f"{base}/deliveries",
            },
        }

    def _push(self, _action: str, repository: Repository, _i: object, sender: Account, about: Json) -> Json:
        git, ref = repository.git, str(about["ref"])
        before, after = about.get("before") or NOBODY, about.get("after") or NOBODY
        page = self.shapes.page(repository)
        commits = (
            [] if after == NOBODY or not ref.startswith("refs/heads/") else self._new(git, before, after, ref)
        )
        forced = NOBODY not in (before, after) and before not in git.ancestors(after)
        person = {"name": sender.login, "email": f"{sender.id}+{sender.login}@users.noreply.github.com"}
        listed = [self._pushed(repository, sha) for sha in commits[-MOST_COMMITS:]]
        shape = self.shapes.repository(repository)
        return {
            "ref": ref,
            "before": before,
            "after": after,
            "repository": {
                **shape,
                "owner": {"name": repository.owner.login, "email": None, **shape["owner"]},
                "created_at": 1_700_000_000,
                "pushed_at": int(self.world.clock.now()),
                "url": page,
                "stargazers": 0,
                "master_branch": repository.default_branch,
            },
            "pusher": person,
            "created": before == NOBODY,
            "deleted": after == NOBODY,
            "forced": forced,
            "base_ref": None,
            "compare": f"{page}/compare/{before[:12]}...{after[:12]}",
            "commits": listed,
            "head_commit": None if git.peeled(after) is None else self._pushed(repository, after),
        }

    def _new(self, git: Git, before: str, after: str, ref: str) -> list[str]:
        if before != NOBODY:
            return git.between(before, after)
        known: set[str] = set()
        for name, sha in git.refs.items():
            if name.startswith("refs/heads/") and name != ref:
                known |= git.ancestors(sha).keys()
        return [sha for sha in reversed(git.ancestors(after)) if sha not in known]

    def _pushed(self, repository: Repository, sha: str) -> Json:
        git = repository.git
        commit = git.peeled(sha)
        assert commit is not None
        before = git.tree_of(commit.parents[0].decode()) if commit.parents else None
        changes = git.changes(before, commit.tree.decode())
        shape = self.shapes.git_commit(repository, commit)
        people = {}
        for name in ("author", "committer"):
            one = shape[name]
            people[name] = {
                "name": one["name"],
                "email": one["email"],
                "date": one["date"],
                "username": one["email"].partition("@")[0].partition("+")[2] or one["name"],
            }
        return {
            "id": commit.id.decode(),
            "tree_id": commit.tree.decode(),
            "distinct": True,
            "message": shape["message"],
            "timestamp": shape["committer"]["date"],
            "url": shape["html_url"],
            **people,
            **{
                word: [change.path for change in changes if change.status == word][:3000]
                for word in ("added", "removed", "modified")
            },
        }

    def _commit(self, repository: Repository, sha: str) -> Json:
        shape = self._pushed(repository, sha)
        return {
            name: shape[name] for name in ("id", "tree_id", "message", "timestamp", "author", "committer")
        }

    def _create(self, _action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        _, kind, name = str(about["ref"]).split("/", 2)
        return {
            "ref": name,
            "ref_type": {"heads": "branch", "tags": "tag"}[kind],
            "full_ref": about["ref"],
            "master_branch": repository.default_branch,
            "description": None,
            "pusher_type": "user",
        }

    def _delete(self, _action: str, _r: object, _i: object, _s: object, about: Json) -> Json:
        _, kind, name = str(about["ref"]).split("/", 2)
        return {
            "ref": name,
            "ref_type": {"heads": "branch", "tags": "tag"}[kind],
            "full_ref": about["ref"],
            "pusher_type": "user",
        }

    def _pull_request(self, action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        pull: Pull = about["pull"]
        shape: Json = {
            "number": pull.number,
            "pull_request": self.shapes.pull(repository, pull, full=True),
        }
        if action == "synchronize":
            shape |= {"before": about["before"], "after": about["after"]}
        if action == "edited":
            shape["changes"] = {}
        if action == "labeled" and pull.labels:
            shape["label"] = self.shapes.label(repository, pull.labels[-1])
        if action == "review_requested" and pull.reviewers:
            shape["requested_reviewer"] = self.shapes.account(pull.reviewers[-1])
        return shape

    def _issues(self, _action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        return {"issue": self.shapes.issue(repository, about["pull"])}

    def _issue_comment(
        self, action: str, repository: Repository, _i: object, _s: object, about: Json
    ) -> Json:
        issue: Issue = about["pull"]
        comment: Comment = about["comment"]
        shape: Json = {
            "issue": self.shapes.issue(repository, issue),
            "comment": self.shapes.comment(repository, comment),
        }
        if action == "edited":
            shape["changes"] = {"body": {"from": about.get("before", "")}}
        return shape

    def _pull_request_review_comment(
        self, _action: str, repository: Repository, _i: object, _s: object, about: Json
    ) -> Json:
        comment: ReviewComment = about["comment"]
        return {
            "pull_request": self.shapes.pull(repository, about["pull"]),
            "comment": self.shapes.review_comment(repository, comment),
        }

    def _pull_request_review(
        self, action: str, repository: Repository, _i: object, _s: object, about: Json
    ) -> Json:
        review: Review = about["review"]
        said = self.shapes.review(repository, review)
        shape: Json = {
            "pull_request": self.shapes.pull(repository, about["pull"]),
            "review": {
                **said,
                "body": review.body or None,  # REST says nothing by an empty text
                "state": review.state.lower(),
                "updated_at": review.edited_at or review.submitted_at,
            },
        }
        if action == "edited":
            shape["changes"] = {"body": {"from": about.get("before", "")}}
        return shape

    def _merge_group(self, action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        head = str(about["head_sha"])
        made: Json = {
            "merge_group": {
                "head_sha": head,
                "head_ref": about["head_ref"],
                "base_sha": about["base_sha"],
                "base_ref": about.get("base_ref", f"refs/heads/{repository.default_branch}"),
                "head_commit": self._commit(repository, head),
            }
        }
        if action == "destroyed":
            made["reason"] = about.get("reason", "merged")
        return made

    def _check_run(self, action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        run: CheckRun = about["check"]
        shape: Json = {"check_run": self.shapes.check_run(repository, run)}
        branch = about.get("branch", repository.default_branch)
        shape["check_run"]["check_suite"] = self.shapes.check_suite(repository, run.head_sha, branch)
        if action == "requested_action":
            shape["requested_action"] = {"identifier": about["identifier"]}
        return shape

    def _check_suite(self, _action: str, repository: Repository, _i: object, _s: object, about: Json) -> Json:
        branch = about.get("branch", repository.default_branch)
        suite = self.shapes.check_suite(repository, about["head_sha"], branch)
        runs = [one for one in repository.checks.values() if one.head_sha == about["head_sha"]]
        suite |= {
            "latest_check_runs_count": len(runs),
            "check_runs_url": f"{suite['url']}/check-runs",
            "head_commit": self._commit(repository, about["head_sha"]),
            "rerequestable": True,
            "runs_rerequestable": True,
        }
        return {"check_suite": suite}

    def _repository(self, action: str, _r: object, _i: object, _s: object, about: Json) -> Json:
        if action == "renamed":
            return {"changes": {"repository": {"name": {"from": about["before"]}}}}
        if action == "transferred":
            former: Account = about["before"]
            if former.type == "Organization":
                return {"changes": {"owner": {"from": {"organization": self._organization(former)}}}}
            return {"changes": {"owner": {"from": {"user": self.shapes.account(former)}}}}
        return {}

    def _small(self, one: Repository) -> Json:
        shape = self.shapes.repository(one)
        return {name: shape[name] for name in ("id", "node_id", "name", "full_name", "private")}

    def _installation(
        self, _action: str, _r: object, installation: Installation, _s: object, _about: Json
    ) -> Json:
        return {
            "installation": self.shapes.installation(installation),
            "repositories": [self._small(one) for one in self.world.covered(installation)],
            "requester": None,
        }

    def _installation_repositories(
        self, _action: str, _r: object, installation: Installation, _s: object, about: Json
    ) -> Json:
        return {
            "installation": self.shapes.installation(installation),
            "repository_selection": "all" if installation.repositories is None else "selected",
            "repositories_added": [self._small(one) for one in about.get("added", ())],
            "repositories_removed": [self._small(one) for one in about.get("removed", ())],
            "requester": None,
        }

    def _installation_target(
        self, _action: str, _r: object, installation: Installation, _s: object, about: Json
    ) -> Json:
        return {
            "account": self.shapes.account(installation.account),
            "changes": {"login": {"from": about["before"]}},
            "target_type": installation.account.type,
        }
