"""The check on what a change brings in: title and summary of a report that the guard has judged."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.errors import ConfigurationError
from bot.model import Outcome, Report, Ruling, SkipReason, State, Unread, Verdict
from bot.proposals.asking import for_reviewers
from bot.proposals.markdown import LONGEST, Markdown, cut, quiet
from bot.proposals.pins import Aside, aside_of
from bot.proposals.render import render, render_text
from bot.visible import named, visible

_ROWS = 100
_FILES, _SHOWN, _WIDTH, _LONGEST = 20, 60, 200, 2_000
"""Files whose rules are shown, lines of each, their width, and the lines of a file that is compared."""
_BRIEF, _PLACE = 240, 80
"""Characters of a title with what it is about, and of a path or a reference in it."""
_VERDICTS = {Outcome.REFUSE: "refused", Outcome.HOLD: "held", Outcome.WARN: "noted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    place: str
    value: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fenced:
    path: str
    lines: Markdown
    fence: Markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Explained:
    summary: Markdown
    texts: tuple[_Fenced, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    trouble: str
    rows: tuple[_Row, ...]
    unread: tuple[Aside, ...]
    more: int
    base: str
    rules: tuple[_Fenced, ...] = ()
    loose: int = 0
    """References that may float, or that nobody can tell of, which the policy lets in without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Files in which a change may alter the rules that it is judged by, before and after."""

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]


def guard(
    report: Report, unread: Sequence[Unread], base: str, rules: Sequence[Rules] = ()
) -> tuple[str, str]:
    """Return title (plain) and summary (Markdown) of what a guard says of a change by the policy at `base`.

    What the change says in `rules` is shown, and counts for nothing yet.
    """
    told = _told(report)
    loose = sum(map(_is_loose, report.verdicts))
    view = _View(
        trouble="",
        loose=loose,
        rows=tuple(_row(one) for one in told[:_ROWS]),
        unread=tuple(aside_of(one) for one in unread[:_ROWS]),
        more=max(len(told) - _ROWS, 0) + max(len(unread) - _ROWS, 0),
        base=base,
        rules=tuple(one for each in rules for one in _altered(each))[:_FILES],
    )
    return _title(told, unread, loose), cut(render("check.md.j2", view), LONGEST)


def _told(report: Report) -> list[Verdict]:
    """Return what does not pass, the worst first."""
    return sorted(
        (one for one in report.verdicts if one.outcome is not Outcome.PASS),
        key=lambda one: (
            list(_VERDICTS).index(one.outcome),
            one.finding.location.path,
            one.finding.location.line,
        ),
    )


def brief(title: str, report: Report, unread: Sequence[Unread]) -> str:
    """Return a title with the first references that it is about, worst first, on one line.

    At most `_BRIEF` characters.
    """
    places = [
        f"{visible(one.finding.location.path, _PLACE)}:{one.finding.location.line} "
        f"{visible(named(one.finding), _PLACE)}"
        for one in _told(report)
    ]
    places += [visible(one.path, _PLACE) for one in unread]
    made = title
    for at, place in enumerate(places):
        more = f", and {len(places) - at - 1} more" if at + 1 < len(places) else ""
        longer = f"{made}{', ' if at else ': '}{place}"
        if len(longer) + len(more) > _BRIEF:
            return f"{made}, and {len(places) - at} more" if at else title
        made = longer
    return made


def brief_because(title: str, why: str) -> str:
    """Return a title with the reason if there is one, on one line of at most `_BRIEF` characters."""
    return visible(f"{title}: {for_reviewers(why)}", _BRIEF) if why else title


def undecided(why: str) -> tuple[str, str]:
    """Return title and summary of a check that could not be made, and why."""
    view = _View(trouble=why, rows=(), unread=(), more=0, base="")
    return "Moorline cannot decide", cut(render("check.md.j2", view), LONGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    mistakes: tuple[str, ...]
    more: int
    commit: str
    whose: str
    mended: bool = False


_BROKEN = """\
{% if view.whose == "change" %}
The configuration is broken as this change has it, at {{ view.commit | short }}. Mend it here, or take the file as it is where this change is to be merged:
{% elif view.whose == "base" %}
The configuration is broken where this change is to be merged, at {{ view.commit | short }}. That is no fault of this change, and nothing can be judged until it is mended there:
{% else %}
The configuration is broken at this commit, so nothing is looked at here until it is mended:
{% endif %}

