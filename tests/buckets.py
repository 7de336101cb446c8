"""An S3-compatible server on this machine, which can be told to answer wrongly, slowly or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BUCKET = "photos"


class Server:
    """moto's server, behind what spoils its answers: `faults` by the end of a key, a status or seconds."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.faults: dict[str, int | float] = {}
        self.requests: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", self.port, self, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        fault = next((fault for ending, fault in self.faults.items() if path.endswith(ending)), 0)
        if isinstance(fault, float):
            time.sleep(fault)
        elif fault:
            code = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError"}[fault]
            start_response(f"{fault} {code}", [("Content-Type", "application/xml")])
            body = f"<Error><Code>{code}</Code><Message>{code} by the test</Message></Error>"
            return [b"" if method == "HEAD" else body.encode()]
        return self._app(environ, start_response)


def serve(patch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, named to fsspec as users name theirs; with little patience."""
    import fsspec
    from s3fs import S3FileSystem

    patch.setattr(S3FileSystem, "retries", 1)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        patch.setenv(f"AWS_{name}", "any")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_MAX_ATTEMPTS", "1")
    patch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 1, "connect_timeout": 1}})
    server = Server()
    patch.setenv("AWS_ENDPOINT_URL", server.url)
    fsspec.filesystem("s3").makedirs(BUCKET, exist_ok=True)
    yield server
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def upload(folder: Path, url: str) -> str:
    """Every file below a folder, as an object below the URL."""
    import fsspec

    store, _ = fsspec.core.url_to_fs(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return url
