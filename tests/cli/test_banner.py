"""The banner: true addresses, a line that works as pasted, and a secret only where it was just made."""

import shlex

import msgspec
import pytest
from msgspec.structs import replace

from headgate.cli.banner import Greeting, banner

FIRST = Greeting(
    url="http://127.0.0.1:4100",
    admin_url="http://127.0.0.1:4101",
    admin_token_source="data/admin-token",
    secret="hg_secret",
    providers_on=("sandbox", "openai"),
    providers_off=("anthropic: the provider `anthropic` has no credential",),
    scope="default/default",
    command=".venv/bin/headgate",
)


def curl_line(text: str) -> list[str]:
    return next(shlex.split(line) for line in text.splitlines() if line.strip().startswith("curl"))


def test_the_curl_line_parses_as_a_shell_would_and_carries_the_new_key():
    words = curl_line(banner(FIRST))
    assert "http://127.0.0.1:4100/v1/chat/completions" in words
    assert "Authorization: Bearer hg_secret" in words
    body = msgspec.json.decode(words[words.index("-d") + 1])
    assert body["model"] == "sandbox/echo"
    assert body["messages"] == [{"role": "user", "content": "Hello, Headgate"}]


def test_a_later_start_shows_no_secret():
    text = banner(replace(FIRST, secret=None))
    assert "hg_" not in text
    assert "$HEADGATE_API_KEY" in text


def test_a_later_start_says_how_to_make_a_key_at_the_address_it_has():
    line = ".venv/bin/headgate keys create NAME --scope default/default --sandbox"
    assert f"  {line} --url http://127.0.0.1:4101\n" in banner(replace(FIRST, secret=None))
    assert f"  {line}\n" in banner(replace(FIRST, secret=None, admin_url="http://127.0.0.1:4100"))
    assert line not in banner(FIRST)


@pytest.mark.parametrize("part", ["sandbox, openai", "has no credential", "data/admin-token", "http://127.0.0.1:4101"])
def test_the_operator_learns_what_is_on_and_where_the_token_lies(part: str):
    assert part in banner(FIRST)


def test_who_has_the_sandbox_alone_learns_how_to_add_a_vendor_where_that_is_true():
    alone = replace(FIRST, providers_on=("sandbox",), vendors_by_environment=True)
    words = "OPENAI_API_KEY, ANTHROPIC_API_KEY"
    assert words in banner(alone)
    assert words not in banner(replace(alone, vendors_by_environment=False))
    assert words not in banner(replace(alone, providers_on=("sandbox", "openai")))


def test_the_exports_are_lines_a_shell_takes():
    exports = [shlex.split(line) for line in banner(FIRST).splitlines() if line.strip().startswith("export")]
    assert exports == [
        ["export", "OPENAI_BASE_URL=http://127.0.0.1:4100/v1"],
        ["export", "OPENAI_API_KEY=hg_secret"],
        ["export", "ANTHROPIC_BASE_URL=http://127.0.0.1:4100"],
        ["export", "ANTHROPIC_AUTH_TOKEN=hg_secret"],
    ]