{% for one in view.mistakes %}
- {{ one | reason }}
{% endfor %}
{% if view.more %}

And {{ view.more }} more.
{% endif %}

{% if view.mended %}
This change mends it, and is not judged before that: merge what mends it by itself.
{% elif view.whose == "base" %}
Once it is mended, say {{ "recheck" | code }} here.
{% else %}
{{ "moorline config check" | code }} finds the same before it is pushed.
{% endif %}
"""


def broken(
    mistakes: Sequence[ConfigurationError], commit: str, whose: str, *, mended: bool = False
) -> tuple[str, str]:
    """Return title and summary of a check where the configuration at a commit is broken: all that is wrong.

    `whose` is the `change`'s, its `base`'s, or the `branch`'s own; `mended` says that the change ends it.
    """
    view = _Broken(
        mistakes=tuple(map(str, mistakes[:_ROWS])),
        more=max(len(mistakes) - _ROWS, 0),
        commit=commit,
        whose=whose,
        mended=mended,
    )
    first = for_reviewers(mistakes[0].problem)
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    where = {"change": "in this change", "base": "where this is to be merged"}.get(whose, "here")
    title = f"Configuration broken {where}: "
    title += f"{visible(first, _WIDTH - len(title) - len(more))}{more}"
    return title, cut(render_text(_BROKEN, view), LONGEST)


def mended() -> tuple[str, str]:
    """Return title and summary of a check that takes the place of one that said the configuration is broken."""
    return "The configuration is in order", "What was said of it before does not hold any more.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overridden:
    by: str
    because: str
    title: str
    summary: Markdown


_OVERRIDDEN = """\
{{ view.by | code }} broke the glass for this one commit, because: {{ view.because | prose }}

Without that it says: {{ view.title | prose }}.

