"""References that an anchor also carries to places where a pin would show up.

`image: &base node:20` with `env: {BASE: *base}` elsewhere is one text for an image and for
whatever a script makes of the variable.
"""

from __future__ import annotations

from collections.abc import Collection

from bot.finders.yaml import shown
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, scalar

_PLACES = frozenset({"image", "node_image", "container", "uses", "services"})
"""Keys whose values are references, or hold nothing but references."""


def elsewhere(tree: Tree, nodes: Collection[int]) -> dict[int, str]:
    """Return for each node id that something else than a reference holds too, the key of that."""
    found: dict[int, str] = {}
    text = tree.text.text
    if "*" not in text or "&" not in text:
        return found
    pending: list[tuple[Node, str, bool]] = [(document, "", True) for document in tree.documents]
    seen: set[int] = set()
    while pending:
        node, name, harmless = pending.pop()
        if isinstance(node, Scalar):
            if not harmless and id(node) in nodes:
                found.setdefault(id(node), shown(name))
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            pending += ((item, name, harmless) for item in node.value)
        elif isinstance(node, Mapping):
            top = not name
            for key, value in node.value:
                named = scalar(key) or "?"
                # What stands at the top or under `x-` only defines anchors.
                defines = (
                    (top and isinstance(value, Scalar)) or named.startswith("x-") or name.startswith("x-")
                )
                inside = name == "services" and isinstance(value, Scalar)
                pending.append((value, "x-" if defines else named, defines or inside or named in _PLACES))
    return found
