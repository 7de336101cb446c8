"""Class maps: where in a crop a class scores (Figure 7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from auditor.draw.colours import Faint, Heat, Paper
from auditor.draw.heat import BAR_WIDTH, light_cells, limits_of, paste_bar
from auditor.draw.lettering import write, write_fitted, write_path
from auditor.explain.crops import crop
from auditor.questions.cam.record import ClassMap, ClassMaps
from auditor.report.views import Picture
from auditor.store import Index

_MARGIN = 28
_SIDE = 480  # pixels of one class's map
_ACROSS = 4  # maps in a row
_HEAD = 74  # above a map: the class and its score


def picture_maps(index: Index, maps: ClassMaps) -> Iterator[Picture]:
    """The image once for every class."""
    names = [each.name for each in maps.maps]
    drawn = draw_class_maps(crop(index, maps.path), maps)
    caption = f"{maps.path}: where the image scores for {', '.join(names)} (Figure 7)"
    yield Picture(("cam", Path(maps.path).stem, *names), drawn, caption)


DRAWINGS = {ClassMaps: picture_maps}


def draw_class_maps(image: Image.Image, class_maps: ClassMaps) -> Image.Image:
    """The crop once for every class; every map has a scale of its own, shown by its bar."""
    across = min(_ACROSS, len(class_maps.maps))
    down = -(-len(class_maps.maps) // across)
    panel = _SIDE + 10 + BAR_WIDTH
    size = (across * (panel + _MARGIN) + _MARGIN, down * (_HEAD + _SIDE + _MARGIN) + 72)
    drawn = Image.new("RGB", size, Paper)
    draw = ImageDraw.Draw(drawn)
    for index, class_map in enumerate(class_maps.maps):
        left = _MARGIN + index % across * (panel + _MARGIN)
        top = index // across * (_HEAD + _SIDE + _MARGIN)
        _write_head(draw, class_map, (left, top))
        drawn.paste(light_cells(image, class_map.cells, _SIDE), (left, top + _HEAD))
        paste_bar(drawn, (left + _SIDE + 10, top + _HEAD), _SIDE, Heat, limits_of(class_map.cells))
    room = drawn.width - 2 * _MARGIN
    write_path(draw, (_MARGIN, drawn.height - 62), class_maps.path, 17, room)
    write_fitted(draw, (_MARGIN, drawn.height - 36), _explain(class_maps), 17, room, Faint)
    return drawn


def _write_head(draw: ImageDraw.ImageDraw, class_map: ClassMap, corner: tuple[int, int]) -> None:
    left, top = corner
    write(draw, (left, top + 26), class_map.name, 24, _SIDE)
    write(draw, (left, top + 54), f"score of the image {class_map.score:.2f}", 17, _SIDE, Faint)


def _explain(class_maps: ClassMaps) -> str:
    adds_up = "their mean is the score" if class_maps.is_exact else "they do not add up to the score"
    return f"scores of the cells, {class_maps.readout} readout; {adds_up} of the image"
