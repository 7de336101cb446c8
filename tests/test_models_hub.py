"""The hub and what can be wrong with it: a server on this machine, asked by the real clients."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from photos import write_photo
from safetensors.torch import load_file, save_file
from torch import nn

from auditor.models.catalog import CATALOG
from auditor.models.hub import repository_of
from auditor.models.open_clip_models import OpenClipSource
from auditor.models.timm_models import TimmSource

torch.set_num_threads(1)

SMALL = "timm/test_resnet.r160_in1k"


@dataclass
class RunningHub:
    """A hub on this machine: files below `folder` as REPOSITORY/FILE, and what is wrong with it."""

    folder: Path
    address: str = ""
    fault: str = ""
    requests: list[str] = field(default_factory=list)

    def put(self, name: str, content: bytes = b"weights" * 100_000) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


class Hub(BaseHTTPRequestHandler):
    """The two requests of the hub's protocol that its client makes to fetch a file."""

    hub: RunningHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        self.hub.requests.append(self.path)

    def _answer(self, with_body: bool) -> None:
        name = self.path.replace("/resolve/main/", "/").removeprefix("/cdn").lstrip("/")
        path = self.hub.folder / name
        fault = self.hub.fault
        if self.path == "/":
            self._refuse(200)
        elif fault in ("401", "403", "404", "500"):
            self._refuse(int(fault))
        elif not path.is_file():
            self._refuse(404, "EntryNotFound")
        elif fault == "redirect" and "/resolve/" in self.path:
            self._redirect(path)
        else:
            self._send(path.read_bytes(), with_body)

    def _refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, path: Path) -> None:
        """To another host, as the hub does for large files, which announces their hash first."""
        self.send_response(302)
        address = self.hub.address.replace("127.0.0.1", "localhost")
        self.send_header("Location", f"{address}/cdn/{path.relative_to(self.hub.folder)}")
        self.send_header("X-Linked-ETag", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
        self.send_header("X-Linked-Size", str(path.stat().st_size))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, with_body: bool) -> None:
        announced = hashlib.sha256(content).hexdigest()
        if self.hub.fault == "wrong hash":
            announced = "f" * 64
        self.send_response(200)
        self.send_header("ETag", f'"{announced}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not with_body:
            return
        if self.hub.fault == "silent":
            time.sleep(60)
        elif self.hub.fault == "dripping":
            self._drip(content)
        elif self.hub.fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(content)

    def _drip(self, content: bytes) -> None:
        for byte in content:
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return
            time.sleep(0.2)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    running = RunningHub(tmp_path / "hub")
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"hub": running})) as server:
        running.address = f"http://127.0.0.1:{server.server_port}"
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()


def in_new_process(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with a hub cache of its own; the hub's client reads its settings when it is imported."""
    cleared = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}
    kept = {
        key: value for key, value in os.environ.items() if key not in cleared and not key.startswith("HF_")
    }
    kept |= {"HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def silent_address() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def sentence(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one sentence of a run that failed."""
    assert done.returncode == code, done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith("audit: ")
    return said


INDEX = """
import sys
from auditor.cli import main
sys.argv = ["audit", "index", "photos", "--backbone", {name!r}]
try:
    main()
finally:
    assert not {{"torch", "timm", "open_clip"}} & set(sys.modules)
"""


@pytest.mark.parametrize("name", ["resnet50", "timm/resnet18", "open_clip/RN50:openai"])
@pytest.mark.parametrize("case", ["refused", "silent", "offline"])
def test_without_network_it_is_said_before_torch_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_address: str, case: str, name: str
) -> None:
    environment, why = {
        "refused": ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        "silent": ({"HF_ENDPOINT": silent_address}, "cannot be reached"),
        "offline": ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    }[case]
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "photos" / "1.jpg", 1)
    said = sentence(in_new_process(INDEX.format(name=name), tmp_path / "home", **environment))
    assert f"the weights of {name} are not on this machine" in said
    assert why in said
    assert "--weights FILE" in said
    if name == "resnet50":
        assert "get model.safetensors from the hub's repository timm/resnet50.tv2_in1k" in said


def test_where_the_weights_are_is_certain() -> None:
    """Else an index of cached weights could be refused without a network."""
    for spec in CATALOG.values():
        if spec.weights is None and not spec.source:
            source = TimmSource if spec.library == "timm" else OpenClipSource
            assert repository_of(spec) in (None, source(spec.model).hub_file.repository)
    assert sum(repository_of(spec) is not None for spec in CATALOG.values()) > 10


# ------------------------------------------------------------------------------------- what goes wrong

FETCH = """
from auditor.models import hub, transfer
from auditor.records.watch import Silence
from auditor.terminal.endings import run
class Stages(Silence):
    def start(self, stage, total): print(stage, total)
    def say(self, text): print(text)
transfer._WINDOW = 4
file = hub.HubFile("some/model", ("model.safetensors", "model.bin"))
run(lambda: print(hub.fetch(file, "the model", Stages()).sha256))
"""
FAULTS = {
    "401": "set HF_TOKEN",
    "403": "its authors ask for consent",
    "404": "set HF_TOKEN",
    "500": "the hub answered 500",
    "silent": "the hub sent 0 bytes in 4 s",
    "dripping": "bytes in 4 s, then audit gave up",
    "cut": "could not be fetched",
    "wrong hash": "its sha256 begins with",
}


