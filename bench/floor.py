"""The floor: the least that any tool has to do.  Walks, searches by one regular expression that
knows the registry's address, and asks for each distinct reference once.  Judges and edits nothing.
"""

from __future__ import annotations

import http.client
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

CONNECTIONS = 8
ACCEPT = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


def relevant(name: str, folder: str) -> bool:
    """Return whether a file could hold references."""
    return (
        name.startswith("Dockerfile")
        or name in ("compose.yaml", ".gitlab-ci.yml")
        or (name.endswith(".yml") and folder.endswith(".github/workflows"))
    )


def main(root: str, host: str) -> None:
    """Print how many references and distinct ones there are, after asking for each."""
    pattern = re.compile(re.escape(host).encode() + rb"/([a-z0-9/]+):([\w.]+)(?!\S*@)")
    found = 0
    wanted = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif relevant(entry.name, folder):
                    with open(entry.path, "rb") as file:
                        for match in pattern.finditer(file.read()):
                            found += 1
                            wanted.add(f"/v2/{match[1].decode()}/manifests/{match[2].decode()}")
    local = threading.local()

    def look(path: str) -> str | None:
        if not hasattr(local, "connection"):
            parts = urlsplit(f"//{host}")
            local.connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
        local.connection.request("HEAD", path, headers={"Accept": ACCEPT})
        answer = local.connection.getresponse()
        answer.read()
        digest: str | None = answer.headers["Docker-Content-Digest"]
        return digest

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        digests = list(pool.map(look, wanted))
    print(found, len(wanted), sum(digest is not None for digest in digests))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
