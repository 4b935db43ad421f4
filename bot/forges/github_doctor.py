"""What a doctor looks at on GitHub: the key, the clock, permissions, events, the hook, the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from bot.errors import ConfigurationError, ForgeError, MissingError, MoorlineError
from bot.forges.base import Health, Symptom
from bot.forges.github_app import App, Installation
from bot.forges.github_client import Manners
from bot.forges.github_deliveries import REFUSED, UNSIGNED, attempts, newest
from bot.forges.github_transport import clean

NEEDED: Mapping[str, tuple[str, str]] = {
    "metadata": ("read", "nothing works"),
    "contents": ("write", "files cannot be read, nor branches written"),
    "pull_requests": ("write", "no pull request can be opened"),
    "workflows": ("write", "workflows cannot be pinned"),
    "checks": ("write", "no check is reported"),
    "issues": ("read", "comments on pull requests are not heard"),
    "merge_queues": ("read", "merge queues wait for a check that does not come"),
}
"""Permissions: how much of each, and what stops working without it."""
EVENTS: Mapping[str, str] = {
    "push": "pushes are not heard: only sweeps find what changed",
    "pull_request": "requests that people close or open are not heard",
    "issue_comment": "comments are not heard",
    "pull_request_review": "summaries of reviews are not heard",
    "pull_request_review_comment": "comments on lines are not heard",
    "merge_group": "merge queues are not heard",
    "repository": "renames, transfers and archiving are not heard",
}
_LEVELS = ("", "read", "write", "admin")
_SKEW_NOTED, _SKEW_BAD = 20.0, 60.0
_RECENT = 24 * 3600.0
_MOST_INSTALLATIONS = 50
"""Installations that are looked at one by one."""
_FEW = 0.1
"""The part of a limit that is few to have left."""


def examine(app: App, manners: Manners, hook_url: str = "") -> Iterator[Symptom]:
    """Yield what was found; never raises what is trouble of GitHub's or of the settings.

    `hook_url` is where the App's webhook should call us, as far as that is known.
    """
    try:
        said = app.client.get("/app").json()
    except ConfigurationError as error:
        yield _trouble("key", error.problem, "Set it to the PEM text that GitHub gave when the key was made.")
        return
    except MissingError:
        yield _trouble(
            "key", "GitHub knows no such App.", "Check MOORLINE_GITHUB_APP_ID and MOORLINE_GITHUB_URL."
        )
        return
    except ForgeError as error:
        yield _trouble("key", error.problem, error.advice)
        yield from _clock(manners)
        return
    found = said if isinstance(said, dict) else {}
    yield _ok("key", f"GitHub knows us as {clean(str(found.get('slug') or '?'))}.")
    yield from _clock(manners)
    yield from _permissions("permission", found.get("permissions"), "")
    yield from _events(found.get("events"))
    yield from _guarded("hook", lambda: _hook(app, hook_url))
    yield from _guarded("deliveries", lambda: _deliveries(app, manners))
    yield from _guarded("installations", lambda: _installations(app))


def _guarded(subject: str, look: Any) -> Iterator[Symptom]:
    try:
        yield from look()
    except MoorlineError as error:
        yield _trouble(subject, error.problem, error.advice)


def _clock(manners: Manners) -> Iterator[Symptom]:
    away = manners.skew
    text = f"The clock here is {_counted(round(abs(away)), 'second', 'seconds')} {'ahead of' if away > 0 else 'behind'} GitHub's."
    if abs(away) >= _SKEW_BAD:
        yield _trouble("clock", text, "Set it right: GitHub takes no key from another time.")
    elif abs(away) >= _SKEW_NOTED:
        yield Symptom(
            health=Health.NOTE, subject="clock", text=text, advice="Set it right before it is worse."
        )
    else:
        yield _ok("clock", "The clock here is right.")


def _permissions(subject: str, granted: object, where: str) -> Iterator[Symptom]:
    held = granted if isinstance(granted, dict) else {}
    missing = 0
    for name, (level, loss) in NEEDED.items():
        if _rank(held.get(name)) >= _rank(level):
            continue
        missing += 1
        yield Symptom(
            health=Health.TROUBLE if level == "write" or name == "metadata" else Health.NOTE,
            subject=f"{subject} {name}",
            text=f"`{name}: {level}` is not granted{where}: {loss}.",
            advice="An owner of the account accepts new permissions in the settings of its installations."
            if where
            else "Grant it in the App's settings, and accept it in each installation.",
        )
    if not missing:
        yield _ok(f"{subject}s", f"All permissions that are needed are granted{where}.")
    for name, level in held.items():
        if name not in NEEDED and isinstance(name, str) and _rank(level) >= _rank("write") and not where:
            yield Symptom(
                health=Health.NOTE,
                subject=f"{subject} {clean(name)}",
                text=f"`{clean(name)}: {level}` is granted and not needed.",
                advice="Take it away: what is not granted cannot be stolen.",
            )


def _events(subscribed: object) -> Iterator[Symptom]:
    held = {one for one in subscribed if isinstance(one, str)} if isinstance(subscribed, list) else set()
    missing = [name for name in EVENTS if name not in held]
    for name in missing:
        yield Symptom(
            health=Health.TROUBLE if name == "push" else Health.NOTE,
            subject=f"event {name}",
            text=f"The App does not subscribe to `{name}`: {EVENTS[name]}.",
            advice="Subscribe to it in the App's settings.",
        )
    if not missing:
        yield _ok("events", "The App subscribes to all events that are needed.")


def _hook(app: App, expected: str) -> Iterator[Symptom]:
    said = app.client.get("/app/hook/config").json()
    url = said.get("url") if isinstance(said, dict) else None
    if not isinstance(url, str) or not url:
        yield _trouble("hook", "The App has no webhook.", "Set its URL to `PUBLIC_URL/webhooks/github`.")
        return
    shown = clean(url.partition("?")[0])
    elsewhere = bool(expected) and _plain(url) != _plain(expected)
    if elsewhere:
        yield _trouble(
            "hook address",
            f"The webhook calls {shown}, and not {clean(expected)}.",
            "Correct the webhook's URL in the App's settings, or MOORLINE_PUBLIC_URL.",
        )
    if not url.startswith("https://"):
        yield Symptom(
            health=Health.NOTE, subject="hook", text=f"The webhook {shown} is not https.", advice="Use https."
        )
    elif str(said.get("insecure_ssl")) == "1":
        yield Symptom(
            health=Health.NOTE,
            subject="hook",
            text=f"GitHub does not check the certificate of {shown}.",
            advice="Turn SSL verification on in the App's settings.",
        )
    elif not elsewhere:
        yield _ok("hook", f"GitHub delivers to {shown}.")
    if not said.get("secret"):
        yield _trouble(
            "hook secret", "The webhook has no secret.", "Set one, and MOORLINE_GITHUB_WEBHOOK_SECRET."
        )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _plain(url: str) -> str:
    """Return an address in one spelling, its query left out; empty for what is none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port or usual}{parts.path.rstrip('/')}"