{{ view.summary }}
"""


def overridden(title: str, summary: str, by: str, because: str) -> tuple[str, str]:
    """Return title and summary of a check that passes by somebody's word; both given are ours."""
    view = _Overridden(by=by, because=because, title=title, summary=Markdown(summary))
    return "Passes because the glass was broken", cut(render_text(_OVERRIDDEN, view), LONGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one of several requests, or a merge queue, is told of a commit that they share."""

    number: int
    """Of the request; 0 for a merge queue, or where a base is named for that branch itself."""
    base: str
    title: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    name: str
    base: str
    title: str
    summary: Markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class _SharedView:
    parts: tuple[_Shared, ...]
    more: int


_SHARES = 20
_SHARED = """\
More than one thing is said of this commit, and it has one check. It says the worst of it:

{% for one in view.parts %}
### {{ one.name | prose }}{% if one.base %}, onto {{ one.base | code }}{% endif %}: {{ one.title | prose }}

{{ one.summary }}
{% endfor %}
{% if view.more %}
And {{ view.more }} more.
{% endif %}
"""


def shared(shares: Sequence[Share]) -> tuple[str, str]:
    """Return title and summary of a check that stands for several requests; their texts are ours."""
    names = [_sharer(one) for one in shares]
    parts = tuple(
        _Shared(
            name=name[:1].upper() + name[1:],
            base=one.base if one.number else "",
            title=one.title,
            summary=Markdown(one.summary),
        )
        for name, one in zip(names[:_SHARES], shares, strict=False)
    )
    view = _SharedView(parts=parts, more=len(shares) - len(parts))
    title = "; ".join(
        f"{name}: {one.title[:1].lower()}{one.title[1:]}" for name, one in zip(names, shares, strict=True)
    )
    return visible(title[:1].upper() + title[1:], _WIDTH), cut(render_text(_SHARED, view), LONGEST)


def _sharer(share: Share) -> str:
    if share.number:
        return f"request {share.number}"
    return f"the branch {share.base}" if share.base else "the merge queue"


def irrelevant(files: int) -> tuple[str, str]:
    """Return title and summary of a check on a change of which no file can hold a reference."""
    summary = (
        f"No file that this changes ({files} in all) can hold a reference that Moorline looks at, "
        "or a rule of its own.\n"
    )
    return "Nothing here can be pinned", summary


def explained(summary: str, texts: Sequence[str], more: int) -> str:
    """Return a summary with plain texts below it, each as it is."""
    view = _Explained(
        summary=Markdown(summary.rstrip("\n")),
        texts=tuple(_fenced("", [f"  {for_reviewers(line)}" for line in text.split("\n")]) for text in texts),
        more=max(more, 0),
    )
    return cut(render("explained.md.j2", view), LONGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeftOut:
    summary: Markdown
    remarks: int


_LEFT_OUT = """\
No review says this: as many as an hour takes were said in this repository. What has no comment on its line ({{ \
view.remarks | plural("remark", "remarks") }}) is told here alone; once the hour is over, the next push or {{ "recheck" | code }} says it there.

{{ view.summary }}
"""


def left_out(summary: str, remarks: int) -> str:
    """Return a summary of ours that says how many remarks are in no review, and why."""
    made = render_text(_LEFT_OUT, _LeftOut(summary=Markdown(summary.rstrip("\n")), remarks=remarks))
    return cut(made, LONGEST)


def _fenced(path: str, lines: Sequence[str]) -> _Fenced:
    """Return lines that are fit to be shown, and a fence that none of them ends."""
    text = "\n".join(map(quiet, lines))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return _Fenced(path=path, lines=Markdown(text), fence=Markdown("`" * max(longest + 1, 3)))


def _altered(rules: Rules) -> Iterator[_Fenced]:
    for path in sorted(rules.before.keys() | rules.after.keys()):
        old, new = _lines(rules.before.get(path, b"")), _lines(rules.after.get(path, b""))
        if old == new:
            continue
        if max(len(old), len(new)) > _LONGEST:
            shown = ["! too long to be shown: look at the file itself"]
        else:
            found = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
            shown = [line for line in found if not line.startswith("@@")]
        more = [f"! and {len(shown) - _SHOWN} more lines"] if len(shown) > _SHOWN else []
        yield _fenced(path, [*shown[:_SHOWN], *more])


def _lines(data: bytes) -> list[str]:
    return [
        visible(line.replace("\t", "    "), _WIDTH) for line in data.decode("utf-8", "replace").splitlines()
    ]


def _is_loose(verdict: Verdict) -> bool:
    """Return whether a reference comes in that passes although it can be moved, or nobody can tell."""
    finding = verdict.finding
    fixed = finding.state is State.PINNED or finding.skip in _SETTLED
    return verdict.outcome is Outcome.PASS and not fixed


_SETTLED = frozenset({SkipReason.PINNED, SkipReason.OWN, SkipReason.BUILT_HERE, SkipReason.OVERRIDDEN})
"""Why nobody else can move what a reference leads to, or nobody uses it."""


def _title(told: Sequence[Verdict], unread: Sequence[Unread], loose: int) -> str:
    counts = Counter(_VERDICTS[one.outcome] for one in told)
    parts = [f"{counts[word]} {word}" for word in _VERDICTS.values() if counts[word]]
    parts += [f"{len(unread)} unread"] if unread else []
    if parts:
        return ", ".join(parts).capitalize()
    if loose:
        return "Nothing comes in that the policy minds"
    return "Nothing floats that this change brings in"


def _row(verdict: Verdict) -> _Row:
    place = verdict.finding.location
    reasons = [
        for_reviewers(one.text) for one in verdict.reasons if one.ruling is not Ruling.PASS and one.text
    ]
    return _Row(
        place=f"{place.path}:{place.line}",
        value=named(verdict.finding),
        verdict=_VERDICTS[verdict.outcome],
        why="; ".join(dict.fromkeys(reasons)),
    )
