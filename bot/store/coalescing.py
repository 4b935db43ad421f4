"""How two wishes for one ref become one.  Pure."""

from __future__ import annotations

from dataclasses import replace

from bot.model import Job, Trigger
from bot.store.base import priority

MOST_CHANGED = 1000
"""Paths; where more changed, everything is looked at."""
_LONGEST_CHANGED = 100_000  # characters of all of them


def merged(waiting: Job, newer: Job) -> Job:
    """Return the one job that does for both: at the newest head, and all that changed on the way there.

    What changed is known only where nothing lies between the two.  A sweep asks for a look at
    everything; it does not take the place of what was more urgent, and what it tells of a head is older
    than what a push does.
    """
    calm = priority(newer.trigger) > priority(waiting.trigger)
    urgent = priority(newer.trigger) < priority(waiting.trigger)
    # A person who asks for a sweep wants digests looked at, which catching up does not do.
    asked = waiting.trigger is Trigger.SWEEP and newer.trigger is Trigger.CATCH_UP
    both = replace(
        waiting,
        trigger=waiting.trigger if calm or asked else newer.trigger,
        head=waiting.head if calm else newer.head if urgent else newer.head or waiting.head,
        changed=_changed(waiting, newer),
        number=newer.number or waiting.number,
        identity=newer.identity or waiting.identity,
        default_branch=newer.default_branch or waiting.default_branch,
    )
    return bounded(both)


def bounded(job: Job) -> Job:
    """Return the job without its changed paths where they are more than is worth keeping."""
    paths = job.changed
    if paths is None or (len(paths) <= MOST_CHANGED and sum(map(len, paths)) <= _LONGEST_CHANGED):
        return job
    return replace(job, changed=None)


def _changed(waiting: Job, newer: Job) -> tuple[str, ...] | None:
    if waiting.changed is None or newer.changed is None:
        return None
    twice = (newer.before, newer.head) == (waiting.before, waiting.head)  # one push, told by two hooks
    if not newer.head or not newer.before or not (twice or newer.before == waiting.head):
        return None
    return tuple(dict.fromkeys((*waiting.changed, *newer.changed)))
