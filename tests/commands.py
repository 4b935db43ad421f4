"""The installed command in processes of its own, and a made-up Internet on loopback for it to ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.demo.hosts import Hosts, Images, Repositories, sample_images, sample_repositories

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "bot" / "demo" / "sample"
MOORLINE = str(Path(sys.executable).with_name("moorline"))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Registries and git hosts that the command is led to, whatever name it asks for."""

    images: Images
    repositories: Repositories
    url: str

    def settings(self, registries: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables that lead there; `registries` lead elsewhere."""
        mirrors = {"*": f"{self.url}/{{registry}}", **(registries or {})}
        hosts = dict.fromkeys(("github.com", "gitlab.com"), self.url)
        return {
            "MOORLINE_REGISTRY_MIRRORS": json.dumps(mirrors),
            "MOORLINE_GIT_MIRRORS": json.dumps(hosts),
        }


@contextmanager
def world() -> Iterator[World]:
    """Run the hosts of the demo, with what its sample names; a test adds what it needs."""
    images, repositories = sample_images(), sample_repositories()
    with Hosts(images, repositories) as hosts:
        yield World(images=images, repositories=repositories, url=hosts.url)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return an environment that holds nothing of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", **settings}


def run(
    *arguments: str | bytes, cwd: Path, env: Mapping[str, str], seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; output that is not UTF-8 is kept with surrogates."""
    return subprocess.run(
        [MOORLINE, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=seconds,
        check=False,
    )


@contextmanager
def started(
    *arguments: str, cwd: Path, env: Mapping[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run the command beside the test, standard output to a pipe; kill it at the end if it still runs."""
    with (log or Path(os.devnull)).open("ab") as errors:
        process = subprocess.Popen(
            [MOORLINE, *arguments],
            cwd=cwd,
            env={"PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
