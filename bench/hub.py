"""GitHub's stand-in in a process of its own, for measuring.

Speaks JSON, a line at a time: first it says where it is.  `{"wave": 0, "pushes": 5}` lets people push, and is
answered with what is to be delivered of it; `{}` is answered with every repository as it is.
"""

from __future__ import annotations

import base64
import json
import sys

import burst
import registry
from github_standin import github

IMAGES = 100
FILES = 840
"""Of a repository that nobody claims: what they hold is never read, and their names are."""
REGISTRY = "registry.example.net"


def main(repositories: int, secret: str) -> None:
    """Serve until nobody is there to ask any more."""
    pins = {f"{REGISTRY}/{name}": digest for name, digest in registry.digests(IMAGES).items()}
    with github(validates=False, secret=secret) as hub:
        names = burst.founded(hub, pins, repositories, FILES)
        _say({"url": hub.url, "app": str(hub.app_id), "key": hub.private_key})
        for line in sys.stdin:
            asked = json.loads(line)
            if "wave" in asked:
                told = burst.pushed(hub, pins, names, asked["pushes"], asked["wave"])
                _say([{"headers": dict(one.headers), "body": _text(one.body)} for one in told])
                continue
            found = burst.standing(hub, pins)
            _say(
                {
                    "requests": len(hub.requests),
                    "repositories": {
                        name: {
                            "head": one.head,
                            "wanted": _text(one.wanted),
                            "proposed": [_text(each) for each in one.proposed],
                        }
                        for name, one in found.items()
                    },
                }
            )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