def cached(home: Path) -> list[Path]:
    """Files of content in the hub's cache."""
    files = (home / "hub").glob("models--*/*/**/*")
    return [path for path in files if path.is_file() and "refs" not in path.parts]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_sentence_and_leaves_nothing(tmp_path: Path, hub: RunningHub, fault: str) -> None:
    hub.put("some/model/model.safetensors")
    hub.fault = fault
    started = time.monotonic()
    said = sentence(in_new_process(FETCH, tmp_path, HF_ENDPOINT=hub.address))
    assert FAULTS[fault] in said
    assert "--weights FILE" in said
    assert time.monotonic() - started < 45
    assert cached(tmp_path) == []


@pytest.mark.parametrize("fault", ["", "redirect"])
def test_what_is_fetched_is_what_was_announced(tmp_path: Path, hub: RunningHub, fault: str) -> None:
    """And a cached file whose content has changed is fetched again."""
    path = hub.put("some/model/model.bin", b"weights" * 1_000_000)
    hub.fault = fault
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    done = in_new_process(FETCH, tmp_path, HF_ENDPOINT=hub.address)
    assert done.stdout.splitlines() == ["downloading the model, MB 7", "loading the model 1", sha256], (
        done.stderr
    )
    asked = len(hub.requests)
    again = in_new_process(FETCH, tmp_path, HF_ENDPOINT=hub.address)
    assert again.stdout.split() == [sha256]
    assert len(hub.requests) == asked, "the cache was not honoured"
    (blob,) = (tmp_path / "hub").glob("models--*/blobs/*")
    blob.write_bytes(b"garbage")
    healed = in_new_process(FETCH, tmp_path, HF_ENDPOINT=hub.address)
    assert (
        healed.stdout.splitlines()[0]
        == "model.bin of some/model was damaged in the hub's cache; it is fetched again"
    )
    assert healed.stdout.splitlines()[-1] == sha256


def test_no_room_for_the_download(tmp_path: Path, hub: RunningHub) -> None:
    hub.put("some/model/model.safetensors", b"weights" * 1_000_000)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    limit += "import sys; sys.dont_write_bytecode = True\n"  # else half a module may be left
    said = sentence(in_new_process(limit + FETCH, tmp_path, HF_ENDPOINT=hub.address), 74)
    assert "7,000,000 bytes are needed" in said
    assert cached(tmp_path) == []


# ------------------------------------------------------------------------------------- through the libraries

LOAD = """
import torch
from auditor.models.weights import load_backbone
from auditor.terminal.endings import run
def load():
    backbone = load_backbone({name!r}, device="cpu")
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    print(backbone.weights_sha256, backbone.grid_of(images).logits.sum().item())
run(load)
"""


def refuses_what_was_not_announced(code: str, home: Path, hub: RunningHub) -> None:
    hub.fault = "wrong hash"
    said = sentence(in_new_process(code, home, HF_ENDPOINT=hub.address))
    assert "is not what the hub announced" in said


def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(3))


def test_timm_loads_from_a_hub_and_then_from_the_cache(tmp_path: Path, hub: RunningHub) -> None:
    torch.manual_seed(11)
    model: nn.Module = timm.create_model("test_resnet").eval()
    path = hub.put("timm/test_resnet.r160_in1k/pytorch_model.bin")  # no safetensors: the second name is tried
    torch.save(model.state_dict(), path)
    code = LOAD.format(name=SMALL)
    refuses_what_was_not_announced(code, tmp_path, hub)
    hub.fault = "redirect"
    first = in_new_process(code, tmp_path, HF_ENDPOINT=hub.address)
    assert first.returncode == 0, first.stderr
    sha256, total = first.stdout.split()
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with torch.no_grad():
        assert float(total) == pytest.approx(float(model(images()).sum()), rel=1e-4, abs=1e-4)
    hub.fault = "500"
    again = in_new_process(code, tmp_path, HF_ENDPOINT=hub.address)
    assert again.stdout == first.stdout
    hub.fault = ""
    missing = in_new_process(LOAD.format(name="resnet50"), tmp_path, HF_ENDPOINT=hub.address)
    assert "it has no model.safetensors or pytorch_model.bin" in sentence(missing)


def test_open_clip_loads_from_a_hub(tmp_path: Path, hub: RunningHub) -> None:
    import open_clip

    torch.manual_seed(1)
    model = open_clip.create_model("ViTamin-S").eval()
    path = hub.put("jienengchen/ViTamin-S/pytorch_model.safetensors")
    save_file({key: value.half().contiguous() for key, value in model.state_dict().items()}, path)
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    code = LOAD.format(name="open_clip/ViTamin-S:datacomp1b")
    refuses_what_was_not_announced(code, tmp_path, hub)
    hub.fault = ""
    done = in_new_process(code, tmp_path, HF_ENDPOINT=hub.address)
    assert done.returncode == 0, done.stderr
    expected = model.encode_image(images()).sum().item()
    assert float(done.stdout.split()[1]) == pytest.approx(expected, rel=1e-3, abs=1e-3)
