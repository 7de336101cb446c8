"""Write docs/metrics.md: every metric of every question, from what its record says of it.

Run it after a definition has changed: python docs/generate_metrics.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from auditor.questions import QUESTIONS
from auditor.report.metric import Metric, metrics_of

PAGE = Path(__file__).with_name("metrics.md")

PREFACE = """\
# What every number counts

This page is written by `docs/generate_metrics.py` from the fields of the records. To change a definition,
change it where it is made (search the code for the title, such as "BG Act.") and run the script again.
Sources are sections, tables and figures of the paper.

**Cell.** One position of the network's last grid. What it is predicted as is the class with the highest score
there; what an image is predicted as is the class of the whole image.

**Foreground cell.** A cell into which at least one annotated pixel falls. Boxes and masks go through the same
resize and crop as the pixels: a box's corners are scaled, moved by the crop's offset and cut off at its
edges, the far corner exclusive, and the box between them is filled; a mask is resized by nearest neighbour. A
region of COCO has to cover at least 1 % of the crop (A.1). Every other cell of an annotated image is a
background cell. The cells of an image that nobody annotated are neither, and no metric that needs one of the
two counts it.

**Evaluation class.** Every label of an image is asked about by itself: an image with three labels makes three
pairs of image and class, and where a definition speaks of images with the evaluation class, it counts these
pairs. With `--target one` there is one pair, with a single fixed label. The foreground cells of a pair are
those that hold an object of its class; a background cell holds no object of any class. In the row of a class
the same things are counted over that class's pairs alone.

**Variants.** *Original* is the image; *w/o BG* has every pixel outside the foreground occluded, *w/o FG*
every pixel inside. Pixels are occluded after resize and crop, by the mean colour unless `--fill` says
otherwise, and the cells that are counted stay those of the original. Occlusion is itself a change of the
image: read Delta as a question, not as a cause. `audit fills --placebo` asks whether a mask of that shape
elsewhere would have done the same.

**Rates and intervals.** A rate is hits of a total, and both are kept beside it; with a total of 0 it has no
value. Intervals are Wilson's, at 95 %. Whether a class's Delta is chance is asked by McNemar's exact test of
the images that gain the class and those that lose it once the foreground is occluded; q is that test's
p-value after a correction for having looked at many classes (Benjamini and Hochberg). One rule for the
family: the same question, under the same fill, to all classes of the index, whether a table shows all of
them, those with a minimum of images, or one; all classes together are one test of their own.

**By chance.** A rate "in any of n cells" grows with the grid. Beside each stands its null, 1 - (1 - p)^n per
pair of image and class, averaged: n is the number of cells looked at, p the share of cells that show the
class in images that are not labelled with it, in the same variant. Where indexes with different grids stand
side by side, the rates are also given on one grid, the coarsest of them, each with its null: a pooled cell is
foreground where any of its cells is, and shows the classes of the largest mean probability.

**What the data support.** Rankings of classes do not go by a rate, which a single image makes 0 or 100 %, but
by the lower end of a 95 % interval. For Table 7 it is that of a difference: the mean share of an image's
background that the class takes with the foreground occluded, in its own images less in all others (Newcombe's
interval, over images). So it shrinks with few images, does not grow with the number of background cells, and
is near zero for a class that is predicted on any empty background. For Table 8 it is that of Delta (Newcombe,
paired over images). A class with fewer than two images with background is not judged. `--plain` orders by the
paper's rates.

**Numbers of one image.** A class map holds the class's score of every cell; where head and readout are exact,
the mean of a map is the image's score. The relevance of a pixel is its part in the score of one cell, and the
conservation error is |sum of relevance - score| ÷ |score|: what layer-wise relevance propagation lost on its
way. An attack is targeted PGD in the maximum norm on pixels in [0, 1]; no step leaves epsilon.

**Units.** *percent*: a share, which files and JSON write as a fraction of 1. *points*: the difference of two
shares. *count*: a number of things. *factor*: how many times as much. *chance*: a probability, such as a
p-value.
"""

HEADER = ("| title | definition | unit | source | field |", "|---|---|---|---|---|")


def write_page() -> str:
    """The page as it should be."""
    homes: dict[Metric, str] = {}
    sections = (write_section(question.name, question.load("record"), homes) for question in QUESTIONS)
    return "\n".join([PREFACE, *filter(None, sections)])


def write_section(name: str, module: ModuleType, homes: dict[Metric, str]) -> str:
    """The tables of one question; empty where its answer has no metric. `homes` are links by metric."""
    rows = list(write_rows(name, module, homes))
    if not rows:
        return ""
    words = import_module(str(module.__package__)).__doc__
    return "\n".join([f"## {name}", "", f"{words}", "", *HEADER, *rows, ""])


def write_rows(name: str, module: ModuleType, homes: dict[Metric, str]) -> Iterator[str]:
    """A row per metric; one that stands further up is named by its field there."""
    for kind in records_in(module):
        for field, metric in metrics_of(kind).items():
            place = f"{kind.__name__}.{field}"
            yield write_row(metric, place, homes.get(metric))
            homes.setdefault(metric, f"[`{place}`](#{name})")


def write_row(metric: Metric, place: str, home: str | None) -> str:
    """One metric: what it counts, or where it is told."""
    definition = metric.definition if home is None else f"as {home}"
    entries = (metric.title, definition, metric.unit, metric.source, f"`{place}`")
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"


def records_in(module: ModuleType) -> list[type[Any]]:
    """The frozen dataclasses that a module defines, in their order."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
    ]


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
