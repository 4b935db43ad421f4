"""What the text of a GitLab image field says: variables, predefined prefixes and references.

The grammar is that of GitLab's "Where variables can be used" and "CI/CD inputs": `$NAME`,
`${NAME}`, `$$` and `$[[ inputs.name | function ]]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.built import names_this_project
from bot.model import ImageReference, SkipReason, State
from bot.reference import DOCKER_HUB, parse_image

PREDEFINED: Mapping[str, str] = {
    "CI_TEMPLATE_REGISTRY_HOST": "registry.gitlab.com",
    "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX": DOCKER_HUB,
    "CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX": DOCKER_HUB,
    "CI_REGISTRY": "$CI_REGISTRY",
    "CI_SERVER_FQDN": "$CI_SERVER_FQDN",
    "CI_SERVER_HOST": "$CI_SERVER_HOST",
    "CI_DEPENDENCY_PROXY_SERVER": "$CI_DEPENDENCY_PROXY_SERVER",
}
"""Predefined variables that stand before an image's path, and the registry that is asked for it.

A value that begins with `$` is a placeholder: only the forge knows that host, and whoever
resolves the reference replaces it.
"""

MAX_TEXT = 2048
"""Characters of a text that is taken apart; no reference is that long."""
_PROXIED = "/dependency_proxy/containers/"
"""What stands in the path of an image that comes through a group's dependency proxy."""
_OWN = ("CI_REGISTRY_IMAGE", "CI_COMMIT_", "CI_PROJECT_", "CI_PIPELINE_I", "CI_BUILD_REF")
_PIECE = re.compile(
    r"(?P<escape>\$\$)|\$\[\[(?P<expression>[^\]]{0,500})\]\]|\$\{(?P<braced>\w+)\}|\$(?P<bare>[A-Za-z_]\w*)",
    re.ASCII,
)
_INPUT = re.compile(r"\s*inputs\.(?P<name>[\w.-]+)\s*(?P<functions>(?:\|[^|]*)*)", re.ASCII)
_MENTION = re.compile(
    r"\$\$|\$\[\[(?P<expression>[^\]]{0,500})\]\]|\$\{?[Ee][Nn][Vv]:(?P<shell>\w+)|\$\{[#!]?(?P<braced>\w+)"
    r"|\$(?P<bare>[A-Za-z_]\w*)|[%!](?P<percent>\w+)[%!]|--build-arg[ =](?P<argument>\w+)",
    re.ASCII,
)
_INPUT_MENTION = re.compile(r"inputs\.([\w.-]+)", re.ASCII)
_DIGEST = re.compile(r"@sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")


_TEMPLATED = re.compile(r"\{\{|\{%|<%|@[A-Z][A-Z0-9_]*@|<[A-Za-z][A-Za-z0-9_-]*>|__[A-Z][A-Z0-9_]*__")
TEMPLATED = "a template's marker stands here, and the files do not show what replaces it"


class Piece(StrEnum):
    LITERAL = "literal"
    VARIABLE = "variable"
    INPUT = "input"
    OPAQUE = "opaque"
    """An expression whose value the files never show."""


@dataclass(frozen=True, slots=True)
class Part:
    piece: Piece
    text: str
    """The literal text, or the variable's or input's name."""


def parts(text: str) -> tuple[Part, ...]:
    """Return the literals and variables that a text is made of."""
    if "$" not in text:
        return (Part(Piece.LITERAL, text),) if text else ()
    if len(text) > MAX_TEXT:
        return (Part(Piece.OPAQUE, text[:100]),)
    made: list[Part] = []
    literal, position = "", 0
    for found in _PIECE.finditer(text):
        literal += text[position : found.start()]
        position = found.end()
        if found["escape"]:
            literal += "$"
            continue
        if literal:
            made.append(Part(Piece.LITERAL, literal))
            literal = ""
        made.append(_variable(found))
    literal += text[position:]
    if literal:
        made.append(Part(Piece.LITERAL, literal))
    return tuple(made)


def _variable(found: re.Match[str]) -> Part:
    name = found["braced"] or found["bare"]
    if name:
        return Part(Piece.VARIABLE, name)
    expression = _INPUT.fullmatch(found["expression"])
    if expression is None:
        return Part(Piece.OPAQUE, found["expression"].strip())
    functions = [one.strip() for one in expression["functions"].split("|")[1:]]
    kept = all(one == "expand_vars" for one in functions)
    return Part(Piece.INPUT if kept else Piece.OPAQUE, expression["name"])


def templated(text: str) -> bool:
    """Return whether something must fill in a marker before GitLab reads the text."""
    return _TEMPLATED.search(text) is not None


