"""Quick actions: lines of a comment or description that GitLab takes for orders and carries out.

Stricter than any one version: some leave alone what stands in an HTML block or behind spaces, here only fenced
code protects.  A bot whose texts pass here is safe with all of them.
"""

from __future__ import annotations

import re

_WORDS = """
    add_child add_contacts add_email alert approve assign assign_reviewer award blocked_by blocks board_move cc
    child_of clear_health_status clear_weight clone close confidential convert_to_ticket copy_metadata
    create_merge_request done draft due duplicate epic estimate estimate_time health_status invite_email
    iteration label labels link lock merge milestone move page parent promote promote_to promote_to_incident
    publish react ready reassign reassign_reviewer rebase relabel relate remove_assignee remove_child
    remove_contacts remove_due_date remove_email remove_epic remove_estimate remove_iteration remove_label
    remove_milestone remove_parent remove_time_spent remove_time_estimate remove_zoom reopen request_changes
    request_review reviewer set_parent severity shrug spend spend_time spent ship start_pipeline status
    submit_review subscribe tableflip tag target_branch timeline title todo type unapprove unassign
    unassign_reviewer unblock unlabel unlink unlock unsubscribe weight zoom
"""
COMMANDS = frozenset(_WORDS.split())
_ORDER = re.compile(r" {0,3}/([a-z_]+)(?:[ \t]+(.*))?\Z", re.IGNORECASE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)\Z")


def extract(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text without the orders in it, and the orders: command and argument."""
    kept: list[str] = []
    found: list[tuple[str, str]] = []
    fence = ""
    for line in text.replace("\r", "").split("\n"):
        match = _FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
        elif match:
            fence = match[1]
        else:
            order = _ORDER.match(line)
            if order and order[1].lower() in COMMANDS:
                found.append((order[1].lower(), (order[2] or "").strip()))
                continue
        kept.append(line)
    return "\n".join(kept).rstrip(), found
