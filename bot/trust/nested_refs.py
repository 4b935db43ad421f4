"""Mutable nested references: an action or reusable workflow that runs what may change under it.

A pin fixes what the action's own files say; what they name by tag still moves.  One level is
looked at: GitHub's metadata syntax for actions, and its workflow syntax.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bot.model import (
    Evidence,
    Fact,
    Finding,
    GitReference,
    Kind,
    Ruling,
    Status,
    Subject,
    Unresolved,
)
from bot.reference import is_commit, is_digest
from bot.source import Source
from bot.trust import unanswered
from bot.trust.base import Judgement, Rule, Sources
from bot.yamltree import Mapping as MappingNode
from bot.yamltree import Node, Tree, Unparsable, compose, get, items, scalar
from bot.yamltree import Sequence as SequenceNode

name = "nested-refs"
kinds = frozenset({Kind.ACTION})

MAX_FILE = 512 * 1024
"""Bytes of an action's file that is read."""
_LISTED = 50
_SHOWN = 3
_TEXT = 200


def gather(subject: Subject, sources: Sources) -> Evidence:
    """Return what an action's or workflow's file at a commit refers to by a name that may move."""
    reference = subject.reference
    if not isinstance(reference, GitReference):
        return _evidence(subject, Status.UNSUPPORTED, "no git reference")
    paths = _paths(reference.path)
    answer = sources.refs.files(reference, subject.digest, paths)
    if isinstance(answer, Unresolved):
        return unanswered.evidence(name, subject, answer)
    path = next((one for one in paths if one in answer), None)
    if path is None:
        return _evidence(subject, Status.ABSENT, f"there is no {' and no '.join(paths)}")
    data = answer[path]
    if len(data) > MAX_FILE:
        return _evidence(subject, Status.INCOMPLETE, f"{path} has {len(data)} bytes")
    tree = compose(Source(path, data))
    if isinstance(tree, Unparsable):
        return _evidence(subject, Status.INVALID, f"{path} is not readable as YAML: {tree.detail}")
    used = list(dict.fromkeys(_used(tree)))
    mutable = [one for one in used if not _fixed(one)]
    facts: dict[str, Fact] = {
        "file": path,
        "references": len(used),
        "mutable": tuple(one[:_TEXT] for one in mutable[:_LISTED]),
        "mutable_count": len(mutable),
    }
    return Evidence(check=name, digest=subject.digest, status=Status.VERIFIED, facts=facts)


def _evidence(subject: Subject, status: Status, detail: str) -> Evidence:
    return Evidence(check=name, digest=subject.digest, status=status, detail=detail)


def _paths(path: str) -> tuple[str, ...]:
    if path.endswith((".yml", ".yaml")):
        return (path,)
    folder = f"{path.strip('/')}/" if path.strip("/") else ""
    return (f"{folder}action.yml", f"{folder}action.yaml")


def _used(tree: Tree) -> Iterator[str]:
    """Yield what is run from elsewhere; `./` is part of the same commit."""
    for document in tree.documents[:1]:
        runs = get(document, "runs")
        yield from _image(get(runs, "image"), bare=False)
        yield from _steps(get(runs, "steps"))
        for _, job in items(get(document, "jobs")):
            yield from _text(get(job, "uses"))
            yield from _steps(get(job, "steps"))
            yield from _image(get(job, "container"), bare=True)
            for _, service in items(get(job, "services")):
                yield from _image(service, bare=True)


def _steps(node: Node | None) -> Iterator[str]:
    if isinstance(node, SequenceNode):
        for step in node.value:
            yield from _text(get(step, "uses"))


def _text(node: Node | None) -> Iterator[str]:
    text = (scalar(node) or "").strip()
    if text and not text.startswith("./"):
        yield text


def _image(node: Node | None, *, bare: bool) -> Iterator[str]:
    """Yield an image; `runs.image` without `docker://` is a Dockerfile of the same commit."""
    if isinstance(node, MappingNode):
        node = get(node, "image")
    text = (scalar(node) or "").strip()
    if text.startswith("docker://"):
        yield text
    elif text and bare:
        yield f"docker://{text}"


def _fixed(used: str) -> bool:
    if used.startswith("docker://"):
        return is_digest(used.rpartition("@")[2])
    return is_commit(used.rpartition("@")[2])


def judge(_finding: Finding, _old: Evidence | None, new: Evidence, _rule: Rule, _now: datetime) -> Judgement:
    """Return a fail for references that may move, unknown where the file could not be read."""
    if new.status is not Status.VERIFIED:
        return Judgement(ruling=Ruling.UNKNOWN, text=new.detail or "its own references could not be read")
    mutable = new.facts.get("mutable")
    count = new.facts.get("mutable_count", 0)
    if not isinstance(mutable, tuple) or not mutable or not isinstance(count, int):
        return Judgement(ruling=Ruling.PASS, text="refers to nothing that may move, one level deep")
    more = count - len(mutable[:_SHOWN])
    text = f"mutable nested reference: runs {', '.join(mutable[:_SHOWN])}"
    if more:
        text += f" and {more} more"
    return Judgement(ruling=Ruling.FAIL, text=text)
