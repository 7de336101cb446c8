"""A logit's parts as a bar, and the image with what every cell adds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.charts import as_written, new_figure, picture
from auditor.draw.colours import Signed, White
from auditor.draw.heat import BAR_WIDTH, paint_signed, paste_bar
from auditor.draw.layers import outline
from auditor.explain.crops import crop
from auditor.questions.ledger.record import Ledger
from auditor.report.views import Picture
from auditor.store import Index

_SIDE, _BARS = 420, 620
_SHOWN = 0.6  # of the colours over the photograph


def picture_ledger(index: Index, answer: Ledger) -> Iterator[Picture]:
    """Both, side by side."""
    caption = (
        f"{answer.path}: what every part adds to the lead of {answer.target_name} over {answer.rival_name}, "
        "in logits, and what every cell adds; objects are outlined"
    )
    drawn = draw_ledger(crop(index, answer.path), answer)
    yield Picture(("ledger", Path(answer.path).stem, answer.target_name), drawn, caption)


DRAWINGS = {Ledger: picture_ledger}


def draw_ledger(image: Image.Image, answer: Ledger) -> Image.Image:
    """The bars on the left; on the right the crop under signed cells, from blue (against) to red (for)."""
    drawn = Image.new("RGB", (_BARS + _SIDE + 40 + BAR_WIDTH, _SIDE + 40), White)
    drawn.paste(_draw_bars(answer), (0, 20))
    limit = float(np.abs(answer.cells).max()) or 1.0
    grey = image.convert("L").convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    cells = Image.blend(grey, paint_signed(answer.cells, limit, _SIDE), _SHOWN)
    outline(ImageDraw.Draw(cells), answer.foreground, _SIDE)
    drawn.paste(cells, (_BARS + 10, 20))
    paste_bar(drawn, (_BARS + _SIDE + 20, 20), _SIDE, Signed, (-limit, limit))
    return drawn


def _draw_bars(answer: Ledger) -> Image.Image:
    figure = new_figure(_BARS, _SIDE, is_laid_out=True)
    axes = figure.subplots()
    entries = answer.entries[::-1]
    margins = [entry.margin for entry in entries]
    colours = ["#d55e00" if margin >= 0 else "#0072b2" for margin in margins]
    names = [as_written(entry.name, 20, 170) for entry in entries]
    axes.barh(range(len(entries)), margins, color=colours)
    axes.set_yticks(range(len(entries)), names)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("logits")
    lead = answer.target_logit - answer.rival_logit
    names = [as_written(name, 20, 230) for name in (answer.target_name, answer.rival_name)]
    axes.set_title(f"{names[0]} over {names[1]}: {lead:+.2f}", fontsize=11)
    return picture(figure)
