"""The CLI's client against real sockets: what it sends, and what it says when things go wrong."""

import json
import socket
from pathlib import Path

import pytest

from headgate.cli.client import GatewayClient, connect
from headgate.cli.failure import CommandError
from tests.cli.answering import serving


def test_a_request_carries_the_token_and_json():
    with serving(lambda method, path, body: (200, body or b"{}")) as (url, seen):
        assert GatewayClient(url, "hga_x").send("POST", "/keys", {"name": "a"}) == {"name": "a"}
    assert seen[0]["path"] == "/admin/v1/keys"
    assert seen[0]["authorization"] == "Bearer hga_x"
    assert seen[0]["content-type"] == "application/json"


def test_the_version_that_may_be_changed_is_sent_only_where_one_is_named():
    with serving(lambda method, path, body: (204, b"")) as (url, seen):
        assert GatewayClient(url, "t").send("PATCH", "/budgets/bud_1", {}, if_match="*") is None
        assert GatewayClient(url, "t").send("DELETE", "/budgets/bud_1") is None
    assert [request.get("if-match") for request in seen] == ["*", None]


def test_query_values_are_escaped_and_missing_ones_left_out():
    with serving(lambda method, path, body: (200, b"{}")) as (url, seen):
        GatewayClient(url, "t").get("/requests", model="a&b=c", key=None)
    assert seen[0]["path"] == "/admin/v1/requests?model=a%26b%3Dc"


def test_pages_are_followed_to_the_limit():
    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        first = "cursor=" not in path
        return 200, json.dumps({"data": [1, 2] if first else [3], "next_cursor": "c" if first else None}).encode()

    with serving(answer) as (url, seen):
        assert GatewayClient(url, "t").pages("/keys", 10) == [1, 2, 3]
        assert GatewayClient(url, "t").pages("/keys", 2) == [1, 2]
    assert len(seen) == 3


def test_a_shortened_id_stands_for_the_one_that_has_its_ends():
    ids = ("key_1a2097cf00000000", "key_1a2097cf11111111", "key_2b3097cf11111111")
    body = json.dumps({"data": [{"id": each} for each in ids], "next_cursor": None}).encode()
    with serving(lambda method, path, content: (200, body)) as (url, seen):
        client = GatewayClient(url, "t")
        assert client.whole_id("/keys", ids[0]) == ids[0]
        assert seen == []
        assert client.whole_id("/keys", "key_…00000000") == ids[0]
        for text, words in (("key_…11111111", "several"), ("key_…22222222", "none")):
            with pytest.raises(CommandError, match=words):
                client.whole_id("/keys", text)


def test_a_problem_is_shown_with_its_field():
    problem = json.dumps({"detail": "There is no field `x` here.", "param": "x"}).encode()
    with serving(lambda method, path, body: (422, problem)) as (url, _), pytest.raises(CommandError) as caught:
        GatewayClient(url, "t").get("/keys")
    assert str(caught.value) == "x: There is no field `x` here."


@pytest.mark.parametrize(("status", "content"), [(502, b"<html>"), (500, b""), (302, b"")])
def test_an_answer_that_is_no_problem_still_names_its_status(status: int, content: bytes):
    with (
        serving(lambda method, path, body: (status, content)) as (url, _),
        pytest.raises(CommandError, match=str(status)),
    ):
        GatewayClient(url, "t").get("/keys")


def test_something_else_at_the_address_is_said():
    with (
        serving(lambda method, path, body: (200, b"<html>")) as (url, _),
        pytest.raises(CommandError, match="not Headgate"),
    ):
        GatewayClient(url, "t").get("/keys")


def test_nothing_at_the_address_says_how_to_start_one():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(CommandError) as caught:
            GatewayClient(url, "t").get("/me")
    assert str(caught.value) == f"no gateway answers at {url}; start one with `headgate serve`"


@pytest.mark.parametrize("url", ["", "localhost:4100", "ftp://x", "http://", "http://x/admin", "http://x:port"])
def test_a_url_that_is_none_is_refused(url: str):
    with pytest.raises(CommandError):
        GatewayClient(url, "t")


@pytest.mark.parametrize("token", ["a\nb", "é", "a\x00"])
def test_a_token_that_cannot_be_a_header_is_refused_and_not_shown(token: str):
    with pytest.raises(CommandError) as caught:
        GatewayClient("http://127.0.0.1:1", token)
    assert token not in str(caught.value)


def test_the_token_of_the_data_directory_is_used_where_none_is_given(tmp_path: Path):
    (tmp_path / "admin-token").write_text("hga_file\n")
    with serving(lambda method, path, body: (200, b"{}")) as (url, seen):
        connect(url, None, str(tmp_path)).get("/me")
        connect(url, "hga_given", str(tmp_path)).get("/me")
    assert [request["authorization"] for request in seen] == ["Bearer hga_file", "Bearer hga_given"]


def test_without_any_token_the_three_ways_are_named(tmp_path: Path):
    with pytest.raises(CommandError, match=r"HEADGATE_ADMIN_TOKEN.*--token.*admin-token"):
        connect("http://127.0.0.1:1", None, str(tmp_path))
