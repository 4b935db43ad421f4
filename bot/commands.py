"""What people say to Moorline in a comment: the grammar, and who may say what.  Pure.

A command stands alone on a line that begins with the bot's name: `@moorline ignore node:22 because ...`.
What Markdown shows as code, as a quote or not at all is no command.  Where it is doubtful whether a line is
one, it is none: nobody is surprised by what was not done.

A new command is a verb, a row of `FORMS`, and a row of the table of effects in `bot.runs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, StrEnum
from typing import TypeAlias

from bot.forges.base import Role
from bot.spoken import spoken
from bot.visible import visible

MOST = 10
"""Commands of one comment that are looked at."""
LONGEST_TEXT = 64 * 1024
"""Characters of one comment that are looked at."""
LONGEST_LINE = 2_000
LONGEST_REASON = 500
"""Characters of a reason: what `because` of the configuration takes."""
LONGEST_NAME = 300
MOST_NAMES = 20
FARTHEST = timedelta(days=366 * 5)
"""How far ahead a date may lie."""
MOST_DAYS = 365


class Verb(StrEnum):
    """What can be asked for.  Closed: answers and the audit log show it."""

    HELP = "help"
    STATUS = "status"
    EXPLAIN = "explain"
    PIN = "pin"
    RECHECK = "recheck"
    REBASE = "rebase"
    RECREATE = "recreate"
    IGNORE = "ignore"
    UNPIN = "unpin"
    ALLOW = "allow"
    DISALLOW = "disallow"
    SNOOZE = "snooze"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    OVERRIDE = "override"


class Subject(Enum):
    """What a command is about."""

    NONE = "nothing"
    MAYBE = "one image, or none"
    ONE = "one image"
    SEVERAL = "images, or `all`"
    DAYS = "a number of days, such as `7d`"


class Until(Enum):
    NO = "no"
    MAY = "may"
    MUST = "must"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one command is written, and who may say it."""

    usage: str
    example: str
    says: str
    """What happens, in one line."""
    least: Role
    """The least role in the repository that may say it; asked of the forge when it is carried out."""
    subject: Subject = Subject.NONE
    until: Until = Until.NO
    because: bool = False
    """Whether a reason is asked for."""


FORMS: Mapping[Verb, Form] = {
    Verb.HELP: Form(usage="help", example="help", says="shows this table", least=Role.READ),
    Verb.STATUS: Form(
        usage="status",
        example="status",
        says="tells what is open, held, ignored or paused, and when sweeps look next",
        least=Role.READ,
    ),
    Verb.EXPLAIN: Form(
        usage="explain [IMAGE]",
        example="explain node:22",
        says="tells what the last look found, and why",
        least=Role.READ,
        subject=Subject.MAYBE,
    ),
    Verb.PIN: Form(
        usage="pin [all | IMAGE ...]",
        example="pin node:22 redis:7",
        says="takes back that images were ignored or declined, and proposes them",
        least=Role.WRITE,
        subject=Subject.SEVERAL,
    ),
    Verb.RECHECK: Form(
        usage="recheck", example="recheck", says="looks again, and asks registries anew", least=Role.WRITE
    ),
    Verb.REBASE: Form(
        usage="rebase",
        example="rebase",
        says="makes this proposal again from the newest commit of its base",
        least=Role.WRITE,
    ),
    Verb.RECREATE: Form(
        usage="recreate",
        example="recreate",
        says="takes over again: overwrites what people committed to its branch, or proposes again what was closed",
        least=Role.WRITE,
    ),
    Verb.IGNORE: Form(
        usage="ignore IMAGE [until DATE] because REASON",
        example="ignore node:22 until 2027-01-31 because the base image moves that week",
        says="lets an image float",
        least=Role.WRITE,
        subject=Subject.ONE,
        until=Until.MAY,
        because=True,
    ),
    Verb.UNPIN: Form(
        usage="unpin IMAGE because REASON",
        example="unpin node:22 because it is rebuilt every night",
        says="leaves an image out of proposals for good; a digest that stands in a file is left to people",
        least=Role.WRITE,
        subject=Subject.ONE,
        because=True,
    ),
    Verb.ALLOW: Form(
        usage="allow IMAGE until DATE because REASON",
        example="allow ghcr.io/acme/tool:1.4 until 2027-01-31 because we read its source",
        says="lets one digest of an image pass although checks hold or refuse it",
        least=Role.MAINTAIN,
        subject=Subject.ONE,
        until=Until.MUST,
        because=True,
    ),
    Verb.DISALLOW: Form(
        usage="disallow IMAGE",
        example="disallow ghcr.io/acme/tool:1.4",
        says="takes back at once what allow let pass, of all digests or of the one that is named",
        least=Role.MAINTAIN,
        subject=Subject.ONE,
    ),
    Verb.SNOOZE: Form(
        usage="snooze DAYS",
        example="snooze 7d",
        says="proposes nothing in this repository for some days",
        least=Role.WRITE,
        subject=Subject.DAYS,
    ),
    Verb.PAUSE: Form(
        usage="pause",
        example="pause",
        says="proposes nothing in this repository until told to resume; checks go on",
        least=Role.WRITE,
    ),
    Verb.RESUME: Form(usage="resume", example="resume", says="ends a pause or a snooze", least=Role.WRITE),
    Verb.CLOSE: Form(
        usage="close",
        example="close",
        says="closes this proposal of Moorline's and remembers that it is not wanted",
        least=Role.WRITE,
    ),
    Verb.OVERRIDE: Form(
        usage="override because REASON",
        example="override because the registry is down and the fix cannot wait",
        says="breaks the glass: lets the required check pass for one commit, which is written down",
        least=Role.ADMIN,
        because=True,
    ),
}

