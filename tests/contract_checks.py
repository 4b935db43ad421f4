"""An HTTP exchange held to an OpenAPI document by openapi-core.

Path parameters with slashes (`/git/ref/heads/a/b`) are no match for openapi-core's own finder: the operation
is found here, and openapi-core is shown a path whose parameters are escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema.exceptions import ValidationError
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue
from openapi_schema_validator import OAS31Validator
from werkzeug.datastructures import Headers, ImmutableMultiDict
from werkzeug.wrappers import Request, Response

CONTRACTS = Path(__file__).parent / "contracts"
_SLASHED = frozenset({"ref", "path", "basehead", "branch", "tag", "file_path"})
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


class ContractError(AssertionError):
    """A request or an answer is not what the contract says."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the contract, found for a request."""

    method: str
    """In lower case."""
    template: str
    parameters: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.template}"

    @property
    def path(self) -> str:
        """The path with its parameters escaped; an empty one stands as a dot."""
        return re.sub(
            r"\{(\w+)\}", lambda name: quote(self.parameters[name[1]], safe="") or ".", self.template
        )


class _Asked:
    """A werkzeug request as openapi-core wants to see it."""

    host_url = "http://contract"

    def __init__(self, request: Request, operation: Operation) -> None:
        self.request = request
        self.operation = operation
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(request.args),
            header=Headers(request.headers),
            cookie=request.cookies,
        )

    @property
    def path(self) -> str:
        return self.operation.path

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def body(self) -> bytes | None:
        # No body at all is no JSON that could be wrong.
        return self.request.get_data() or None

    @property
    def content_type(self) -> str:
        # GitHub reads every body as JSON, whatever it calls itself; clients often call it a form.
        return "application/json"


