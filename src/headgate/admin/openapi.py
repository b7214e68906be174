"""The OpenAPI 3.1 document, drawn from the endpoint table and the Structs it names.

``python -m headgate.admin.openapi`` writes the committed copy, docs/reference/openapi.json.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from headgate import __version__
from headgate.admin.decoding import MERGE_PATCH
from headgate.admin.endpoint import JSON, AnyEndpoint, IfMatch
from headgate.admin.problem import PROBLEM_JSON, Problem
from headgate.domain.access import Permission
from headgate.domain.errors import (
    BodyTooLargeError,
    HeadgateError,
    InvalidApiKeyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
    UnsupportedMediaTypeError,
    ValidationFailedError,
)

Schema = dict[str, Any]

DESCRIPTION: Final = """\
Manages a Headgate gateway: organizations, teams, projects, users, virtual keys, what they may
spend, and what they used.

Times are RFC 3339 in UTC, money is a decimal string in USD, lists are newest first. Whatever can be read carries an
ETag; send it back as `If-Match` so that two writers do not undo each other, or as `If-None-Match` to be told by a 304
that nothing has changed. PATCH takes a merge patch (RFC 7396). Errors are RFC 9457 problems.
"""

TAGS: Final = {
    "organizations": "Tenants. Nothing crosses from one to another.",
    "teams": "Teams of an organization.",
    "projects": "Projects of a team or an organization.",
    "users": "People, and the roles they hold.",
    "keys": "Virtual keys: what applications authenticate with. A secret is shown once.",
    "budgets": "So much money per period: on a scope, a key, or an end user, a model or a tag of an organization.",
    "rate-limits": "Requests and tokens per window, and requests at once, on whatever a budget may hang on.",
    "ledger": "What was spent and is held: whether all of it adds up.",
    "tokens": "Personal access tokens of the caller.",
    "me": "Who the caller is and what he may do.",
    "audit": "Every management action and every denied one.",
    "models": "What clients may send as `model`, where it leads, and what it costs.",
    "configuration": "The configuration file in use, and taking up a changed one.",
    "requests": "What happened to each request. Prompt text is not recorded.",
    "usage": "Requests, tokens and cost by group and interval.",
    "cache": "Answers that are given again: what that saved, and forgetting them.",
    "budget-events": "Budgets that passed a share of their limit.",
    "apply": "The desired state of scopes and keys, compared or carried out.",
    "openapi.json": "This document.",
    "docs": "This document, for people.",
}


def document(endpoints: Sequence[AnyEndpoint]) -> Schema:
    """Describe ``endpoints`` as an OpenAPI 3.1 document."""
    schemas = _Schemas(endpoints)
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    used = {endpoint.tag for endpoint in endpoints}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headgate admin API",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token, or a personal access token (`hgp_…`).",
                },
                "browser": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Pages for people: any user name, the token as the password.",
                },
            },
            "responses": _problem_responses(endpoints, schemas),
            "schemas": schemas.components,
        },
    }


def render(endpoints: Sequence[AnyEndpoint]) -> bytes:
    """Return the document as it is served and committed: indented, and the same for the same table."""
    return msgspec.json.format(msgspec.json.encode(document(endpoints)), indent=2) + b"\n"


class _Schemas:
    """JSON schemas of every type in the table, by type."""

    def __init__(self, endpoints: Sequence[AnyEndpoint]) -> None:
        types: list[Any] = [Problem]
        for endpoint in endpoints:
            for shape in (endpoint.body, endpoint.query, endpoint.response):
                if shape is not None and shape not in types:
                    types.append(shape)
        schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
        queries = {endpoint.query.__name__ for endpoint in endpoints if endpoint.query is not None}
        self._types = types
        self._schemas = schemas
        self._all = components
        self.components: Final = {
            name: _tidied(schema) for name, schema in sorted(components.items()) if name not in queries
        }

    def of(self, shape: object) -> Schema:
        """Return the schema of ``shape``, usually a reference."""
        return self._schemas[self._types.index(shape)]

    def fields(self, shape: type[Struct]) -> Schema:
        """Return the object schema itself of a query."""
        return self._all[shape.__name__]


def _tidied(schema: Schema) -> Schema:
    # Docstrings arrive with the indentation of their source.
    if "description" in schema:
        schema = {**schema, "description": "\n".join(line.strip() for line in schema["description"].splitlines())}
    return schema


def _operation(endpoint: AnyEndpoint, schemas: _Schemas) -> Schema:
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": _rights(endpoint.permission),
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint, schemas),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.browser:
        operation["security"] = [{"token": []}, {"browser": []}]
    if endpoint.body is not None:
        media_types = (MERGE_PATCH, JSON) if endpoint.method == "PATCH" else (JSON,)
        required = any(field.required for field in msgspec.structs.fields(endpoint.body))
        operation["requestBody"] = {
            "required": required,
            "content": {media_type: {"schema": schemas.of(endpoint.body)} for media_type in media_types},
        }
    return operation


def _rights(permission: Permission) -> str:
    if permission is Permission.OPERATE:
        return "For the operator of the installation (the admin token)."
    if permission is Permission.ME_READ:
        return "For every authenticated caller."
    return f"Demands the permission `{permission.value}`."


def _parameters(endpoint: AnyEndpoint, schemas: _Schemas) -> list[Schema]:
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path_names(endpoint)
    ]
    if endpoint.query is not None:
        shape = schemas.fields(endpoint.query)
        required: list[str] = shape.get("required", [])
        for name, schema in shape["properties"].items():
            words = schema.pop("description", None)
            parameter: Schema = {"name": name, "in": "query", "required": name in required, "schema": schema}
            if words is not None:
                parameter["description"] = words
            parameters.append(parameter)
    if endpoint.if_match is not IfMatch.UNUSED:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": endpoint.if_match is IfMatch.REQUIRED,
                "description": "The resource's ETag as last read, or `*`.",
                "schema": {"type": "string", "pattern": r'^(\*|"v[0-9]{1,15}")$'},
            }
        )
    if endpoint.method == "GET":
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "ETags of answers that the caller has; where one of them is still right: 304, no body.",
                "schema": {"type": "string"},
            }
        )
    return parameters


def path_names(endpoint: AnyEndpoint) -> list[str]:
    """Return the names in the endpoint's path template, in order."""
    return [segment[1:-1] for segment in endpoint.path.split("/") if segment.startswith("{")]


