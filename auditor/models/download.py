"""One file of the hub, fetched by its client in a process of its own, which can be ended at any time.

Run by its path, with what is wanted as JSON; it imports nothing of audit. It answers in lines of JSON: first
`bytes` and `sha256`, as far as the hub tells them, then `path`, `is_missing` or `error`.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

_CHUNK = 1 << 16  # bytes: the client's own 10 MB hide for minutes how slow a server is
_ANSWERS = {
    401: "the hub asks for a token: set HF_TOKEN",
    403: "its authors ask for consent: give it on the hub, then set HF_TOKEN",
    404: "the hub has no such repository, or shows it to some alone: set HF_TOKEN",
}


def tell(**facts: Any) -> None:
    """One line of the answer."""
    print(json.dumps(facts), flush=True)


def download(repository: str, name: str, revision: str | None) -> None:
    """Fetch the file into the hub's cache; what goes wrong is told, not raised."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    try:
        known = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision))
        is_sha256 = re.fullmatch(r"[0-9a-f]{64}", known.etag or "") is not None
        tell(bytes=known.size, sha256=known.etag if is_sha256 else None)
        tell(path=str(hf_hub_download(repository, name, revision=revision)))
    except EntryNotFoundError as problem:
        if isinstance(problem, LocalEntryNotFoundError):  # a kind of it that means: no connection
            tell(error=describe(problem))
        else:
            tell(is_missing=True)
    except Exception as problem:  # the client's errors differ between its versions: HTTP, gates, disks
        tell(error=describe(problem), errno=problem.errno if isinstance(problem, OSError) else None)


def describe(problem: Exception) -> str:
    """The problem in a line."""
    status = getattr(getattr(problem, "response", None), "status_code", None)
    if status is not None:
        return _ANSWERS.get(status, f"the hub answered {status}")
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


if __name__ == "__main__":
    download(*json.loads(sys.argv[1]))
