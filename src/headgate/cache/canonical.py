"""One form for all requests that ask the same: what does not change an answer is left out, all else stays.

Unknown members stay too, so that a parameter of tomorrow never lets two different requests share an answer. Doubt makes
a miss: an order that might not matter, a default that might be one.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from headgate.domain.chat import AnyToolChoice, ChatRequest, Message, Part, Sampling, TextFormat, ToolChoiceMode

_TRANSPORT: Final = frozenset(
    {
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "prompt_cache_breakpoint",
        "cache_control",
        "safety_identifier",
        "user",
        "metadata",
        "stream",
        "stream_options",
        "store",  # True is never looked for at all.
    }
)
"""Members that say how an answer is carried, billed or filed, not what it says."""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder().decode
_NO_SAMPLING: Final = Sampling()
_PLAIN_TOOL_CHOICE: Final = AnyToolChoice(ToolChoiceMode.AUTO)


def canonical_chat(request: ChatRequest) -> bytes:
    """Return what a chat request asks, the same for every dialect and way of carrying."""
    extras = {name: value for name, value in request.extras.items() if name not in _TRANSPORT}
    bare = replace(
        request,
        # Unknown members are names of their dialect: the same name may mean something else in another.
        dialect=request.dialect if extras else "",
        model="",
        messages=tuple(map(_bare_message, request.messages)),
        stream=False,
        include_usage=False,
        sampling=request.sampling if request.sampling == _NO_SAMPLING else _with_floats(request.sampling),
        choices=None if request.choices == 1 else request.choices,
        logprobs=request.logprobs or None,
        tools=tuple([_without_hint(tool) for tool in request.tools]),
        tool_choice=None if request.tool_choice == _PLAIN_TOOL_CHOICE else request.tool_choice,
        answer_format=None if isinstance(request.answer_format, TextFormat) else request.answer_format,
        end_user=None,
        metadata={},
        extras=extras,
    )
    written = _encode(bare)
    if _holds_raw(bare):
        # Bytes as they came: read and written again, the order of members and blanks between them do not count.
        written = _encode(_decode(written))
    return written


def canonical_fields(fields: Mapping[str, Raw]) -> bytes:
    """Return what a request asks whose format has no way to the hub (embeddings): its members, in one order."""
    members: dict[str, Any] = {
        name: _decode(value) for name, value in fields.items() if name not in _TRANSPORT and name != "model"
    }
    return _encode(members)


def _bare_message(message: Message) -> Message:
    for part in message.parts:
        if getattr(part, "cache", None) is not None:
            return replace(message, parts=tuple([_without_hint(each) for each in message.parts]))
    return message


def _without_hint(part: Any) -> Any:
    """Return a part or a tool without the hint that its provider may keep the prefix up to it."""
    return part if getattr(part, "cache", None) is None else replace(part, cache=None)


def _holds_raw(request: ChatRequest) -> bool:
    """Whether anything of the request is the caller's own bytes."""
    if request.extras or request.tools or request.answer_format is not None or request.tool_choice is not None:
        return True
    return any(message.extras or not all(map(_is_plain, message.parts)) for message in request.messages)


def _with_floats(sampling: Sampling) -> Sampling:
    """Return ``sampling`` with 0 and 0.0 the same."""
    bias = sampling.logit_bias
    return replace(
        sampling,
        temperature=_float(sampling.temperature),
        top_p=_float(sampling.top_p),
        frequency_penalty=_float(sampling.frequency_penalty),
        presence_penalty=_float(sampling.presence_penalty),
        logit_bias=None if bias is None else {name: float(value) for name, value in bias.items()},
    )


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)


def _is_plain(part: Part) -> bool:
    return not (getattr(part, "extras", None) or hasattr(part, "raw") or hasattr(part, "content"))
