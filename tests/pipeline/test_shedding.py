"""What was written beforehand is what would be written now; `tests/e2e/test_overload.py` has whole gateways shed."""

import json

import pytest

from headgate.domain.ids import REQUEST, mint
from headgate.pipeline.handle import error_headers
from headgate.pipeline.shedding import SHED, PreparedRefusal
from headgate.wire import WIRE_FORMATS

ID = mint(REQUEST, 1_764_000_000_000, b"0123456789")


@pytest.mark.parametrize("name", WIRE_FORMATS)
def test_a_prepared_refusal_says_what_one_of_its_own_would(name: str) -> None:
    wire_format = WIRE_FORMATS[name]

    head, _, body = PreparedRefusal(wire_format).tell(ID).partition(b"\r\n\r\n")

    assert body == wire_format.render_error(SHED, ID)
    fields = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")]
    length = (b"content-length", b"%d" % len(body))
    assert fields == [*error_headers(SHED, ID, wire_format.id_headers), length]
    assert (b"retry-after", b"1") in fields
    assert json.loads(body)["error"]["headgate"]["reason"] == "shed"
