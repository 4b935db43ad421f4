"""GitHub's deliveries: headers and a verified body in, what they want out.  Pure.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from bot.model import NOWHERE, Job, Trigger
from webhooks import hints
from webhooks.events import Context, EventError, Irrelevant, Reason, Wanted, delivery_id, read_object
from webhooks.hints import at

FORGE = "github"
EVENT = "x-github-event"
DELIVERY = "x-github-delivery"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}(?:\[bot\])?")
_QUEUE = "gh-readonly-queue/"
_MOST_COMMITS = 2048
"""GitHub lists no more of a push: with so many there may be others."""
_MOST_FILES = 3000

_REQUEST = frozenset({"opened", "synchronize", "reopened", "closed", "ready_for_review", "edited"})
_BUTTONS = frozenset({"pin", "explain"})
"""What the check `moorline` offers, by the identifiers of `bot.runs.guarding`."""
_INSTALLATION = frozenset({"created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"})
_REPOSITORY = frozenset(
    {
        "created",
        "deleted",
        "renamed",
        "transferred",
        "archived",
        "unarchived",
        "privatized",
        "publicized",
        "edited",
    }
)

Event: TypeAlias = Mapping[str, Any]
Read: TypeAlias = tuple[Job, ...] | Reason


def identify(headers: Mapping[str, str], body: bytes) -> str:
    """Return the id that all attempts at a delivery share; raises `EventError`."""
    return delivery_id(headers.get(DELIVERY), body)


def read(headers: Mapping[str, str], body: bytes, context: Context) -> Wanted | Irrelevant:
    """Return what a delivery wants; raises `EventError`.

    Names of headers are in lower case.  The event's name is not signed: it only chooses how the
    body is read.
    """
    event = read_object(body)
    kind = headers.get(EVENT, "")
    reader = _READERS.get(kind)
    if reader is None:
        return Irrelevant(reason=Reason.IRRELEVANT if kind in _PASSED_OVER else Reason.UNKNOWN)
    actions, read_jobs = reader
    name = kind
    if actions:
        said = hints.action(event, actions)
        if said is None:
            return Irrelevant(reason=Reason.IRRELEVANT, event=kind)
        name = f"{kind}.{said}"
    found = Reason.OWN if _is_own(event.get("sender"), context) else read_jobs(event, context)
    if isinstance(found, Reason):
        return Irrelevant(reason=found, event=name)
    served = tuple(job for job in found if not job.repository or context.owners.serves(FORGE, job.repository))
    if not served:
        return Irrelevant(reason=Reason.NOT_SERVED, event=name)
    return Wanted(jobs=hints.identified(served, event.get("repository"), "full_name"), event=name)


def _is_own(account: Any, context: Context) -> bool:
    """Return whether an account is one of ours.  A login alone is not enough: people choose theirs."""
    id_, login, kind = (at(account, key) for key in ("id", "login", "type"))
    if type(id_) is int and str(id_) in context.accounts:
        return True
    if not isinstance(login, str) or not (kind == "Bot" or login.endswith("[bot]")):
        return False
    return bool({login, login.removesuffix("[bot]")} & context.accounts)


def _repository(event: Event) -> str:
    return _full_name(at(event, "repository", "full_name"), "repository.full_name")


def _full_name(value: Any, what: str) -> str:
    return hints.path_of(value, what, _NAME, parts=(2, 2), longest=201)


def _job(repository: str, ref: str, trigger: Trigger, **more: Any) -> Job:
    return Job(forge=FORGE, repository=repository, ref=ref, trigger=trigger, **more)


def _ping(_event: Event, _context: Context) -> Read:
    return Reason.PONG


def _push(event: Event, _context: Context) -> Read:
    repository = _repository(event)
    ref = event.get("ref")
    if not isinstance(ref, str) or not ref.startswith("refs/"):
        raise EventError("ref is no full ref.")
    if not ref.startswith("refs/heads/"):
        return Reason.TAG if ref.startswith("refs/tags/") else Reason.NO_BRANCH
    branch = hints.branch(ref, "ref")
    before, after = hints.commit(event.get("before"), "before"), hints.commit(event.get("after"), "after")
    if branch.startswith(_QUEUE):
        return Reason.QUEUE
    if not after:
        return (_job(repository, branch, Trigger.PUSH, head=NOWHERE),)
    changed = _changed(event, before, after)
    return (_job(repository, branch, Trigger.PUSH, head=after, before=before, changed=changed),)


def _changed(event: Event, before: str, after: str) -> tuple[str, ...] | None:
    """Return the paths that a push touched, or None where the payload may not have all of them."""
    commits = event.get("commits")
    if not before or event.get("created") is not False or event.get("forced") is not False:
        return None
    if before == after:
        return ()
    if not isinstance(commits, list) or len(commits) >= _MOST_COMMITS:
        return None
    if after not in (at(one, "id") for one in commits):
        return None
    return hints.changed_paths(commits, most_files=_MOST_FILES)


def _pull_request(event: Event, _context: Context) -> Read:
    if event["action"] == "edited" and not at(event, "changes", "base"):
        return Reason.IRRELEVANT
    request = event.get("pull_request")
    head = hints.commit(at(request, "head", "sha"), "pull_request.head.sha")
    return (_request_job(_repository(event), at(request, "number"), head),)


def _request_job(repository: str, said: Any, head: str) -> Job:
    number = hints.number(said, "the pull request's number")
    return _job(repository, f"refs/pull/{number}/head", Trigger.PULL_REQUEST, head=head, number=number)


def _issue_comment(event: Event, context: Context) -> Read:
    if not isinstance(at(event, "issue", "pull_request"), dict):
        return Reason.IRRELEVANT
    return _comment(event, context, "issue", at(event, "issue", "number"))


def _review_comment(event: Event, context: Context) -> Read:
    return _comment(event, context, "review", at(event, "pull_request", "number"))


def _review(event: Event, context: Context) -> Read:
    if not at(event, "review", "body"):
        return Reason.UNADDRESSED  # as of most reviews: each of their comments is told by itself
    return _comment(event, context, "summary", at(event, "pull_request", "number"))


def _comment(event: Event, context: Context, kind: str, said: Any) -> Read:
    comment = event.get("review" if kind == "summary" else "comment")
    head = hints.hinted_commit(at(event, "pull_request", "head", "sha"))
    author = at(comment, "user")
    if _is_own(author, context) or _is_ours(at(comment, "performed_via_github_app"), context):
        return Reason.OWN
    addressed = hints.speaks_to_us(at(comment, "body"), context.accounts, slash=True)
    if "Bot" in (at(author, "type"), at(event, "sender", "type")):
        return Reason.UNHEARD if addressed else Reason.BOT
    if not addressed:
        return Reason.UNADDRESSED
    if isinstance(at(comment, "performed_via_github_app"), dict):
        # The person let an App write in their name, which is not to say what: others may tell it that.
        return Reason.UNHEARD
    id_ = hints.identity(at(comment, "id"), "the comment's id")
    number = hints.number(said, "the pull request's number")
    ref = f"comment/{kind}/{id_}"
    return (_job(_repository(event), ref, Trigger.COMMENT, head=head, number=number),)


def _merge_group(event: Event, _context: Context) -> Read:
    head = hints.commit(at(event, "merge_group", "head_sha"), "merge_group.head_sha")
    ref = at(event, "merge_group", "head_ref")
    if not isinstance(ref, str) or not ref.startswith("refs/heads/"):
        raise EventError("merge_group.head_ref is no full ref.")
    branch = hints.branch(ref, "merge_group.head_ref")
    return (_job(_repository(event), branch, Trigger.MERGE_QUEUE, head=head),)


def _check_run(event: Event, context: Context) -> Read:
    run = event.get("check_run")
    if event["action"] == "rerequested":
        return _again(event, context, run, at(run, "check_suite", "head_branch"))
    pressed = at(event, "requested_action", "identifier")
    if pressed not in _BUTTONS:
        return Reason.IRRELEVANT
    found = _again(event, context, run, None)
    if isinstance(found, Reason):
        return found
    return tuple(replace(job, ref=f"button/{pressed}/{job.number or job.head}") for job in found)


def _check_suite(event: Event, context: Context) -> Read:
    suite = event.get("check_suite")
    return _again(event, context, suite, at(suite, "head_branch"))


def _again(event: Event, context: Context, check: Any, branch: Any) -> Read:
    """Return the jobs for a commit that a person wants checked once more.

    GitHub names neither the requests of a fork nor, as a rule, its branch: which of them propose the
    commit is looked up by whoever does the job.
    """
    # GitHub sends these to the App that made the check; another one's is none of our business.
    if context.app and not _is_ours(at(check, "app"), context):
        return Reason.IRRELEVANT
    repository = _repository(event)
    head = hints.commit(at(check, "head_sha"), "head_sha")
    here = at(event, "repository", "id")
    requests = at(check, "pull_requests")
    jobs = [
        _request_job(repository, at(one, "number"), head)
        for one in (requests if isinstance(requests, list) else [])[: hints.MOST_JOBS]
        if at(one, "base", "repo", "id") in (None, here)
    ]
    if jobs:
        return tuple({job.ref: job for job in jobs}.values())
    proposed = _job(repository, f"again/{head}", Trigger.PULL_REQUEST, head=head)
    if branch is None:
        return (proposed,)
    name = hints.branch(branch, "head_branch")
    if name.startswith(_QUEUE):
        return (_job(repository, name, Trigger.MERGE_QUEUE, head=head),)
    # Whose branch of that name is not said: where ours is, is asked for.
    return (_job(repository, name, Trigger.PUSH), proposed)


def _is_ours(app: Any, context: Context) -> bool:
    ids = [one for one in (at(app, "id"), at(app, "client_id")) if one is not None]
    return bool(context.app) and context.app in map(str, ids)


def _installation(event: Event, context: Context) -> Read:
    return _listed(event, context, event.get("repositories"))


def _installation_repositories(event: Event, context: Context) -> Read:
    return _listed(event, context, event.get(f"repositories_{event['action']}"))


def _listed(event: Event, context: Context, repositories: Any) -> Read:
    owner = at(event, "installation", "account", "login")
    if repositories is None:
        return _of_owner(owner, context)
    if not isinstance(repositories, list):
        raise EventError("The installation's repositories are no list.")
    names: dict[str, None] = {}
    for one in repositories:
        name = _full_name(at(one, "full_name"), "full_name of a repository")
        if context.owners.serves(FORGE, name):
            names[name] = None
        if len(names) > hints.MOST_JOBS:
            break
    if names:
        return hints.installed(FORGE, names)
    return Reason.NOT_SERVED if repositories else Reason.IRRELEVANT


def _target(event: Event, context: Context) -> Read:
    """Return the sweep for an owner with another name: every one of its repositories has another, too."""
    return _of_owner(at(event, "account", "login"), context)


def _of_owner(login: Any, context: Context) -> Read:
    owner = hints.text(login, "The account's login", _LOGIN)
    return hints.sweep(FORGE) if context.owners.touches(FORGE, owner) else Reason.NOT_SERVED


def _known_repository(event: Event, context: Context) -> Read:
    if event["action"] == "edited" and not at(event, "changes", "default_branch"):
        return Reason.IRRELEVANT
    name = _repository(event)
    before = at(event, "changes", "owner", "from")
    owner = at(before, "user", "login") or at(before, "organization", "login")
    if owner is not None and not context.owners.serves(FORGE, name):
        # Given away to somebody who is not served: under its old name we find it gone.
        name = _full_name(f"{owner}/{name.partition('/')[2]}", "changes.owner.from")
    return hints.installed(FORGE, [name])


_Reader: TypeAlias = Callable[[Event, Context], Read]


def _some(actions: Iterable[str], reader: _Reader) -> tuple[frozenset[str], _Reader]:
    return frozenset(actions), reader


_READERS: Mapping[str, tuple[frozenset[str], _Reader]] = {
    "ping": _some((), _ping),
    "push": _some((), _push),
    "pull_request": _some(_REQUEST, _pull_request),
    "issue_comment": _some(["created"], _issue_comment),
    "pull_request_review": _some(["submitted"], _review),
    "pull_request_review_comment": _some(["created"], _review_comment),
    "merge_group": _some(["checks_requested"], _merge_group),
    "check_run": _some(["rerequested", "requested_action"], _check_run),
    "check_suite": _some(["rerequested"], _check_suite),
    "installation": _some(_INSTALLATION, _installation),
    "installation_repositories": _some(["added", "removed"], _installation_repositories),
    "installation_target": _some(["renamed"], _target),
    "repository": _some(_REPOSITORY, _known_repository),
}
"""By event: the actions that concern us, and how they are read."""

_PASSED_OVER = frozenset({"github_app_authorization", "create", "delete", "status", "public", "member"})
"""Events that come unasked or by a generous subscription, and never concern us."""
