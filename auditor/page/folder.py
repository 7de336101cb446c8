"""A page beside its data: tens of thousands of images as files, and what their cells show in scripts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from auditor.errors import OutputError
from auditor.files import new_folder, temporary_name
from auditor.page.compose import compose_answers, ranked_images, tell_carried
from auditor.page.images import cell_arrays, image_facts, pack
from auditor.page.pictures import NEAREST, carry, nearest_cells_of
from auditor.report.page import render_page, script_of
from auditor.report.wish import Wish
from auditor.store import Index
from auditor.store.places import sweep
from auditor.terminal.progress import Bar

PART = 100  # images whose cells lie in one script
DATA, IMAGES, PAGE = "data", "images", "index.html"
VARIABLE = "auditPage"
_OURS = re.compile(rf"{PAGE}|{DATA}(/(page|\d+)\.js)?|{IMAGES}(/\d+\.webp)?")


def write_folder(
    folder: Path, index: Index, wish: Wish, *, is_live: bool, bar: Bar, others: Sequence[Index] = ()
) -> None:
    """Write the page with every image that is there; whole or not at all, in the place of an earlier one.

    OutputError where the folder holds anything else.
    """
    folder = folder.resolve()  # a link stays, and what it leads to is the page
    _check(folder)
    words = ("--folder", str(folder))
    page = compose_answers(index, wish, is_live=is_live, bar=bar, others=others, words=words)
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    with _place_of(folder) as make_room, new_folder(folder.parent, folder) as unfinished:
        for name in (DATA, IMAGES):
            (unfinished / name).mkdir()
        numbers = count()  # an image's file is named by its place, never by a name of the dataset's
        ranked = ranked_images(index, page)
        carried = carry(
            index,
            ranked,
            bar,
            lambda picture: (unfinished / IMAGES / f"{next(numbers)}.webp").write_bytes(picture),
        )
        page = tell_carried(index, page, carried, carried.tell(len(ranked), 0, 0))
        facts = image_facts(index, carried.ids)
        masks = facts["mask"]
        near = nearest_cells_of(index, carried.ids)
        for first in range(0, len(carried.ids), PART):
            part = slice(first, first + PART)
            told = {
                **cell_arrays(index, carried.ids[part]),
                "mask": masks[part],
                **{f"near_{name}": pack(array[part]) for name, array in near.items()},
            }
            _write(unfinished, f"{first // PART}.js", "auditPart", told)
        images = {"id": list(carried.ids), **facts, "mask": [None] * len(masks)}
        about = {"images": len(near["cell"]), "k": NEAREST}
        page = replace(page, data={**page.data, "images": images, "near": about, "folder": PART})
        _write(unfinished, "page.js", VARIABLE, page.data)
        (unfinished / PAGE).write_text(render_page(page), encoding="utf-8")
        _check(folder)  # again: drawing takes minutes, and what came meanwhile is not a page's
        make_room()


@contextmanager
def _place_of(folder: Path) -> Iterator[Callable[[], None]]:
    """Sets an earlier page aside when it is called; deleted where another took its place, else put back."""
    earlier = folder.with_name(temporary_name())

    def make_room() -> None:
        if folder.exists():
            folder.rename(earlier)

    try:
        yield make_room
    finally:
        if earlier.exists() and not folder.exists():
            earlier.rename(folder)
        shutil.rmtree(earlier, ignore_errors=True)


def _write(folder: Path, name: str, variable: str, content: Any) -> None:
    (folder / DATA / name).write_text(script_of(variable, content), encoding="ascii")


def _check(folder: Path) -> None:
    """OutputError where the folder is not free and not a page of ours."""
    if not folder.exists():
        return
    found = folder.rglob("*") if folder.is_dir() else (folder,)
    others = [path for path in found if not _OURS.fullmatch(path.relative_to(folder).as_posix())]
    script = folder / DATA / "page.js"
    is_page = script.is_file() and VARIABLE.encode() in script.read_bytes()[:40]
    if others or (any(folder.iterdir()) and not is_page):
        raise OutputError(f"{folder} holds other files than a page's; name a folder that is not there yet")
