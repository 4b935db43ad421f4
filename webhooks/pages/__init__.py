"""Pages for people: what was proposed, and how runs ended.  No scripts, nothing to press."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from bot.store.base import Backlog, Proposals
from bot.visible import visible
from webhooks.site import Site

_SHOWN = 100
_MOST_LINES = 5000
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a diff."""

    kind: str
    """`file`, `hunk`, `added`, `removed` or `same`."""
    text: str


def diff_lines(diff: str) -> Iterator[Line]:
    """Yield the lines of a unified diff with what each is, up to a bound."""
    in_hunk = False
    for text in diff.split("\n")[:_MOST_LINES]:
        if text.startswith("@@"):
            in_hunk, kind = True, "hunk"
        elif text.startswith(("--- ", "+++ ")) and (not in_hunk or text.startswith("--- a/")):
            in_hunk, kind = False, "file"
        else:
            kind = {"+": "added", "-": "removed"}.get(text[:1], "same")
        yield Line(kind=kind, text=visible(text, 1000))


def blueprint(*, proposals: Proposals, backlog: Backlog | None, site: Site) -> Blueprint:
    """Return the pages' routes."""
    pages = Blueprint(
        "pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
    )

    @pages.before_request
    def known_host() -> None:
        if urlsplit(f"//{request.host}").hostname not in site.hosts:
            abort(421, "This server does not go by that name.")

    @pages.app_template_filter("visible")
    def shown(text: str) -> str:
        return visible(text)

    @pages.app_template_filter("paragraphs")
    def paragraphs(text: str) -> str:
        return "\n".join(visible(line, 2000) for line in text.split("\n")[:_MOST_LINES])

    @pages.app_template_filter("moment")
    def moment(time: datetime) -> str:
        return time.strftime("%Y-%m-%d %H:%M UTC")

    @pages.app_template_filter("weblink")
    def weblink(url: str) -> str:
        return url if urlsplit(url).scheme in ("http", "https") else ""

    @pages.get("/")
    def index() -> ResponseReturnValue:
        return render_template(
            "index.html",
            proposals=proposals.recent(_SHOWN),
            runs=backlog.runs(_SHOWN // 5) if backlog is not None else (),
            hooks=site.hooks,
        )

    @pages.get("/proposals/<id_>")
    def proposal(id_: str) -> ResponseReturnValue:
        stored = proposals.get(id_) if _ID.fullmatch(id_) else None
        if stored is None:
            abort(404, "There is no such proposal.")
        return render_template("proposal.html", stored=stored, lines=list(diff_lines(stored.diff)))

    return pages
