"""What a page that is served asks for while somebody looks at it: any image of the index, by its id."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from auditor.errors import CellError, DatasetError
from auditor.grids import split_cell_id
from auditor.page.compose import compose_answers
from auditor.page.images import Listed, cell_arrays, encode_crop, image_facts
from auditor.page.points import map_points
from auditor.questions.map.record import CellMap
from auditor.records import Hit
from auditor.report.page_parts import Page
from auditor.report.text import plural
from auditor.report.wish import Wish
from auditor.search.nearest import nearest_cells, searchable
from auditor.store import Index, query_map, stored_map
from auditor.terminal.progress import Bar

MOST = 100_000  # images that a page lists; each takes some hundred bytes
NEAREST = 12

POINTS = 300_000  # cells that a map draws smoothly

PLACED = "SELECT image, cell, x, y, cluster FROM places ORDER BY image, cell"
USABLE = "SELECT id, path, hash FROM images WHERE usable ORDER BY id"


class Live:
    """An index behind a page; nothing is named by its path, so that no request can name a file."""

    def __init__(self, index: Index) -> None:
        self.index = index
        columns = (index.query(USABLE)[name].tolist() for name in ("id", "path", "hash"))
        rows = [Listed(*row) for row in zip(*columns, strict=True)]
        self._images = {row.id: row for row in rows}
        self._ids = {row.path: row.id for row in rows}
        self._allowed = searchable(index)
        self._lock = Lock()  # of the database's connection, which threads must not share

    def page(self, token: str, bar: Bar) -> Page:
        """The page with every image in its gallery, and the token by which its script asks for more."""
        page = compose_answers(self.index, Wish(), is_live=False, bar=bar)
        ids = list(self._images)[:MOST]
        facts = image_facts(self.index, ids)
        facts["mask"] = [None] * len(ids)  # they come with the cells
        shown = "All" if len(ids) == len(self._images) else f"The first {MOST:,} of"
        carried = f"{shown} {plural(len(self._images), 'image')} of the index, read while you look."
        images = {"id": ids, **facts}
        data = {**page.data, "images": images, "carried": carried, "live": token}
        return replace(page, data={**data, "map": _every_point(self.index, page) or data["map"]})

    def picture(self, image: int) -> bytes:
        """The crop as WebP; DatasetError where the file is gone."""
        with self._lock:
            read = encode_crop(self.index, self._images[image])
        if read is None:
            raise DatasetError(f"image {image} is no longer there")
        return read[0]

    def cells(self, image: int) -> dict[str, Any]:
        """What its cells show, and its mask."""
        self._images[image]
        with self._lock:
            return {**cell_arrays(self.index, [image]), "mask": image_facts(self.index, [image])["mask"][0]}

    def near(self, image: int, cell: int) -> list[dict[str, Any]]:
        """The nearest cells in other images of the whole index, as `audit similar` finds them."""
        self._images[image]
        if cell >= self.index.manifest.cells_per_image:
            raise CellError(f"an image has {self.index.manifest.cells_per_image} cells")
        if not self._allowed[image, cell]:
            return []
        with self._lock:
            allowed = self._allowed.copy()
            allowed[image] = False
            _, row, col = split_cell_id(cell, self.index.grid)
            vector = self.index.features(image)[row, col]
            hits = nearest_cells(self.index, vector, NEAREST, allowed, 1)
        return [self._describe(hit) for hit in hits]

    def _describe(self, hit: Hit) -> dict[str, Any]:
        cell = hit.row * self.index.grid[1] + hit.col
        return {"id": self._ids[hit.path], "cell": cell, "cosine": hit.cosine}


def _every_point(index: Index, page: Page) -> dict[str, Any] | None:
    """The map of all placed cells, not of a sample; None where there is none, or more than can be drawn."""
    path = stored_map(index)
    maps = [section.record for section in page.sections if isinstance(section.record, CellMap)]
    if path is None or not maps:
        return None
    rows = query_map(index, path, PLACED)
    if len(rows["cell"]) > POINTS:
        return None
    cells = rows["image"].astype(np.int64) * index.manifest.cells_per_image + rows["cell"]
    points = np.stack([rows["x"], rows["y"]], axis=1)
    members = np.asarray(rows["cluster"], dtype=np.int64)
    return map_points(index, replace(maps[0], sampled=cells, points=points, members=members))
