"""From the facts of a pipeline's files to findings: which variable feeds which image.

GitLab merges the files of a pipeline before it looks at a variable, so a literal in one file may
be an image in another.  Wherever a value comes from, pinning its literal means the same for every
job, as long as the variable is used for nothing but whole images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bot.finders.gitlab_facts import ALIKE, STANDARD, Definition, Facts, Text, Use
from bot.finders.gitlab_includes import FORMAT
from bot.finders.gitlab_place import key
from bot.finders.gitlab_pointers import Origin, Pointer, Role, lost
from bot.finders.gitlab_text import PREDEFINED, Judgement, Part, Piece, is_own, judge, parts, pinned, whole
from bot.model import Built, Finding, ImageReference, Kind, SkipReason, Span, State

Key: TypeAlias = tuple[str, str]
"""A variable is `("", name)`, an input the path of its file and its name."""

_NOBODY: frozenset[str] = frozenset()
MAX_VALUES = 8
"""Values of one text that are worked out; a variable that has more is only said to vary."""
_KINDS = {
    Role.IMAGE: Kind.IMAGE,
    Role.SERVICES: Kind.IMAGE,
    Role.INCLUDE: Kind.INCLUDE,
    Role.STEPS: Kind.INCLUDE,
}
_MAX_DEPTH = 8
_MAX_NEEDED = 64 * 1024
"""Characters under `needs` that are searched for the values of a matrix."""
_MAX_RELATED = 100
"""Jobs that one job extends, directly or not; GitLab allows eleven levels."""


@dataclass(slots=True)
class _Feed:
    """A literal that variables hold and images use."""

    definitions: dict[tuple[Key, int], Definition] = field(default_factory=dict)
    direct: list[Use] = field(default_factory=list)


class _Pipeline:
    def __init__(
        self, files: Sequence[Facts], targets: Mapping[tuple[str, str], tuple[str, ...]], *, complete: bool
    ) -> None:
        self.files = files
        self.complete = complete
        self.definitions: dict[Key, list[tuple[Facts, Definition]]] = defaultdict(list)
        self.bad: set[Key] = set()
        self._ancestors, self._descendants = _related(files)
        self.needed: set[str] = set()
        self._taken = frozenset(one for file in files for one in file.taken)
        self._roots = (
            frozenset(key("", name) for file in files for name in file.keys) if self._taken else _NOBODY
        )
        self._needed_text: str | None = None
        self._fed: dict[tuple[Key, str | None], bool] = {}
        self._by_job: dict[Key, dict[str | None, list[tuple[Facts, Definition]]]] = {}
        self._known: dict[tuple[Key, str | None], list[str] | None] = {}
        self._at: dict[tuple[str, Span], list[tuple[Key, Definition]]] = defaultdict(list)
        self._feeds: dict[tuple[str, Span], _Feed] = {}
        self._findings: dict[tuple[str, Span], Finding] = {}
        for file in files:
            self.bad |= {("", name) for name in file.variables_elsewhere}
            self.bad |= {(file.path, name) for name in file.inputs_elsewhere}
            self.needed |= file.needed
            for one in file.definitions:
                keys = list(_keys(file, one, targets))
                location = one.text.place.location
                for found in keys:
                    self.definitions[found].append((file, one))
                    self._at[location.path, location.span].append((found, one))
                if not keys and (part := whole(one.text.value or "")) is not None:
                    self.bad |= {("", part.text), (file.path, part.text)}  # handed to a file that is not here
        self.overridden = {
            found
            for found, given in self.definitions.items()
            if any(one.origin is Origin.RULES for _, one in given)
        }

    def findings(self) -> dict[str, list[Finding]]:
        for file in self.files:
            for use in file.uses:
                self._use(file, use)
        for pointer, note in lost(
            [one for file in self.files for one in file.pointers],
            (one for file in self.files for one in file.answered),
            (one for file in self.files for one in file.forwards),
        ):
            self._lost(pointer, note)
        self._spoil()
        for feed in self._feeds.values():
            self._literal(feed)
        made: dict[str, list[Finding]] = defaultdict(list)
        for file in self.files:
            for one in file.findings:
                self._add(one)
        for one in self._findings.values():
            made[one.location.path].append(one)
        for found in made.values():
            found.sort(key=lambda one: one.location.span)
        return made

    def built(self) -> dict[str, list[Built]]:
        """Return the images that scripts name by variables, where the files show what they come to."""
        made: dict[str, list[Built]] = defaultdict(list)
        for file in self.files:
            for one in file.built:
                known = (part.piece is Piece.LITERAL or self._is_predefined(part) for part in parts(one.name))
                if not all(known):
                    values = self._values(file, one.name, None, 0) or ()
                    made[file.path] += (replace(one, name=value) for value in values)
        return made

    def _add(self, finding: Finding) -> None:
        self._findings.setdefault((finding.location.path, finding.location.span), finding)

    # --- uses -----------------------------------------------------------------------------

    def _use(self, file: Facts, use: Use) -> None:
        text = use.text.value or ""
        part = whole(text)
        found = self._key(file, part) if part is not None else None
        if found is not None and found in self.definitions:
            if not self._feed(found, use.job, 0):
                self._add(_finding(use.text, _unset(found)))
        elif found is None and ("$" not in text or self._is_prefixed(text)):
            self._feed_at(use.text).direct.append(use)
        else:
            self._add(_finding(use.text, self._judge(file, text, use.job)))

    def _key(self, file: Facts, part: Part) -> Key | None:
        """Return what a variable or input is called, None for one that GitLab defines itself."""
        if part.piece is Piece.INPUT:
            return file.path, part.text
        own = ("", part.text)
        return None if own not in self.definitions and _predefined(part.text) else own

    def _feed(self, found: Key, job: str | None, depth: int) -> bool:
        """Follow a variable that is a whole image to its literals; False where no value applies."""
        if (found, job) in self._fed:
            return self._fed[found, job]
        self._fed[found, job] = False  # a cycle ends here, without a value
        applied = False
        for file, one in self._applying(found, job):
            text = one.text.value
            if not text:
                continue
            applied = True
            part = whole(text)
            behind = self._key(file, part) if part is not None else None
            if behind is not None and behind in self.definitions and depth < _MAX_DEPTH:
                if not self._feed(behind, one.job or job, depth + 1):
                    self._add(_finding(one.text, _unset(behind), argument=one.name))
            elif "$" in text and not self._is_prefixed(text):
                judged = self._judge(file, text, one.job or job)
                self._add(_finding(one.text, judged, argument=one.name))
            else:
                self._feed_at(one.text).definitions[found, id(one)] = one
        self._fed[found, job] = applied
        return applied

    def _applying(self, found: Key, job: str | None) -> Iterator[tuple[Facts, Definition]]:
        """Yield the values of a variable that a job, or one that extends it, may see."""
        if job is None:
            yield from self.definitions.get(found, ())
            return
        by_job = self._by_job.get(found)
        if by_job is None:
            by_job = self._by_job[found] = defaultdict(list)
            for file, one in self.definitions.get(found, ()):
                by_job[one.job].append((file, one))
        above, below = self._ancestors.get(job, _NOBODY), self._descendants.get(job, _NOBODY)
        if len(by_job) <= len(above) + len(below) + 2:
            near = [name for name in by_job if name in (None, job) or name in above or name in below]
        else:
            near = [None, job, *sorted((above | below) - {job})]
        for name in near:
            yield from by_job.get(name, ())

    def _feed_at(self, text: Text) -> _Feed:
        location = text.place.location
        return self._feeds.setdefault((location.path, location.span), _Feed())

    def _lost(self, pointer: Pointer, note: str) -> None:
        kind = _KINDS.get(pointer.request.role)
        if kind is None:
            return  # a variable without a value is said where it is an image
        self._add(
            Finding(
                format=FORMAT,
                kind=kind,
                where=pointer.place.where,
                location=pointer.place.location,
                value=pointer.place.raw,
                reference=None,
                state=State.UNKNOWN,
                skip=SkipReason.VARIABLE,
                note=note,
            )
        )

    # --- values ---------------------------------------------------------------------------

    def _is_prefixed(self, text: str) -> bool:
        """Return whether a text is an image but for one predefined variable before its path."""
        variables = [part for part in parts(text) if part.piece is not Piece.LITERAL]
        return len(variables) == 1 and self._is_predefined(variables[0]) and judge(text).reference is not None

    def _is_predefined(self, part: Part) -> bool:
        return (
            part.piece is Piece.VARIABLE
            and _predefined(part.text)
            and ("", part.text) not in self.definitions
        )

    def _judge(self, file: Facts, text: str, job: str | None) -> Judgement:
        """Return what a text says that mixes literals and variables, as far as the files show it."""
        made = parts(text)
        if pinned(text) or all(part.piece is Piece.LITERAL or self._is_predefined(part) for part in made):
            return judge(text)
        if any(self._is_predefined(part) and is_own(part.text) for part in made):
            return judge(text)
        values = self._values(file, text, job, 0)
        if values is None:
            return judge(text)
        judged = [judge(value) for value in values]
        if all(one.skip is SkipReason.BUILT_HERE for one in judged):
            return judged[0]
        if all(one.state is State.PINNED for one in judged):
            return Judgement(judged[0].reference, State.PINNED, SkipReason.PINNED)
        if any(one.state is State.UNKNOWN for one in judged):
            return judge(text)
        shown = ", ".join(f"`{value[:200]}`" for value in values[:3])
        return Judgement(
            judged[0].reference if len(judged) == 1 else None,
            State.FLOATING,
            SkipReason.PARTIAL_VARIABLE,
            f"comes to {shown}; write it out here, or keep the whole reference in one variable",
        )

    def _values(self, file: Facts, text: str, job: str | None, depth: int) -> list[str] | None:
        """Return every value that a text may come to, predefined variables left in; None if unknown."""
        results = [""]
        for part in parts(text):
            if part.piece is Piece.LITERAL:
                options: list[str] | None = [part.text.replace("$", "$$")]
            elif self._is_predefined(part):
                options = [f"${{{part.text}}}"]
            elif part.piece is Piece.OPAQUE or depth >= _MAX_DEPTH:
                options = None
            else:
                options = self._options(file, part, job, depth)
            if not options or len(results) * len(options) > MAX_VALUES:
                return None
            results = [before + option for before in results for option in options]
            if len(results[-1]) > 1024:
                return None
        return results

    def _options(self, file: Facts, part: Part, job: str | None, depth: int) -> list[str] | None:
        found = self._key(file, part)
        if found is None:
            return None
        if (found, job) not in self._known:
            self._known[found, job] = None  # a cycle has no value
            self._known[found, job] = self._all_values(found, job, depth)
        return self._known[found, job]

    def _all_values(self, found: Key, job: str | None, depth: int) -> list[str] | None:
        """Return the values of a variable in a job, whose own hide those of the pipeline."""
        applying = list(self._applying(found, job))
        own = [pair for pair in applying if job is not None and pair[1].job == job]
        options: dict[str, None] = {}
        for file, one in own or applying:
            if one.text.value is None:
                return None
            values = self._values(file, one.text.value, job, depth + 1)
            if values is None:
                return None
            options.update(dict.fromkeys(values))
            if len(options) > MAX_VALUES:
                return None
        return list(options)

    # --- literals -------------------------------------------------------------------------

    def _spoil(self) -> None:
        """Spread what may not be edited: a variable that is given to one that is used elsewhere."""
        given: dict[Key, set[Key]] = defaultdict(set)
        for found, all_given in self.definitions.items():
            for file, one in all_given:
                part = whole(one.text.value or "")
                if part is not None and (behind := self._key(file, part)) is not None:
                    given[found].add(behind)
        pending = [found for found in self.definitions if found in self.bad]
        while pending:
            for behind in given[pending.pop()]:
                if behind not in self.bad:
                    self.bad.add(behind)
                    pending.append(behind)

    def _literal(self, feed: _Feed) -> None:
        """Report one literal, whatever variables it holds and images it feeds."""
        definition = next(iter(feed.definitions.values()), None)
        text = definition.text if definition is not None else feed.direct[0].text
        judged = judge(text.value or "")
        if judged.skip is None and (held := self._held(feed)) is not None:
            judged = Judgement(judged.reference, judged.state, *held)
        self._add(_finding(text, judged, argument=definition.name if definition is not None else None))

    def _held(self, feed: _Feed) -> tuple[SkipReason, str] | None:
        """Return why a literal that is an image is not edited, or None."""
        texts = [use.text for use in feed.direct] + [one.text for one in feed.definitions.values()]
        if any(text.foreign for text in texts):
            return SkipReason.SHARED_VARIABLE, "its anchor is used for something else too"
        if self._taken and any(self._is_taken(text.place.where) for text in texts):
            return SkipReason.SHARED_VARIABLE, "a `!reference` uses it for something else too"
        location = texts[0].place.location
        for found, one in self._at.get((location.path, location.span), ()):
            name = found[1][:100]
            if found in self.bad:
                return SkipReason.SHARED_VARIABLE, f"`{name}` is used for more than whole images"
            if not self.complete:
                return SkipReason.SHARED_VARIABLE, "not all files of this pipeline could be read"
            if one.origin is Origin.MATRIX and self._is_needed(one):
                return SkipReason.SHARED_VARIABLE, f"`needs` names the jobs of this matrix by `{name}`"
            if found in self.overridden:
                return SkipReason.OVERRIDDEN, f"`rules` set `{name}` too"
            if one.bound:
                return SkipReason.NO_PLACE, f"`{one.bound}` of `{name}` would not accept a digest"
        return None

    def _is_taken(self, where: str) -> bool:
        """Return whether a `!reference` puts this text, or what holds it, where no image is expected."""
        if where in self._taken:
            return True
        for at, character in enumerate(where):
            if at and character in ".[" and (above := where[:at]) in self._taken:
                last = above.rpartition(".")[2]
                below = where[at + 1 :].partition(".")[0].partition("[")[0]
                if last not in ALIKE and not (above in self._roots and below in STANDARD):
                    return True
        return False

    def _is_needed(self, one: Definition) -> bool:
        if one.name in self.needed:
            return True
        if self._needed_text is None:
            self._needed_text = "\n".join(sorted(self.needed))
        return len(self._needed_text) > _MAX_NEEDED or (one.text.value or "") in self._needed_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What a pipeline's files come to, by path."""

    findings: Mapping[str, Sequence[Finding]]
    """In the order of their places."""
    built: Mapping[str, Sequence[Built]]
    """Names that scripts hold in variables, beside those that they hold as written."""


