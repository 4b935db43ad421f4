"""Which platforms clients take for the same one.  Pure.

Names are brought to one form as containerd does (`platforms.Normalize`), Docker with it: upper case,
uname's names of architectures, and variants that are the default of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, ...]

UNKNOWN = "unknown"
"""What attestations call the platform that they do not have."""
_WINDOWS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){2,3}")
_TEXTS = ("os", "architecture", "variant", "os.version")
_SYSTEMS = {"macos": "darwin"}
_ARCHITECTURES = {
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
}
_IMPLIED = {"armhf": "v7", "armel": "v6", "i386": ""}
"""Variants that the name of an architecture settles."""
_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}


def key_of(platform: Mapping[str, Any]) -> Key | None:
    """Return what is equal for platforms that a client may take for each other; None for no platform.

    Only Windows tells images apart by `os.version` and `os.features`; elsewhere clients pass over
    them, and take the first.
    """
    texts = {name: platform.get(name, "") for name in _TEXTS}
    features = platform.get("os.features")
    features = [] if features is None else features
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(features, list):
        return None
    if not all(isinstance(one, str) for one in features) or not texts["os"] or not texts["architecture"]:
        return None
    system = texts["os"].lower()
    system = _SYSTEMS.get(system, system)
    written = texts["architecture"].lower()
    architecture = _ARCHITECTURES.get(written, written)
    variant = _IMPLIED.get(written, texts["variant"].lower())
    variant = _VARIANTS.get((architecture, variant), variant)
    if system != "windows":
        return system, architecture, variant
    return system, architecture, variant, _version(texts["os.version"]), *sorted(features)


def _version(text: str) -> str:
    """Return a version of Windows as numbers, empty for what clients cannot read and pass over."""
    return ".".join(str(int(part)) for part in text.split(".")) if _WINDOWS.fullmatch(text) else ""


def runs_nowhere(key: Key) -> bool:
    """Return whether a platform is the one that attestations name."""
    return UNKNOWN in key[:2]
