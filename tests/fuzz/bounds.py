"""How much a request can use at most: whatever is accepted has a bound or none, and no tokenizer exceeds it."""

from collections.abc import Callable

from headgate.domain.catalog import Capabilities
from headgate.tokens.anchors import Anchors, anchored_bound, fingerprint
from headgate.tokens.bound import input_bound, output_bound
from headgate.tokens.counting import count_texts
from headgate.tokens.media import image_size
from headgate.tokens.weight import weigh
from headgate.wire.format import WireFormat

_MODELS = ("gpt-4o", "claude-opus-4-8", "gemini-2.5-pro")
_WINDOW = 1_000_000_000
_COUNTED = 4096
"""Longer inputs are not counted: the tokenizer would take most of the time."""


def bounds(form: WireFormat) -> Callable[[bytes], None]:
    """Every accepted request is bounded, by itself and from its own anchor."""

    def run(data: bytes) -> None:
        envelope = form.parse_envelope(data)
        for model in _MODELS:
            bound = input_bound(form, envelope, model, None)
            wide = input_bound(form, envelope, model, _WINDOW)
            assert bound is None or bound == wide
            assert bound is None or bound >= 0
            weight = weigh(form.name, envelope.fields, model)
            conversation = fingerprint(b"key", form.name, envelope.fields, model, weight)
            if conversation is not None:
                anchors = Anchors()
                anchors.learn(conversation, 1)
                anchor = anchors.find(conversation)
                assert anchor is not None
                assert anchored_bound(form.name, conversation, anchor, model) is not None
        bound = input_bound(form, envelope, _MODELS[0], None)
        if bound is not None and len(data) <= _COUNTED:
            assert count_texts(_MODELS[0], form.input_text(envelope)) <= bound
        output = output_bound(form, envelope, Capabilities())
        assert output.tokens is not None
        assert output.tokens >= output.max_tokens

    return run


def image(data: bytes) -> None:
    """Any text has an image's size or none."""
    size = image_size(data.decode("latin-1"))
    assert size is None or min(size) > 0
