"""Names of templates and samples: `compose.yml.j2` becomes a `compose.yml` once it is filled in."""

from __future__ import annotations

ENDINGS = (".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".dist", ".example", ".sample")
"""What people append to the name that the file will have."""

YAML = tuple(f"{yaml}{ending}" for yaml in (".yml", ".yaml") for ending in ENDINGS)


def plain(path: str) -> str:
    """Return the path that a YAML file has once it is filled in; any other path as it is."""
    return path.rpartition(".")[0] if path.endswith(YAML) else path
