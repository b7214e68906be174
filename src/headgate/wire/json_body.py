"""Reading a caller's JSON request body without trusting it, and without touching what is not ours to read.

The body is decoded one level deep: values stay the caller's bytes (`msgspec.Raw` views), so they can be forwarded byte
for byte. Whatever the bytes are, the outcome is members or an `InvalidRequestError`, in memory proportional to the
number of members, which is bounded.
"""

import codecs
import re
from typing import Any, Final, NoReturn, TypeVar, cast

import msgspec
from msgspec import Raw

from headgate.domain.errors import InvalidRequestError, UnsupportedParameterError

T = TypeVar("T")

MAX_MEMBERS: Final = 1024
"""Top-level members of a body; OpenAI's chat request knows 37."""
MAX_MODEL_CHARS: Final = 256
MAX_END_USER_CHARS: Final = 512
MAX_TAGS: Final = 16
MAX_TAG_KEY_CHARS: Final = 64
MAX_TAG_VALUE_CHARS: Final = 512

_MAX_LONE_SURROGATES: Final = 4096
_UTF8_PIECE: Final = 1 << 20

# Why refused: these redirect a request, replace its credential or its price, or pretend to be somebody, in gateways
# that merge body fields into their own call arguments (LiteLLM CVE-2024-6587 and its class). None of them is a field of
# OpenAI's API description or of a documented OpenAI-compatible vendor, save ``models``: OpenRouter would answer with
# any model it lists, past the key's allowed models and the price that was looked up.
_ROUTING_FIELDS: Final = frozenset(
    {
        "ad_token",
        "allowed_model_region",
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "azure_ad_token",
        "azure_deployment",
        "azure_endpoint",
        "azure_scope",
        "base_url",
        "bearer_token",
        "client_id",
        "client_secret",
        "configurable_clientside_auth_params",
        "custom_llm_provider",
        "default_headers",
        "default_query",
        "deployment_id",
        "endpoint_url",
        "extra_body",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "context_window_fallback_dict",
        "content_policy_fallbacks",
        "headers",
        "http_client",
        "http_proxy",
        "https_proxy",
        "input_cost_per_token",
        "max_retries",
        "mock_response",
        "mock_timeout",
        "mock_tool_calls",
        "model_info",
        "model_list",
        "models",
        "organization",
        "output_cost_per_token",
        "proxies",
        "proxy_server_request",
        "router_settings_override",
        "secret_fields",
        "ssl_verify",
        "tenant_id",
        "timeout",
        "use_in_pass_through",
        "user_config",
    }
)
# Requests of these fields alone, nearly all, are seen to be clean in one call. From OpenAI's API description, and from
# Anthropic's "Create a Message".
_KNOWN_FIELDS: Final = frozenset(
    """
    audio cache_control container context_management dimensions encoding_format frequency_penalty function_call
    functions inference_geo input logit_bias logprobs max_completion_tokens max_tokens messages metadata modalities
    model moderation n output_config output_format parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
    speed stop stop_sequences store stream stream_options system temperature thinking tool_choice tools top_k
    top_logprobs top_p user verbosity web_search_options
    """.split()  # noqa: SIM905  a block of words reads better than forty lines
)
_ROUTING_PREFIXES: Final = ("aws_", "azure_", "litellm_", "vertex_", "user_api_key")
_ROUTING_TAG_PREFIXES: Final = ("user_api_key", "litellm_")

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_STR: Final = msgspec.json.Decoder(str)
_NULL: Final = b"null"
_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AT: Final = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`\$(?P<path>[^`]*)`$", re.DOTALL)
# A ``\uXXXX`` escape of half a surrogate pair; the group before it takes escaped backslashes out of the way.
# It is possessive, because remembering where to backtrack to would take 70 bytes for each of them.
_LONE_SURROGATE: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*+)(?:"
    rb"\\(?=u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\(?=u[dD][c-fC-F][0-9a-fA-F]{2}))u"
)


class _Member(str):
    """Stands for any key while members are counted."""

    __slots__ = ()


_ANY_MEMBER: Final = _Member()


def read_members(body: bytes) -> dict[str, Raw]:
    """Return the top-level members of a JSON object: keys decoded, values as the caller's own bytes.

    Raises:
        InvalidRequestError: not UTF-8 (RFC 8259 §8.1), not JSON, not an object, nested deeper than the interpreter's
            stack allows, more than `MAX_MEMBERS` members, or one key twice: parsers differ in which of them counts
            (RFC 8259 §4), so what is checked here need not be what the provider acts on.
    """
    if not body.isascii():
        _check_utf8(body)
    if _has_too_many_members(body, MAX_MEMBERS):
        raise InvalidRequestError(f"the request body has more than {MAX_MEMBERS} fields")
    try:
        members = _MEMBERS.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequestError("the request body must be a JSON object") from error
    except msgspec.DecodeError as error:
        masked = _read_masked_members(body)
        if masked is None:
            raise InvalidRequestError(_explain(body, error)) from error
        members = masked
    except RecursionError as error:
        raise InvalidRequestError("the request body is nested too deeply") from error
    if _may_hide_a_member(body, members) and _has_a_duplicate(body, members):
        raise InvalidRequestError("the request body has the same field twice")
    return members


_SHORTEST_MEMBER: Final = len(b',"":0')
_SCANNED: Final = 16 * 1024
_QUOTED: Final = {key: b'"%b"' % key.encode() for key in _KNOWN_FIELDS}


def _may_hide_a_member(body: bytes, members: dict[str, Raw]) -> bool:
    """Whether the body is longer than its members by enough for one more: blanks do that, and so do duplicate keys.

    Compact JSON, as SDKs send it, is thus seen to be clean without a second pass.
    """
    count = len(members)
    # Two quotes and a colon a member, a comma between two, two braces around all.
    seen = sum(map(len, members)) + sum(map(len, members.values())) + 4 * count + 1
    return len(body) - seen >= _SHORTEST_MEMBER


def _explain(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "the request body is empty"
    if body.startswith(_BOM):
        return "the request body starts with a byte order mark (RFC 8259 §8.1 forbids it)"
    return f"the request body is not valid JSON: {error}"


def _check_utf8(body: bytes) -> None:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for start in range(0, len(body), _UTF8_PIECE):
            decode(body[start : start + _UTF8_PIECE])
        decode(b"", True)
    except UnicodeDecodeError as error:
        raise InvalidRequestError("the request body is not valid UTF-8") from error


class _TooManyMembersError(Exception):
    """Ends the counting."""


def _has_a_duplicate(body: bytes, members: dict[str, Raw]) -> bool:
    # The known keys can be written with their own letters or with unicode escapes, so where there are none of these and
    # each key stands in the body once, no key is there twice. A scan costs less than another decoding.
    if len(body) <= _SCANNED and b"\\u" not in body:
        for key in members:
            quoted = _QUOTED.get(key)
            if quoted is None or body.count(quoted) != 1:
                break
        else:
            return False
    return _count_members(body, MAX_MEMBERS) != len(members)


def _has_too_many_members(data: bytes, limit: int) -> bool:
    # A member needs a colon, so most bodies do not need the second pass.
    return data.count(b":") > limit and _count_members(data, limit) > limit


def _count_members(data: bytes, limit: int) -> int:
    """Count an object's members up to one more than ``limit``, duplicates too, without holding them.

    A million keys would take 200 MB. What is no object counts as having none: the pass that keeps the members says why.
    """
    count = 0

    def tally(_kind: type, _key: object) -> _Member:
        nonlocal count
        count += 1
        if count > limit:
            raise _TooManyMembersError
        return _ANY_MEMBER

    try:
        msgspec.json.decode(data, type=dict[_Member, Raw], dec_hook=tally)
    except _TooManyMembersError:
        return count
    except (msgspec.DecodeError, RecursionError):
        masked = mask_lone_surrogates(data)
        return 0 if masked is None or masked[0] == data else _count_members(masked[0], limit)
    return count


def mask_lone_surrogates(data: bytes) -> tuple[bytes, bytes] | None:
    r"""Replace the ``\u`` of escaped lone surrogates by two other bytes; return the new bytes and those two.

    JavaScript's ``JSON.stringify`` writes ``"\ud83d"`` for half an emoji, the grammar of RFC 8259 allows it, vendors
    accept it, and msgspec does not. The two bytes are a character that occurs nowhere else, so masking can be undone.
    ``None``: there is none, or far too many.
    """
    if len(data) < 6 or b"\\u" not in data:
        return None
    for code in range(0xA1, 0xB1):  # A hostile body may hold them all: each is one scan, so a few must do.
        mark = chr(code).encode()
        if mark not in data:
            break
    else:
        return None
    masked, found = _LONE_SURROGATE.subn(rb"\1" + mark, data, _MAX_LONE_SURROGATES + 1)
    return (masked, mark) if 0 < found <= _MAX_LONE_SURROGATES else None


def _read_masked_members(body: bytes) -> dict[str, Raw] | None:
    masked = mask_lone_surrogates(body)
    if masked is None:
        return None
    data, mark = masked
    try:
        members = _MEMBERS.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    if any(mark.decode() in key for key in members):
        return None  # A key that is no text cannot be written back.
    return {key: _unmask(value, mark) for key, value in members.items()}


def _unmask(value: Raw, mark: bytes) -> Raw:
    text, at = bytearray(value), -1  # Changed in place: a copy of a full body is what the memory has room for.
    while (at := text.find(mark, at + 1)) >= 0:
        text[at : at + 2] = b"\\u"
    return Raw(text)


def is_null(value: Raw) -> bool:
    """Say whether a value is JSON's null."""
    return len(value) == 4 and bytes(value) == _NULL


def fail_at(param: str, error: Exception) -> NoReturn:
    """Raise the `InvalidRequestError` for a msgspec error on a member's value; ``param`` names the exact field."""
    if isinstance(error, RecursionError):
        raise InvalidRequestError(f"`{param}` is nested too deeply", param=param) from error
    found = _AT.match(str(error))
    if found is None:
        what = str(error)
    else:
        what, param = found["what"], param + found["path"]
    raise InvalidRequestError(f"`{param}`: {what[:1].lower()}{what[1:]}", param=param) from error


def read_value(decoder: "msgspec.json.Decoder[T]", value: Raw, param: str) -> T:
    """Decode one member's value; raises `InvalidRequestError` naming the exact field."""
    try:
        return decoder.decode(value)
    except (ValueError, RecursionError) as error:
        fail_at(param, error)


def json_text(value: Raw, param: str) -> str:
    """Return a member's JSON as it stands, as text; raises `InvalidRequestError` where its bytes are none."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        fail_at(param, error)


def read_text_value(decoder: "msgspec.json.Decoder[T]", value: Raw, param: str) -> T:
    """Decode like `read_value` a value that holds prompt text, where half a surrogate pair is no error.

    It stands for text whose exact characters do not matter: what is forwarded are the caller's bytes.
    """
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        fail_at(param, error)
    except (msgspec.DecodeError, RecursionError) as error:
        masked = mask_lone_surrogates(bytes(value)) if isinstance(error, msgspec.DecodeError) else None
        if masked is None:
            fail_at(param, error)
        return read_value(decoder, Raw(masked[0]), param)


def read_any(data: bytes | Raw) -> Any:
    """Decode trusted-shape JSON into plain values, with lone surrogates as the character U+FFFD.

    Raises:
        ValueError: not JSON, or a number beyond what Python reads.
        RecursionError: nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        masked = mask_lone_surrogates(bytes(data))
        if masked is None:
            raise
        return msgspec.json.decode(re.sub(masked[1] + rb"[0-9a-fA-F]{4}", rb"\\ufffd", masked[0]))


def read_request(body: bytes) -> dict[str, Raw]:
    """Return the members of a request body, as `read_members` and `refuse_routing_fields` let them pass."""
    members = read_members(body)
    refuse_routing_fields(members)
    return members


def refuse_routing_fields(members: dict[str, Raw]) -> None:
    """Refuse fields that would choose where a request goes or whose credential it uses.

    Raises:
        UnsupportedParameterError: one is present; ``param`` names it.
    """
    if _KNOWN_FIELDS.issuperset(members):
        return
    for name in members:
        if name in _ROUTING_FIELDS or name.startswith(_ROUTING_PREFIXES):
            name = name[:MAX_TAG_KEY_CHARS]  # noqa: PLW2901  only the start of a long one is repeated
            raise UnsupportedParameterError(
                f"`{name}` is not accepted in a request body: where a request goes is the gateway's configuration",
                param=name,
                reason="routing_field",
            )


def refuse_unclean(text: str, param: str, limit: int) -> None:
    """Refuse text that is too long or holds control characters: it ends up in records, logs and headers."""
    if len(text) > limit:
        raise InvalidRequestError(f"`{param}` is longer than {limit} characters", param=param)
    if not text.isprintable() and _CONTROL.search(text):
        raise InvalidRequestError(f"`{param}` contains control characters", param=param)


def read_model(members: dict[str, Raw]) -> str:
    """Return the member ``model``, checked."""
    value = members.get("model")
    if value is None:
        raise InvalidRequestError("`model` is required", param="model")
    model = read_value(_STR, value, "model")
    if not model or model.isspace():
        raise InvalidRequestError("`model` must not be empty", param="model")
    refuse_unclean(model, "model", MAX_MODEL_CHARS)
    return model


def read_end_user(members: dict[str, Raw]) -> str | None:
    """Return OpenAI's ``safety_identifier``, else the older ``user``; null and empty count as absent."""
    end_user = None
    for name in ("user", "safety_identifier"):
        value = members.get(name)
        if value is not None and not is_null(value):
            text = read_value(_STR, value, name)
            refuse_unclean(text, name, MAX_END_USER_CHARS)
            end_user = text or end_user
    return end_user


def read_user_id(members: dict[str, Raw]) -> str | None:
    """Return the member ``user_id`` of Anthropic's ``metadata``; null and empty count as absent.

    Whatever else stands there is the provider's business, save what pretends to say who is asking.
    """
    value = members.get("metadata")
    if value is None or is_null(value):
        return None
    if _has_too_many_members(bytes(value), MAX_TAGS):
        raise InvalidRequestError(f"`metadata` has more than {MAX_TAGS} entries", param="metadata")
    entries = read_value(_MEMBERS, value, "metadata")
    for key in entries:
        _refuse_routing_tag(key)
    user_id = entries.get("user_id")
    if user_id is None or is_null(user_id):
        return None
    text = read_value(_STR, user_id, "metadata.user_id")
    refuse_unclean(text, "metadata.user_id", MAX_END_USER_CHARS)
    return text or None


def read_tags(members: dict[str, Raw]) -> tuple[tuple[str, str], ...]:
    """Return OpenAI's ``metadata`` as tags: at most `MAX_TAGS` strings under short keys."""
    value = members.get("metadata")
    if value is None or is_null(value):
        return ()
    if _has_too_many_members(bytes(value), MAX_TAGS):
        raise InvalidRequestError(f"`metadata` has more than {MAX_TAGS} entries", param="metadata")
    entries = read_value(_MEMBERS, value, "metadata")
    for key in entries:
        refuse_unclean(key, "metadata", MAX_TAG_KEY_CHARS)
        _refuse_routing_tag(key)
    tags: list[tuple[str, str]] = []
    for key, raw in entries.items():
        text = read_value(_STR, raw, f"metadata.{key}")
        refuse_unclean(text, f"metadata.{key}", MAX_TAG_VALUE_CHARS)
        tags.append((key, text))
    return tuple(tags)


def _refuse_routing_tag(key: str) -> None:
    if key.startswith(_ROUTING_TAG_PREFIXES):
        key = key[:MAX_TAG_KEY_CHARS]
        raise UnsupportedParameterError(
            f"`metadata.{key}` is not accepted: who is asking is decided by the key alone",
            param=f"metadata.{key}",
            reason="routing_field",
        )


def member_of(value: object, name: str) -> object:
    """Return a member of a decoded value that may turn out not to be an object."""
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
