"""The lab's web site: answers every request with what it saw of who asked (run inside its node)."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen = self.client_address[0].removeprefix("::ffff:")
        body = json.dumps(
            {"page": self.path, "seen_from": seen, "host": self.headers.get("Host", "")}
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep no log of who asked for what."""


if __name__ == "__main__":
    _Server(("::", 80), _Handler).serve_forever()
