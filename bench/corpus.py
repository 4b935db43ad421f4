"""A corpus of made-up repositories: few relevant files among many, as real trees have them.

Deterministic: the same numbers give the same bytes.  Images are spread like real ones, a few very
popular and many rare; one in ten is pinned already, and so is every action.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

TAGS = 100
_FILLER = (
    "src/{a}/{b}.py",
    "src/{a}/{b}.ts",
    "docs/{a}/{b}.md",
    "tests/{a}/test_{b}.py",
    "assets/{a}/{b}.svg",
)
_WORDS = [
    "account",
    "billing",
    "cart",
    "catalog",
    "checkout",
    "delivery",
    "email",
    "export",
    "gateway",
    "identity",
    "import",
    "invoice",
    "ledger",
    "login",
    "mail",
    "order",
    "parcel",
    "payment",
    "profile",
    "queue",
    "refund",
    "report",
    "search",
    "session",
    "shipment",
    "stock",
    "store",
    "tax",
    "token",
    "upload",
    "user",
    "voucher",
    "warehouse",
    "worker",
]


@dataclass(slots=True)
class Truth:
    """What a corpus holds."""

    files: int = 0
    relevant: int = 0
    floating: int = 0
    pinned: int = 0
    tags: set[str] = field(default_factory=set)


class Writer:
    """Writes one corpus below a folder, for images of one registry host."""

    def __init__(self, root: Path, host: str, digests: dict[str, str], seed: int = 1) -> None:
        self._root = root
        self._host = host
        self._digests = digests
        self._names = list(digests)
        self._weights = [1 / (rank + 1) ** 1.07 for rank in range(len(self._names))]
        self._random = random.Random(seed)
        self.truth = Truth()

    def image(self) -> str:
        """Return a reference to one of the images, floating nine times out of ten."""
        [name] = self._random.choices(self._names, self._weights)
        if self._random.random() < 0.1:
            self.truth.pinned += 1
            return f"{self._host}/{name}@{self._digests[name]}"
        self.truth.floating += 1
        self.truth.tags.add(name)
        return f"{self._host}/{name}"

    def write(self, path: str, text: str, *, relevant: bool = False) -> None:
        """Write one file of the corpus."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
        self.truth.files += 1
        self.truth.relevant += relevant

    def repository(self, number: int) -> None:
        """Write one repository: about 850 files, some ten of them relevant."""
        place = f"repo{number:03d}"
        chance = self._random
        for _ in range(840):
            pattern = chance.choice(_FILLER)
            name = pattern.format(
                a=chance.choice(_WORDS), b=f"{chance.choice(_WORDS)}_{chance.randrange(10_000)}"
            )
            self.write(f"{place}/{name}", f"# {chance.choice(_WORDS)}\n" * chance.randrange(1, 30))
        for service in chance.sample(_WORDS, 4):
            self.write(f"{place}/services/{service}/Dockerfile", self._dockerfile(), relevant=True)
        self.write(f"{place}/compose.yaml", self._compose(), relevant=True)
        self.write(f"{place}/.gitlab-ci.yml", self._gitlab(), relevant=True)
        for name in ("ci", "release", "nightly", "docs"):
            self.write(f"{place}/.github/workflows/{name}.yml", self._workflow(), relevant=True)
        for _ in range(5):
            name = chance.choice(_WORDS)
            self.write(
                f"{place}/config/{name}_{chance.randrange(10_000)}.yaml", "answer: 42\nlist:\n  - a\n  - b\n"
            )

    def _dockerfile(self) -> str:
        return (
            f"ARG BASE={self.image()}\n"
            f"FROM {self.image()} AS build\n"
            "WORKDIR /src\nCOPY . .\n"
            "RUN apt-get update \\\n    && apt-get install -y make \\\n    # comments are allowed here\n    && make\n"
            f"COPY --from={self.image()} /bin/tool /usr/local/bin/\n"
            "RUN <<EOT\nset -e\n# FROM nothing:latest\nEOT\n"
            'FROM ${BASE}\nCOPY --from=build /src/out /app\nUSER 1000\nCMD ["/app"]\n'
        )

    def _compose(self) -> str:
        services = "".join(
            f"  {name}:\n    image: {self.image()}\n    restart: unless-stopped\n    environment:\n      A: b\n"
            for name in self._random.sample(_WORDS, 5)
        )
        return f"services:\n{services}"

    def _gitlab(self) -> str:
        jobs = "".join(
            f"{name}:\n  image: {self.image()}\n  services:\n    - {self.image()}\n    - name: {self.image()}\n"
            "      alias: db\n  script:\n    - make\n"
            for name in self._random.sample(_WORDS, 3)
        )
        return f"stages: [test]\ndefault:\n  image: {self.image()}\n{jobs}"

    def _workflow(self) -> str:
        commit = f"{self._random.getrandbits(160):040x}"
        return (
            "on: push\njobs:\n  test:\n    runs-on: ubuntu-24.04\n"
            f"    container: {self.image()}\n    services:\n      db:\n        image: {self.image()}\n"
            f"    steps:\n      - uses: actions/checkout@{commit}\n"
            f"      - uses: docker://{self.image()}\n"
            "      - run: |\n          echo one\n          echo two\n"
        )


def write(root: Path, host: str, digests: dict[str, str], repositories: int) -> Truth:
    """Write a corpus and return what is in it."""
    writer = Writer(root, host, digests)
    for number in range(repositories):
        writer.repository(number)
    return writer.truth
