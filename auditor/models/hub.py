"""Finding weights on the Hugging Face hub: the cache first, then the network, never a wait of minutes.

The libraries' own loaders retry for 47 s without a network. Here the cache is asked first; only where it
lacks the file is the hub tried, with a short time limit. Files land in the cache that timm and open_clip use.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import BackboneError

_PATIENCE = 3.0  # seconds until the hub counts as out of reach


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the hub, under the first of `names` that is there."""

    repository: str
    names: tuple[str, ...]
    revision: str | None = None


def fetch(file: HubFile, wanted_by: str) -> Path:
    """The file on this disk, downloaded unless it is in the cache; BackboneError within seconds."""
    cached = _cached(file)
    return cached if cached is not None else _download(file, wanted_by)


def _cached(file: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(file.repository, name, revision=file.revision) for name in file.names)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _download(file: HubFile, wanted_by: str) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise BackboneError(_advice(file, wanted_by, "HF_HUB_OFFLINE is set"))
    if not is_reachable(constants.ENDPOINT):
        raise BackboneError(_advice(file, wanted_by, f"{constants.ENDPOINT} cannot be reached"))
    for name in file.names:
        try:
            return Path(hf_hub_download(file.repository, name, revision=file.revision))
        except LocalEntryNotFoundError as problem:  # a kind of EntryNotFoundError that means: no connection
            raise BackboneError(_advice(file, wanted_by, _first_line(problem))) from problem
        except EntryNotFoundError:
            continue
        except Exception as problem:  # the client's errors differ between its versions: HTTP, gates, disks
            raise BackboneError(_advice(file, wanted_by, _first_line(problem))) from problem
    raise BackboneError(_advice(file, wanted_by, f"it has no {' or '.join(file.names)}"))


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


def _advice(file: HubFile, wanted_by: str, why: str) -> str:
    return (
        f"the weights of {wanted_by} are not on this machine and could not be fetched ({why}); "
        f"get {file.names[0]} from the hub's repository {file.repository} and give it with --weights FILE"
    )


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
