"""Weights from the Hugging Face hub: the cache first, then the network, never a wait without word or end.

The libraries' own loaders retry for 47 s without a network, wait for ever on a server that drips, and take
what comes for what was announced. Here the cache is asked first; only where it lacks the file is the hub
tried, with a short time limit; a transfer must go on at a lowest speed; and what came must have the hash that
the hub announced. Files land in the cache that timm and open_clip use.
"""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import BackboneError, OutputError
from auditor.files import NO_ROOM, digest
from auditor.models.catalog import CATALOG, BackboneSpec
from auditor.models.transfer import transfer
from auditor.records.watch import Silence, Watch

_PATIENCE = 3.0  # seconds until the hub counts as out of reach


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the hub, under the first of `names` that is there."""

    repository: str
    names: tuple[str, ...]
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on this disk, and its hash."""

    path: Path
    sha256: str


def fetch(file: HubFile, wanted_by: str, watch: Watch | None = None) -> Fetched:
    """The file, downloaded unless the cache has it as it was published; BackboneError within seconds."""
    watch = watch or Silence()
    cached = _cached(file)
    if cached is not None:
        fetched = Fetched(cached, digest(cached, "sha256"))
        if _announced(cached) in (None, fetched.sha256):
            return fetched
        _forget(cached)
        watch.say(f"{cached.name} of {file.repository} was damaged in the hub's cache; it is fetched again")
    return _download(file, wanted_by, watch)


def refuse_early(spec: BackboneSpec) -> None:
    """BackboneError where its weights cannot be had for certain; asks neither torch nor the libraries.

    For certain means that nothing is cached of what may hold them, and that the hub is out of reach.
    """
    from huggingface_hub import constants

    repository = repository_of(spec)
    pattern = "models--*" if repository is None else f"models--{repository.replace('/', '--')}"
    if any(Path(constants.HF_HUB_CACHE).glob(f"{pattern}/snapshots/*/*")):
        return
    why = _out_of_reach()
    if why:
        file = HubFile(repository or "", ("model.safetensors",))
        raise BackboneError(_advice(file if repository else None, spec.name, why))


def repository_of(spec: BackboneSpec) -> str | None:
    """Where the hub has the weights, as far as that is certain before the library is loaded."""
    is_certain = spec.library == "timm" and spec.name in CATALOG and not spec.source
    return f"timm/{spec.model}" if is_certain else None


def _cached(file: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(file.repository, name, revision=file.revision) for name in file.names)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _announced(path: Path) -> str | None:
    """The hash under which the cache keeps a large file: what its link leads to is called by it."""
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else None


def _forget(path: Path) -> None:
    """Take a file out of the cache, with all that its link leads to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def _out_of_reach() -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return "" if is_reachable(constants.ENDPOINT) else f"{constants.ENDPOINT} cannot be reached"


def _download(file: HubFile, wanted_by: str, watch: Watch) -> Fetched:
    why = _out_of_reach()
    if why:
        raise BackboneError(_advice(file, wanted_by, why))
    for name in file.names:
        answer = transfer(file.repository, name, file.revision, wanted_by, watch)
        if answer.errno in NO_ROOM:
            needed = f", {answer.bytes:,} bytes are needed" if answer.bytes else ""
            raise OutputError(
                f"the weights of {wanted_by} find no room in the hub's cache{needed}: {answer.error}"
            )
        if answer.error:
            raise BackboneError(_advice(file, wanted_by, answer.error))
        if answer.path is not None:
            return _verified(Path(answer.path), answer.sha256, file)
    raise BackboneError(_advice(file, wanted_by, f"it has no {' or '.join(file.names)}"))


def _verified(path: Path, announced: str | None, file: HubFile) -> Fetched:
    sha256, announced = digest(path, "sha256"), announced or _announced(path)
    if announced not in (None, sha256):
        _forget(path)
        raise BackboneError(
            f"{path.name} of {file.repository} is not what the hub announced: its sha256 begins with "
            f"{sha256[:12]}, not {announced[:12]}; it was taken out of the cache. Try again, or get it "
            "elsewhere and give it with --weights FILE"
        )
    return Fetched(path, sha256)


def _advice(file: HubFile | None, wanted_by: str, why: str) -> str:
    fix = "give them with --weights FILE"
    if file is not None:
        fix = (
            f"get {file.names[0]} from the hub's repository {file.repository} and give it with --weights FILE"
        )
    return f"the weights of {wanted_by} are not on this machine and could not be fetched ({why}); {fix}"


def is_reachable(endpoint: str) -> bool:
    """Whether a server answers within seconds; proxies of the environment are used.

    In a thread, because looking up a name obeys no time limit.
    """
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_answers(endpoint)), daemon=True)
    asking.start()
    asking.join(_PATIENCE + 0.5)
    return bool(answers) and answers[0]


def _answers(endpoint: str) -> bool:
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, if not the one of a front page
    except (OSError, ValueError):
        return False
