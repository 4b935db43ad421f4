"""What `!reference` leads to: requests for nodes of a pipeline's files, and which of them end well.

GitLab puts the node at a path of the merged files in the place of the tag, up to ten levels deep,
after it has merged `extends`.  Here a request names the path and what the node is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bot.finders.gitlab_place import Place
from bot.yamltree import Node, Sequence, scalar

TAG = "!reference"
MAX_NESTING = 10
"""References that one goes through, itself included: GitLab's own limit."""
_MAX_PATH = 20


class Origin(StrEnum):
    """Where a variable or input gets a value."""

    VARIABLES = "variables"
    RULES = "rules"
    """`rules: variables`, which replaces what `variables` says."""
    MATRIX = "matrix"
    DEFAULT = "default"
    """The default of an input."""
    PASSED = "passed"
    """`inputs` of an include."""


class Role(StrEnum):
    """What a node is where it is put."""

    IMAGE = "image"
    SERVICES = "services"
    """A list of services, or one of them."""
    INCLUDE = "include"
    """What a job's `trigger` includes."""
    STEPS = "steps"
    """What a job's `run` holds, or one of them."""
    VALUE = "value"
    """The value of a variable."""
    VARIABLES = "variables"
    RULES = "rules"
    PARALLEL = "parallel"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A path in the merged files, and what the node there is wanted for."""

    target: tuple[str, ...]
    role: Role
    job: str | None
    name: str = ""
    """VALUE: the variable's name."""
    origin: Origin = Origin.VARIABLES
    bound: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A `!reference` that stands in the place of an image, services or variables."""

    place: Place
    request: Request
    depth: int
    """How many references lead here, this one included."""


def is_reference(node: Node | None) -> bool:
    """Return whether a node is a `!reference` with a path."""
    return isinstance(node, Sequence) and str(node.tag) == TAG


def path_of(node: Sequence) -> tuple[str, ...]:
    """Return the path that a `!reference` names."""
    return tuple(scalar(item) or "" for item in node.value[:_MAX_PATH])


def lost(
    pointers: Iterable[Pointer], answered: Iterable[Request], forwards: Iterable[tuple[Request, Request]]
) -> Iterator[tuple[Pointer, str]]:
    """Yield the pointers that lead to nothing, each with a note, one for what many go through.

    `forwards` leads from a request to those that it comes to.
    """
    before: dict[Request, list[Request]] = defaultdict(list)
    for ahead, behind in forwards:
        before[behind].append(ahead)
    leading = {ahead for found in before.values() for ahead in found}
    well = _back(answered, before)
    ends = [one for one in pointers if one.request not in well and one.request not in leading]
    for one in ends:
        if one.depth > MAX_NESTING:
            yield one, f"goes through more than {MAX_NESTING} references"
        else:
            yield one, "refers to something that these files do not hold"
    said = _back((one.request for one in ends), before)
    for one in pointers:
        if one.depth == 1 and one.request not in well and one.request not in said:
            yield one, "refers to itself, or to something that these files do not hold"


def _back(start: Iterable[Request], before: dict[Request, list[Request]]) -> set[Request]:
    """Return requests and all that lead to them."""
    pending = list(start)
    reached = set(pending)
    while pending:
        for one in before.get(pending.pop(), ()):
            if one not in reached:
                reached.add(one)
                pending.append(one)
    return reached