def _responses(endpoint: AnyEndpoint, schemas: _Schemas) -> Schema:
    success: Schema = {"description": "Done."}
    if endpoint.response is not None:
        success["content"] = {JSON: {"schema": schemas.of(endpoint.response)}}
    elif endpoint.status != 204:
        success["content"] = {endpoint.media_type: {"schema": {}}}
    reading = endpoint.method == "GET"
    if reading or (endpoint.if_match is not IfMatch.UNUSED and endpoint.response is not None):
        success["headers"] = {"ETag": {"description": "The version now.", "schema": {"type": "string"}}}
    problems = {
        str(status): {"$ref": f"#/components/responses/{'.'.join(codes)}"}
        for status, codes in _codes_by_status(endpoint).items()
    }
    unchanged: Schema = {"304": {"description": "Not modified: the caller has it."}} if reading else {}
    return {str(endpoint.status): success, **unchanged, **problems}


def _codes_by_status(endpoint: AnyEndpoint) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for kind in sorted(failures(endpoint), key=lambda kind: (kind.status, kind.code)):
        found.setdefault(kind.status, []).append(kind.code)
    return found


def _problem_responses(endpoints: Sequence[AnyEndpoint], schemas: _Schemas) -> Schema:
    """Each set of codes that share a status somewhere, as one response that operations refer to."""
    sets = {tuple(codes) for endpoint in endpoints for codes in _codes_by_status(endpoint).values()}
    content = {PROBLEM_JSON: {"schema": schemas.of(Problem)}}
    return {
        ".".join(codes): {"description": ", ".join(f"`{code}`" for code in codes), "content": content}
        for codes in sorted(sets)
    }


def failures(endpoint: AnyEndpoint) -> list[type[HeadgateError]]:
    """Return the errors a caller may meet at ``endpoint``: those of its row, and those that follow from it."""
    kinds: list[type[HeadgateError]] = [InvalidRequestError, InvalidApiKeyError, PermissionDeniedError]
    # An unknown query parameter is refused everywhere, so 422 is possible everywhere.
    kinds.append(ValidationFailedError)
    if path_names(endpoint):
        kinds.append(NotFoundError)
    if endpoint.body is not None:
        kinds += [BodyTooLargeError, UnsupportedMediaTypeError]
    if endpoint.if_match is not IfMatch.UNUSED:
        kinds.append(PreconditionFailedError)
    if endpoint.if_match is IfMatch.REQUIRED:
        kinds.append(PreconditionRequiredError)
    return list(dict.fromkeys([*kinds, *endpoint.errors]))


def main() -> None:
    """Write the document of the whole API to standard output."""
    from headgate.admin.table import ENDPOINTS  # noqa: PLC0415  the table names this module's neighbours

    sys.stdout.buffer.write(render(ENDPOINTS))


if __name__ == "__main__":
    main()
