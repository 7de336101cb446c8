"""A page served to one person on this machine: read-only, by a random token, for this host alone."""

from __future__ import annotations

import secrets
import socket
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auditor.errors import AuditError
from auditor.page.live import Live
from auditor.report.page import policy, render_page
from auditor.terminal.progress import Bar

LOOPBACK = "127.0.0.1"
LONGEST = 200  # of a request's target: ids and a token, never more
ROOM = 2**18  # bytes of a request's head, so that what is too long can be told so

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Server:
    """Serves one index on a port of this machine; `address` is where, with the token that opens it."""

    def __init__(self, live: Live, port: int, bar: Bar) -> None:
        self.token = secrets.token_urlsafe(24)
        page = live.page(self.token, bar)
        self._socket = socket.create_server((LOOPBACK, port))
        self.port: int = self._socket.getsockname()[1]
        headers = {**_HEADERS, "Content-Security-Policy": f"{policy(page)}; frame-ancestors 'none'"}
        guard = Middleware(_Guard, token=self.token, port=self.port, headers=headers)
        app = Starlette(
            routes=_routes(live, render_page(page)),
            middleware=[guard],
            # no such address, no such image, or its file is gone
            exception_handlers=dict.fromkeys((HTTPException, AuditError, KeyError), _miss),
        )
        app.router.redirect_slashes = False
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=ROOM,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"

    def run(self) -> None:
        """Serve until Ctrl-C, or until another thread says `stop`."""
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` end."""
        self._server.should_exit = True


def _routes(live: Live, html: str) -> list[Route]:
    """The page, and the few things that its script asks for; each runs in a thread of its own."""

    def page(request: Request) -> Response:
        return HTMLResponse(html)

    def picture(request: Request) -> Response:
        return Response(live.picture(request.path_params["image"]), media_type="image/webp")

    def cells(request: Request) -> Response:
        return JSONResponse(live.cells(request.path_params["image"]))

    def near(request: Request) -> Response:
        return JSONResponse(live.near(request.path_params["image"], request.path_params["cell"]))

    return [
        Route("/", page),
        Route("/api/picture/{image:int}", picture),
        Route("/api/cells/{image:int}", cells),
        Route("/api/near/{image:int}/{cell:int}", near),
    ]


class _Guard:
    """Lets through who reads, by this machine's name and with the token; everybody else gets a number."""

    def __init__(self, app: ASGIApp, token: str, port: int, headers: dict[str, str]) -> None:
        self.app, self.token = app, token.encode()
        self.hosts = {f"{name}:{port}".encode() for name in (LOOPBACK, "localhost")}
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with the headers that every answer has."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        status = self._refuse(scope)
        await (Response(status_code=status) if status else self.app)(scope, receive, answer)

    def _refuse(self, scope: Scope) -> int | None:
        headers = dict(scope["headers"])
        path, query = scope["path"], scope["query_string"]
        if scope["method"] != "GET":
            return 405
        if headers.get(b"host") not in self.hosts:
            return 403
        if len(scope["raw_path"]) + len(query) > LONGEST:
            return 414
        if path == "/":
            given = parse_qs(query.decode("latin-1")).get("token", [""])[0].encode("utf-8", "replace")
        else:
            given = headers.get(b"x-audit-token", b"")
        if not secrets.compare_digest(given, self.token):
            return 403
        return 404 if query and path != "/" else None


def _miss(request: Request, error: Any) -> Response:
    return Response(status_code=404)
