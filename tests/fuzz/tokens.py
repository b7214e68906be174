"""Words that parsers know, for mutations: one block a language, separated by blanks, with Python's escapes."""

import codecs
from typing import Final


def _words(block: str) -> tuple[bytes, ...]:
    return tuple(codecs.escape_decode(word.encode("ascii"))[0] for word in block.split())


HTTP: Final = _words(
    r"""
    \r\n \r\n\r\n \n :\x20 \t \0 \x20HTTP/1.1\r\n \x20HTTP/1.0\r\n content-length:\x20 transfer-encoding:\x20chunked\r\n
    connection:\x20close\r\n connection:\x20keep-alive\r\n 0\r\n\r\n host:\x20x\r\n expect:\x20100-continue\r\n
    connection:\x20upgrade\r\nupgrade:\x20h2c\r\n trailer:\x20x\r\n GET\x20/\x20HTTP/1.1\r\nhost:\x20x\r\n\r\n
    POST\x20/s\x20HTTP/1.1\r\nhost:\x20x\r\n HEAD\x20 CONNECT\x20 OPTIONS\x20*\x20 5\r\nhello\r\n 5;ext=1\r\nhello\r\n
    ffffffffffffffff %00 chunked,\x20identity authorization:\x20
    """
)
HTTP_ANSWER: Final = HTTP + _words(
    r"""
    HTTP/1.1\x20200\x20OK\r\n HTTP/1.1\x20204\x20No\x20Content\r\n HTTP/1.1\x20103\x20Early\x20Hints\r\n\r\n
    HTTP/1.1\x20101\x20X\r\n content-encoding:\x20gzip\r\n content-encoding:\x20deflate\r\n
    \x1f\x8b\x08\0\0\0\0\0 x\x9c
    """
)
JSON: Final = _words(
    r"""
    { } [ ] " : , null true false 0 -1 1e400 999999999999999999999999999999 \\ud800 \\udc00 \\u0000 \\\\ \xef\xbb\xbf
    \xc3\xa9 \xed\xa0\x80 "model":"m" "stream":true "messages":[{"role":"user","content":"x"}] "max_tokens":5
    "max_completion_tokens":null "n":2 "stream_options":{"include_usage":true} "metadata":{"a":"b"} "user":"u"
    "input": "api_base": "error": "usage": "choices":[]
    """
)
SSE: Final = JSON + _words(
    r"""
    data:\x20 data: \n\n \r\n\r\n \r\r \r \n :\x20ping\n\n event:\x20error\n id:\x201\n retry:\x205\n \xef\xbb\xbf
    data:\x20[DONE]\n\n {"choices":[{"index":0,"delta":{"content":"x"}}]} "finish_reason":"stop"
    {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}
    "tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]
    """
)
YAML: Final = _words(
    r"""
    server:\x20 providers:\n models:\n \x20\x20-\x20 { } [ ] ${SECRET} ${EMPTY:-x} &a *a !!python/object\x20 <<:\x20
    ---\n ?\x20 |\n >-\n \xef\xbb\xbf 1e999 .nan 0x1f 30s organizations:\n budgets:\x20 price:\x20{input_per_mtok:\x20
    "\\udc00" "\\UFFFFFFFF" 32MiB {file:\x20x}
    use:\x20 rules:\x20 fallbacks:\x20 openai/m "${SECRET}"
    """
)
HEAD: Final = _words(
    r"""
    authorization:\x20Bearer\x20 x-headgate-api-key:\x20 x-api-key:\x20 api-key:\x20 x-goog-api-key:\x20 \n
    x-headgate-tags:\x20 a=b,c=d;e x-headgate-timeout:\x20 30s 1.5h x-headgate-user:\x20 %ff %25e9
    x-headgate-session:\x20 x-claude-code-session-id:\x20 host:\x20x\n content-length:\x205\n expect:\x20100-continue\n
    """
)
RATE_HEADERS: Final = _words(
    r"""
    x-ratelimit-remaining-requests:\x20 x-ratelimit-limit-requests:\x20 x-ratelimit-reset-requests:\x20 \n
    x-ratelimit-remaining-tokens:\x20 x-ratelimit-limit-tokens:\x20 x-ratelimit-reset-tokens:\x20 0 1 -1 1e9
    anthropic-ratelimit-requests-remaining:\x20 anthropic-ratelimit-requests-limit:\x20
    anthropic-ratelimit-requests-reset:\x20 anthropic-ratelimit-tokens-remaining:\x20
    anthropic-ratelimit-input-tokens-remaining:\x20 anthropic-ratelimit-input-tokens-limit:\x20
    anthropic-ratelimit-input-tokens-reset:\x20 date:\x20 6m0s 12ms 2m59.56s 1d2h 999999999999999 86400
    2026-11-24T12:00:45Z 0001-01-01T00:00:00+23:59 9999-12-31T23:59:59-23:59
    Tue,\x2024\x20Nov\x202026\x2012:00:00\x20GMT
    """
)
