"""What OpenAI's API refuses, as far as Headgate could provoke it.

Hand-written rules give the vendor's own status, code and words for the cases that matter. Where the public description
of the API lies beside the repository (``../shared/data/openai-openapi.json``), its schemas are the second judge: the
set of known parameters is read from it, and a body that passes the rules must validate against it too.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared" / "data" / "openai-openapi.json"

CHAT_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3-mini", "gpt-5.4-mini")
REASONING_MODELS = ("o3-mini", "gpt-5.4-mini")
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-3-large")
ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class Refusal(NamedTuple):
    """An error answer in the vendor's words."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None

    def body(self) -> bytes:
        fault = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": fault}, indent=2).encode()


class Description:
    """The schemas of one request body in the vendor's public description."""

    def __init__(self, document: dict[str, Any], name: str) -> None:
        schemas = document["components"]["schemas"]
        self.parameters = frozenset(_properties(schemas, schemas[name]))
        root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": _nullable(schemas)}}
        self._validator = jsonschema_rs.Draft202012Validator(root)

    def complaint(self, body: object) -> str | None:
        """The first thing the schema has against a body."""
        for error in self._validator.iter_errors(body):
            return f"{'.'.join(str(part) for part in error.instance_path)}: {error.message[:200]}"
        return None


def _properties(schemas: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    names = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        names |= _properties(schemas, schemas[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part)
    return names


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in the words of JSON Schema, which has no such keyword."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {
        key: _nullable(value) for key, value in node.items() if key not in ("nullable", "discriminator", "default")
    }
    if node.get("nullable") is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


@cache
def description(name: str) -> Description | None:
    """The schema called ``name``, or None where the public description is not at hand."""
    if not DESCRIPTION.exists():
        return None
    return Description(json.loads(DESCRIPTION.read_text()), name)


def check_chat(body: object) -> Refusal | None:
    """Judge the body of ``POST /v1/chat/completions``."""
    if not isinstance(body, dict):
        return Refusal(400, "We could not parse the JSON body of your request.")
    for name in ("model", "messages"):
        if name not in body:
            return Refusal(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    refusal = _check_unknown(body, "CreateChatCompletionRequest") or _check_types(body) or _check_messages(body)
    return (
        refusal
        or _check_limits(body)
        or _check_model(body["model"], CHAT_MODELS)
        or _check_schema(body, "CreateChatCompletionRequest")
    )


def check_embeddings(body: object) -> Refusal | None:
    """Judge the body of ``POST /v1/embeddings``."""
    if not isinstance(body, dict):
        return Refusal(400, "We could not parse the JSON body of your request.")
    for name in ("model", "input"):
        if name not in body:
            return Refusal(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    refusal = _check_unknown(body, "CreateEmbeddingRequest")
    if refusal is None and body["input"] in ("", []):
        refusal = Refusal(400, "'$.input' is invalid. Please check the API reference.", param=None)
    return refusal or _check_model(body["model"], EMBEDDING_MODELS) or _check_schema(body, "CreateEmbeddingRequest")


def _check_unknown(body: dict[str, Any], schema: str) -> Refusal | None:
    known = description(schema)
    for name in body if known is not None else ():
        if name not in known.parameters:
            return Refusal(400, f"Unrecognized request argument supplied: {name}", param=None, code=None)
    return None


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "a string"),
    "messages": ((list,), "an array of objects"),
    "stream": ((bool, type(None)), "a boolean"),
    "stream_options": ((dict, type(None)), "an object"),
    "max_tokens": ((int, type(None)), "an integer"),
    "max_completion_tokens": ((int, type(None)), "an integer"),
    "temperature": ((int, float, type(None)), "a decimal"),
    "top_p": ((int, float, type(None)), "a decimal"),
    "n": ((int, type(None)), "an integer"),
    "tools": ((list,), "an array of objects"),
    "response_format": ((dict,), "an object"),
    "user": ((str,), "a string"),
}


def _check_types(body: dict[str, Any]) -> Refusal | None:
    for name, (kinds, words) in _TYPES.items():
        if name not in body:
            continue
        value = body[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            message = f"Invalid type for '{name}': expected {words}, but got {_kind(value)} instead."
            return Refusal(400, message, param=name, code="invalid_type")
    return None


def _kind(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _check_messages(body: dict[str, Any]) -> Refusal | None:
    if not body["messages"]:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        return Refusal(400, message, param="messages", code="empty_array")
    for index, message in enumerate(body["messages"]):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            return Refusal(400, f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
        if message.get("role") not in ROLES:
            words = f"Invalid value: {message.get('role')!r}. Supported values are: {', '.join(map(repr, ROLES))}."
            return Refusal(400, words, param=f"{where}.role", code="invalid_value")
        if message["role"] == "tool" and "tool_call_id" not in message:
            words = "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'."
            return Refusal(400, words, param=f"{where}.tool_call_id")
    return None


def _check_limits(body: dict[str, Any]) -> Refusal | None:
    if body.get("stream_options") is not None and not body.get("stream"):
        words = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return Refusal(400, words, param="stream_options")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        words = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        return Refusal(400, words, code="invalid_parameter_combination")
    if body.get("max_tokens") is not None and body["model"] in REASONING_MODELS:
        words = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return Refusal(400, words, param="max_tokens", code="unsupported_parameter")
    reasons = body["model"] in REASONING_MODELS or str(body["model"]).startswith("fault-")
    if body.get("reasoning_effort") is not None and not reasons:
        words = "Unsupported parameter: 'reasoning_effort' is not supported with this model."
        return Refusal(400, words, param="reasoning_effort", code="unsupported_parameter")
    for name, highest in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and not 0 <= value <= highest:
            words = f"Invalid '{name}': decimal out of range. Expected a value between 0 and {highest}."
            return Refusal(400, words, param=name, code="decimal_out_of_range")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            words = (
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {body[name]} instead."
            )
            return Refusal(400, words, param=name, code="integer_below_min_value")
    return None


def _check_model(model: object, known: tuple[str, ...]) -> Refusal | None:
    if model in known or (isinstance(model, str) and model.startswith("fault-")):
        return None
    words = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, words, code="model_not_found")


def _check_schema(body: dict[str, Any], schema: str) -> Refusal | None:
    known = description(schema)
    complaint = known.complaint(body) if known is not None else None
    return None if complaint is None else Refusal(400, f"Invalid body: {complaint}", code="invalid_body")
