"""The demo, which is the first thing that a newcomer sees: offline, quick, and gone without a trace."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import MOORLINE, SAMPLE, environment, run, started
from serving import site
from waiting import until

from bot.demo import repository
from bot.demo.hosts import Hosts, Images, Repositories, sample_images

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return an environment whose home and folder for temporary files must be empty in the end."""
    for name in ("home", "tmp", "here"):
        (tmp_path / name).mkdir()
    yield environment(tmp_path / "home", TMPDIR=str(tmp_path / "tmp"))
    for name in ("tmp", "here"):
        assert list((tmp_path / name).iterdir()) == []


def test_it_shows_each_step_and_leaves_nothing(tmp_path: Path, clean: dict[str, str]) -> None:
    done = run("demo", cwd=tmp_path / "here", env=clean)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE) == list("123456")
    assert "the signed hook was answered with 202" in done.stdout
    assert re.search(r"^5\. The branch +moorline/pin/main at [0-9a-f]{12}$", done.stdout, re.MULTILINE)
    for image in ("python:3.13-slim", "postgres:17", "golang:1.24"):  # the same ones every time
        digest = sample_images().tags[f"docker.io/library/{image.partition(':')[0]}", image.partition(":")[2]]
        assert re.search(rf"^  \+.*{re.escape(image)}@{digest}", done.stdout, re.MULTILINE), image
    assert re.search(r"^  \+.*actions/checkout@[0-9a-f]{40} # v4\.3\.1$", done.stdout, re.MULTILINE)
    assert "registry.example.net/search/engine" in done.stdout.rpartition("What the reviewer reads")[2]
    assert "left nothing behind" in done.stdout
    assert "\x1b" not in done.stdout
    assert list((tmp_path / "home").iterdir()) == []


def test_nothing_around_it_matters(tmp_path: Path, clean: dict[str, str]) -> None:
    """Dead proxies, a hostile docker login, settings of the real service, and no network at all."""
    login = tmp_path / "home" / ".docker" / "config.json"
    login.parent.mkdir()
    login.write_text('{"credsStore": "../../../bin/false", "auths": {"127.0.0.1": {"auth": "\x00')
    dead = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
    )
    settings = {
        "MOORLINE_REGISTRY_MIRRORS": "{not json",
        "MOORLINE_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "MOORLINE_PORT": "none",
        "DBOS_SYSTEM_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "GIT_DIR": "/nonexistent",
    }
    command = [MOORLINE, "demo"]
    if _has_unshare():
        # A network of its own, in which there is nothing but loopback.
        script = 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"'
        command = ["unshare", "-rn", "sh", "-c", script, "sh", *command]
    done = subprocess.run(
        command,
        cwd=tmp_path / "here",
        env={**clean, **dead, **settings},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "left nothing behind" in done.stdout


def _has_unshare() -> bool:
    if not (shutil.which("unshare") and (shutil.which("ip") or shutil.which("ifconfig"))):
        return False
    script = "ip link set lo up 2>/dev/null || ifconfig lo up"
    tried = subprocess.run(["unshare", "-rn", "sh", "-c", script], capture_output=True, check=False)
    return tried.returncode == 0


_LOOPBACK_ONLY = """
import ipaddress, socket, sys
connect = socket.socket.connect
def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
        sys.exit("not loopback: %r" % (address,))
    return connect(self, address)
def lookup(host, *rest, **named):
    if host is not None and not str(host)[:1].isdigit():
        print("asked for", host, file=sys.stderr)
    return real(host, *rest, **named)
real = socket.getaddrinfo
socket.socket.connect, socket.getaddrinfo = guarded, lookup
sys.argv = ["moorline", "demo"]
from bot.cli import main
main()
"""


def test_it_connects_to_loopback_alone(tmp_path: Path, clean: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOPBACK_ONLY],
        cwd=tmp_path / "here",
        env=clean,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "left nothing behind" in done.stdout


@pytest.mark.parametrize("when", ["at once", "3.", "4.", "What the reviewer reads"])
def test_an_interrupted_demo_ends_cleanly(tmp_path: Path, clean: dict[str, str], when: str) -> None:
    with started("demo", cwd=tmp_path / "here", env=clean, log=tmp_path / "errors") as process:
        assert process.stdout is not None
        if when != "at once":
            until(lambda: (process.stdout.readline() if process.stdout else "").startswith(when))
        else:
            until(lambda: any((tmp_path / "tmp").iterdir()))
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=20)
    assert code in (0, 130)
    assert (tmp_path / "errors").read_text().strip() == ""


def test_the_served_demo(tmp_path: Path, clean: dict[str, str]) -> None:
    with started(
        "serve", "--demo", "--port", "0", cwd=tmp_path / "here", env=clean, log=tmp_path / "errors"
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reader.start()
        until(lambda: any("until you press Ctrl-C" in line for line in said), seconds=40)
        found = re.search(r"Look at it on (http://127\.0\.0\.1:\d+) until", "".join(said))
        assert found
        assert _get(found[1] + "/healthz")[0] == 200
        status, page = _get(found[1] + "/")
        assert status == 200
        link = re.search(r'href="(/proposals/[0-9a-f]{32})"', page)
        assert link, page
        _, shown = _get(found[1] + link[1])
        assert "moorline/pin/main" in shown
        assert "python:3.13-slim@sha256:" in shown
        assert "<script" not in shown
        assert _get(found[1] + "/static/moorline.css")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        reader.join()
    assert "".join(said).endswith("Stopped.\n")
    assert (tmp_path / "errors").read_text().strip() == ""


def _get(url: str) -> tuple[int, str]:
    try:
        with _OPENER.open(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_port_that_is_taken_is_said(tmp_path: Path, clean: dict[str, str]) -> None:
    with Hosts(Images(), Repositories()) as hosts:
        port = hosts.url.rpartition(":")[2]
        done = run("serve", "--demo", "--port", port, cwd=tmp_path / "here", env=clean)
        # The advice is to set these.
        settings = {**clean, "MOORLINE_HOST": "127.0.0.1", "MOORLINE_PORT": port}
        by_settings = run("serve", "--demo", cwd=tmp_path / "here", env=settings)
    for one in (done, by_settings):
        assert one.returncode == 2
        assert f"Cannot listen on 127.0.0.1 port {port}" in one.stderr
        assert "Traceback" not in one.stderr
    wrong = run("serve", "--demo", cwd=tmp_path / "here", env={**clean, "MOORLINE_PORT": "x"})
    assert wrong.returncode == 2
    assert "MOORLINE_PORT" in wrong.stderr


def test_a_configured_forge_is_the_real_thing(tmp_path: Path) -> None:
    """With a forge configured the same command serves for real."""
    (tmp_path / "git").mkdir()
    with site(tmp_path, {}) as made:
        process = made.start("serve", "--demo", "--port", "0")
        assert "Nothing has been proposed yet" in made.get("/")
        assert made.stop(process) == 0
    assert (tmp_path / "moorline.db").exists()
    assert "the bundled sample" not in made.said()


def test_the_sample_repository_is_whole(tmp_path: Path) -> None:
    commit, count = repository.create(tmp_path / "sample.git")
    assert count == sum(len(files) for _, _, files in os.walk(SAMPLE))
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert repository.create(tmp_path / "again.git") == (commit, count)
    assert json.dumps(count)
