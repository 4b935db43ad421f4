"""Trust checks beyond their goldens: hostile answers, the lists of names, reigns in the ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import (
    Evidence,
    Finding,
    GitReference,
    ImageReference,
    Kind,
    Sighting,
    State,
    Status,
    Subject,
)
from bot.presets import ROWS
from bot.reference import parse_git, parse_image
from bot.refs.base import Advertised
from bot.source import Source
from bot.trust import CHECKS, age, digest_honesty, git_refs, nested_refs, typosquat
from bot.trust.base import Demand, Rule, Sources
from bot.trust.well_known import ACTIONS, ALIASES, NAMESPACES, OFFICIAL_IMAGES, REGISTRIES

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMMIT = "a" * 40


def image(text: str) -> ImageReference:
    found = parse_image(text)
    assert found is not None
    return found


ACTION = GitReference(host="github.com", repository="acme/deploy", ref="v1")


# --- hostile answers ----------------------------------------------------------------------

_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=5),
        st.sampled_from([fakes.INDEX, fakes.IMAGE, A, "linux", "unknown"]),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "manifests",
                    "config",
                    "layers",
                    "mediaType",
                    "digest",
                    "size",
                    "platform",
                    "os",
                    "architecture",
                ]
            ),
            below,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(_JSON, st.sampled_from([fakes.INDEX, fakes.IMAGE, "text/html"]))
def test_hostile_manifests(body: Any, media_type: str) -> None:
    manifest = fakes.manifest(json.dumps(body).encode(), media_type=media_type)
    subject = Subject(reference=image("node"), digest=manifest.digest)
    sources = fakes.sources(images=fakes.FakeImages(manifests={manifest.digest: manifest}))
    evidence = digest_honesty.gather(subject, sources)
    assert evidence.status in (Status.VERIFIED, Status.INVALID)
    # nothing that the registry wrote gets into the words
    assert "unknown/" not in evidence.detail
    assert len(evidence.detail) < 600


def honesty(body: Any, media_type: str) -> Evidence:
    """Return what digest honesty gathers of a manifest."""
    manifest = fakes.manifest(json.dumps(body).encode(), media_type=media_type)
    sources = fakes.sources(images=fakes.FakeImages(manifests={manifest.digest: manifest}))
    return digest_honesty.gather(Subject(reference=image("node"), digest=manifest.digest), sources)


DESCRIBED = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": A, "size": 1}
HONEST = {
    fakes.IMAGE: {"schemaVersion": 2, "mediaType": fakes.IMAGE, "config": DESCRIBED, "layers": [DESCRIBED]},
    fakes.INDEX: json.loads(fakes.index("linux/amd64", "linux/arm64/v8", "windows/amd64").body),
}


def objects(value: Any) -> list[dict[str, Any]]:
    """Return every object within a document."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(one for each in below for one in objects(each))]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(HONEST)), st.data())
def test_no_key_in_another_case_is_honest(media_type: str, data: st.DataObject) -> None:
    body = json.loads(json.dumps(HONEST[media_type]))
    assert honesty(body, media_type).status is Status.VERIFIED
    target = data.draw(st.sampled_from(objects(body)))
    key = data.draw(st.sampled_from(sorted(target)))
    flips = data.draw(st.lists(st.booleans(), min_size=len(key), max_size=len(key)))
    other = "".join(char.swapcase() if flip else char for char, flip in zip(key, flips, strict=True))
    other = other.replace("s", data.draw(st.sampled_from(["s", "\u017f"])))
    value = target[key] if data.draw(st.booleans()) else target.pop(key)
    if other != key:
        target[other] = value
        assert honesty(body, media_type).status is Status.INVALID


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_hostile_bytes_as_manifest_and_as_action(data: bytes) -> None:
    manifest = fakes.manifest(data, media_type=fakes.INDEX)
    sources = fakes.sources(
        images=fakes.FakeImages(manifests={manifest.digest: manifest}),
        refs=fakes.FakeRefs(trees={f"acme/deploy@{COMMIT}": {"action.yml": data}}),
    )
    digest_honesty.gather(Subject(reference=image("node"), digest=manifest.digest), sources)
    nested_refs.gather(Subject(reference=ACTION, digest=COMMIT), sources)


