"""What a doctor looks at on GitLab: the token, roles, hooks, the version and the clock.  Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice

from bot.errors import ForgeError, MissingError
from bot.forges.base import Health, Symptom
from bot.forges.gitlab_answers import below, flag, text
from bot.forges.gitlab_api import Api, RefusedError
from bot.forges.gitlab_hooks import Hook, Hooks, events_of, webhook
from bot.forges.gitlab_people import People
from bot.forges.gitlab_projects import Project, Projects
from bot.forges.gitlab_rules import MAINTAINER
from bot.visible import visible

_DEVELOPER = 30
_SOON = 21
"""Days before a token's end from which on it is worth a word."""
_SKEW_NOTE, _SKEW_TROUBLE = 30.0, 240.0
"""Seconds; a signed delivery is taken for five minutes."""
_MOST_PROJECTS = 1_000
_MOST_NAMED = 10
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


class Doctor:
    """Examines one GitLab server as our token sees it."""

    def __init__(self, api: Api, people: People, projects: Projects, hooks: Hooks, hook_url: str) -> None:
        self._api = api
        self._people = people
        self._projects = projects
        self._hooks = hooks
        self._hook_url = hook_url

    def examine(self) -> Iterator[Symptom]:
        """Yield what is seen, one thing after the other; what cannot be asked is a symptom, too."""
        if self._api.url.startswith("http://") and not self._api.local:
            yield _symptom(
                Health.NOTE,
                "address",
                "GitLab is reached by plain http: whoever is on the way can read the token.",
                "Serve GitLab by https, and set MOORLINE_GITLAB_URL to that address.",
            )
        try:
            account = self._people.account()
        except ForgeError as error:
            yield _symptom(Health.TROUBLE, "token", error.problem, error.advice)
            return
        yield _symptom(Health.OK, "account", f"The token is that of {visible(account.login, 100)}.")
        for part in (self._token, self._clock, self._version, self._roles, self._webhooks):
            try:
                yield from part()
            except ForgeError as error:
                yield _symptom(Health.TROUBLE, part.__name__.strip("_"), error.problem, error.advice)

    def _token(self) -> Iterator[Symptom]:
        try:
            said = self._api.get("/personal_access_tokens/self")
        except (MissingError, RefusedError):
            yield _symptom(Health.NOTE, "token", "GitLab does not tell of this token: it is no access token.")
            return
        found = below(said, "scopes")
        scopes = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
        if "api" in scopes:
            yield _symptom(Health.OK, "token scopes", f"The token has {visible(', '.join(scopes), 200)}.")
        else:
            yield _symptom(
                Health.TROUBLE,
                "token scopes",
                f"The token has {visible(', '.join(scopes), 200) or 'no scope'}, and not `api`.",
                "Make a token with the scope `api`: commits, merge requests and notes need it.",
            )
        yield self._expiry(text(said, "expires_at"))

    def _expiry(self, written: str) -> Symptom:
        if not written:
            return _symptom(Health.OK, "token expiry", "The token has no end.")
        try:
            end = date.fromisoformat(written[:10])
        except ValueError:
            return _symptom(Health.NOTE, "token expiry", f"The token ends {visible(written, 50)!r}.")
        days = (end - datetime.fromtimestamp(self._api.now(), UTC).date()).days
        if days < 0:
            return _symptom(Health.TROUBLE, "token expiry", f"The token ended on {end}.", _RENEW)
        health = Health.NOTE if days <= _SOON else Health.OK
        plural = "" if days == 1 else "s"
        return _symptom(
            health,
            "token expiry",
            f"The token ends in {days} day{plural}, on {end}.",
            _RENEW if days <= _SOON else "",
        )

    def _clock(self) -> Iterator[Symptom]:
        ahead = self._api.ahead
        if ahead is None:
            return
        off = abs(ahead)
        health = Health.OK if off < _SKEW_NOTE else Health.NOTE if off < _SKEW_TROUBLE else Health.TROUBLE
        yield _symptom(
            health,
            "clock",
            f"GitLab's clock and ours are {off:.0f} {'second' if round(off) == 1 else 'seconds'} apart.",
            "Set this machine's clock by NTP: signed deliveries are refused after five minutes."
            if health is not Health.OK
            else "",
        )

    def _version(self) -> Iterator[Symptom]:
        written = text(self._api.get("/version"), "version")
        found = _VERSION.match(written)
        if found is None:
            yield _symptom(Health.NOTE, "version", "GitLab does not say its version.")
            return
        version = int(found[1]), int(found[2])
        shown = visible(written, 40)
        if version < (17, 3):
            yield _symptom(
                Health.NOTE,
                "version",
                f"GitLab is {shown}: it has no log of deliveries, so that missed ones cannot be fetched.",
                "Update to 17.3 or later; until then heads are compared on a schedule.",
            )
        elif version < (19, 0):
            yield _symptom(
                Health.OK,
                "version",
                f"GitLab is {shown}: hooks may have a secret token; signing tokens come with 19.0.",
            )
        else:
            yield _symptom(Health.OK, "version", f"GitLab is {shown}.")

    def _roles(self) -> Iterator[Symptom]:
        seen = list(islice(self._projects.all(), _MOST_PROJECTS))
        live = [one for one in seen if not one.archived]
        if not live:
            yield _symptom(
                Health.NOTE,
                "projects",
                "The token's account is a member of no project that is in use: there is nothing to look after yet.",
                "Invite it to a group or project with the role Developer.",
            )
            return
        low = [one for one in live if 0 < one.access < _DEVELOPER]
        untold = sum(not one.access for one in live)
        if untold:
            yield _symptom(
                Health.NOTE,
                "roles",
                f"GitLab does not tell our role in {'1 project' if untold == 1 else f'{untold} projects'}; it may come by an invited group.",
            )
        known = "At least " if len(seen) == _MOST_PROJECTS else ""
        count = "1 project in use is" if len(live) == 1 else f"{len(live)} projects in use are"
        yield _symptom(Health.OK, "projects", f"{known}{count} visible.")
        for one in low[:_MOST_NAMED]:
            yield _symptom(
                Health.TROUBLE,
                f"role in {visible(one.name, 200)}",
                "The account is below Developer there: it can read, and neither push nor report.",
                "Give it the role Developer there, or in a group above.",
            )
        if len(low) > _MOST_NAMED:
            yield _symptom(
                Health.TROUBLE, "roles", f"{len(low) - _MOST_NAMED} more projects lack the role Developer."
            )

    def _webhooks(self) -> Iterator[Symptom]:
        if not self._hook_url:
            yield _symptom(
                Health.NOTE,
                "hooks",
                "The public address is not set, so that hooks of ours cannot be told.",
                "Set MOORLINE_PUBLIC_URL.",
            )
            return
        hooks = list(self._hooks.ours())
        for hook in hooks:
            yield from _hook(hook)
        told = {hook.owner for hook in hooks}
        # Who is no Maintainer sees no hooks: that says nothing about whether there are any.
        bare = [
            one
            for one in islice(self._projects.all(), _MOST_PROJECTS)
            if one.access >= MAINTAINER and not one.archived and not _is_covered(one, told)
        ]
        for one in bare[:_MOST_NAMED]:
            yield _symptom(
                Health.NOTE,
                f"hook of {visible(one.name, 200)}",
                "No hook there calls us: pushes are noticed by the next sweep only.",
                f"Add a webhook to {self._hook_url} with push, merge request and comment events.",
            )
        if len(bare) > _MOST_NAMED:
            yield _symptom(
                Health.NOTE, "hooks", f"{len(bare) - _MOST_NAMED} more projects have no hook of ours."
            )
        if not hooks and not bare:
            yield _symptom(
                Health.NOTE,
                "hooks",
                "Our account may not see any hooks: only Maintainers do.",
                "Look at them by hand, or give the account the role Maintainer.",
            )


