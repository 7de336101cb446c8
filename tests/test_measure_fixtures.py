"""Every metric of 1,000 datasets equals its slow reference: all in one index, asked one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference

from auditor.errors import DatasetError
from auditor.measure.counts import count_images, count_pairs
from auditor.questions.context.ask import context
from auditor.questions.metrics.ask import metrics
from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import metrics_of
from auditor.store import Index
from auditor.store.columns import connect, quoted
from auditor.store.generations import DATABASE
from indexes import FakeImage, make_index, random_images

FIXTURES, SIZE = 1_000, 8
OVER_PAIRS = ("fg_det", "bg_act", "bg_act_without_fg", "det_top1", "det_top5")
OVER_IMAGES = ("top1", "top5", "loc", "loc_without_bg", "real_acc", "real_rec")


@pytest.fixture(scope="module")
def datasets() -> list[list[FakeImage]]:
    """The images of every dataset; the paths differ over all of them."""
    return [
        [replace(image, path=f"{seed}/{image.path}") for image in random_images(seed, SIZE)]
        for seed in range(FIXTURES)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, datasets: list[list[FakeImage]]) -> Iterator[Index]:
    """One index of all datasets, one after the other."""
    images = [image for dataset in datasets for image in dataset]
    path = make_index(tmp_path_factory.mktemp("fixtures") / "whole", images, size=4_000)
    with Index.open(path) as index:
        yield index


def parts(whole: Index, count: int) -> Iterator[tuple[int, Index]]:
    """The first datasets, each as an index whose tables hold nothing else."""
    connection = connect()
    connection.execute("SET threads = 1")
    source = whole.file(DATABASE)
    assert source is not None
    connection.execute(f"ATTACH {quoted(source)} AS whole (READ_ONLY)")
    part = replace(whole.generation, files={}, fingerprint="of a part")  # for which nothing is kept
    with Index(whole.path, whole.manifest, part, connection, whole.verified) as index:
        for seed in range(count):
            for table, column in (("images", "id"), ("cells", "image")):
                connection.execute(
                    f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM whole.{table} "
                    f"WHERE {column} BETWEEN {seed * SIZE} AND {seed * SIZE + SIZE - 1}"
                )
            yield seed, index


def plain(value: Any) -> Any:
    return (value.hits, value.total) if isinstance(value, Rate) else value


@pytest.mark.parametrize("target", ["all", "one"])
def test_every_rate_equals_its_reference(whole: Index, datasets: list[list[FakeImage]], target: Any) -> None:
    """Counts of pairs and images add up over datasets, so 1,000 of them are counted at once."""
    tables = {"pairs": count_pairs(whole, target), "images": count_images(whole, target)}
    sums = {}
    for name in OVER_PAIRS + OVER_IMAGES:
        metric = metrics_of(Metrics)[name]
        assert metric.counts is not None
        dataset = np.asarray(tables[metric.over]["image"]) // SIZE
        sums[name] = [
            np.bincount(dataset, weights=np.ma.filled(part, 0), minlength=FIXTURES)
            for part in metric.counts(tables[metric.over])
        ]
    for seed, dataset in enumerate(datasets):
        expected = reference.metrics(reference.counted(dataset), target)
        for name, (hits, totals) in sums.items():
            assert (hits[seed], totals[seed]) == expected[name], (seed, name)


def check_every_number(index: Index, images: list[FakeImage], target: Any) -> None:
    """Rates, means and what chance gives, of the whole and of each class.

    They are worked out each time: this index changes while it is open, which no other does.
    """
    measured = metrics.__wrapped__(index, target=target)
    for name, value in reference.metrics(images, target).items():
        found = plain(getattr(measured, name))
        assert found == (pytest.approx(value) if isinstance(value, float) else value), name
    try:
        rows = context.__wrapped__(index).rows
    except DatasetError:  # no background in any of the images
        assert not any(image.labels and reference.background_cells(image) for image in images)
        return
    with_background = {k for image in images if reference.background_cells(image) for k in image.labels}
    assert {row.label for row in rows} == with_background
    for row in rows:
        for name, value in reference.class_row(images, row.label).items():
            assert plain(getattr(row, name)) == value, (row.label, name)
        share, elsewhere = reference.background_shares(images, row.label)
        assert (row.bg_share, row.bg_share_elsewhere) == (pytest.approx(share), pytest.approx(elsewhere))


@pytest.mark.parametrize(
    ("count", "target"),
    [(60, "all"), (30, "one")] + [pytest.param(FIXTURES, t, marks=pytest.mark.slow) for t in ("all", "one")],
)
def test_every_number_of_a_dataset_equals_its_reference(
    whole: Index, datasets: list[list[FakeImage]], count: int, target: Any
) -> None:
    for seed, index in parts(whole, count):
        images = reference.counted(datasets[seed])
        if images:
            check_every_number(index, images, target)