def test_alias_bombs_in_actions_are_small() -> None:
    lines = ["a0: &a0 {uses: x/y@v1}"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    lines += ["runs: {steps: *a39}"]
    data = "\n".join(lines).encode()
    sources = fakes.sources(refs=fakes.FakeRefs(trees={f"acme/deploy@{COMMIT}": {"action.yml": data}}))
    evidence = nested_refs.gather(Subject(reference=ACTION, digest=COMMIT), sources)
    assert evidence.status is Status.VERIFIED


def test_an_action_that_is_too_large_is_not_read() -> None:
    data = b"#" * (nested_refs.MAX_FILE + 1)
    sources = fakes.sources(refs=fakes.FakeRefs(trees={f"acme/deploy@{COMMIT}": {"action.yml": data}}))
    evidence = nested_refs.gather(Subject(reference=ACTION, digest=COMMIT), sources)
    assert evidence.status is Status.INCOMPLETE


def test_a_host_with_very_many_tags() -> None:
    tags = {f"nightly-{n}": "b" * 40 for n in range(20_000)} | {"v1.2.3": COMMIT}
    refs = fakes.FakeRefs(refs={"acme/deploy": Advertised(source="x", tags=tags)})
    pinned = GitReference(host="github.com", repository="acme/deploy", ref=COMMIT)
    evidence = git_refs.gather(Subject(reference=pinned, digest=COMMIT), fakes.sources(refs=refs))
    listed = evidence.facts["tags"]
    assert isinstance(listed, tuple)
    assert len(listed) == git_refs.MAX_TAGS
    assert f"v1.2.3={COMMIT}" in listed
    assert evidence.facts["all_tags"] is False


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"typosquat"}))  # which judges both
def test_a_check_says_when_it_is_asked_about_something_else(name: str) -> None:
    check = CHECKS[name]
    other = image("node") if Kind.IMAGE not in check.kinds else ACTION
    evidence = check.gather(Subject(reference=other, digest=A), fakes.sources())
    assert evidence.status in (Status.UNSUPPORTED, Status.ABSENT)


# --- by the name alone --------------------------------------------------------------------


