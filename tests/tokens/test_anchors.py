import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from rs_bpe.bpe import openai

from headgate.tokens.anchors import (
    FINGERPRINT_BYTES,
    MAX_MESSAGES,
    SLACK_TOKENS,
    Anchor,
    Anchors,
    Conversation,
    anchored_bound,
    fingerprint,
)
from headgate.tokens.weight import weigh
from tests.tokens.test_text import TEXTS

KEY = b"tenant"
FORM, MODEL = "anthropic_messages", "claude-sonnet-4-5"
MARK = {"type": "ephemeral"}


def raw(value: object) -> Raw:
    return Raw(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def turn(role: str, text: str, **more: object) -> dict[str, object]:
    return {"role": role, "content": [{"type": "text", "text": text, **more}]}


def prints(*messages: object, key: bytes = KEY, model: str = MODEL, **members: object) -> Conversation | None:
    fields = {"messages": raw(messages)} | {name: raw(value) for name, value in members.items()}
    return fingerprint(key, FORM, fields, model, weigh(FORM, fields, model))


def known(*messages: object, key: bytes = KEY, model: str = MODEL, **members: object) -> Conversation:
    conversation = prints(*messages, key=key, model=model, **members)
    assert conversation is not None
    return conversation


ONE, TWO, THREE = turn("user", "one"), turn("assistant", "two"), turn("user", "three")


def test_a_conversation_that_grows_finds_its_longest_settled_beginning():
    anchors = Anchors()
    anchors.learn(known(ONE), 1000)
    anchors.learn(known(ONE, TWO), 1010)

    assert anchors.find(known(ONE, TWO, THREE)) == Anchor(2, 1010)
    assert anchors.find(known(ONE, THREE)) == Anchor(1, 1000)
    assert anchors.find(known(ONE)) == Anchor(1, 1000)
    assert anchors.find(known(TWO, ONE)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"key": b"another tenant"},
        {"model": "claude-opus-4-8"},
        {"system": "Be brief."},
        {"tools": [{"name": "f", "input_schema": {}}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"tool_choice": {"type": "any"}},
    ],
)
def test_nothing_is_found_where_anything_that_the_model_reads_differs(other):
    anchors = Anchors()
    anchors.learn(known(ONE), 1000)

    assert anchors.find(known(ONE, TWO, **other)) is None


def test_what_the_model_does_not_read_may_differ():
    anchors = Anchors()
    anchors.learn(known(ONE, stream=True, max_tokens=5, metadata={"user_id": "a"}), 1000)

    assert anchors.find(known(ONE, TWO, temperature=1, max_tokens=9)) == Anchor(1, 1000)


def test_a_cache_breakpoint_that_moves_hides_nothing_and_is_paid_for():
    anchors = Anchors()
    anchors.learn(known(turn("user", "one", cache_control=MARK), system=[{"type": "text", "text": "s"}]), 1000)
    system = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    grown = known(ONE, TWO, turn("user", "three", cache_control=MARK), system=system)
    anchor = anchors.find(grown)

    assert anchor == Anchor(1, 1000)
    bound = anchored_bound(FORM, grown, anchor, MODEL)
    assert bound is not None
    assert bound >= 1000 + SLACK_TOKENS + len(',"cache_control":{"type":"ephemeral","ttl":"1h"}')


def test_the_bound_is_what_was_reported_and_the_bytes_of_the_rest():
    grown = known(ONE, TWO, THREE)
    size = len(json.dumps([TWO, THREE], separators=(",", ":")))

    assert anchored_bound(FORM, known(ONE), Anchor(1, 1000), MODEL) == 1000 + SLACK_TOKENS
    assert anchored_bound(FORM, grown, Anchor(1, 1000), MODEL) == 1000 + SLACK_TOKENS + size + 2 * 4


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=6), st.data())
def test_a_real_tokenizer_never_exceeds_the_anchored_bound(texts, data):
    tokenizer = openai.o200k_base()
    settled = data.draw(st.integers(1, len(texts)))
    turns = [turn("user", text) for text in texts]
    reported = sum(tokenizer.count(text) + 3 for text in texts[:settled]) + 3
    anchors = Anchors()
    anchors.learn(known(*turns[:settled]), reported)
    grown = known(*turns)
    anchor = anchors.find(grown)

    assert anchor is not None
    bound = anchored_bound(FORM, grown, anchor, MODEL)
    assert bound is not None
    assert sum(tokenizer.count(text) + 3 for text in texts) + 3 <= bound


@pytest.mark.parametrize(
    "members",
    [
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        {"mcp_servers": [{"type": "url"}]},
        {"something": 1},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ],
)
def test_a_request_whose_input_is_not_all_in_it_has_no_fingerprints(members):
    assert prints(ONE, **members) is None


def test_an_image_elsewhere_may_change_and_one_inside_may_not():
    elsewhere = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    inside = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}

    assert prints({"role": "user", "content": [elsewhere]}) is None
    assert prints({"role": "user", "content": [inside]}) is not None


def test_too_many_messages_have_no_fingerprints():
    assert prints(*[ONE] * (MAX_MESSAGES + 1)) is None


def test_of_two_reports_the_greater_is_kept_and_of_none_nothing():
    anchors = Anchors()
    for tokens in (900, 1000, 950, 0, -1):
        anchors.learn(known(ONE), tokens)

    assert anchors.find(known(ONE)) == Anchor(1, 1000)


def test_the_least_recently_used_go_first():
    anchors = Anchors(2)
    anchors.learn(known(ONE), 1)
    anchors.learn(known(TWO), 2)
    anchors.find(known(ONE))
    anchors.learn(known(THREE), 3)

    assert anchors.find(known(TWO)) is None
    assert anchors.find(known(ONE)) == Anchor(1, 1)
    assert len(anchors) == 2


def test_an_entry_takes_less_than_400_bytes_and_holds_no_text():
    tracemalloc.start()
    anchors = Anchors(4096)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(8192):
        anchors.learn(known(turn("user", f"secret {number}" * 20)), 100_000 + number)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert len(anchors) == 4096
    assert grown / 4096 < 400
    assert len(known(ONE).fingerprints[0]) == FINGERPRINT_BYTES


@pytest.mark.parametrize("messages", [b"[]", b"null", b'"x"', b"[5]", b"[" * 50_000, b""])
def test_nothing_raises(messages):
    fields = {"messages": Raw(messages)}

    assert fingerprint(KEY, FORM, fields, MODEL, weigh(FORM, fields, MODEL)) is None
