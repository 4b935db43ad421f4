"""The GitHub stand-in's pull requests over REST, with their comments, labels, reviewers, checks and statuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from github_access import sees
from github_call import NOT_ACCESSIBLE, Answer, Call, Route
from github_shapes import Json, pull_changes
from github_world import (
    LEVELS,
    CheckRun,
    Comment,
    Issue,
    Label,
    Pull,
    Refused,
    Repository,
    Review,
    ReviewComment,
    invalid,
)

LONGEST = 65536
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")


def _text(resource: str, body: object) -> None:
    if isinstance(body, str) and len(body) > LONGEST:
        raise invalid(resource, "body", message=f"body is too long (maximum is {LONGEST} characters)")


def _title(title: object) -> None:
    if isinstance(title, str) and len(title) > 256:
        raise invalid("Issue", "title", message="title is too long (maximum is 256 characters)")
    if isinstance(title, str) and not title.strip():
        raise invalid("Issue", "title", code="missing_field")


# --- pull requests


def list_pulls(call: Call) -> Answer:
    state, head, base = call.query("state", "open"), call.query("head"), call.query("base")
    found: Iterable[Pull] = call.repository.pulls.values()
    if state != "all":
        found = [one for one in found if one.state == state]
    # Without `owner:` before it the head is no filter at all.
    if ":" in head:
        found = [one for one in found if one.head_label.lower() == head.lower()]
    if base:
        found = [one for one in found if one.base_ref == base]
    attribute = {"updated": "updated_at"}.get(call.query("sort"), "created_at")
    descends = (
        call.query("direction", "desc" if call.query("sort", "created") == "created" else "asc") == "desc"
    )
    ordered = sorted(found, key=lambda one: (getattr(one, attribute), one.number), reverse=descends)
    page, headers = call.page(ordered)
    return Answer([call.shapes.pull(call.repository, one) for one in page], headers=headers)


def get_pull(call: Call) -> Answer:
    return Answer(call.shapes.pull(call.repository, call.pull(), full=True))


def create_pull(call: Call) -> Answer:
    asked, repository = call.body, call.repository
    if "title" not in asked and "issue" not in asked:
        raise invalid("PullRequest", "title", code="missing_field")
    _title(asked.get("title"))
    _text("PullRequest", asked.get("body"))
    owner, colon, branch = str(asked["head"]).rpartition(":")
    head: Repository | None = repository
    if colon and owner.lower() != repository.owner.login.lower():
        head = next(
            (
                one
                for one in call.world.repositories.values()
                if one.owner.login.lower() == owner.lower() and one.parent is repository
            ),
            None,
        )
    if head is None:
        raise invalid("PullRequest", "head")
    if (
        head is not repository
        and not sees(call.world, call.caller, head)
        and asked.get("maintainer_can_modify", True)
    ):
        raise invalid(
            "PullRequest", "fork_collab", message="Fork collab can't be granted by someone without permission"
        )
    pull = call.world.open_pull(
        repository,
        author=call.actor,
        head_repository=head,
        head=branch,
        into=str(asked["base"]),
        title=str(asked["title"]),
        body=asked.get("body"),
        draft=bool(asked.get("draft", False)),
        modifiable=head is not repository and bool(asked.get("maintainer_can_modify", True)),
    )
    call.happened("pull_request", "opened", pull=pull)
    shape = call.shapes.pull(repository, pull, full=True)
    return Answer(shape, 201, {"Location": shape["url"]})


def update_pull(call: Call) -> Answer:
    asked, pull = call.body, call.pull()
    _title(asked.get("title"))
    _text("PullRequest", asked.get("body"))
    state = asked.get("state")
    if "base" in asked and asked["base"] != pull.base_ref:
        onto = call.repository.git.branch(str(asked["base"]))
        if onto is None:
            raise invalid("PullRequest", "base")
        if pull.state == "closed":
            raise invalid(
                "PullRequest", "base", message="Cannot change the base branch of a closed pull request."
            )
        pull.base_ref, pull.base_sha = str(asked["base"]), onto
    if "title" in asked or "body" in asked or "base" in asked:
        pull.title = str(asked.get("title") or pull.title)
        pull.body = asked.get("body", pull.body)
        pull.updated_at = call.world.clock.stamp()
        call.happened("pull_request", "edited", pull=pull)
    if state is not None and state != pull.state:
        _set_state(call, pull, str(state))
    return Answer(call.shapes.pull(call.repository, pull, full=True))


def _set_state(call: Call, one: Issue, state: str) -> None:
    event = "pull_request" if isinstance(one, Pull) else "issues"
    if state == "closed":
        call.world.close(one, call.actor)
        call.happened(event, "closed", pull=one)
    else:
        call.world.reopen(call.repository, one)
        call.happened(event, "reopened", pull=one)


def list_pull_files(call: Call) -> Answer:
    pull = call.pull()
    page, headers = call.page(pull_changes(call.repository, pull)[:3000])
    return Answer([call.shapes.file(call.repository, pull.head_sha, one) for one in page], headers=headers)


def list_pull_commits(call: Call) -> Answer:
    pull, git = call.pull(), call.repository.git
    page, headers = call.page(git.between(pull.base_sha, pull.head_sha)[:250])
    return Answer(
        [
            call.shapes.commit(call.repository, commit)
            for sha in page
            if (commit := git.commit_at(sha)) is not None
        ],
        headers=headers,
    )


def merge_pull(call: Call) -> Answer:
    pull, asked, git = call.pull(), call.body, call.repository.git
    if pull.state == "closed" or pull.draft:
        raise Refused(405, "Pull Request is not mergeable")
    if asked.get("sha") and asked["sha"] != pull.head_sha:
        raise Refused(409, "Head branch was modified. Review and try the merge again.")
    sha = call.world.merge(call.repository, pull, call.actor, squash=asked.get("merge_method") == "squash")
    assert git.commit_at(sha) is not None
    call.happened("pull_request", "closed", pull=pull)
    return Answer({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


def request_reviewers(call: Call) -> Answer:
    pull, asked = call.pull(), call.body
    names = [str(name) for name in asked.get("reviewers", ())]
    if asked.get("team_reviewers") or any(
        LEVELS[call.world.role(call.repository, name)] < LEVELS["read"] or not _collaborates(call, name)
        for name in names
    ):
        raise Refused(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified "
            f"is not a collaborator of the {call.repository.full_name} repository.",
        )
    if any(name.lower() == pull.author.login.lower() for name in names):
        raise Refused(422, "Review cannot be requested from pull request author.")
    for name in names:
        account = call.world.account(name)
        if account not in pull.reviewers:
            pull.reviewers.append(account)
            call.happened("pull_request", "review_requested", pull=pull)
    return Answer(call.shapes.pull(call.repository, pull), 201)


def _collaborates(call: Call, name: str) -> bool:
    owner = call.repository.owner.login.lower()
    return name.lower() == owner or name.lower() in {one.lower() for one in call.repository.roles}


# --- reviews


def list_reviews(call: Call) -> Answer:
    number = call.pull().number
    page, headers = call.page([one for one in call.repository.reviews.values() if one.number == number])
    return Answer([call.shapes.review(call.repository, one) for one in page], headers=headers)


def create_review(call: Call) -> Answer:
    pull, asked = call.pull(), call.body
    _text("PullRequestReview", asked.get("body"))
    commit = str(asked.get("commit_id") or pull.head_sha)
    # One bad comment fails the whole review.
    places = [_place(call, pull, comment) for comment in asked.get("comments", ())]
    now = call.world.clock.stamp()
    event = str(asked.get("event", "PENDING"))
    review = Review(
        id=call.world.next(),
        number=pull.number,
        author=call.actor,
        body=str(asked.get("body", "")),
        state={"COMMENT": "COMMENTED", "APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}.get(
            event, "PENDING"
        ),
        commit=commit,
        submitted_at=now,
    )
    call.repository.reviews[review.id] = review
    for place in places:
        _add_review_comment(call, pull, place, commit, review.id)
    if review.state != "PENDING":
        call.happened("pull_request_review", "submitted", pull=pull, review=review)
    return Answer(call.shapes.review(call.repository, review))


def get_review(call: Call) -> Answer:
    pull, found = call.pull(), call.repository.reviews.get(call.identity("review_id"))
    # Nobody but its author sees one that is not submitted.
    hidden = found is None or (found.state == "PENDING" and found.author is not call.actor)
    if found is None or hidden or found.number != pull.number:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.review(call.repository, found))


def _add_review_comment(
    call: Call, pull: Pull, place: Json, commit: str, review: int | None
) -> ReviewComment:
    made = ReviewComment(
        id=call.world.next(),
        number=pull.number,
        author=call.actor,
        body=str(place["body"]),
        path=str(place["path"]),
        commit=commit,
        created_at=call.world.clock.stamp(),
        line=place.get("line"),
        start_line=place.get("start_line"),
        side=str(place.get("side", "RIGHT")),
        reply_to=place.get("in_reply_to"),
        review=review,
    )
    call.repository.review_comments[made.id] = made
    call.happened("pull_request_review_comment", "created", pull=pull, comment=made)
    return made


def _place(call: Call, pull: Pull, comment: Json) -> Json:
    """Return a comment whose place the API would take: new lines of one hunk of the diff."""
    _text("PullRequestReviewComment", comment.get("body"))
    change = next((one for one in pull_changes(call.repository, pull) if one.path == comment["path"]), None)
    if change is None:
        raise _unplaced("pull_request_review_thread.path", "Path could not be resolved")
    line, start = comment.get("line"), comment.get("start_line")
    if line is None:
        if comment.get("subject_type") == "file" or comment.get("position") is not None:
            return comment
        raise _unplaced("pull_request_review_thread.line", "Line could not be resolved")
    if comment.get("side", "RIGHT") == "LEFT":
        return comment
    patch = call.repository.git.patch(change) or ""
    hunks = [range(int(match[1]), int(match[1]) + int(match[2] or 1)) for match in _HUNK.finditer(patch)]
    hunk = next((one for one in hunks if line in one), None)
    if hunk is None:
        raise _unplaced("pull_request_review_thread.line", "must be part of the diff")
    if start is not None and (start not in hunk or start >= line):
        raise _unplaced("pull_request_review_thread.start_line", "must be part of the same hunk as the line.")
    return comment


def _unplaced(field: str, message: str) -> Refused:
    # These errors are bare sentences.
    return Refused(422, "Unprocessable Entity", errors=[f"{field} {message}"])


def list_review_comments(call: Call) -> Answer:
    number = call.pull().number
    found = [one for one in call.repository.review_comments.values() if one.number == number]
    page, headers = call.page(found)
    return Answer([call.shapes.review_comment(call.repository, one) for one in page], headers=headers)


def create_review_comment(call: Call) -> Answer:
    pull, asked = call.pull(), call.body
    if call.repository.git.commit_at(str(asked["commit_id"])) is None:
        raise Refused(422, "No commit found for SHA: " + str(asked["commit_id"]))
    made = _add_review_comment(call, pull, _place(call, pull, asked), str(asked["commit_id"]), None)
    shape = call.shapes.review_comment(call.repository, made)
    return Answer(shape, 201, {"Location": shape["url"]})


def reply(call: Call) -> Answer:
    pull, asked = call.pull(), call.body
    first = call.repository.review_comments.get(call.identity("comment_id"))
    if first is None or first.number != pull.number:
        raise Refused(404, "Not Found")
    place = {"path": first.path, "line": first.line, "body": asked["body"], "in_reply_to": first.id}
    made = _add_review_comment(call, pull, place, first.commit, first.review)
    shape = call.shapes.review_comment(call.repository, made)
    return Answer(shape, 201, {"Location": shape["url"]})


def get_review_comment(call: Call) -> Answer:
    found = call.repository.review_comments.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.review_comment(call.repository, found))


def update_review_comment(call: Call) -> Answer:
    found = call.repository.review_comments.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    found.body, found.updated_at = str(call.body["body"]), call.world.clock.stamp()
    return Answer(call.shapes.review_comment(call.repository, found))


# --- issues, comments, labels, assignees


def _touch(call: Call, one: Issue) -> None:
    """Raise `Refused` where the token may not do to this what it is about to do."""
    permission = ("pull_requests", "issues") if isinstance(one, Pull) else ("issues",)
    if not any(call.caller.may(name, "write") for name in permission):
        raise Refused(403, NOT_ACCESSIBLE)


def list_issues(call: Call) -> Answer:
    state, wanted = call.query("state", "open"), [name for name in call.query("labels").split(",") if name]
    creator = call.query("creator")
    found = [
        one
        for one in sorted(call.repository.issues.values(), key=lambda one: -one.number)
        if state in ("all", one.state)
        and all(name in {label.name for label in one.labels} for name in wanted)
        and (not creator or one.author.login.lower() == creator.lower())
    ]
    page, headers = call.page(found)
    return Answer([call.shapes.issue(call.repository, one) for one in page], headers=headers)


def get_issue(call: Call) -> Answer:
    return Answer(call.shapes.issue(call.repository, call.issue()))


def create_issue(call: Call) -> Answer:
    asked, repository = call.body, call.repository
    _title(asked["title"])
    _text("Issue", asked.get("body"))
    now = call.world.clock.stamp()
    made = Issue(
        id=call.world.next(),
        number=max(repository.issues, default=0) + 1,
        author=call.actor,
        title=str(asked["title"]),
        body=asked.get("body"),
        created_at=now,
        updated_at=now,
    )
    repository.issues[made.number] = made
    _label(call, made, asked.get("labels", ()))
    shape = call.shapes.issue(repository, made)
    return Answer(shape, 201, {"Location": shape["url"]})


def update_issue(call: Call) -> Answer:
    asked, one = call.body, call.issue()
    _touch(call, one)
    _title(asked.get("title"))
    _text("Issue", asked.get("body"))
    names = asked.get("assignees")
    if names is None and "assignee" in asked:
        names = [asked["assignee"]] if asked["assignee"] else []
    if names is not None:
        for name in names:
            if LEVELS[call.world.role(call.repository, name)] < LEVELS["read"] or not _collaborates(
                call, name
            ):
                raise Refused(
                    422,
                    "Validation Failed",
                    errors=[{"value": name, "resource": "Issue", "field": "assignees", "code": "invalid"}],
                )
        # No more than ten; the rest is dropped without a word.
        one.assignees = [call.world.account(str(name)) for name in names][:10]
    if "labels" in asked:
        one.labels = []
        _label(call, one, asked["labels"])
    one.title = str(asked.get("title") or one.title)
    one.body = asked.get("body", one.body)
    one.updated_at = call.world.clock.stamp()
    if asked.get("state") not in (None, one.state):
        _set_state(call, one, str(asked["state"]))
    return Answer(call.shapes.issue(call.repository, one))


def _named(call: Call, name: str, **more: Any) -> Label:
    if not name.strip() or len(name) > 50:
        raise invalid("Label", "name")
    made = Label(id=call.world.next(), name=name, **more)
    call.repository.labels[name.lower()] = made
    return made


def _label(call: Call, one: Issue, names: Iterable[Any]) -> None:
    for each in names:
        name = str(each["name"] if isinstance(each, dict) else each)
        # A label that the repository has not is made.
        label = call.repository.labels.get(name.lower()) or _named(call, name)
        if label not in one.labels:
            one.labels.append(label)


def add_labels(call: Call) -> Answer:
    one = call.issue()
    _touch(call, one)
    data = call.request.get_json(force=True, silent=True)
    names: Sequence[Any] = (
        data.get("labels", ()) if isinstance(data, dict) else data if isinstance(data, list) else ()
    )
    _label(call, one, names)
    call.happened("pull_request" if isinstance(one, Pull) else "issues", "labeled", pull=one)
    return Answer([call.shapes.label(call.repository, label) for label in one.labels])


def create_label(call: Call) -> Answer:
    asked = call.body
    name = str(asked["name"])
    if name.lower() in call.repository.labels:
        raise invalid("Label", "name", code="already_exists")
    color = str(asked.get("color", "ededed"))
    if not re.fullmatch(r"[0-9a-fA-F]{6}", color):
        raise invalid("Label", "color")
    made = _named(call, name, color=color, description=asked.get("description"))
    shape = call.shapes.label(call.repository, made)
    return Answer(shape, 201, {"Location": shape["url"]})


def list_comments(call: Call) -> Answer:
    number = call.issue().number
    page, headers = call.page([one for one in call.repository.comments.values() if one.number == number])
    return Answer([call.shapes.comment(call.repository, one) for one in page], headers=headers)


def create_comment(call: Call) -> Answer:
    one, asked = call.issue(), call.body
    _touch(call, one)
    _text("IssueComment", asked["body"])
    if not str(asked["body"]).strip():
        raise invalid("IssueComment", "body", code="missing_field")
    if one.locked:
        raise Refused(403, "Unable to create comment because issue is locked.")
    made = call.world.comment(call.repository, one, call.actor, str(asked["body"]))
    call.happened("issue_comment", "created", pull=one, comment=made)
    shape = call.shapes.comment(call.repository, made)
    return Answer(shape, 201, {"Location": shape["url"]})


def update_comment(call: Call) -> Answer:
    found: Comment | None = call.repository.comments.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    _touch(call, call.repository.issues[found.number])
    _text("IssueComment", call.body["body"])
    found.body, found.updated_at = str(call.body["body"]), call.world.clock.stamp()
    call.happened("issue_comment", "edited", pull=call.repository.issues[found.number], comment=found)
    return Answer(call.shapes.comment(call.repository, found))


def get_comment(call: Call) -> Answer:
    found = call.repository.comments.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return Answer(call.shapes.comment(call.repository, found))


def delete_comment(call: Call) -> Answer:
    found = call.repository.comments.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    _touch(call, call.repository.issues[found.number])
    del call.repository.comments[found.id]
    call.happened("issue_comment", "deleted", pull=call.repository.issues[found.number], comment=found)
    return Answer(None, 204)


def react(call: Call) -> Answer:
    known = call.repository.review_comments if "pulls" in call.request.path else call.repository.comments
    found = known.get(call.identity("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    one = call.actor.login, str(call.body["content"])
    there = one in found.reactions
    found.reactions += [] if there else [one]
    return Answer(
        {
            "id": call.world.next(),
            "node_id": "REA_1",
            "user": call.shapes.account(call.actor),
            "content": call.body["content"],
            "created_at": call.world.clock.stamp(),
        },
        200 if there else 201,
    )


def get_permission(call: Call) -> Answer:
    name = call.parameters["username"]
    account = call.world.accounts.get(name.lower())
    if account is None:
        raise Refused(404, f"{name} is not a user")
    role = call.world.role(call.repository, account.login)
    permission = {"maintain": "write", "triage": "read"}.get(role, role)
    level = LEVELS[role]
    return Answer(
        {
            "permission": permission,
            "role_name": role,
            "user": {
                **call.shapes.account(account),
                "role_name": role,
                "permissions": {
                    name: level >= LEVELS[needed]
                    for name, needed in (
                        ("admin", "admin"),
                        ("maintain", "maintain"),
                        ("push", "write"),
                        ("triage", "triage"),
                        ("pull", "read"),
                    )
                },
            },
        }
    )


# --- checks and statuses


def create_check(call: Call) -> Answer:
    asked, git = call.body, call.repository.git
    sha = str(asked["head_sha"])
    if git.commit_at(sha) is None:
        raise Refused(422, f"No commit found for SHA: {sha}")
    run = CheckRun(id=call.world.next(), name=str(asked["name"]), head_sha=sha, app=call.world.app)
    run.started_at = call.world.clock.stamp()
    _check(call, run, asked)
    call.repository.checks[run.id] = run
    call.happened("check_run", "created", check=run)
    shape = call.shapes.check_run(call.repository, run)
    return Answer(shape, 201, {"Location": shape["url"]})


def update_check(call: Call) -> Answer:
    run = call.repository.checks.get(call.identity("check_run_id"))
    if run is None:
        raise Refused(404, "Not Found")
    if run.app is not call.world.app:
        raise Refused(
            403,
            "Invalid app_id `"
            + str(call.world.app.id)
            + "` - check run can only be modified by the GitHub App that created it.",
        )
    _check(call, run, call.body)
    if run.status == "completed":
        call.happened("check_run", "completed", check=run)
    return Answer(call.shapes.check_run(call.repository, run))


def _check(call: Call, run: CheckRun, asked: Json) -> None:
    output = asked.get("output") or {}
    added = output.get("annotations", ())
    for one in added:
        if one["start_line"] != one["end_line"] and ("start_column" in one or "end_column" in one):
            raise Refused(422, "Invalid request.\n\nColumns only go with annotations of one line.")
        if len(str(one.get("title") or "")) > 255 or len(str(one["message"]).encode()) > 64 << 10:
            raise Refused(422, "Invalid request.\n\nAnnotation is too long.")
    if asked.get("status") == "completed" and not asked.get("conclusion") and not run.conclusion:
        raise Refused(422, 'Invalid request.\n\n"conclusion" wasn\'t supplied.')
    run.name = str(asked.get("name", run.name))
    run.external_id = str(asked.get("external_id", run.external_id))
    run.details_url = asked.get("details_url", run.details_url)
    run.status = str(asked.get("status", run.status))
    if asked.get("conclusion"):
        run.conclusion, run.status = str(asked["conclusion"]), "completed"
        run.completed_at = asked.get("completed_at") or call.world.clock.stamp()
    run.started_at = asked.get("started_at", run.started_at)
    if output:
        run.output |= {name: value for name, value in output.items() if name != "annotations"}
        run.annotations += added
    run.actions = list(asked.get("actions", run.actions))


def refuse_annotations(path: str, data: object) -> None:
    """Raise `Refused` where a check run names more annotations than one request may."""
    output = data.get("output") if "/check-runs" in path and isinstance(data, dict) else None
    found = output.get("annotations") if isinstance(output, dict) else None
    if isinstance(found, list) and len(found) > 50:
        raise Refused(422, "Invalid request.\n\nNo more than 50 annotations may be given at once.")


def list_checks(call: Call) -> Answer:
    sha = call.repository.git.resolve(call.parameters["ref"])
    commit = None if sha is None else call.repository.git.peeled(sha)
    if commit is None:
        raise Refused(422, f"No commit found for SHA: {call.parameters['ref']}")
    found = [
        one
        for one in sorted(call.repository.checks.values(), key=lambda one: -one.id)
        if one.head_sha == commit.id.decode()
        and call.query("check_name", one.name) == one.name
        and call.query("status", one.status) == one.status
        and (not call.query("app_id") or (one.app is not None and call.query("app_id") == str(one.app.id)))
    ]
    if call.query("filter", "latest") == "latest":
        newest: dict[str, CheckRun] = {}
        for one in found:
            newest.setdefault(one.name, one)
        found = list(newest.values())
    page, headers = call.page(found)
    return Answer(
        {
            "total_count": len(found),
            "check_runs": [call.shapes.check_run(call.repository, one) for one in page],
        },
        headers=headers,
    )


def list_annotations(call: Call) -> Answer:
    run = call.repository.checks.get(call.identity("check_run_id"))
    if run is None:
        raise Refused(404, "Not Found")
    page, headers = call.page(run.annotations)
    base = call.shapes.page(call.repository)
    return Answer(
        [
            {
                "start_column": None,
                "end_column": None,
                "title": None,
                "raw_details": None,
                "blob_href": f"{base}/blob/{run.head_sha}/{one['path']}",
                **one,
            }
            for one in page
        ],
        headers=headers,
    )


def create_status(call: Call) -> Answer:
    asked, sha = call.body, call.parameters["sha"]
    if call.repository.git.commit_at(sha) is None:
        raise Refused(422, f"No commit found for SHA: {sha}")
    now = call.world.clock.stamp()
    url = f"{call.shapes.repository_url(call.repository)}/statuses/{sha}"
    made = {
        "url": url,
        "avatar_url": None,
        "id": call.world.next(),
        "node_id": "SC_1",
        "state": asked["state"],
        "description": asked.get("description"),
        "target_url": asked.get("target_url"),
        "context": asked.get("context", "default"),
        "created_at": now,
        "updated_at": now,
    }
    if len(str(made["description"] or "")) > 140:
        raise invalid("Status", "description", message="description is too long (maximum is 140 characters)")
    call.repository.statuses.append({"sha": sha, **made})
    return Answer({**made, "creator": call.shapes.account(call.actor)}, 201, {"Location": url})


def combined_status(call: Call) -> Answer:
    sha = call.repository.git.resolve(call.parameters["ref"])
    if sha is None:
        raise Refused(404, "Not Found")
    newest: dict[str, Json] = {}
    for one in call.repository.statuses:
        if one["sha"] == sha:
            newest[one["context"]] = {name: value for name, value in one.items() if name != "sha"}
    states = {one["state"] for one in newest.values()}
    state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    base = call.shapes.repository_url(call.repository)
    return Answer(
        {
            "state": state,
            "statuses": list(newest.values()),
            "sha": sha,
            "total_count": len(newest),
            "repository": call.shapes.minimal(call.repository),
            "commit_url": f"{base}/commits/{sha}",
            "url": f"{base}/commits/{sha}/status",
        }
    )


_REPO = "/repos/{owner}/{repo}"
_PULLS, _ISSUES, _BOTH = ("pull_requests",), ("issues",), ("issues", "pull_requests")
_CHECKS = ("checks",)
_PULL, _ISSUE = f"{_REPO}/pulls/{{pull_number}}", f"{_REPO}/issues/{{issue_number}}"
ROUTES: dict[str, Route] = {
    f"GET {_REPO}/pulls": Route(handler=list_pulls, permissions=_PULLS),
    f"POST {_REPO}/pulls": Route(handler=create_pull, permissions=_PULLS, level="write"),
    f"GET {_PULL}": Route(handler=get_pull, permissions=_PULLS),
    f"PATCH {_PULL}": Route(handler=update_pull, permissions=_PULLS, level="write"),
    f"GET {_PULL}/files": Route(handler=list_pull_files, permissions=_PULLS),
    f"GET {_PULL}/commits": Route(handler=list_pull_commits, permissions=_PULLS),
    f"PUT {_PULL}/merge": Route(handler=merge_pull, permissions=("contents",), level="write"),
    f"POST {_PULL}/requested_reviewers": Route(handler=request_reviewers, permissions=_PULLS, level="write"),
    f"GET {_PULL}/reviews": Route(handler=list_reviews, permissions=_PULLS),
    f"POST {_PULL}/reviews": Route(handler=create_review, permissions=_PULLS, level="write"),
    f"GET {_PULL}/reviews/{{review_id}}": Route(handler=get_review, permissions=_PULLS),
    f"GET {_PULL}/comments": Route(handler=list_review_comments, permissions=_PULLS),
    f"POST {_PULL}/comments": Route(handler=create_review_comment, permissions=_PULLS, level="write"),
    f"POST {_PULL}/comments/{{comment_id}}/replies": Route(handler=reply, permissions=_PULLS, level="write"),
    f"GET {_REPO}/pulls/comments/{{comment_id}}": Route(handler=get_review_comment, permissions=_PULLS),
    f"PATCH {_REPO}/pulls/comments/{{comment_id}}": Route(
        handler=update_review_comment, permissions=_PULLS, level="write"
    ),
    f"POST {_REPO}/pulls/comments/{{comment_id}}/reactions": Route(
        handler=react, permissions=_PULLS, level="write"
    ),
    f"GET {_REPO}/issues": Route(handler=list_issues, permissions=_BOTH),
    f"POST {_REPO}/issues": Route(handler=create_issue, permissions=_ISSUES, level="write"),
    f"GET {_ISSUE}": Route(handler=get_issue, permissions=_BOTH),
    f"PATCH {_ISSUE}": Route(handler=update_issue, permissions=_BOTH, level="write"),
    f"GET {_ISSUE}/comments": Route(handler=list_comments, permissions=_BOTH),
    f"POST {_ISSUE}/comments": Route(handler=create_comment, permissions=_BOTH, level="write"),
    f"POST {_ISSUE}/labels": Route(handler=add_labels, permissions=_BOTH, level="write"),
    f"GET {_REPO}/issues/comments/{{comment_id}}": Route(handler=get_comment, permissions=_BOTH),
    f"DELETE {_REPO}/issues/comments/{{comment_id}}": Route(
        handler=delete_comment, permissions=_BOTH, level="write"
    ),
    f"PATCH {_REPO}/issues/comments/{{comment_id}}": Route(
        handler=update_comment, permissions=_BOTH, level="write"
    ),
    f"POST {_REPO}/issues/comments/{{comment_id}}/reactions": Route(
        handler=react, permissions=_BOTH, level="write"
    ),
    f"POST {_REPO}/labels": Route(handler=create_label, permissions=_BOTH, level="write"),
    f"GET {_REPO}/collaborators/{{username}}/permission": Route(
        handler=get_permission, permissions=("metadata",)
    ),
    f"POST {_REPO}/check-runs": Route(handler=create_check, permissions=_CHECKS, level="write"),
    f"PATCH {_REPO}/check-runs/{{check_run_id}}": Route(
        handler=update_check, permissions=_CHECKS, level="write"
    ),
    f"GET {_REPO}/check-runs/{{check_run_id}}/annotations": Route(
        handler=list_annotations, permissions=_CHECKS
    ),
    f"GET {_REPO}/commits/{{ref}}/check-runs": Route(handler=list_checks, permissions=_CHECKS),
    f"POST {_REPO}/statuses/{{sha}}": Route(handler=create_status, permissions=("statuses",), level="write"),
    f"GET {_REPO}/commits/{{ref}}/status": Route(handler=combined_status, permissions=("statuses",)),
}
