"""Tests of headgate.cache.recorded."""

import pytest

from headgate.cache.recorded import Recorded, pack, unpack
from headgate.domain.usage import TokenUsage
from headgate.wire import WIRE_FORMATS
from tests.wire.golden import cases_with, given

FORMATS = ("openai_chat", "anthropic_messages")
USAGE = TokenUsage(input_tokens=5, output_tokens=7)


@pytest.mark.parametrize(
    ("form", "case", "name"),
    [
        (form, case, name)
        for form in FORMATS
        for name in ("response.json", "stream.sse")
        for case in cases_with(name, form)
    ],
)
def test_what_is_kept_is_what_was_said(form: str, case: str, name: str) -> None:
    dialect = WIRE_FORMATS[form].dialect
    assert dialect is not None
    data = given(case, name, form)
    if name == "response.json":
        recorded = Recorded("p", "p/m", USAGE, "stop", answer=dialect.parse_response(data))
    else:
        decoder = dialect.decode_stream()
        recorded = Recorded("p", "p/m", USAGE, "stop", events=(*decoder.feed(data), *decoder.close()))
    # A member's own bytes have no equality, so what is compared is what they are kept as.
    assert pack(unpack(pack(recorded))) == pack(recorded)
    assert unpack(pack(recorded)).usage == USAGE


def test_a_body_stays_as_it_came() -> None:
    recorded = Recorded("p", "p/m", USAGE, body='{"data":[{"embedding":[0.1]}]}')
    assert unpack(pack(recorded)) == recorded


def test_half_a_character_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match=r"."):
        pack(Recorded("p", "p/m", USAGE, body="\ud800"))


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"not json", b'{"provider":1}'])
def test_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(payload)
