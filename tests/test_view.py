"""The served page: to its own browser everything of the index, to anybody else nothing."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from auditor.page.compose import compose_answers
from auditor.page.live import Live
from auditor.questions.similar.ask import similar
from auditor.report.wish import Wish
from auditor.store import Index, save_map
from auditor.terminal.progress import Bar

pytest.importorskip("starlette", reason="audit view needs the extra auditor[view]")
pytest.importorskip("uvicorn", reason="audit view needs the extra auditor[view]")

from auditor.page.serve import Server

NAME = "scenes-symbols"
PATH = "images/000003.png"


@pytest.fixture(scope="module")
def index(demo_folder: Path) -> Iterator[Index]:
    with Index.open(demo_folder / "indexes" / NAME) as opened:
        manifest = opened.manifest
        root = demo_folder / Path(manifest.dataset.root)  # the tests run in other folders
        object.__setattr__(manifest.dataset, "root", str(root))
        yield opened


@pytest.fixture(scope="module")
def server(index: Index) -> Iterator[Server]:
    with Bar(quiet=True) as bar:
        running = Server(Live(index), 0, bar)
    thread = Thread(target=running.run, daemon=True)
    thread.start()
    yield running
    running.stop()
    thread.join(20)
    assert not thread.is_alive()


def ask(server: Server, target: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """Status, body and headers of a request, which has the headers of the page's own unless given others."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    given = {"Host": f"127.0.0.1:{server.port}", "X-Audit-Token": server.token}
    connection.putrequest(method, target, skip_host=True)
    for name, value in {**given, **{key.replace("_", "-"): value for key, value in headers.items()}}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, answer.headers


def test_its_own_page_is_given_what_it_asks_for(server: Server, index: Index) -> None:
    status, page, headers = ask(server, f"/?token={server.token}")
    assert status == 200
    assert b"<h1" in page
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    image = index.image(PATH)
    assert ask(server, f"/api/picture/{image}")[1][8:12] == b"WEBP"
    assert json.loads(ask(server, f"/api/cells/{image}")[1])["mask"]
    hits = json.loads(ask(server, f"/api/near/{image}/10")[1])
    expected = similar(index, PATH, 1, 3, k=12).hits
    assert [(hit["id"], hit["cell"]) for hit in hits] == [
        (index.image(hit.path), hit.row * 7 + hit.col) for hit in expected
    ]


