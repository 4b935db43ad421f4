"""Git references: the commit is named by an advertised tag or branch, and its comment is true.

A host serves commits of forks and of pull requests under a repository's own name, so that a commit
which nothing advertises may be anybody's.  It may as well be an older commit of a branch: a host
advertises tips alone, and only a fetch of all history would tell.  A pinned commit that no tag or
branch names is therefore unknown, and fails where its version comment cannot be true besides:

- the comment names a full version, which is elsewhere (whatever names the commit);
- it names a tag that moves, which is elsewhere, and that tag's versions have tags of their own, of
  which one would name a commit that it ever was;
- it names a version, of which there is no tag and no branch.

A ref that was looked up must name its commit: anything else is a fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from bot.model import (
    Evidence,
    Fact,
    Finding,
    GitReference,
    Kind,
    Ruling,
    State,
    Status,
    Subject,
    Unresolved,
    UnresolvedReason,
)
from bot.reference import is_commit
from bot.refs.base import Advertised
from bot.trust import unanswered
from bot.trust.base import Judgement, Rule, Sources

name = "git-refs"
kinds = frozenset({Kind.ACTION, Kind.INCLUDE})

MAX_TAGS = 5000
"""Tags that evidence holds at most; versions come first."""
_NAMED = 50
_VERSION = re.compile(r"v?[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}(?:[.+_-][A-Za-z0-9.+_-]{1,60})?")
_FULL = re.compile(r"v?[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(?:[.+_-][A-Za-z0-9.+_-]{1,60})?")
"""A version that nobody expects to move; `v4` and `v4.2` do."""
_CLAIM = re.compile(r"v[0-9][0-9A-Za-z.+_-]{0,99}|[0-9]{1,9}(?:\.[0-9]{1,9}){1,3}")
"""What is meant as a version by whoever wrote it; a lone number or a date may be anything."""
MAX_BRANCHES = 1000
_LIES = frozenset({UnresolvedReason.LYING, UnresolvedReason.INVALID})


def gather(subject: Subject, sources: Sources) -> Evidence:
    """Return which advertised names the commit has, and for a pinned one where all tags point."""
    reference = subject.reference
    if not isinstance(reference, GitReference):
        return Evidence(
            check=name, digest=subject.digest, status=Status.UNSUPPORTED, detail="no git reference"
        )
    pinned = is_commit(reference.ref)
    answer = sources.refs.advertised(reference)  # everything there is where the ref is a commit
    if isinstance(answer, Unresolved):
        return unanswered.evidence(name, subject, answer, _LIES)
    facts: dict[str, Fact] = {"names": _names(answer, subject.digest)}
    if pinned:
        facts["tags"] = tuple(f"{tag}={commit}" for tag, commit in _tags(answer))
        versions = sorted(name for name in answer.branches if _CLAIM.fullmatch(_last(name)))
        facts["branches"] = tuple(versions[:MAX_BRANCHES])
        facts["all_tags"] = len(answer.tags) <= MAX_TAGS and len(versions) <= MAX_BRANCHES
    else:
        tag, branch = _short(reference.ref)
        facts["tag"] = answer.tags.get(tag, "")
        facts["branch"] = answer.branches.get(branch, "")
        facts["annotated"] = tag in answer.annotated
    return Evidence(
        check=name, digest=subject.digest, status=Status.VERIFIED, facts=facts, source=answer.source
    )


def _short(ref: str) -> tuple[str, str]:
    """Return the names that a ref may have as a tag and as a branch, empty where it cannot be one."""
    tag = "" if ref.startswith("refs/heads/") else ref.removeprefix("refs/tags/")
    branch = "" if ref.startswith("refs/tags/") else ref.removeprefix("refs/heads/")
    return tag, branch


def _names(answer: Advertised, commit: str) -> tuple[str, ...]:
    tags = sorted(tag for tag, at in answer.tags.items() if at == commit)
    branches = sorted(branch for branch, at in answer.branches.items() if at == commit)
    return (*tags, *branches)[:_NAMED]


def _tags(answer: Advertised) -> Iterator[tuple[str, str]]:
    ordered = sorted(answer.tags.items(), key=lambda one: (not _VERSION.fullmatch(one[0]), one[0]))
    yield from ordered[:MAX_TAGS]


def judge(finding: Finding, old: Evidence | None, new: Evidence, _rule: Rule, _now: datetime) -> Judgement:
    """Return a fail for a commit that nothing names or a comment that lies about it."""
    if finding.state is State.PINNED and finding.comment is not None and finding.comment.version:
        at = finding.reference.ref if isinstance(finding.reference, GitReference) else ""
        about = new if new.digest == at else old
        if about is not None and about.status is Status.VERIFIED:
            comment = _comment(finding.comment.version[:100], about, pinned_now=about is new)
            if comment.ruling is Ruling.FAIL or about is new:
                return comment
    if new.status is Status.INVALID:
        return Judgement(ruling=Ruling.FAIL, text=new.detail or "the host's answer contradicts itself")
    if new.status is not Status.VERIFIED:
        return Judgement(ruling=Ruling.UNKNOWN, text=new.detail or "the refs could not be read")
    return _advertised(new)


def _advertised(new: Evidence) -> Judgement:
    names = new.facts.get("names")
    short = new.digest[:12]
    named = new.facts.get("tag") or new.facts.get("branch")
    if named and named != new.digest:
        text = f"the ref names commit {str(named)[:12]} and not {short}"
        return Judgement(ruling=Ruling.FAIL, text=text)
    if not isinstance(names, tuple) or not names:
        if "tags" in new.facts:  # it was written as a commit
            text = (
                f"no tag or branch names commit {short} now: it may be an older one of a branch, or a fork's"
            )
            return Judgement(ruling=Ruling.UNKNOWN, text=text)
        text = f"no advertised tag or branch names commit {short}, which may be a fork's"
        return Judgement(ruling=Ruling.FAIL, text=text)
    text = f"commit {short} is advertised as {', '.join(names[:3])}"
    if new.facts.get("tag") and new.facts.get("branch") and new.facts["tag"] != new.facts["branch"]:
        text += "; a branch of the same name is elsewhere"
    return Judgement(ruling=Ruling.PASS, text=text)


def _comment(version: str, about: Evidence, *, pinned_now: bool) -> Judgement:
    """Return what a version comment is worth; `pinned_now`: its commit is to stay or to come."""
    short = about.digest[:12]
    tags = _by_name(about)
    known = next((one for one in _spellings(version) if one in tags), None)
    if known is not None and tags[known] == about.digest:
        return Judgement(ruling=Ruling.PASS, text=f"{known} is commit {short}")
    if known is not None and _FULL.fullmatch(known):
        text = f"the comment says {known}, which is commit {tags[known][:12]}; the file pins {short}"
        return Judgement(ruling=Ruling.FAIL, text=text)
    parts = {tag: commit for tag, commit in tags.items() if _extends(tag, version)}
    exact = next((tag for tag, commit in parts.items() if commit == about.digest), None)
    if exact is not None:
        return Judgement(ruling=Ruling.PASS, text=f"{exact} is commit {short}")
    names = _tuple(about.facts.get("names"))
    if version in names:
        return Judgement(ruling=Ruling.PASS, text=f"{version} is commit {short}")
    unnamed = pinned_now and not names
    nothing = f"no tag or branch names commit {short} now, which may be a fork's"
    if known is not None:
        if unnamed and any(_FULL.fullmatch(tag) for tag in parts):
            text = f"the comment says {known}, which is commit {tags[known][:12]}; {nothing}"
            return Judgement(ruling=Ruling.FAIL, text=text)
        text = f"{known} is commit {tags[known][:12]} now, and nothing shows that it ever was {short}"
        return Judgement(ruling=Ruling.UNKNOWN, text=text)
    text = f"the comment says {version}, and no tag of that name is advertised"
    if unnamed and _is_nowhere(version, about, tags):
        return Judgement(ruling=Ruling.FAIL, text=f"{text}; {nothing}")
    return Judgement(ruling=Ruling.UNKNOWN, text=text)


def _extends(tag: str, version: str) -> bool:
    return any(tag.startswith(f"{one}.") for one in _spellings(version))


def _is_nowhere(version: str, about: Evidence, tags: Mapping[str, str]) -> bool:
    """Return whether a comment means a version of which there is no tag and no branch.

    `cache/v4` and `cache-v4` may be what it means by `v4`.
    """
    if not _CLAIM.fullmatch(version) or about.facts.get("all_tags") is not True:
        return False
    ends = tuple(f"{mark}{one}" for mark in "/-@_" for one in _spellings(version))
    named = (*tags, *_tuple(about.facts.get("branches")))
    return not any(name in _spellings(version) or name.endswith(ends) for name in named)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _spellings(version: str) -> tuple[str, ...]:
    """Return the names that a tag of this version may have."""
    return (version, version[1:]) if version.startswith("v") else (version, f"v{version}")


def _by_name(evidence: Evidence) -> dict[str, str]:
    pairs = (one.rpartition("=") for one in _tuple(evidence.facts.get("tags")))
    return {tag: commit for tag, _, commit in pairs}


def _tuple(value: Fact | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
