"""Whether the settings say enough, and nothing that contradicts itself.  What is no setting at all is refused before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.doctor.findings import Findings, Part, Pen
from bot.errors import ConfigurationError
from bot.settings import unknown

if TYPE_CHECKING:
    from pydantic import SecretStr

    from bot.service_settings import Settings

_LONG_ENOUGH = 32
"""Characters of a secret that nobody guesses."""
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_pen = Pen(Part.SETTINGS)


def examine(settings: Settings, environ: Mapping[str, str], file: Path | None) -> Findings:
    """Yield what is seen of the settings and the files that they name; asks nobody."""
    seen = [
        *_names(environ),
        *_git(settings),
        *_github(settings),
        *_gitlab(settings),
        *_address(settings),
        *_secrets(settings),
        *_files(settings, file),
    ]
    if not (settings.receives or settings.github_app_id or settings.gitlab_token.get_secret_value()):
        seen.append(
            _pen.trouble(
                "forges",
                "No forge is configured: nothing can arrive.",
                "docs/github.md, docs/gitlab.md and docs/git-hook.md each say what to set.",
            )
        )
    yield from seen or [_pen.ok("all", "They are complete, and nothing contradicts itself.")]


def _names(environ: Mapping[str, str]) -> Findings:
    for sentence in unknown(environ):
        yield _pen.note("names", sentence, "Correct the name, or take the variable away.")


def _git(settings: Settings) -> Findings:
    places = bool(settings.git_roots or settings.git_repositories)
    for root in settings.git_roots:
        if not os.path.isdir(root):  # noqa: PTH112 - says no where a path may not be looked at, too
            yield _pen.trouble("git", f"There is no folder {root}.", "Correct MOORLINE_GIT_ROOTS.")
    if settings.git_webhook_secret and not places:
        yield _pen.trouble(
            "git",
            "A secret for the git hook is set, and no repository that may be told of.",
            "Set MOORLINE_GIT_ROOTS or MOORLINE_GIT_REPOSITORIES.",
        )
    if places and not settings.git_webhook_secret:
        # No trouble as with the other forges: it may be there for sweeps alone, and everything starts.
        yield _pen.note(
            "git", "Nobody can tell of pushes: the git hook is off.", "Set MOORLINE_GIT_WEBHOOK_SECRET."
        )


def _github(settings: Settings) -> Findings:
    key = settings.github_private_key.get_secret_value()
    if settings.github_app_id and not key:
        yield _pen.trouble(
            "github", "The App has an id and no private key.", "Set MOORLINE_GITHUB_PRIVATE_KEY."
        )
    if key and not settings.github_app_id:
        yield _pen.trouble(
            "github", "There is a private key and no App that it is for.", "Set MOORLINE_GITHUB_APP_ID."
        )
    if settings.github_webhook_secret and not settings.github_app_id:
        yield _pen.trouble(
            "github",
            "GitHub's deliveries are taken, and there is no App to work on them with.",
            "Set MOORLINE_GITHUB_APP_ID and MOORLINE_GITHUB_PRIVATE_KEY.",
        )
    if settings.github_app_id and not settings.github_webhook_secret:
        yield _pen.trouble(
            "github",
            "The App's webhook has no secret here: `serve` and `web` will not start.",
            "Set MOORLINE_GITHUB_WEBHOOK_SECRET to the secret of the App's webhook.",
        )
    if settings.github_app_id and key:
        try:
            settings.github_key()
        except ConfigurationError as error:
            yield _pen.failed("github", error)


def _gitlab(settings: Settings) -> Findings:
    token = settings.gitlab_token.get_secret_value()
    plain, signing = settings.gitlab_webhook_secret, settings.gitlab_signing_token
    if (plain or signing) and not token:
        yield _pen.trouble(
            "gitlab",
            "GitLab's deliveries are taken, and there is no account to work on them with.",
            "Set MOORLINE_GITLAB_TOKEN.",
        )
    if token and not (plain or signing):
        yield _pen.trouble(
            "gitlab",
            "GitLab's webhooks have no secret here: `serve` and `web` will not start.",
            "Set MOORLINE_GITLAB_SIGNING_TOKEN, or for GitLab before 19.0 MOORLINE_GITLAB_WEBHOOK_SECRET.",
        )
    if signing and "" in plain:
        yield _pen.note(
            "gitlab",
            "A secret token that is for any hook counts for nothing where signing tokens are set.",
            "Name its hook in MOORLINE_GITLAB_WEBHOOK_SECRET, or take it away.",
        )
    for hook in sorted(set(signing) & set(plain) - {""}):
        yield _pen.note(
            "gitlab",
            f"The hook {hook} has both a signing token and a secret token: it must sign, and the other is not read.",
            "Take its secret token away.",
        )


def _address(settings: Settings) -> Findings:
    parts = urlsplit(settings.public_url)
    if not settings.public_url:
        if settings.receives:
            yield _pen.note(
                "address",
                "The public address is not set: whether forges reach us cannot be told.",
                "Set MOORLINE_PUBLIC_URL to the address that they call.",
            )
        return
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        yield _pen.trouble(
            "address",
            "The public address is plain http: code and plain tokens can be read on their way.",
            "Serve it by https, and set MOORLINE_PUBLIC_URL and the forges' hooks to that.",
        )
    if settings.shows_pages and parts.hostname not in _LOOPBACK:
        yield _pen.note(
            "pages",
            "Everybody who reaches this server can read every repository's proposals.",
            "Put a login in front of it, or take MOORLINE_PAGES away.",
        )


def _secrets(settings: Settings) -> Findings:
    several = {
        "MOORLINE_GIT_WEBHOOK_SECRET": _texts(settings.git_webhook_secret),
        "MOORLINE_GITHUB_WEBHOOK_SECRET": _texts(settings.github_webhook_secret),
        "MOORLINE_GITLAB_WEBHOOK_SECRET": [
            text for some in settings.gitlab_webhook_secret.values() for text in _texts(some)
        ],
    }
    for name, texts in several.items():
        short = sum(len(text) < _LONG_ENOUGH or len(set(text)) < 8 for text in texts)
        if short:
            yield _pen.note(
                "secrets",
                f"{name} is short or repeats itself: it may be guessed.",
                "Make one with `openssl rand -hex 32`.",
            )
    places: dict[str, set[str]] = {}
    for name, texts in several.items():
        for text in texts:
            places.setdefault(text, set()).add(name)
    for names in sorted({tuple(sorted(one)) for one in places.values() if len(one) > 1}):
        yield _pen.note(
            "secrets",
            f"{' and '.join(names)} hold the same secret: whoever knows one forge's can speak as the other.",
            "Give each its own.",
        )


def _texts(secrets: Iterable[SecretStr]) -> list[str]:
    return [one.get_secret_value() for one in secrets]


def _files(settings: Settings, file: Path | None) -> Findings:
    key = settings.github_private_key.get_secret_value()
    for what, path in _private(key, file):
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - a symbolic link's own mode says nothing
        except (OSError, ValueError):
            continue  # said where it is read
        if mode & _OTHERS:
            yield _pen.note(
                "files",
                f"Others on this machine may read or change {path} ({stat.filemode(mode)[1:]}), which holds {what}.",
                f"chmod 600 {path}",
            )


def _private(key: str, file: Path | None) -> Iterator[tuple[str, Path]]:
    if key.startswith("/"):
        yield "the App's private key", Path(key)
    if file is not None:
        yield "settings, secrets perhaps among them", file
