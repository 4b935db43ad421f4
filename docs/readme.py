"""Fills in the README's true output: what `moorline scan` says of the bundled sample repository.

`make readme` rewrites the block; tests/test_docs.py holds it against what the command says.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "bot" / "demo" / "sample"


def scanned() -> str:
    """Return what `moorline scan` prints of the sample: the table, and the summary at its end."""
    with tempfile.TemporaryDirectory() as folder:  # where it is no part of another repository
        done = subprocess.run(
            [sys.executable, "-c", "from bot.cli import main; main()", "scan", "."],
            cwd=shutil.copytree(SAMPLE, Path(folder) / "sample"),
            capture_output=True,
            text=True,
            check=True,
        )
    return done.stdout + done.stderr


def filled(readme: str, name: str, text: str) -> str:
    """Return a README with `text` as a code block between its markers of a name."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, _, rest = readme.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise SystemExit(f"README.md has no {begin.strip()} and {end}")
    return f"{before}{begin}```text\n{text}```\n{end}{after}"


def main() -> None:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), "scan", scanned()), encoding="utf-8")


if __name__ == "__main__":
    main()
