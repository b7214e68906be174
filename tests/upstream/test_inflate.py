import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.upstream.inflate import MAX_RATIO, RATIO_FREE_BYTES, Inflater
from headgate.upstream.transport import AnswerTooLargeError, EncodedAnswerError, MalformedHttpError


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflate}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=5000), st.lists(st.integers(0, 6000), max_size=5))
def test_a_body_split_anywhere_decodes_to_what_was_encoded(name: str, data: bytes, cuts: list[int]) -> None:
    wire = ENCODERS[name](data)
    inflater = Inflater("deflate" if name == "raw" else name, 10_000)
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    made = b"".join(inflater.feed(wire[edges[i] : edges[i + 1]]) for i in range(len(edges) - 1))
    inflater.finish()
    assert made == data


def test_several_gzip_members_are_one_body() -> None:
    inflater = Inflater("gzip", 100)
    assert inflater.feed(gzip.compress(b"hello ") + gzip.compress(b"world")) == b"hello world"
    inflater.finish()


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip,gzip", "compress"])
def test_another_coding_is_refused(coding: str) -> None:
    with pytest.raises(EncodedAnswerError):
        Inflater(coding, 100)


def test_the_cap_is_exact() -> None:
    wire = gzip.compress(b"x" * 100)
    assert len(Inflater("gzip", 100).feed(wire)) == 100
    with pytest.raises(AnswerTooLargeError):
        Inflater("gzip", 99).feed(wire)


def test_the_ratio_is_bounded_where_the_output_is_large() -> None:
    fits = gzip.compress(bytes(RATIO_FREE_BYTES))
    assert len(fits) * MAX_RATIO < RATIO_FREE_BYTES
    assert len(Inflater("gzip", 1 << 30).feed(fits)) == RATIO_FREE_BYTES
    with pytest.raises(AnswerTooLargeError):
        Inflater("gzip", 1 << 30).feed(gzip.compress(bytes(RATIO_FREE_BYTES + 1)))


def test_a_cut_body_is_noticed_at_its_end() -> None:
    inflater = Inflater("gzip", 1000)
    inflater.feed(gzip.compress(b"hello")[:-4])
    with pytest.raises(MalformedHttpError):
        inflater.finish()


def test_bytes_behind_a_zlib_body_are_malformed() -> None:
    with pytest.raises(MalformedHttpError):
        Inflater("deflate", 1000).feed(zlib.compress(b"hello") + b"more")
