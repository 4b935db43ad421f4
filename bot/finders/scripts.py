"""What the shell lines of a pipeline build, push and pass to Dockerfiles.

Lines are read word by word, not interpreted: what a variable or a command substitution hides
stays as it is written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

_CONTINUED = re.compile(r"\\\r?\n[ \t]*")
_WORD = re.compile(r"""(?:[^\s"';|&()]|"[^"\n]*"|'[^'\n]*')++|\n|;|&&|\|\|?|&|\(|\)""")
_ENDS = frozenset({"\n", ";", "&&", "||", "|", "&", "(", ")"})
_LEADS = frozenset({"sudo", "time", "exec", "command", "then", "do", "else", "if", "!", "eval", "retry"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_ENGINES = frozenset({"docker", "podman", "nerdctl", "buildah", "img"})
_VALUED = frozenset({
    "-t", "--tag", "-f", "--file", "--build-arg", "--target", "--platform", "--label", "--cache-from",
    "--cache-to", "--secret", "--ssh", "--network", "--output", "-o", "--progress", "--build-context",
    "--add-host", "--iidfile", "--metadata-file", "--builder", "--memory", "-m", "--shm-size", "--ulimit",
    "--authfile", "--creds", "--format", "--isolation", "--layers", "--context", "-c", "--dockerfile",
    "--destination", "-d", "--allow", "--attest", "--sbom", "--provenance", "--annotation", "--cpuset-cpus",
})  # fmt: skip
_BUILD_WORDS = frozenset({"build", "bud", "build-using-dockerfile"})
_ARGUMENT = re.compile(r"[A-Za-z_]\w*")
_CONTEXT = re.compile(r"[\w./:-]{1,300}", re.ASCII)
BAKE_SET = re.compile(
    r"[^=.\s]{1,200}\.(?:(?P<tags>tags?)|args\.(?P<argument>[A-Za-z_]\w*)|contexts\.(?P<context>[\w./:-]{1,300}))"
    r"\+?=(?P<value>.*)",
    re.ASCII,
)
"""What follows bake's `--set`: a field of a target and what it is given."""
MAX_WORDS = 20_000
"""Words of one script; what comes behind them is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What one script makes and passes, as written, the latter with its Dockerfile if that is told."""

    built: tuple[str, ...]
    """Names of images."""
    arguments: tuple[tuple[str, str | None], ...]
    """Names of build arguments."""
    contexts: tuple[tuple[str, str | None], ...]
    """Names of named build contexts."""


def read(script: str) -> Shell:
    """Return what the commands of a script build and push."""
    built: list[str] = []
    arguments: list[tuple[str, str | None]] = []
    contexts: list[tuple[str, str | None]] = []
    moved = False
    for words in _commands(script):
        program = posixpath.basename(words[0])
        rest = words[1:]
        if program in ("cd", "pushd"):
            moved = True
        elif program in _ENGINES:
            _engine(rest, built, arguments, contexts, moved=moved)
        elif program in ("executor", "warmer") or "kaniko" in program:
            built += _values(rest, "--destination", "-d")
            place = _dockerfile(rest, ("--dockerfile", "-f"), ("--context", "-c"), moved=moved)
            arguments += ((name, place) for name in _arguments(rest, "--build-arg"))
        elif program == "buildctl":
            arguments += ((name, None) for name in _arguments(rest, "--opt", prefix="build-arg:"))
            contexts += ((name, None) for name in _contexts(rest, "--opt", prefix="context:"))
            built += (
                part.removeprefix("name=")
                for value in _values(rest, "--output", "-o")
                for part in value.split(",")
                if part.startswith("name=")
            )
        elif program in ("crane", "skopeo") and rest and rest[0] in ("push", "copy", "cp"):
            named = [word for word in rest[1:] if not word.startswith("-")]
            if len(named) > 1:
                built.append(named[-1])
    names = (name.removeprefix("docker://") for name in built)
    return Shell(
        built=tuple(dict.fromkeys(name for name in names if name and not name.startswith("-"))),
        arguments=tuple(dict.fromkeys(arguments)),
        contexts=tuple(dict.fromkeys(contexts)),
    )


def _commands(script: str) -> Iterator[list[str]]:
    words: list[str] = []
    for number, found in enumerate(_WORD.finditer(_CONTINUED.sub(" ", script))):
        if number > MAX_WORDS:
            break
        word = found[0]
        if word in _ENDS:
            if words:
                yield words
            words = []
        elif words or (word not in _LEADS and not _ASSIGNMENT.fullmatch(word)):
            words.append(word.replace('"', "").replace("'", ""))
    if words and words[0]:
        yield words


def _engine(
    words: list[str],
    built: list[str],
    arguments: list[tuple[str, str | None]],
    contexts: list[tuple[str, str | None]],
    *,
    moved: bool,
) -> None:
    words = _behind_options(words)
    while words and words[0] in ("image", "buildx", "builder", "manifest"):
        words = _behind_options(words[1:])
    if not words:
        return
    if words[0] == "push":
        named = [word for word in words[1:] if not word.startswith("-")]
        built += named[-1:]
    elif words[0] in _BUILD_WORDS:
        rest = words[1:]
        built += _values(rest, "-t", "--tag")
        place = _dockerfile(rest, ("-f", "--file"), (), moved=moved)
        arguments += ((name, place) for name in _arguments(rest, "--build-arg"))
        contexts += ((name, place) for name in _contexts(rest, "--build-context"))
    elif words[0] == "bake":
        for setting in filter(None, map(BAKE_SET.fullmatch, _values(words[1:], "--set"))):
            if setting["tags"]:
                built.append(setting["value"])
            elif setting["argument"]:
                arguments.append((setting["argument"], None))
            else:
                contexts.append((setting["context"], None))


def _behind_options(words: list[str]) -> list[str]:
    """Return a command's words without the options before its verb."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in ("--config", "--context", "-c", "--host", "-H", "--log-level", "-l") else 1
    return words[at:]


def _values(words: list[str], *options: str) -> Iterator[str]:
    for number, word in enumerate(words):
        if word in options:
            if number + 1 < len(words):
                yield words[number + 1]
            continue
        for option in options:
            if option.startswith("--") and word.startswith(f"{option}="):
                yield word[len(option) + 1 :]
            elif option == "-t" and word.startswith("-t") and len(word) > 2:
                yield word[2:].removeprefix("=")


def _arguments(words: list[str], option: str, prefix: str = "") -> Iterator[str]:
    for value in _values(words, option):
        name = value.partition("=")[0]
        if name.startswith(prefix) and _ARGUMENT.fullmatch(name.removeprefix(prefix)):
            yield name.removeprefix(prefix)


def _contexts(words: list[str], option: str, prefix: str = "") -> Iterator[str]:
    for value in _values(words, option):
        name, equals, _ = value.partition("=")
        if equals and name.startswith(prefix) and _CONTEXT.fullmatch(name.removeprefix(prefix)):
            yield name.removeprefix(prefix)


def _dockerfile(
    words: list[str], file_options: tuple[str, ...], context_options: tuple[str, ...], *, moved: bool
) -> str | None:
    """Return the Dockerfile's path in the repository, or None where the words do not say."""
    if moved:
        return None
    for written in _values(words, *file_options):
        return _inside(written)
    contexts = list(_values(words, *context_options)) if context_options else _positional(words)
    if len(contexts) != 1:
        return None
    folder = _inside(contexts[0].removeprefix("dir://"))
    return None if folder is None else posixpath.normpath(posixpath.join(folder, "Dockerfile"))


def _positional(words: list[str]) -> list[str]:
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _VALUED:
            skip = True
        elif not word.startswith("-") or word == "-":
            found.append(word)
    return found


def _inside(written: str) -> str | None:
    for own in ("$CI_PROJECT_DIR", "${CI_PROJECT_DIR}"):
        written = written.removeprefix(own + "/") if written != own else "."
    if not written or written == "-" or "$" in written or "`" in written or "://" in written:
        return None
    if written.startswith(("/", "~", "git@")):
        return None
    path = posixpath.normpath(written)
    return None if path.startswith("..") else path
