"""GitHub's stand-in in a process of its own, for measuring: what it was pushed, and what is proposed now.

Speaks JSON, a line at a time: it says where it is and what is to be delivered; each line that it is
sent then is answered with every repository as it is.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import asdict

import burst
import registry
from github_standin import github

IMAGES = 100
REGISTRY = "registry.example.net"


def main(repositories: int, pushes: int, secret: str) -> None:
    """Serve until nobody is there to ask any more."""
    pins = {f"{REGISTRY}/{name}": digest for name, digest in registry.digests(IMAGES).items()}
    with github(validates=False, secret=secret) as hub:
        told = burst.pushed(hub, pins, repositories, pushes)
        _say(
            {
                "url": hub.url,
                "app": str(hub.app_id),
                "key": hub.private_key,
                "told": [
                    {"headers": dict(one.headers), "body": base64.b64encode(one.body).decode()}
                    for one in told
                ],
            }
        )
        for _ in sys.stdin:
            found = burst.standing(hub, pins)
            _say(
                {
                    "requests": len(hub.requests),
                    "most": hub.most,
                    "repositories": {
                        name: {
                            **asdict(one),
                            "wanted": one.wanted.decode(),
                            "proposed": [each.decode() for each in one.proposed],
                        }
                        for name, one in found.items()
                    },
                }
            )


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
