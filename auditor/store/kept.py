"""Files that questions add to a generation: what takes long to make of the shards and is made once.

Such a file belongs to the generation that it was made of, by its checksum; the next one begins without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.errors import IndexMismatch
from auditor.files import new_file
from auditor.store.blocks import FileFacts
from auditor.store.generations import Generation, read_current, save_generation
from auditor.store.lock import take_lock
from auditor.store.places import DERIVED, inside, sweep

Writer = Callable[[Path], Mapping[str, Any] | None]
"""Writes a file, and returns what the generation is to say of it, by field."""


def keep(index: Path, seen: Generation, name: str, write: Writer) -> Generation:
    """The generation with a file that `write` made; an older one of this name is forgotten first.

    IndexMismatch where readers have another generation than `seen` by now, IndexBusy where the index is being
    written.
    """
    with take_lock(index):
        current = read_current(index)
        if current is None or current.fingerprint != seen.fingerprint:
            raise IndexMismatch(f"{index} was changed meanwhile; ask again")
        folder = inside(index, DERIVED, current.name)
        sweep(folder)
        others = {other: facts for other, facts in current.files.items() if other != name}
        save_generation(folder, replace(current, files=others))  # killed half-way, there is none
        with new_file(folder / name) as temporary:
            said = write(temporary) or {}
        kept = replace(current, files=others | {name: FileFacts.of(folder / name)}, **said)
        save_generation(folder, kept)
        return kept