def whole(text: str) -> Part | None:
    """Return the variable or input that is all of a text, or None."""
    made = parts(text)
    return made[0] if len(made) == 1 and made[0].piece in (Piece.VARIABLE, Piece.INPUT) else None


def mentions(text: str) -> tuple[set[str], set[str]]:
    """Return the variables and the inputs that any text, a script's too, makes use of."""
    variables: set[str] = set()
    inputs: set[str] = set()
    if "$" not in text and "%" not in text and "!" not in text and "--build-arg" not in text:
        return variables, inputs
    for found in _MENTION.finditer(text):
        if found["expression"] is not None:
            inputs.update(_INPUT_MENTION.findall(found["expression"]))
        else:
            name = found["braced"] or found["bare"] or found["percent"] or found["shell"] or found["argument"]
            if name:
                variables.add(name)
    return variables, inputs


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a text is, as far as it can be told without the values of a project's own variables."""

    reference: ImageReference | None
    state: State
    skip: SkipReason | None
    note: str = ""


def is_own(name: str) -> bool:
    """Return whether a predefined variable names this project or this run of its pipeline."""
    return name.startswith(_OWN)


def judge(text: str) -> Judgement:
    """Return what a text says that holds no variables but predefined ones."""
    if templated(text):
        if pinned(text):
            return Judgement(None, State.PINNED, SkipReason.PINNED)
        return Judgement(None, State.UNKNOWN, SkipReason.VARIABLE, TEMPLATED)
    made = parts(text)
    variables = [part.text for part in made if part.piece is Piece.VARIABLE]
    if not variables and all(part.piece is Piece.LITERAL for part in made):
        return _judged(parse_image("".join(part.text for part in made)) if "$" not in text else None)
    if pinned(text):
        reference = _prefixed(text, made)
        return Judgement(reference, State.PINNED, SkipReason.PINNED)
    if names_this_project(text):
        return Judgement(
            None,
            State.UNKNOWN,
            SkipReason.BUILT_HERE,
            "named by GitLab's own variables for this project or its group",
        )
    if len(variables) == 1 and len(made) == 2 and made[0].piece is Piece.VARIABLE:
        reference = _prefixed(text, made)
        if reference is not None or (variables[0] in PREDEFINED and made[1].text.startswith(("/", ":"))):
            return _judged(reference)
    if len(made) == 1:
        return Judgement(
            None, State.UNKNOWN, SkipReason.VARIABLE, f"the files do not show what {_shown(made[0])} is"
        )
    return Judgement(
        None,
        State.UNKNOWN,
        SkipReason.PARTIAL_VARIABLE,
        "the files do not show the whole reference; write it out, or keep all of it in one variable",
    )


def pinned(text: str) -> bool:
    """Return whether a text ends in a digest that stands there letter by letter."""
    found = _DIGEST.search(text)
    return found is not None and found.end() == len(text)


def _shown(part: Part) -> str:
    return f"`{part.text[:100]}`"


def _judged(reference: ImageReference | None) -> Judgement:
    if reference is None:
        return Judgement(None, State.UNKNOWN, SkipReason.INVALID, "not an image reference by its grammar")
    reference = _upstream(reference)
    if reference.digest is not None:
        return Judgement(reference, State.PINNED, SkipReason.PINNED)
    return Judgement(reference, State.FLOATING, None)


def _prefixed(text: str, made: tuple[Part, ...]) -> ImageReference | None:
    """Return the image behind one predefined variable: its name is the text as written."""
    if len(made) != 2 or made[0].piece is not Piece.VARIABLE or made[1].piece is not Piece.LITERAL:
        return None
    registry = PREDEFINED.get(made[0].text)
    rest = made[1].text
    if registry is None or "$" in rest:
        return None
    port = re.match(r":[0-9]{1,5}(?=/)", rest) if registry.startswith("$") else None
    if port:
        registry += port[0]
        rest = rest[port.end() :]
    if not rest.startswith("/"):
        return None
    host = "host.invalid" if registry.startswith("$") else registry
    parsed = parse_image(host + rest)
    if parsed is None:
        return None
    tail = len(host) + len(rest) - len(parsed.name)
    reference = replace(
        parsed,
        name=text[: len(text) - tail],
        registry=registry if host != registry else parsed.registry,
    )
    return _upstream(reference)


def _upstream(reference: ImageReference) -> ImageReference:
    """Return the Docker Hub image that a dependency proxy's path stands for, else the same."""
    _, found, name = f"/{reference.repository}".partition(_PROXIED)
    if not found:
        return reference
    parsed = parse_image(f"{DOCKER_HUB}/{name}")
    if parsed is None:
        return reference
    return replace(reference, registry=parsed.registry, repository=parsed.repository)
