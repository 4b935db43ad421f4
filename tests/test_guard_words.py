"""What the guard's check says: why, what would help, and never that nothing floats where something does."""

from __future__ import annotations

import pytest
from test_runs import FLOATING, NAME, World, judged, world

from bot.model import Conclusion

__all__ = ["world"]

RULES = ".moorline.yml"


def said(world: World, rules: str, files: dict[str, bytes]) -> tuple[str, str, list[str]]:
    """Return conclusion and title, summary and annotations of a change's check."""
    base = {RULES: rules.encode(), "README": b""}
    world.forge.create(NAME, base)
    check = judged(world, {**base, **files})
    title = f"{check.conclusion.value}: {check.title}"
    return title, check.summary, [one.message for one in check.annotations]


@pytest.mark.parametrize(
    ("rules", "files"),
    [
        ("guard: {floating: 'off'}\n", FLOATING),
        ("guard: {held: 'off'}\n", {"Dockerfile": b"ARG BASE\nFROM $BASE\n"}),
        ("ignore: [{image: '**', because: we want it so}]\n", FLOATING),
    ],
)
def test_what_the_policy_lets_pass_is_not_said_to_stand_still(
    world: World, rules: str, files: dict[str, bytes]
) -> None:
    title, summary, _ = said(world, rules, files)
    assert title == "success: Nothing comes in that the policy minds"
    assert "brings in 1 reference that can be moved, or of which nobody can tell" in summary
    assert "Nothing that this change" not in summary


@pytest.mark.parametrize("text", [b"FROM scratch\n", b"FROM scratch AS a\nFROM a\n"])
def test_what_stands_still_is_said_to(world: World, text: bytes) -> None:
    title, summary, _ = said(world, "mode: propose\n", {"Dockerfile": text})
    assert title == "success: Nothing floats that this change brings in"
    assert "can be moved by somebody else" in summary


def test_an_excuse_that_does_not_count_yet_is_told(world: World) -> None:
    built = b"services:\n  a:\n    build: .\n    image: acme/app:1\n"
    world.tag("acme/app:1")
    files = {"compose.yaml": built, "Dockerfile": b"FROM acme/app:1\n"}
    _, summary, annotations = said(world, "mode: propose\n", files)
    assert "that does not count before it is merged" in summary
    assert sum("that does not count before it is merged" in one for one in annotations) == 1
    assert ".;" not in summary


def test_what_cannot_be_pinned_is_told_how_it_could_be(world: World) -> None:
    title, summary, annotations = said(
        world, "mode: propose\n", {"Dockerfile": b"ARG V=22\nFROM node:${V}\n"}
    )
    assert title == f"{Conclusion.FAILURE.value}: 1 refused"
    assert "write the whole reference out" in summary
    assert "write the whole reference out" in annotations[0]
