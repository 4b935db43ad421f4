"""Templates to text: nothing outside reaches a document but through a filter that defuses it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from bot.proposals import markdown
from bot.proposals.asking import for_reviewers
from bot.proposals.markdown import Markdown

if TYPE_CHECKING:
    from jinja2 import Environment

_OTHER = re.compile(r"[^A-Za-z0-9._/:+-]+")
_ASCII = str.maketrans({"\u2011": ".", "\u2024": "/", "\u2215": None, "\u2236": ".", "…": "..."})
"""What a title has in place of a sign that looks alike."""
_MOST = 20
"""Names in a row."""
_NAME = 60
"""Characters of a name in a title."""


def render(template: str, view: object) -> str:
    """Return the text of a template for a view object; raises what `render_text` raises."""
    return _environment().get_template(template).render(view=view)


def render_text(text: str, view: object) -> str:
    """Return the text that a template's own text gives.

    Raises `TypeError` where it shows a string that went through no filter.
    """
    return _environment().from_string(text).render(view=view)


def _shown(value: Any) -> Any:
    """Let numbers and defused text through: a forgotten filter is an error, not a hole."""
    if isinstance(value, Markdown | int) or (isinstance(value, str) and not value):
        return value
    raise TypeError(f"a template shows {type(value).__name__} without a filter")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only where text is made

    environment = Environment(  # Markdown and plain text: `_shown` takes the place of HTML escaping
        loader=PackageLoader("bot.proposals"),
        autoescape=False,  # noqa: S701 - see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters.update(
        code=markdown.code,
        prose=markdown.prose,
        order=markdown.order,
        reason=lambda text: markdown.prose(for_reviewers(text)),
        link=markdown.link,
        address=markdown.address,
        plural=lambda count, one, many: Markdown(f"{count} {one if count == 1 else many}"),
        day=lambda moment: Markdown(f"{moment:%Y-%m-%d %H:%M} UTC"),
        date=lambda day: Markdown(f"{day:%Y-%m-%d}"),
        listed=_listed,
        short=lambda digest: markdown.code(_short(digest)),
        plain=_plain,
        named=markdown.named,
    )
    return environment


def _listed(names: Sequence[str]) -> Markdown:
    """Return names as code spans with commas between, and how many did not fit."""
    made = ", ".join(markdown.code(name) for name in names[:_MOST])
    return Markdown(f"{made} and {len(names) - _MOST} more" if len(names) > _MOST else made)


def _plain(text: str) -> Markdown:
    """Return text for a title or a commit message: letters, digits and what separates them, bounded."""
    kept = _OTHER.sub("-", text).strip("-/")
    kept = kept if len(kept) <= _NAME else f"...{kept[3 - _NAME :]}"
    return Markdown(markdown.named(kept).translate(_ASCII))


def _short(digest: str) -> str:
    algorithm, colon, value = digest.rpartition(":")
    return f"{algorithm}{colon}{value[:12]}"