_ROLES: Mapping[str, Mapping[Role, str]] = {
    "gitlab": {
        Role.READ: "Guest or Reporter",
        Role.WRITE: "Developer",
        Role.MAINTAIN: "Maintainer",
        Role.ADMIN: "Owner",
    }
}
"""What a forge calls roles, where it is not what we call them."""


def role_name(role: Role, forge: str) -> str:
    """Return what the forge of that name (`github`, `gitlab`) calls a role."""
    return _ROLES.get(forge, {}).get(role, role.name.lower())


def address(login: str) -> str:
    """Return what a command to the account of that login begins with."""
    return f"@{login.removesuffix('[bot]')}"


ALIASES: Mapping[str, Verb] = {
    "reopen": Verb.RECREATE,
    "unpause": Verb.RESUME,
    "unallow": Verb.DISALLOW,
    "unignore": Verb.PIN,
    "?": Verb.HELP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that is asked for."""

    verb: Verb
    names: tuple[str, ...] = ()
    """Images, actions or includes as they were named; empty for none, or for all."""
    days: int = 0
    until: date | None = None
    """The last day, in UTC."""
    because: str = ""
    """On one line, nothing unseen in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A line that is meant for us and is no command."""

    said: str
    """The beginning of it, fit to be shown."""
    problem: str
    """One sentence of ours; nothing of the comment is in it."""
    meant: Verb | None = None
    """The command that it is most like."""
    instead: str = ""
    """What may be said instead, as it was written but for the mistake; empty where that is no command either."""


Said: TypeAlias = Command | Mistake


def parse(text: str, login: str, *, slash: bool, today: date) -> tuple[Said, ...]:
    """Return what a comment asks for, in order; never raises, and takes time linear in the text.

    `login` is our account's name, with `[bot]` behind it or without; `slash` says whether `/moorline` is
    another way to begin.  More than `MOST` commands are one mistake at the end.
    """
    found: list[Said] = []
    for line in _addressed(text, login, slash=slash):
        if len(found) == MOST:
            problem = f"Only the first {MOST} commands of a comment are looked at."
            return (*found, Mistake(said=_shown(line), problem=problem))
        found.append(_command(line, today))
    return tuple(found)


# --- which lines are said to us -----------------------------------------------------------

_ORDER = re.compile(
    r" {0,3}([@/])([A-Za-z0-9_][A-Za-z0-9_.-]{0,254})(\[bot\])?(?=[\s,:!.]|\Z)[,:!.]?(.*)\Z", re.DOTALL
)


def _addressed(text: str, login: str, *, slash: bool) -> Iterator[str]:
    """Yield what stands behind our name on each line that begins with it."""
    bare = login.removesuffix("[bot]").casefold()
    slashed = {"moorline", bare}
    for line in spoken(text, LONGEST_TEXT):
        found = _ORDER.match(line)
        if found is None:
            continue
        sigil, name = found[1], found[2].rstrip(".-").casefold()
        if (sigil == "@" and name == bare) or (slash and sigil == "/" and not found[3] and name in slashed):
            yield found[4].strip()


# --- what a line asks for -----------------------------------------------------------------

_COMMENTS = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DAYS = re.compile(r"([0-9]{1,4}) ?(d|days?|w|weeks?)?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9$][\x21-\x7e]*")
_POLITE = frozenset({"please", "pls", "plz", "kindly"})
_ASKING = frozenset({"can", "could", "would", "will", "you"})
"""What an order may begin with, and what a question does."""
_LONGEST_INSTEAD = 300
"""Characters of a command that is written out anew."""
_AROUND = "`\"',;"


def _command(line: str, today: date) -> Said:
    if len(line) > LONGEST_LINE:
        return Mistake(said=_shown(line), problem=f"A command has at most {LONGEST_LINE} characters.")
    words = _COMMENTS.sub(" ", line).split()
    if not words:
        return Command(verb=Verb.HELP)
    order, asked = _order(words)
    verb = _verb(order[0]) if order else None
    if verb is None or asked:
        return _no_order(line, order, today)
    try:
        return _read(verb, order[1:], today)
    except _MistakenError as error:
        return Mistake(said=_shown(line), problem=error.problem, meant=verb)


def _bare(word: str) -> str:
    return word.strip(_AROUND + ".!?").casefold()


def _verb(word: str) -> Verb | None:
    """Return the command that a word is; a question is none."""
    first = word.strip(_AROUND + ".!").casefold()
    return ALIASES.get(word.casefold()) or ALIASES.get(first) or _VERBS.get(first)


def _order(words: Sequence[str]) -> tuple[list[str], bool]:
    """Return the words of an order without what is polite before and behind it, and whether they ask for it."""
    left, asked = list(words), False
    while left and _bare(left[0]) in _POLITE | _ASKING:
        asked |= _bare(left[0]) in _ASKING
        left = left[1:]
    if not any(_bare(one) == "because" for one in left):  # else it is a part of the reason
        while len(left) > 1 and _bare(left[-1]) in _POLITE:
            left.pop()
    return left, asked


def _no_order(line: str, order: Sequence[str], today: date) -> Mistake:
    """Return what is told of a line that begins with no command: the one that it is like, as it may be said."""
    problem = "A command begins with its name." if order and _verb(order[0]) else "There is no such command."
    meant = (_verb(order[0]) or _like(_bare(order[0]))) if order else None
    instead = ""
    if meant is not None:
        rest = " ".join(order[1:]).rstrip("?").rstrip()
        try:
            _read(meant, rest.split(), today)
        except _MistakenError:
            pass  # how it is written says more
        else:
            told = f"{meant.value} {rest}".rstrip()
            instead = visible(told, _LONGEST_INSTEAD) if len(told) <= _LONGEST_INSTEAD else ""
    return Mistake(said=_shown(line), problem=problem, meant=meant, instead=instead)


def _like(word: str) -> Verb | None:
    """Return the command that somebody may have mistyped.

    What has an effect is guessed where one letter is amiss, or two are in each other's place, but for none
    of three letters: too many words are like that.
    """
    far: dict[Verb, int] = {}
    for name, verb in _VERBS.items():
        reads = FORMS[verb].least is Role.READ
        alike = _distance(word[:20], name)
        if alike <= (2 if reads and len(name) > len("help") else 1) and (
            reads or (len(name) > len("pin") and word[0] == name[0])
        ):
            far[verb] = alike
    best = [verb for verb, alike in far.items() if alike == min(far.values())]
    return best[0] if len(best) == 1 else None


def _distance(one: str, other: str) -> int:
    """Return how many letters are too many, missing, wrong or in their neighbour's place."""
    older: list[int] = []
    above = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        row = [n]
        for m, wanted in enumerate(other, 1):
            least = min(above[m] + 1, row[-1] + 1, above[m - 1] + (letter != wanted))
            if n > 1 and m > 1 and (letter, one[n - 2]) == (other[m - 2], wanted):
                least = min(least, older[m - 2] + 1)
            row.append(least)
        older, above = above, row
    return above[-1]


class _MistakenError(Exception):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def _read(verb: Verb, words: list[str], today: date) -> Command:
    form = FORMS[verb]
    rest = words
    about: list[str] = []
    while rest and rest[0].casefold().strip(_AROUND) not in ("until", "because"):
        about.append(rest[0])
        rest = rest[1:]
    until = because = None
    if rest and rest[0].casefold().strip(_AROUND) == "until":
        until = _day(rest[1] if len(rest) > 1 else "", today)
        rest = rest[2:]
    if rest and rest[0].casefold().strip(_AROUND + ":") == "because":
        because = _printable(visible(" ".join(rest[1:]), LONGEST_REASON + 1))
        rest = []
    if rest:
        raise _MistakenError("Behind the date stands only the reason, after the word because.")
    names, days = _subject(form.subject, about)
    _fit(form, until, because)
    return Command(verb=verb, names=names, days=days, until=until, because=because or "")


def _fit(form: Form, until: date | None, because: str | None) -> None:
    if form.until is Until.NO and until is not None:
        raise _MistakenError("This command takes no date.")
    if form.until is Until.MUST and until is None:
        raise _MistakenError("It needs a last day: the word until, and a date.")
    if not form.because and because is not None:
        raise _MistakenError("This command takes no reason.")
    if form.because and not because:
        raise _MistakenError("It needs a reason: the word because, and why.")
    if because is not None and len(because) > LONGEST_REASON:
        raise _MistakenError(f"A reason has at most {LONGEST_REASON} characters.")


def _subject(subject: Subject, about: list[str]) -> tuple[tuple[str, ...], int]:
    words = [word for one in about for word in one.split(",") if word.strip(_AROUND) and word != "and"]
    if subject is Subject.DAYS:
        return (), _days(" ".join(words))
    names = tuple(dict.fromkeys(_name(word) for word in words))
    if subject is Subject.NONE and names:
        raise _MistakenError("Nothing stands behind this command.")
    if subject is Subject.ONE and len(names) != 1:
        raise _MistakenError("It is about one image, action or include: name it.")
    if subject is Subject.MAYBE and len(names) > 1:
        raise _MistakenError("It is about one image, action or include at a time.")
    if subject is Subject.SEVERAL and [one.casefold() for one in names] == ["all"]:
        return (), 0
    if len(names) > MOST_NAMES:
        raise _MistakenError(f"At most {MOST_NAMES} names stand in one command.")
    return names, 0


def _name(word: str) -> str:
    name = word.strip(_AROUND)
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name) or set("*?[]<>\\") & set(name):
        raise _MistakenError("An image, action or include is named as it stands in the file, without blanks.")
    return name


def _days(text: str) -> int:
    found = _DAYS.fullmatch(text)
    if found is None:
        raise _MistakenError("It needs a number of days, such as 7d or 2w.")
    days = int(found[1]) * (7 if (found[2] or "d")[0] in "wW" else 1)
    if not 1 <= days <= MOST_DAYS:
        raise _MistakenError(f"It takes 1 to {MOST_DAYS} days.")
    return days


def _day(word: str, today: date) -> date:
    text = word.strip(_AROUND + ".")
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None:
        raise _MistakenError("A date is written as year, month and day, such as 2027-01-31.")
    if day < today:
        raise _MistakenError("The date is over.")
    if day > today + FARTHEST:
        raise _MistakenError("The date is more than five years away.")
    return day


def _printable(text: str) -> str:
    """Return a text as the configuration takes it: characters that nobody knows are no part of a reason."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _shown(line: str) -> str:
    return visible(line, 100)


_VERBS: Mapping[str, Verb] = {verb.value: verb for verb in Verb}