def test_the_map_has_every_placed_cell(demo_folder: Path, tmp_path: Path) -> None:
    own = tmp_path / NAME
    shutil.copytree(demo_folder / "indexes" / NAME, own)
    with Index.open(own) as index, Bar(quiet=True) as bar:
        cells = np.arange(index.images * 49)
        columns = {"image": cells // 49, "cell": cells % 49, "x": cells / 1.0, "y": cells / 2.0}
        columns = {**columns, "cluster": cells % 3, "is_sampled": cells % 2 == 0}
        constants = {"sample": np.full(len(cells), 4000), "seed": np.full(len(cells), 0)}
        save_map(index, {**columns, **constants})
        page = Live(index).page("token", bar)
        sampled = compose_answers(index, Wish(), is_live=False, bar=bar)
    points = [len(b64decode(each.data["map"]["x"])) // 2 for each in (sampled, page)]
    assert points == [len(cells) // 2, len(cells)]


@pytest.mark.parametrize("target", ["/", "/?token=", "/?token=wrong", "/?token=%C3%A9", "/index.json"])
def test_without_the_token_nothing_is_given(server: Server, target: str) -> None:
    assert ask(server, target, X_Audit_Token="")[:2] == (403, b"")


@pytest.mark.parametrize("token", ["", "wrong", "\xe9", "0" * 5000])
def test_no_other_token_opens_what_the_script_asks_for(server: Server, token: str) -> None:
    assert ask(server, "/api/cells/0", X_Audit_Token=token)[:2] == (403, b"")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example", ""])
def test_another_host_is_refused(server: Server, host: str) -> None:
    """What a page elsewhere reaches by a name that it made point here."""
    assert ask(server, f"/?token={server.token}", Host=host)[:2] == (403, b"")
    assert ask(server, "/api/cells/0", Host=host)[:2] == (403, b"")


@pytest.mark.parametrize(
    "target",
    [
        "/../index.json",
        "/api/picture/../../index.json",
        "/api/picture/%2e%2e%2f%2e%2e%2findex.json",
        "/etc/passwd",
        "//etc/passwd",
        "/api/picture//etc/passwd",
        "/api/picture/-1",
        "/api/picture/160",
        "/api/picture/999999999",
        "/api/picture/99999999999999999999",
        "/api/picture/0x1",
        "/api/picture/1e3",
        "/api/picture/%D9%A1",
        "/api/cells/0?limit=100000000",
        "/api/cells/0;DROP TABLE images".replace(" ", "%20"),
        "/api/near/0/49",
        "/api/near/0/999999",
        "/api/near/0/-1",
        "/api/near/0",
        "/api/page/0",
        "/api/index/0",
        "/api/__class__/0",
        "/static/page.js",
    ],
)
def test_what_is_not_there_is_not_found(server: Server, target: str) -> None:
    assert ask(server, target)[:2] == (404, b"")


def test_a_huge_request_is_refused(server: Server) -> None:
    assert ask(server, "/api/cells/" + "1" * 10_000)[0] == 414
    assert ask(server, "/api/cells/" + "1" * 100_000)[0] == 414


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_can_be_written(server: Server, method: str) -> None:
    assert ask(server, "/api/cells/0", method)[:2] == (405, b"")


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for host in others - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError), socket.create_connection((host, server.port), timeout=20):
            pass
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b"200" not in raw.recv(1000).split(b"\r\n")[0]
    assert ask(server, "/api/cells/0")[0] == 200  # and goes on


def test_an_image_that_is_gone_is_not_found(server: Server, index: Index) -> None:
    path = Path(index.manifest.dataset.root, index.path_of(7))
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert ask(server, "/api/picture/7")[:2] == (404, b"")
    finally:
        aside.rename(path)


def test_the_command_serves_until_it_is_stopped(demo: Path) -> None:
    command = [sys.executable, "-m", "auditor", "view"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        told = running.stdout.readline()
        assert told.startswith("open http://127.0.0.1:")
        with urllib.request.urlopen(told.removeprefix("open ").strip(), timeout=20) as answer:
            assert b"<h1" in answer.read()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130  # as any command that is interrupted


def test_without_the_extra_the_fix_is_said(demo: Path) -> None:
    script = "import sys; sys.modules['uvicorn'] = None; from auditor.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", script, "view"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "audit view needs uvicorn, installed with: pip install 'auditor[view]'" in ended.stderr


@pytest.mark.parametrize("target", ["/", "/api/cells/0", "/nothing"])
def test_every_answer_has_the_headers(server: Server, target: str) -> None:
    headers = ask(server, target)[2]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_the_gallery_and_the_viewer_run_over_all_images(server: Server, index: Index, browser: Any) -> None:
    tab = browser.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(server.address)
    tab.wait_for_selector("html[data-ready]")
    assert "All 160 images of the index" in tab.locator("#images .count").first.inner_text()
    tab.get_by_label("Path or class").fill("000003")
    tab.wait_for_function("() => document.querySelectorAll('.gallery li').length === 1")
    tab.wait_for_function("() => document.querySelector('.gallery img').naturalWidth === 112")
    tab.locator(".gallery button").click()
    tab.locator("rect[data-cell='10']").click()
    tab.wait_for_function("() => document.querySelectorAll('.crops button').length === 12")
    first = tab.locator(".crops button").first.get_attribute("title")
    hit = similar(index, PATH, 1, 3, k=1).hits[0]
    assert first == f"{hit.path}:{hit.row},{hit.col}"
    tab.get_by_role("button", name="Close").click()
    tab.get_by_role("button", name="star dot").first.click()
    tab.wait_for_function("() => document.querySelectorAll('.trio canvas').length === 60")
    assert said == []
    tab.close()
