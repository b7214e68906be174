"""The CLI's side of the admin API: plain blocking HTTP to one gateway.

The standard library's client starts faster than any other, follows no redirect and reads no proxy from the
environment, which is what a token that must reach one host only wants.
"""

import http.client
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from headgate.cli.failure import CommandError

DEFAULT_URL: Final = "http://127.0.0.1:4100"
TOKEN_FILE: Final = "admin-token"  # noqa: S105  a file's name
_TIMEOUT_S: Final = 60.0
_NEWEST: Final = 1000


class GatewayClient:
    """Talks to one running gateway with one token."""

    def __init__(self, url: str, token: str) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            CommandError: ``url`` is not ``http(s)://host[:port]``, or ``token`` cannot be sent in a header.
        """
        problem = CommandError(f"{url!r} is not the URL of a gateway, such as {DEFAULT_URL}")
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise problem from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise problem
        if not token.isascii() or not token.isprintable():
            raise CommandError("the token has characters that cannot be sent; it was damaged when it was copied")
        self._url = url.rstrip("/")
        self._parts = parts
        self._token = token

    def get(self, path: str, **query: str | int | None) -> Any:
        """GET ``path`` with those query parameters that are not ``None``; return the decoded answer."""
        given = {name: value for name, value in query.items() if value is not None}
        return self.send("GET", f"{path}?{urlencode(given)}" if given else path)

    def pages(self, path: str, limit: int, **query: str | None) -> list[Any]:
        """Return up to ``limit`` items of a list, fetching as many pages as that takes."""
        items: list[Any] = []
        cursor: str | None = None
        while len(items) < limit:
            answer = self.get(path, **query, limit=min(200, limit - len(items)), cursor=cursor)
            items += answer["data"]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        return items

    def whole_id(self, path: str, given: str) -> str:
        """Return the id that ``given`` stands for: itself, or the one a table shortened to ``key_…cc32f37c``.

        Raises:
            CommandError: none of the newest items of the list at ``path`` has it.
        """
        start, shortened, end = given.partition("…")
        if not shortened:
            return given
        found = [item["id"] for item in self.pages(path, _NEWEST)]
        found = [each for each in found if each.startswith(start) and each.endswith(end)]
        if len(found) != 1:
            raise CommandError(f"{given} is {'none' if not found else 'several'} of the newest; give the whole id")
        return found[0]

    def send(self, method: str, path: str, body: object = None, *, if_match: str | None = None) -> Any:
        """Send a request and return the decoded answer, ``None`` where it has no content.

        ``if_match`` is the version that may be changed, ``*`` any.

        Raises:
            CommandError: nothing answers, or the answer is an error.
        """
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        content = None
        if if_match is not None:
            headers["if-match"] = if_match
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        connection = self._connect()
        try:
            connection.request(method, f"/admin/v1{path}", content, headers)
            response = connection.getresponse()
            answer = response.read()
        except ssl.SSLError as error:
            raise CommandError(f"TLS with {self._url} failed: {error}") from error
        except ConnectionRefusedError as error:
            raise CommandError(f"no gateway answers at {self._url}; start one with `headgate serve`") from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"no gateway answers at {self._url}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise CommandError(_words_of(response.status, answer))
        return _decoded(answer, self._url) if answer else None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)


def connect(url: str, token: str | None, data_dir: str) -> GatewayClient:
    """Return a client of the gateway at ``url``; without ``token``, the one in the data directory is used.

    Raises:
        CommandError: there is none, or it cannot be read.
    """
    if token:
        return GatewayClient(url, token.strip())
    path = Path(data_dir) / TOKEN_FILE
    try:
        return GatewayClient(url, path.read_text("ascii").strip())
    except FileNotFoundError:
        raise CommandError(
            f"no admin token: set HEADGATE_ADMIN_TOKEN, give --token, or run where {path} lies"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the admin token in {path} cannot be read: {error}") from error


def _decoded(answer: bytes, url: str) -> Any:
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise CommandError(f"what answers at {url} is not Headgate's admin API") from error


def _words_of(status: int, answer: bytes) -> str:
    try:
        problem = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"the gateway answered {status}"
    words = str(problem.get("detail") or problem.get("title") or f"the gateway answered {status}")
    if status == 401:
        words += " Give the admin token of this gateway: --token, HEADGATE_ADMIN_TOKEN or data/admin-token."
    field = problem.get("param")
    return f"{field}: {words}" if field else words