_RENEW = "Rotate it, or make a new one, and set MOORLINE_GITLAB_TOKEN."


def _is_covered(project: Project, owners: set[str]) -> bool:
    return any(not owner or project.name == owner or project.name.startswith(f"{owner}/") for owner in owners)


def _hook(hook: Hook) -> Iterator[Symptom]:
    subject = f"hook of {visible(hook.owner, 200) or 'the server'}"
    yield _alert(subject, hook)
    wrong = [name for name, there in events_of(hook.said).items() if not there and name != "tag_push"]
    if wrong:
        yield _symptom(
            Health.NOTE,
            subject,
            f"It does not tell of {', '.join(wrong)} events.",
            "Switch them on in the hook's settings.",
        )
    if hook.said.get("enable_ssl_verification") is False and text(hook.said, "url").startswith("https:"):
        yield _symptom(
            Health.NOTE, subject, "It does not verify our certificate.", "Switch SSL verification on."
        )
    if "token_present" in hook.said and not flag(hook.said, "token_present"):
        if not flag(hook.said, "signing_token_present"):
            yield _symptom(
                Health.TROUBLE,
                subject,
                "It has neither a secret token nor a signing token: what it sends is refused.",
                "Set the one that MOORLINE_GITLAB_SIGNING_TOKEN or MOORLINE_GITLAB_WEBHOOK_SECRET has.",
            )
    elif "token_present" in hook.said and not flag(hook.said, "signing_token_present"):
        yield _symptom(
            Health.OK, subject, "It has a secret token; a signing token would sign the body as well."
        )


def _alert(subject: str, hook: Hook) -> Symptom:
    seen = webhook(hook)
    if seen.text:
        return _symptom(Health.TROUBLE, subject, seen.text, seen.advice)
    return _symptom(Health.OK, subject, "It calls us, and GitLab has not disabled it.")


def _symptom(health: Health, subject: str, said: str, advice: str = "") -> Symptom:
    return Symptom(health=health, subject=subject, text=said, advice=advice)