@dataclass(frozen=True, slots=True)
class _Answered:
    response: Response
    content_type: str

    @property
    def data(self) -> bytes:
        return self.response.get_data()

    @property
    def status_code(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> Headers:
        return Headers(self.response.headers)


class Contract:
    """An OpenAPI document that exchanges are held to."""

    def __init__(self, name: str) -> None:
        document = json.loads((CONTRACTS / f"{name}.json").read_text())
        document["servers"] = [{"url": "/"}]
        document.pop("security", None)
        _mend(document)
        self._document = document
        # The document is GitHub's own: whether it is a document at all is not asked each time.
        self._openapi = OpenAPI.from_dict(document, config=Config(spec_validator_cls=None))
        self._routes = sorted(
            ((template, _expression(template)) for template in document["paths"]),
            # The most literal text first: `/pulls/comments/{id}` before `/pulls/{number}/...`.
            key=lambda route: -len(re.sub(r"\{\w+\}", "", route[0])),
        )

    def operations(self) -> frozenset[str]:
        """Return every operation as `GET /repos/{owner}/{repo}`."""
        return frozenset(
            f"{method.upper()} {template}"
            for template, methods in self._document["paths"].items()
            for method in methods
            if method in _METHODS
        )

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that a request is for, or None."""
        method = method.lower()
        for template, expression in self._routes:
            match = expression.fullmatch(path)
            if match and method in self._document["paths"][template]:
                return Operation(method, template, match.groupdict())
        return None

    def statuses(self, operation: Operation) -> Mapping[str, Mapping[str, object]]:
        """Return what the contract says of each status of an operation."""
        responses = self._document["paths"][operation.template][operation.method]["responses"]
        return {status: self._resolved(response) for status, response in responses.items()}

    def check_request(self, operation: Operation, request: Request) -> None:
        """Raise `ContractError` where a request is not what the operation takes."""
        try:
            self._openapi.validate_request(_Asked(request, operation))
        except OpenAPIError as error:
            raise ContractError(f"request {operation}: {_why(error)}") from None

    def check_response(self, operation: Operation, request: Request, response: Response) -> None:
        """Raise `ContractError` where an answer is none that the operation gives.

        Statuses below 400 must be in the contract, except redirects; of the others GitHub's document names
        only some, so that one it does not name is held to the shape of its basic error.  Media types that
        are not JSON (raw files, diffs) have no schema.
        """
        declared = self.statuses(operation).get(str(response.status_code))
        if declared is None:
            if response.status_code < 300:
                raise ContractError(f"answer {operation}: no status {response.status_code} in the contract")
            self._check_basic(operation, response)
            return
        if response.status_code in (204, 304):
            if response.get_data():
                raise ContractError(f"answer {operation}: a body with {response.status_code}")
            return
        content = declared.get("content")
        mimetype = response.mimetype or ""
        kind = mimetype.removesuffix("+json") if "vnd.github" in mimetype else mimetype
        if not isinstance(content, Mapping) or kind not in content:
            if "json" in mimetype and response.status_code < 300 and "raw" not in mimetype:
                raise ContractError(f"answer {operation}: no {mimetype} in the contract")
            if response.status_code >= 400:
                self._check_basic(operation, response)
            return
        if kind.startswith("application/vnd.github") and kind != "application/vnd.github.object":
            return
        try:
            self._openapi.validate_response(_Asked(request, operation), _Answered(response, kind))
        except OpenAPIError as error:
            raise ContractError(f"answer {operation} {response.status_code}: {_why(error)}") from None

    def _check_basic(self, operation: Operation, response: Response) -> None:
        body = response.get_json(silent=True)
        if not isinstance(body, dict) or not isinstance(body.get("message"), str):
            raise ContractError(f"answer {operation} {response.status_code}: no message")

    def _resolved(self, node: Mapping[str, object]) -> Mapping[str, object]:
        while isinstance(pointer := node.get("$ref"), str):
            found: object = self._document
            for step in pointer.removeprefix("#/").split("/"):
                assert isinstance(found, Mapping)
                found = found[step]
            assert isinstance(found, Mapping)
            node = found
        return node


class Payloads:
    """The payloads of webhooks, as an OpenAPI document has them."""

    def __init__(self, name: str) -> None:
        document = json.loads((CONTRACTS / f"{name}.json").read_text())
        self._events: dict[str, Any] = document["webhooks"]
        # The document's list of events that an App can subscribe to is older than some of them.
        _allow_events(document)
        self._schemas = {"webhooks": self._events, "components": document["components"]}
        self._validators: dict[str, OAS31Validator] = {}

    def check(self, event: str, action: str, payload: object) -> None:
        """Raise `ContractError` where a payload is not what the document says of that event."""
        name = "-".join(filter(None, (event, action))).replace("_", "-")
        if name not in self._events:
            raise ContractError(f"webhook {name}: not in the contract")
        if name not in self._validators:
            place = f"#/webhooks/{name}/post/requestBody/content/application~1json/schema"
            self._validators[name] = OAS31Validator({"$ref": place, **self._schemas})
        wrong = [reason for error in self._validators[name].iter_errors(payload) for reason in _leaves(error)]
        if wrong:
            raise ContractError(f"webhook {name}: {'; '.join(dict.fromkeys(wrong))[:2000]}")


@lru_cache(maxsize=2)
def payloads(name: str) -> Payloads:
    """Return the payloads of a file in the contracts, read once for all tests of a process."""
    return Payloads(name)


@lru_cache(maxsize=8)
def contract(name: str) -> Contract:
    """Return a contract by its file's name, read once for all tests of a process."""
    return Contract(name)


def _mend(node: object) -> None:
    """Take slips out of GitHub's document that would refuse what GitHub itself answers, or takes.

    A nullable value whose `enum` has no null; an account that is a user *and* an enterprise, where the same
    document elsewhere says `anyOf`; a discriminator by a property that one of the kinds, a list, cannot have;
    `oneOf` among errors that all allow each other's fields; a pull request's repository, which is null once the
    fork is gone; labels to be added, which may be a bare list, too (so GitHub's own text of that operation).
    """
    if isinstance(node, list):
        for one in node:
            _mend(one)
    elif isinstance(node, dict):
        _mend_kinds(node)
        properties = node.get("properties")
        if isinstance(properties, dict) and properties.keys() >= {"label", "ref", "repo", "sha"}:
            nothing = {"type": "object", "nullable": True, "maxProperties": 0}
            properties["repo"] = {"anyOf": [properties["repo"], nothing]}
        for name, one in node.items():
            if name == "/repos/{owner}/{repo}/issues/{issue_number}/labels":
                content = one["post"]["requestBody"]["content"]["application/json"]
                names = {"type": "array", "items": {"type": "string"}}
                content["schema"] = {"anyOf": [content["schema"], names]}
            _mend(one)


def _allow_events(node: object) -> None:
    if isinstance(node, list):
        for one in node:
            _allow_events(one)
    elif isinstance(node, dict):
        names = node.get("enum")
        if isinstance(names, list) and {"push", "pull_request"} <= set(map(str, names)):
            names.append("merge_group")
        for one in node.values():
            _allow_events(one)


def _mend_kinds(node: dict[str, Any]) -> None:
    if node.get("nullable") is True and isinstance(node.get("enum"), list) and None not in node["enum"]:
        node["enum"] = [*node["enum"], None]
    kinds = node.get("allOf")
    if isinstance(kinds, list) and {one.get("title") for one in kinds} >= {"Simple User", "Enterprise"}:
        node["anyOf"] = node.pop("allOf")
    if isinstance(node.get("discriminator"), dict) and "oneOf" in node:
        del node["discriminator"]
    if any(one.get("$ref", "").endswith("/basic-error") for one in node.get("oneOf", ())):
        node["anyOf"] = node.pop("oneOf")


def _expression(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(
            (f"(?P<{part[1:-1]}>{'.*' if part[1:-1] in _SLASHED else '[^/]+'})")
            if part.startswith("{")
            else re.escape(part)
            for part in parts
        )
    )


def _why(error: BaseException) -> str:
    """Return what went wrong: the innermost reasons and their places, without the whole body."""
    reasons: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InvalidSchemaValue):
            for one in cause.schema_errors:
                reasons += _leaves(one)
        cause = cause.__cause__
    return "; ".join(dict.fromkeys(reasons))[:2000] or str(error)[:500]


def _leaves(error: Exception) -> list[str]:
    if not isinstance(error, ValidationError):
        return [str(error)[:300]]
    if error.context:
        return [reason for one in error.context for reason in _leaves(one)]
    place = ".".join(map(str, error.absolute_path))
    return [f"{place}: {error.message[-300:]}"]
