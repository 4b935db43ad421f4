"""What the packages import is declared: what comes along with something else may one day not come."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_IMPORTED = {"dockerfile-parse", "psycopg"}
"""A second opinion in tests, and a driver that the database's URL names."""


def _imported(package: str) -> set[str]:
    """Return the top-level names that a package's modules import, anywhere in them."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        if "sample" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"bot", "webhooks", "_typeshed"}


def test_every_import_is_declared_and_every_declaration_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=~!; ]", one)[0].lower() for one in project["dependencies"]}
    by_module = packages_distributions()
    used = {
        min(name.lower().replace("_", "-") for name in by_module[module])
        for module in _imported("bot") | _imported("webhooks")
    }
    assert used - declared == set()
    assert declared - used - NOT_IMPORTED == set()
