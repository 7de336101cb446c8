"""Tables 1 to 3: every rate of one index."""

from __future__ import annotations

from auditor.measure.counts import Target, count_images, count_pairs
from auditor.measure.rates import IMAGE_RATES, PAIR_RATES, mean_rate, whole_rate
from auditor.records import Metrics
from auditor.store import Index


def metrics(index: Index, *, target: Target = "all") -> Metrics:
    """Every metric of section 4.1; `target` is all labels of an image or the one that the dataset names."""
    pairs, images = count_pairs(index, target), count_images(index, target)
    rates = {name: whole_rate(rows(pairs)) for name, rows in PAIR_RATES.items()}
    rates |= {name: whole_rate(rows(images)) for name, rows in IMAGE_RATES.items()}
    return Metrics(
        index=index.name,
        backbone=index.manifest.backbone.name,
        images=len(images["image"]),
        loc_per_image=mean_rate(IMAGE_RATES["loc"](images)),
        real_rec_per_image=mean_rate(IMAGE_RATES["real_rec"](images)),
        certificate=index.manifest.certificate,
        **rates,
    )