class Silent:
    """Sources that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"{name} was asked for")


@pytest.mark.parametrize("digest", ["", A])
@pytest.mark.parametrize("text", ["node", "ngnix:1", "gchr.io/acme/app@" + B, "127.0.0.1:5000/x/y"])
def test_what_judges_the_name_asks_nobody(text: str, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection was made"))
    by_name = [name for name, row in ROWS.items() if row.by_name]
    assert sorted(by_name) == ["registries", "typosquat"]
    silent: Any = Silent()
    for name in by_name:
        subject = Subject(reference=image(text), digest=digest)
        evidence = CHECKS[name].gather(subject, Sources(images=silent, refs=silent, ledger=silent))
        assert (evidence.digest, evidence.status) == (digest, Status.VERIFIED)
        full = CHECKS[name].gather(
            replace(subject, digest=A), Sources(images=silent, refs=silent, ledger=silent)
        )
        rule = Rule(demand=Demand.REQUIRE, options={"allow": ("docker.io",)})
        finding = found(text)
        assert CHECKS[name].judge(finding, None, evidence, rule, NOW) == CHECKS[name].judge(
            finding, None, full, rule, NOW
        )


def found(text: str) -> Finding:
    """Return a finding of an image."""
    return Finding(
        format="dockerfile",
        kind=Kind.IMAGE,
        where="FROM",
        location=Source("Dockerfile", b"x").location(0, 1),
        value=text,
        reference=image(text),
        state=State.FLOATING,
    )


# --- names --------------------------------------------------------------------------------


def test_well_known_names_are_not_taken_for_each_other() -> None:
    for name in OFFICIAL_IMAGES:
        assert typosquat.likeness(image(name)) is None, name
    for namespace in NAMESPACES:
        assert typosquat.likeness(image(f"{namespace}/x")) is None, namespace
    for host in REGISTRIES:
        assert typosquat.likeness(image(f"{host}/acme/app")) is None, host
    for action in ACTIONS:
        reference = parse_git(f"{action}@v1", host="github.com")
        assert reference is not None
        assert typosquat.likeness(reference) is None, action


@pytest.mark.parametrize(
    "name",
    [
        "rustlang/rust",
        "grafana/loki",
        "mongodb/mongodb-community-server",
        "valkey/valkey",
        "cimg/node",
        "mhart/alpine-node",
        "moby/buildkit",
        "dunglas/frankenphp",
        "jwilder/nginx-proxy",
        "ubuntu/nginx",
        "nodered/node-red",
        "percona/percona-server",
        "mcr.microsoft.com/dotnet/sdk",
        "public.ecr.aws/docker/library/node",
        "registry.example.com/team/pyhton",
    ],
)
def test_names_that_many_pipelines_pull_are_not_suspected(name: str) -> None:
    assert typosquat.likeness(image(name)) is None


def test_the_lists_fit_each_other() -> None:
    assert set(ALIASES.values()) <= OFFICIAL_IMAGES
    assert not ALIASES.keys() & OFFICIAL_IMAGES
    assert len(OFFICIAL_IMAGES) > 150
    assert all(action == action.lower() and action.count("/") == 1 for action in ACTIONS)


@pytest.mark.parametrize("name", ["python", "node", "golang", "postgres", "nginx", "alpine"])
def test_every_single_slip_of_an_official_name_is_seen(name: str) -> None:
    slips = {name[:n] + name[n + 1 :] for n in range(1, len(name))}
    slips |= {name[:n] + "x" + name[n:] for n in range(1, len(name))}
    slips |= {name[:n] + name[n + 1] + name[n] + name[n + 2 :] for n in range(len(name) - 1)}
    for slip in slips - OFFICIAL_IMAGES:
        if len(slip) >= typosquat.SHORTEST:
            found = typosquat.likeness(image(slip))
            assert found is not None, slip
            assert found.strong


def test_other_hosts_have_their_own_actions() -> None:
    reference = GitReference(host="gitlab.example.com", repository="action/checkout", ref="v1")
    assert typosquat.likeness(reference) is None


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[a-z0-9]{1,12}([-_.][a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,12})?", fullmatch=True))
def test_any_name_has_an_answer(text: str) -> None:
    reference = parse_image(text)
    if reference is not None:
        found = typosquat.likeness(reference)
        assert found is None or found.like not in (text, "")


def test_nothing_heavy_is_imported_early() -> None:
    code = "import sys; import bot.trust.policy; sys.exit('rapidfuzz' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0


# --- reigns -------------------------------------------------------------------------------


def seen(digest: str, first: int, last: int) -> Sighting:
    """Return a sighting from one day to another."""
    return Sighting(
        scope="",
        reference="x",
        digest=digest,
        first=NOW + timedelta(days=first),
        last=NOW + timedelta(days=last),
    )


@pytest.mark.parametrize(
    ("sightings", "since"),
    [
        ([], None),
        ([seen(A, -9, 0)], -9),
        ([seen(B, -9, 0)], None),
        ([seen(B, -9, -5), seen(A, -4, 0)], -4),
        ([seen(A, -9, -5), seen(B, -4, 0)], None),
        ([seen(A, -9, -7), seen(B, -6, -3), seen(A, -2, 0)], -2),
        ([seen(A, -9, -1), seen(B, -6, -3)], -1),
        ([seen(A, -9, 0), seen(B, -6, 0)], None),
        ([seen(A, -9, -8), seen(A, -7, 0)], -9),
    ],
)
def test_reigns(sightings: list[Sighting], since: int | None) -> None:
    began = age.reign(sightings, A)
    assert began == (None if since is None else NOW + timedelta(days=since))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 50)), max_size=20))
def test_a_reign_is_never_longer_than_it_was(visits: list[tuple[str, int]]) -> None:
    ordered = sorted(visits, key=lambda one: one[1])
    apart: list[Sighting] = []
    for digest, day in ordered:  # one row for each unbroken run
        if apart and apart[-1].digest == digest:
            apart[-1] = Sighting(
                scope="", reference="x", digest=digest, first=apart[-1].first, last=NOW + timedelta(days=day)
            )
        else:
            apart.append(seen(digest, day, day))
    joined = [  # one row for each digest
        seen(digest, min(days), max(days))
        for digest in (A, B)
        if (days := [day for one, day in ordered if one == digest])
    ]
    exact, kept_as_one = age.reign(apart, A), age.reign(joined, A)
    if exact is None:
        assert kept_as_one is None
    else:
        assert kept_as_one is not None
        assert kept_as_one >= exact
