"""Images that well-known actions are told to run: `with.image` of `docker/setup-qemu-action`.

A further action is one line in `INPUTS`; it belongs there if the value of its input is run as an
image and may hold a digest.  What an action only builds, names or scans does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.finders.yaml import shown
from bot.yamltree import Node, Scalar, Sequence, Tree, get, items, scalar

INPUTS: Mapping[str, str] = {
    "docker/setup-qemu-action": "image",
    "docker/setup-buildx-action": "driver-opts",
    "addnab/docker-run-action": "image",
    "kohlerdominik/docker-run-action": "image",
    "maus007/docker-run-action-fork": "image",
    "helm/kind-action": "node_image",
    "engineerd/setup-kind": "image",
    "container-tools/kind-action": "node_image",
}
"""The input that holds an image, by the action's repository in lower case."""

LISTS = frozenset({"driver-opts"})
"""Inputs of several options, among them `image=...`: one a line, or with commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The input of a step that holds an image."""

    node: Scalar
    where: str
    listed: bool
    """Whether the image is one of several options in it."""


def inputs(tree: Tree) -> Iterator[Input]:
    """Yield the inputs of a file's steps that hold images, each node once."""
    seen: set[int] = set()
    for document in tree.documents:
        for key, job in items(get(document, "jobs")):
            yield from of_steps(get(job, "steps"), f"jobs.{shown(str(key.value))}.steps", seen)
        yield from of_steps(get(get(document, "runs"), "steps"), "runs.steps", seen)


def of_steps(steps: Node | None, where: str, seen: set[int]) -> Iterator[Input]:
    """Yield the same of a list of steps, but for the nodes whose ids were seen."""
    if not isinstance(steps, Sequence) or id(steps) in seen:
        return
    seen.add(id(steps))
    for number, step in enumerate(steps.value):
        if id(step) in seen:
            continue
        seen.add(id(step))
        name = INPUTS.get(_repository(scalar(get(step, "uses")) or ""))
        node = get(get(step, "with"), name) if name else None
        if name and isinstance(node, Scalar) and node.value and id(node) not in seen:
            seen.add(id(node))
            yield Input(node=node, where=f"{where}[{number}].with.{name}", listed=name in LISTS)


def _repository(uses: str) -> str:
    """Return the `owner/name` of an action, without the server that it may be taken from."""
    return "/".join(uses[:300].partition("@")[0].lower().split("/")[-2:])
