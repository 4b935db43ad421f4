"""Real servers for tests, on free ports of the loopback interface.

A test that needs a program which is not installed skips and says so; with
`MOORLINE_TEST_REQUIRE_SERVERS=1`, as in continuous integration, it fails instead.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REQUIRED = os.environ.get("MOORLINE_TEST_REQUIRE_SERVERS") == "1"
_READY_WITHIN = 20.0
_TRIES = 5

USER, PASSWORD = "moor", "line"
# bcrypt, the only kind that docker-registry takes; of PASSWORD, at the lowest cost.
_HTPASSWD = f"{USER}:$2b$04$vVEObL0CdZHKssbfvtZNE.B5gNFO97KycSltGTU7xSiiZyo1NVRxm\n"


def program(name: str) -> str:
    """Return the path of a program, or skip the test (fail it where servers are required)."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed: apt-get install --no-install-recommends {name}"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    """Return a TCP port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(ready: Callable[[], bool], *, what: str, within: float = _READY_WITHIN) -> None:
    """Return once `ready()` is true; fail the test if that takes longer than `within` seconds."""
    end = time.monotonic() + within
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what} was not ready within {within:g} seconds")
        time.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAuthority:
    """What docker-registry must know of the server that its clients fetch tokens from."""

    realm: str
    service: str
    issuer: str
    certificate: Path
    """PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerRegistry:
    """A running docker-registry (distribution 2.8)."""

    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a request needs to be let in, for pushing by hand."""

    @property
    def host(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{self.host}"


@contextmanager
def docker_registry(
    folder: Path, *, htpasswd: bool = False, tokens: TokenAuthority | None = None
) -> Iterator[DockerRegistry]:
    """Run docker-registry over `folder`: open, with htpasswd (`USER`, `PASSWORD`), or with bearer tokens."""
    binary = program("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(_TRIES):
        port = free_port()
        process = _start(binary, folder, _config(folder, port, htpasswd, tokens))
        try:
            if _answers(process, port):
                yield DockerRegistry(port=port)
                return
        finally:
            process.terminate()
            process.wait()
        # Somebody took the port between our probe and the server's bind.
        if attempt == _TRIES - 1:
            pytest.fail("docker-registry does not start:\n" + (folder / "log").read_text()[-2000:])


def _config(folder: Path, port: int, htpasswd: bool, tokens: TokenAuthority | None) -> Path:
    auth: dict[str, object] = {}
    if htpasswd:
        users = folder / "htpasswd"
        users.write_text(_HTPASSWD)
        auth = {"auth": {"htpasswd": {"realm": "moorline", "path": str(users)}}}
    if tokens is not None:
        token = {"realm": tokens.realm, "service": tokens.service, "issuer": tokens.issuer}
        auth = {"auth": {"token": {**token, "rootcertbundle": str(tokens.certificate)}}}
    config = folder / "config.yml"
    # JSON is YAML.
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {
                    "filesystem": {"rootdirectory": str(folder / "data")},
                    "delete": {"enabled": True},
                    "maintenance": {"uploadpurging": {"enabled": False}},
                },
                "http": {"addr": f"127.0.0.1:{port}", "secret": "tests"},
                **auth,
            }
        )
    )
    return config


def _start(binary: str, folder: Path, config: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [binary, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether the server came up; False once it has ended by itself."""
    state = {"up": False}

    def ready() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            state["up"] = connection.getresponse().status in (200, 401)
        except OSError:
            return process.poll() is not None
        finally:
            connection.close()
        return state["up"]

    wait_until(ready, what="docker-registry")
    return state["up"] and process.poll() is None


def skopeo_digest(registry: DockerRegistry, image: str, *, login: str = "") -> str:
    """Return the digest of what skopeo gets for `image` of `registry`, hashed from the raw manifest."""
    import hashlib

    command = [program("skopeo"), "inspect", "--raw", "--tls-verify=false"]
    if login:
        command += ["--creds", login]
    done = subprocess.run(
        [*command, f"docker://{registry.host}/{image}"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def skopeo_config(registry: DockerRegistry, image: str) -> dict[str, Any]:
    """Return the configuration of the image that skopeo takes for linux/amd64 from `image` of `registry`."""
    command = [program("skopeo"), "--override-os=linux", "--override-arch=amd64", "inspect", "--config"]
    done = subprocess.run(
        [*command, "--tls-verify=false", f"docker://{registry.host}/{image}"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    config: dict[str, Any] = json.loads(done.stdout)
    return config