def _deliveries(app: App, manners: Manners) -> Iterator[Symptom]:
    found = attempts(app.client, manners.clock() - manners.skew - _RECENT, "failure")
    failed = {one.guid for one in found if not one.arrived}
    if not failed:
        yield _ok("deliveries", "No delivery failed within a day.")
        return
    last = newest(app.client)
    if last is not None and last.code == UNSIGNED:
        yield _trouble("deliveries", *REFUSED)
        return
    latest = max(found, key=lambda one: one.at)
    yield Symptom(
        health=Health.NOTE,
        subject="deliveries",
        text=f"{_counted(len(failed), 'delivery', 'deliveries')} failed within a day, the last with `{clean(latest.status) or latest.code}`.",
        advice="They are caught up with; if they go on failing, check that GitHub can reach the webhook.",
    )


def _installations(app: App) -> Iterator[Symptom]:
    number = 0
    for number, one in enumerate(app.installations(), start=1):
        if number > _MOST_INSTALLATIONS:
            yield Symptom(
                health=Health.NOTE,
                subject="installations",
                text=f"Only the first {_MOST_INSTALLATIONS} were looked at.",
            )
            return
        yield from _guarded(f"installation {clean(one.account)}", lambda one=one: _installation(app, one))
    if not number:
        yield Symptom(
            health=Health.NOTE,
            subject="installations",
            text="The App is installed nowhere that is served: there is nothing to look after yet.",
            advice="Install it, and check MOORLINE_ALLOWED_OWNERS.",
        )


def _installation(app: App, one: Installation) -> Iterator[Symptom]:
    account = clean(one.account)
    if one.suspended:
        yield _trouble(
            f"installation {account}",
            f"The installation for {account} is suspended.",
            "An owner of the account can unsuspend it in its settings.",
        )
        return
    yield from _permissions(f"installation {account} permission", one.permissions, f" by {account}")
    try:
        said = app.installed(one).get("/rate_limit").json()
    except MissingError:
        return  # an Enterprise Server that limits nobody
    resources = said.get("resources") if isinstance(said, dict) else None
    for name in ("core", "graphql"):
        budget = resources.get(name) if isinstance(resources, dict) else None
        left, limit = (
            (budget.get("remaining"), budget.get("limit")) if isinstance(budget, dict) else (None, None)
        )
        if not isinstance(left, int) or not isinstance(limit, int):
            continue
        few = left < limit * _FEW
        yield Symptom(
            health=Health.NOTE if few else Health.OK,
            subject=f"limit {name} of {account}",
            text=f"{left:,} of {limit:,} requests are left.",
            advice="Work goes on when the hour is over; sweep less often if this is usual." if few else "",
        )


def _rank(level: object) -> int:
    return _LEVELS.index(level) if isinstance(level, str) and level in _LEVELS else 0


def _ok(subject: str, text: str) -> Symptom:
    return Symptom(health=Health.OK, subject=subject, text=text)


def _trouble(subject: str, text: str, advice: str) -> Symptom:
    return Symptom(health=Health.TROUBLE, subject=subject, text=text, advice=advice)
