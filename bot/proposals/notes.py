"""Short texts around a proposal: what the forge said of it, why it is closed, what its check says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.model import Proposal
from bot.proposals.lasting import CONFIGURATION
from bot.proposals.markdown import Markdown, address, code, order
from bot.proposals.render import render_text


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    body: Markdown
    notes: tuple[str, ...]
    advice: Markdown


_NOTED = """\
{{ view.body }}
{% if view.notes or view.advice %}

{% for note in view.notes %}
- {{ note | reason }}
{% endfor %}
{% if view.advice %}

{{ view.advice }}
{% endif %}
{% endif %}
"""


def noted(body: str, notes: Sequence[str], advice: str) -> str:
    """Return a proposal's body with what was learnt after the branch was written.

    `body` and `advice` are Markdown that is harmless already; notes are plain sentences.
    """
    if not notes and not advice:
        return body
    view = _View(body=Markdown(body.rstrip("\n")), notes=tuple(notes), advice=Markdown(advice))
    return render_text(_NOTED, view).rstrip("\n") + "\n"


def hears(text: str, address: str) -> str:
    """Return Markdown of ours that says below what people may answer, where comments to `address` are heard."""
    if not text.strip() or not address:
        return text
    ignore = order(f"{address} ignore IMAGE because REASON")
    return f"{text.rstrip()}\n\n{order(f'{address} help')} in a comment shows what you may say, {ignore} leaves an image as it is.\n"


def stands_back(address: str) -> str:
    """Return the comment on a request to whose branch somebody committed."""
    return f"Somebody committed to this branch, so Moorline stands back: it changes nothing here any more. {taken_over(address)}"


def taken_over(address: str) -> str:
    """Return what a person can do about a request to whose branch somebody committed."""
    return (
        f"Merge it, or say {order(f'{address} recreate')} on it: Moorline takes over again and drops those commits. "
        "Closing it declines what it pins."
    )


def own_check(proposal: Proposal) -> tuple[str, str]:
    """Return title and summary (Markdown) of the check on a commit of our own."""
    if proposal.group == CONFIGURATION:
        return "Keeps what was decided", KEEPS
    files = len({edit.path for edit in proposal.edits})
    count = len(proposal.pins) or len(proposal.edits)
    references = "1 reference" if count == 1 else f"{count} references"
    places = "1 file" if files == 1 else f"{files} files"
    summary = (
        f"This change pins {references} in {places} and touches nothing else. "
        "What each of them points to, and what is known of it, is in the description."
    )
    return f"Pins {references}", summary


KEEPS = "This change adds what people decided in comments to Moorline's own configuration and touches nothing else."
STAYS_DECLINED = (
    "Somebody closed this, which declined what it allows. Opening it again does not bring that back: "
    "whoever may say `allow` can say it again."
)
"""The comment on a request for the configuration that was opened again, and allows what stays declined."""
NOTHING_TO_KEEP = (
    "What was decided stands in the configuration by now, or holds no longer, so Moorline closes this."
)
"""The comment on a request for the configuration that Moorline closes itself."""
NOTHING_LEFT = (
    "Nothing is left to pin here, so Moorline closes this. It comes back when something floats again."
)
"""The comment on a request that Moorline closes itself."""


def continues(branch: str) -> str:
    """Return the comment on a request that goes on from another branch."""
    return f"The configuration names its branches otherwise by now: this continues on {code(branch)}."


def replaced(urls: Sequence[str]) -> str:
    """Return the comment on a request whose pins other requests propose by now."""
    there = ", ".join(map(address, urls))
    where = f": {there}" if there else ""
    return (
        "The configuration groups its proposals otherwise by now. What this pins is proposed elsewhere, so "
        f"Moorline closes it{where}"
    )


def unfollowed(base: str) -> str:
    """Return the comment on a request for a base that is not looked after any more."""
    return (
        f"Moorline does not look after {code(base)} any more: it is neither the default branch nor one that "
        "`refs` in the configuration names. So it closes this."
    )
