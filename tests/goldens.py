"""Golden cases: a folder with the input, and beside it what must come out, byte for byte.

`make golden` rewrites what must come out; a person reads the difference before it is committed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
REWRITE = os.environ.get("MOORLINE_GOLDEN") == "rewrite"


def cases(*kind: str) -> list[Path]:
    """Return the folders of a kind of golden case: those that hold a `repo` folder."""
    return sorted(found.parent for found in GOLDEN.joinpath(*kind).glob("**/repo"))


def name(case: Path) -> str:
    """Return a case's name for people: its path below the folder of goldens."""
    return case.relative_to(GOLDEN).as_posix()


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def compare_tree(folder: Path, made: dict[str, bytes]) -> None:
    """Hold files that were made against a folder; rewrite the folder if asked to."""
    if REWRITE:
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
        for path_name, data in made.items():
            target = folder / path_name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return
    expected = read_tree(folder)
    assert made.keys() == expected.keys(), f"files differ in {folder}"
    for path_name, data in made.items():
        assert data == expected[path_name], f"{folder / path_name} differs; `make golden` rewrites it"


def compare_json(path: Path, made: object) -> None:
    """Hold a JSON document against a file; rewrite the file if asked to."""
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if REWRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert json.loads(path.read_bytes()) == json.loads(text), f"{path} differs; `make golden` rewrites it"
