"""Templates and samples: `compose.yml.j2` becomes a `compose.yml` once it is filled in."""

from __future__ import annotations

import re

ENDINGS = (".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".dist", ".example", ".sample")
"""What people append to the name that the file will have."""

YAML = tuple(f"{yaml}{ending}" for yaml in (".yml", ".yaml") for ending in ENDINGS)


_MARKER = re.compile(rb"^[ \t-]*+\{\{|:[ \t]++\{\{|\{%|<%", re.MULTILINE)
"""What stands in the way of YAML; `{{` inside a text, as in `${{ }}` or a format, does not."""


def plain(path: str) -> str:
    """Return the path that a YAML file has once it is filled in; any other path as it is."""
    return path.rpartition(".")[0] if path.endswith(YAML) else path


def is_template(path: str, data: bytes) -> bool:
    """Return whether a file is meant to be filled in first, so that it need not be YAML as it stands."""
    return path.endswith(ENDINGS) or _MARKER.search(data) is not None
