"""The example hook of a git server, run by git itself: push, hook, application, store."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from waiting import until

from bot.store.base import Ending
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks.served import Served
from webhooks.server import listen, serve

NEEDED = ("git", "curl", "openssl", "od", "sed", "tr")
HOOK = Path(__file__).parent.parent / "examples" / "post-receive"
MISSING = [tool for tool in NEEDED if shutil.which(tool) is None]
REQUIRED = os.environ.get("MOORLINE_TEST_REQUIRE_SERVERS") == "1"

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(bool(MISSING) and not REQUIRED, reason=f"not installed: {', '.join(MISSING)}"),
]


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'moorline.db'}") as opened:
        yield opened


@pytest.fixture(
    params=["It's a Secret to %Everybody\\n", "short enough \u00fc" * 2, "x" * 64, "a long secret " * 9],
    ids=["odd", "not-ascii", "a-block", "long"],
)
def secret(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(store: Store, tmp_path: Path, secret: str) -> Iterator[str]:
    site = Site(git_secrets=(secret,), served=Served({}, [str(tmp_path)]))
    stop = threading.Event()
    urls: list[str] = []
    application = create_app(inbox=store.inbox, proposals=store.proposals, site=site)
    thread = threading.Thread(
        target=serve, args=(application, listen("127.0.0.1", 0), stop), kwargs={"started": urls.append}
    )
    thread.start()
    yield until(lambda: urls)[0]
    stop.set()
    thread.join(20)


def test_a_push_is_told_and_stored(store: Store, tmp_path: Path, url: str, secret: str) -> None:
    bare, work = tmp_path / 'a "quoted" name.git', tmp_path / "work"
    bare.mkdir()
    work.mkdir()
    git(bare, "init", "--bare", "--quiet")
    shutil.copy(HOOK, bare / "hooks" / "post-receive")
    (tmp_path / "secret").write_text(f"{secret}\n")
    git(bare, "config", "moorline.url", f"{url}/webhooks/git")
    git(bare, "config", "moorline.secretfile", str(tmp_path / "secret"))
    git(work, "init", "--quiet")
    git(work, "remote", "add", "origin", str(bare))
    git(work, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(work, "tag", "v1")
    git(work, "branch", "feature/x")
    said = git(work, "push", "origin", "main", "feature/x", "v1")
    assert "moorline" not in said

    head = git(work, "rev-parse", "HEAD").strip()
    assert store.inbox.waiting() == 2
    now = datetime.now(UTC)
    seen = set()
    for _ in range(2):
        (claim,) = store.backlog.claim("w", 1, now)
        seen.add((claim.job.repository, claim.job.ref, claim.job.head))
        store.backlog.settle(claim.run, Ending.NOTHING, "", now)
    assert seen == {(str(bare), "main", head), (str(bare), "feature/x", head)}

    # There and back again is three deliveries, though the first and the last say the same.
    git(work, "commit", "--quiet", "--allow-empty", "-m", "two")
    for refs in ("main", f"+{head}:main", "main"):
        git(work, "push", "origin", refs)
        (claim,) = store.backlog.claim("w", 1, datetime.now(UTC))
        store.backlog.settle(claim.run, Ending.NOTHING, "", now)

    git(work, "push", "origin", "--delete", "feature/x")
    assert store.inbox.waiting() == 0


def test_a_push_goes_through_when_nobody_listens(tmp_path: Path) -> None:
    bare, work = tmp_path / "app.git", tmp_path / "work"
    bare.mkdir()
    work.mkdir()
    git(bare, "init", "--bare", "--quiet")
    shutil.copy(HOOK, bare / "hooks" / "post-receive")
    git(work, "init", "--quiet")
    git(work, "commit", "--quiet", "--allow-empty", "-m", "one")
    assert "moorline.url is not set" in git(work, "push", str(bare), "main:a")
    git(bare, "config", "moorline.url", "http://127.0.0.1:1/webhooks/git")
    assert "moorline.secretfile is not set" in git(work, "push", str(bare), "main:b")
    (tmp_path / "secret").write_text("\n")
    git(bare, "config", "moorline.secretfile", str(tmp_path / "secret"))
    assert "holds no secret" in git(work, "push", str(bare), "main:c")
    (tmp_path / "secret").write_text("hunter2hunter2hunter2\n")
    said = git(work, "push", str(bare), "main:d")
    assert "could not tell http://127.0.0.1:1/webhooks/git about refs/heads/d" in said
    assert "hunter2" not in said
    assert len(git(bare, "branch").split()) == 4
