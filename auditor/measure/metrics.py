"""Tables 1 to 3: every rate of one index."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from auditor.measure.counts import Target, count_images, count_pairs
from auditor.measure.present import present_metrics
from auditor.measure.rates import IMAGE_RATES, PAIR_RATES, mean_rate, whole_rate
from auditor.measure.real import read_real
from auditor.records import Metrics
from auditor.store import Index

Among = Literal["all", "present"]


def metrics(
    index: Index, *, target: Target = "all", real: Path | None = None, classes: Among = "all"
) -> Metrics:
    """Every metric of section 4.1; `target` is all labels of an image or the one that the dataset names.

    `real` is a file of ReaL labels to use instead of the index's own; with `classes` present, Table 2 is
    computed among the classes that the dataset holds as well.
    """
    labels = None if real is None else read_real(index, real)
    pairs, images = count_pairs(index, target), count_images(index, target, labels)
    rates = {name: whole_rate(rows(pairs)) for name, rows in PAIR_RATES.items()}
    rates |= {name: whole_rate(rows(images)) for name, rows in IMAGE_RATES.items()}
    return Metrics(
        index=index.name,
        backbone=index.manifest.backbone.name,
        images=len(images["image"]),
        loc_per_image=mean_rate(IMAGE_RATES["loc"](images)),
        real_rec_per_image=mean_rate(IMAGE_RATES["real_rec"](images)),
        certificate=index.manifest.certificate,
        present=present_metrics(index, target=target) if classes == "present" else None,
        **rates,
    )