def link(
    files: Sequence[Facts], targets: Mapping[tuple[str, str], tuple[str, ...]], *, complete: bool = True
) -> Linked:
    """Return what the files of one pipeline come to.

    `targets` leads from a file and a local include as written there to the files it stands for;
    `complete` says whether `files` are all that belong to the pipeline.
    """
    pipeline = _Pipeline(files, targets, complete=complete)
    return Linked(findings=pipeline.findings(), built=pipeline.built())


def _keys(file: Facts, one: Definition, targets: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Key]:
    if one.origin is Origin.DEFAULT:
        yield file.path, one.name
    elif one.origin is Origin.PASSED:
        for target in one.targets:
            yield from ((path, one.name) for path in targets.get((file.path, target), ()))
    else:
        yield "", one.name


def _predefined(name: str) -> bool:
    return name in PREDEFINED or is_own(name)


def _related(files: Iterable[Facts]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the jobs that each job extends or refers to, directly or not, and those that do so with it."""
    parents: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for job, found in file.parents.items():
            parents[job] |= found
    ancestors: dict[str, set[str]] = defaultdict(set)
    descendants: dict[str, set[str]] = defaultdict(set)
    for job, direct in parents.items():
        pending = sorted(direct)
        while pending and len(ancestors[job]) < _MAX_RELATED:
            one = pending.pop()
            if one not in ancestors[job]:
                ancestors[job].add(one)
                descendants[one].add(job)
                pending += sorted(parents.get(one, ()))[:_MAX_RELATED]
    return ancestors, descendants


def _unset(found: Key) -> Judgement:
    return Judgement(
        None,
        State.UNKNOWN,
        SkipReason.VARIABLE,
        f"no value of `{found[1][:100]}` in these files applies here",
    )


def _finding(text: Text, judged: Judgement, *, argument: str | None = None) -> Finding:
    place = text.place
    skip = judged.skip
    if skip is None and not place.plain:
        skip = SkipReason.ESCAPED
    reference: ImageReference | None = judged.reference
    return Finding(
        format=FORMAT,
        kind=Kind.IMAGE,
        where=place.where,
        location=place.location,
        value=place.raw,
        reference=reference,
        state=judged.state,
        skip=skip,
        note=judged.note,
        argument=argument,
    )
