"""What shell lines build, push and pass to Dockerfiles, for every pipeline that holds some."""

from __future__ import annotations

import pytest

from bot.finders import scripts


@pytest.mark.parametrize(
    ("script", "contexts"),
    [
        ("docker build --build-context node=./base .", [("node", "Dockerfile")]),
        (
            "docker buildx build --build-context=node:20=./base -f a/Dockerfile .",
            [("node:20", "a/Dockerfile")],
        ),
        ("cd a && podman build --build-context base=docker-image://x/y:1 .", [("base", None)]),
        ("docker build --build-context 'ghcr.io/a/b:1=../b' $DIR", [("ghcr.io/a/b:1", None)]),
        ("docker build --build-context $NAME=./base .", []),
        ("docker build --build-context node .", []),
        ("echo --build-context node=./base", []),
        ("buildctl build --opt context:alpine=docker-image://alpine:3", [("alpine", None)]),
        ("docker buildx bake --set app.contexts.node=./base", [("node", None)]),
    ],
)
def test_named_contexts(script: str, contexts: list[tuple[str, str | None]]) -> None:
    assert list(scripts.read(script).contexts) == contexts


def test_what_bake_is_told_on_the_command_line() -> None:
    shell = scripts.read(
        "docker buildx bake -f docker-bake.hcl --set *.args.BASE=node:20 --set '*.tags=acme/app:1' --set app.target=x\n"
        "docker buildx bake --set=app.args.OTHER= --push"
    )
    assert shell.arguments == (("BASE", None), ("OTHER", None))
    assert shell.built == ("acme/app:1",)
    assert shell.contexts == ()
