"""One row of `audit list`: what an index says of itself, without opening its database."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from auditor.records import IndexSummary
from auditor.store.generations import LISTS, Generation
from auditor.store.manifest import Manifest
from auditor.store.places import bytes_below


def summarise(
    path: Path,
    manifest: Manifest,
    generation: Generation | None,
    planned: int = 0,
    removed: Collection[int] = (),
) -> IndexSummary:
    """An index as its readers see it; one without a generation is unfinished, and counts what was planned.

    `planned` are the image ids of its plan, of which a generation that is complete lacks none.
    """
    given_out = planned
    if generation is not None:
        given_out, removed = generation.images, generation.removed
    images, counts = given_out - len(removed), generation.counts if generation else None
    return IndexSummary(
        name=path.resolve().name,
        dataset=Path(manifest.dataset.root).name,
        backbone=manifest.backbone.name,
        images=images,
        cells=(counts.indexed if counts else images) * manifest.cells_per_image,
        bytes=bytes_below(path),
        head=manifest.head.name,
        certificate=manifest.certificate,
        is_complete=generation is not None and given_out >= planned,
        broken=counts.broken if counts else None,
        filtered=counts.filtered if counts else None,
        removed=len(removed),
        empty_cells=counts.empty_cells if counts else None,
        images_with_empty_cells=counts.images_with_empty_cells if counts else None,
        caveats=manifest.caveats,
        weights=manifest.backbone.weights,
        created=manifest.created,
        modified=generation.made if generation else manifest.created,
        part=str(manifest.part) if manifest.part else None,
        agreement=manifest.agreement,
        search=generation.search if generation and LISTS in generation.files else None,
    )
