"""Trust: evidence gathered per digest, judged by pure rules, weighed by a policy.

A check is one module with `gather` and `judge`, one line in `CHECKS`, one row in
`presets.ROWS` and one folder of golden cases.  I/O beyond the look-ups of `Sources` lives in
`trust.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.trust import age, digest_honesty, git_refs, nested_refs, registries, typosquat
from bot.trust.base import Check

CHECKS: Mapping[str, Check] = {
    "digest-honesty": digest_honesty,
    "registries": registries,
    "typosquat": typosquat,
    "git-refs": git_refs,
    "nested-refs": nested_refs,
    "age": age,
}
