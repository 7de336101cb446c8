"""A page served to one person on this machine: read-only, by a random token, for this host alone."""

from __future__ import annotations

import json
import re
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from auditor.errors import AuditError
from auditor.page.live import Live
from auditor.report.page import policy, render_page
from auditor.terminal.progress import Bar

LOOPBACK = "127.0.0.1"
LONGEST = 200  # of a request's target: ids and a token, never more

_ASKED = re.compile(r"/api/(?:(picture|cells)/(\d{1,9})|(near)/(\d{1,9})/(\d{1,6}))")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Server(ThreadingHTTPServer):
    """Serves one index on a port of this machine; `address` is where, with the token that opens it."""

    daemon_threads = True

    def __init__(self, live: Live, port: int, bar: Bar) -> None:
        self.token = secrets.token_urlsafe(24)
        self.live = live
        page = live.page(self.token, bar)
        self.policy, self.html = policy(page), render_page(page).encode()
        super().__init__((LOOPBACK, port), _Request)
        self.hosts = {f"{name}:{self.server_address[1]}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/?token={self.token}"


class _Request(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "audit", ""

    def do_GET(self) -> None:
        """The page, or one of the few things that its script asks for."""
        if self.headers.get("Host") not in self.server.hosts:
            return self._refuse(403)
        if len(self.path) > LONGEST:
            return self._refuse(414)
        target = urlsplit(self.path)
        if target.path == "/":
            given = parse_qs(target.query).get("token", [""])[0]
            return (
                self._send("text/html; charset=utf-8", self.server.html)
                if self._opens(given)
                else self._refuse(403)
            )
        if not self._opens(self.headers.get("X-Audit-Token", "")):
            return self._refuse(403)
        asked = None if target.query else _ASKED.fullmatch(target.path)
        return self._answer(*filter(None, asked.groups())) if asked else self._refuse(404)

    def _answer(self, name: str, *numbers: str) -> None:
        try:
            found = getattr(self.server.live, name)(*map(int, numbers))
        except (AuditError, KeyError):  # no such image, or its file is gone
            return self._refuse(404)
        if name == "picture":
            return self._send("image/webp", found)
        return self._send("application/json", json.dumps(found).encode())

    def _opens(self, token: str) -> bool:
        return secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode())

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self._head(kind, len(content))
        self.wfile.write(content)

    def _refuse(self, status: int, *_: Any) -> None:
        self.send_response(status)
        self._head("text/plain", 0)

    def _head(self, kind: str, length: int) -> None:
        policy = f"{self.server.policy}; frame-ancestors 'none'"
        for name, value in {**_HEADERS, "Content-Security-Policy": policy}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _forbid(self) -> None:
        self.close_connection = True  # what it sent is not read
        self._refuse(405)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _forbid  # noqa: N815

    def log_message(self, format: str, *_: Any) -> None:
        """Nobody reads a log of their own clicks."""
