"""A finding in its images: the cells that show it, framed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.colours import Bright, Paper
from auditor.draw.layers import outline, spread
from auditor.errors import AuditError
from auditor.explain.crops import crop
from auditor.explain.variants import variants_of
from auditor.grids import parse_cell
from auditor.measure.images import grids_of
from auditor.questions.findings.record import Findings
from auditor.report.findings import Finding
from auditor.report.text import plural, variant_title
from auditor.report.views import Picture
from auditor.store import Index

_SIDE = 320  # pixels of an image
_GAP = 8
_TINT = 60  # of 255, over the cells


def picture_findings(index: Index, answer: Findings) -> Iterator[Picture]:
    """A picture of each finding whose images are still there."""
    for number, finding in enumerate(answer.findings, start=1):
        drawn = draw_finding(index, finding)
        if drawn is not None:
            yield Picture(("finding", str(number)), drawn, describe(finding))


DRAWINGS = {Findings: picture_findings}


def describe(finding: Finding) -> str:
    """What the picture of a finding shows."""
    images = dict.fromkeys(parse_cell(cell)[0] for cell in finding.cells)
    variant = "" if finding.variant == "original" else f" {variant_title(finding.variant)}"
    where = plural(len(images), "image")
    return f"{finding.subject}: {plural(len(finding.cells), 'cell')} framed in {where}{variant}"


def draw_finding(index: Index, finding: Finding) -> Image.Image | None:
    """Its images side by side, its cells framed; None where none of them is at hand."""
    cells: dict[str, list[tuple[int, int]]] = {}
    for name in finding.cells:
        path, row, col = parse_cell(name)
        cells.setdefault(path, []).append((row, col))
    panels = [_draw_panel(index, finding.variant, path, places) for path, places in cells.items()]
    shown = [panel for panel in panels if panel is not None]
    if not shown:
        return None
    drawn = Image.new("RGB", (len(shown) * (_SIDE + _GAP) - _GAP, _SIDE), Paper)
    for position, panel in enumerate(shown):
        drawn.paste(panel, (position * (_SIDE + _GAP), 0))
    return drawn


def _draw_panel(index: Index, variant: str, path: str, places: list[tuple[int, int]]) -> Image.Image | None:
    try:
        image = _variant(index, variant, path)
    except AuditError:  # the image is gone, or was never annotated: the sentence still stands
        return None
    panel = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    cells = np.zeros(index.grid, dtype=np.bool_)
    cells[tuple(np.transpose(places))] = True
    tint = Image.fromarray(spread(cells.astype(np.uint8) * _TINT, _SIDE))
    panel = Image.composite(Image.new("RGB", panel.size, Bright), panel, tint)
    outline(ImageDraw.Draw(panel), cells, _SIDE, Bright)
    return panel


def _variant(index: Index, variant: str, path: str) -> Image.Image:
    if variant == "original":
        return crop(index, path)
    grids = grids_of(index, index.image(path))
    return variants_of(index, grids)[grids.variants.index(variant)]
