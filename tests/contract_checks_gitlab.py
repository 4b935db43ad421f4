"""Holds requests and answers of the GitLab stand-in against a contract.

The contract is **derived** from two clients' types, not GitLab's own document (tests/contracts/gitlab.md), so
passing here is weaker evidence than passing GitHub's; what an operation means is not in it at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

_FOLDER = Path(__file__).parent / "contracts"
_ERRORS = (400, 401, 403, 404, 405, 409, 422, 429)
_METHODS = frozenset(("get", "post", "put", "delete"))


@dataclass(slots=True, kw_only=True)
class CheckedRequest:
    """One request as openapi-core wants it; parts of the path are escaped, so that none holds a slash."""

    method: str
    path: str
    body: bytes | None
    content_type: str
    parameters: RequestParameters
    host_url: str = "http://gitlab.example"


@dataclass(slots=True, kw_only=True)
class CheckedAnswer:
    """One answer as openapi-core wants it."""

    status_code: int
    content_type: str
    headers: Headers
    data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A request, taken apart."""

    method: str
    template: str
    parts: Mapping[str, str]
    """The template's values, decoded."""
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    content_type: str = ""


@dataclass(slots=True)
class Contract:
    """Both files, joined."""

    spec: Mapping[str, Any]
    openapi: OpenAPI = field(init=False)

    def __post_init__(self) -> None:
        self.openapi = OpenAPI.from_dict(dict(self.spec), config=Config(spec_validator_cls=None))

    def operations(self) -> frozenset[tuple[str, str]]:
        """Return every method (upper case) and path template."""
        return frozenset(
            (method.upper(), path)
            for path, item in self.spec["paths"].items()
            for method in item
            if method in _METHODS
        )

    def request_problem(self, told: Told) -> str | None:
        """Return what is wrong with a request, or None."""
        if (told.method, told.template) not in self.operations():
            return "no such operation in the contract"
        operation = self.spec["paths"][told.template][told.method.lower()]
        known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        strange = sorted({name for name, _ in told.query} - known)
        if strange:
            return f"query parameters that the contract does not have: {', '.join(strange)}"
        if told.body and "requestBody" not in operation and told.body not in (b"{}", b"null"):
            return "a body where the contract has none"
        try:
            self.openapi.validate_request(self._request(told))
        except Exception as error:  # noqa: BLE001  # whatever the library raises is a finding
            return _words(error)
        return None

    def answer_problem(
        self, told: Told, status: int, headers: Sequence[tuple[str, str]], body: bytes
    ) -> str | None:
        """Return what is wrong with an answer, or None."""
        kind = next((value for name, value in headers if name.lower() == "content-type"), "")
        answer = CheckedAnswer(
            status_code=status, content_type=kind.lower(), headers=Headers(list(headers)), data=body or None
        )
        try:
            self.openapi.validate_response(self._request(told), answer)
        except Exception as error:  # noqa: BLE001  # the same
            return _words(error)
        return None

    def body_problem(self, schema: str, value: object) -> str | None:
        """Return what is wrong with a webhook's body, or None; `schema` is a name like `PushEvent`."""
        whole = {"$ref": f"#/components/schemas/{schema}", "components": self.spec["components"]}
        found = sorted(Draft202012Validator(whole).iter_errors(value), key=str)
        return "; ".join(f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in found) or None

    def _request(self, told: Told) -> CheckedRequest:
        path = told.template
        for name, value in told.parts.items():
            path = path.replace(f"{{{name}}}", quote(value, safe="") or "%20")
        return CheckedRequest(
            method=told.method.lower(),
            path=path,
            body=told.body or None,
            content_type=told.content_type.lower(),
            parameters=RequestParameters(
                query=ImmutableMultiDict(list(told.query)), header=Headers(), cookie=ImmutableMultiDict()
            ),
        )


def _words(error: BaseException) -> str:
    words = [f"{type(error).__name__}: {error}"]
    inner: BaseException | None = error.__cause__ or error.__context__
    while inner is not None and len(words) < 3:
        words.append(str(inner))
        found = getattr(inner, "schema_errors", ())
        words.extend(f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in list(found)[:3])
        inner = inner.__cause__
    return "; ".join(word[:300] for word in words)


def joined(derived: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return one document of both; what `more` adds may not stand in `derived` already."""
    spec: dict[str, Any] = json.loads(json.dumps(derived))
    for path, item in more["paths"].items():
        held = spec["paths"].setdefault(path, {})
        for method, operation in item.items():
            assert method not in held, f"{method} {path} stands in both"
            held[method] = operation
    schemas = spec["components"]["schemas"]
    for name, schema in more["components"]["schemas"].items():
        assert name not in schemas, f"{name} stands in both"
        schemas[name] = schema
    _corrected(spec, more)
    error = {
        "description": "error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for path, item in spec["paths"].items():
        for operation in item.values():
            for status in _ERRORS:
                operation["responses"].setdefault(str(status), error)
            if "{id}" in path:
                operation["responses"].setdefault("301", {"description": "moved"})
    return spec


def _corrected(spec: dict[str, Any], more: Mapping[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    for one in more["x-additions"]:
        operation = spec["paths"][one["path"]][one["method"]]
        operation["parameters"] += [
            {"name": name, "in": "query", "schema": {}} for name in one.get("query", ())
        ]
        operation["responses"] |= one.get("responses", {})
    for one in more["x-corrections"]:
        *way, last = one["property"].split("/")
        place = schemas[one["schema"]]["properties"]
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[last] = one["value"]
    for one in more["x-optional"]:
        schema = schemas[one["schema"]]
        schema["required"] = [name for name in schema["required"] if name not in one["drop"]]


@cache
def contract() -> Contract:
    """Return the contract, read once in a process."""
    derived, more = (json.loads((_FOLDER / name).read_text()) for name in ("gitlab.json", "gitlab-more.json"))
    return Contract(joined(derived, more))
