"""A real HTTP server on loopback that answers as a test says."""

import http.server
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

Answer = Callable[[str, str, bytes], tuple[int, bytes]]


@contextmanager
def serving(answer: Answer) -> Generator[tuple[str, list[dict[str, str]]]]:
    """An HTTP server on loopback that answers with what ``answer(method, path, body)`` returns."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append({"method": self.command, "path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            status, content = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _reply

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
