"""What the pictures of `audit map` and `audit concept` need, and the reference set of the latter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from auditor.cli.pictures import crops
from auditor.draw.scatter import NAMED, SHOWN, draw_clusters, draw_concept, draw_map
from auditor.grids import parse_cell
from auditor.records import CellMap, Cluster, Concept
from auditor.search.concept import Examples, concept, read_examples
from auditor.store import Index


def find_concept(index: Index, references: Path, top: int) -> Concept:
    """Where a concept is found: of a JSON file of indexed cells and boxes, or of a folder of crops."""
    examples = encode(index, references) if references.is_dir() else read_examples(index, references)
    return concept(index, examples, top)


def encode(index: Index, folder: Path) -> Examples:
    """The crops of a folder as examples, by the backbone that made the index."""
    from auditor.explain.concept import FROM_CROPS, encode_crops

    names, vectors = encode_crops(index, folder)
    return Examples(folder.resolve().name, names, vectors, vectors[:0], encoding=FROM_CROPS)


def map_picture(index: Index, found: CellMap) -> Image.Image:
    """Figure 10: the map, with exemplars of its most suspicious clusters."""
    return draw_map(found, _exemplars(index, found.clusters[:NAMED], SHOWN), index.grid)


def clusters_picture(index: Index, found: CellMap) -> Image.Image:
    """The exemplars of every cluster."""
    return draw_clusters(found, _exemplars(index, found.clusters, None), index.grid)


def concept_picture(index: Index, found: Concept) -> Image.Image:
    """The references that lie in the index, and the cells that were found."""
    # a reference is named as a cell, a box or a crop's file; only an indexed image has a crop to show
    paths = [hit.path for hit in found.hits] + [name.rpartition(":")[0] for name in found.references]
    return draw_concept(found, crops(index, [path for path in paths if path]), index.grid)


def _exemplars(index: Index, clusters: Iterable[Cluster], most: int | None) -> dict[str, Image.Image]:
    cells = [cell for cluster in clusters for cell in cluster.exemplars[:most]]
    return crops(index, [parse_cell(cell)[0] for cell in cells])
