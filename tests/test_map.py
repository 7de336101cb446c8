"""The map of an index: the planted marker is a cluster of its own, and what is counted is counted again."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy.stats import fisher_exact

from auditor.errors import DatasetError, IndexDamaged
from auditor.grids import parse_cell
from auditor.questions.map.ask import map_, rank_cluster
from auditor.questions.map.record import CellMap, Cluster
from auditor.questions.similar.ask import similar
from auditor.records import ClassShare, Rate
from auditor.records.watch import Silence
from auditor.report.views import pictures_of, view_of
from auditor.search.class_shares import ImageClasses, class_shares
from auditor.search.cluster_facts import position_lift
from auditor.search.layout import Axes, Nearest, Placing, lay_out, sample_cells
from auditor.store import Index, IndexWriter, save_map, stored_map
from auditor.store.check import check
from indexes import Diary, make_index, random_images

REACH = 16  # pixels: a cell sees a marker that comes within half a cell of it


@pytest.fixture(scope="module")
def mapped(tour_folder: Path) -> tuple[Path, CellMap]:
    """The tour's index with its map, made once: UMAP compiles itself for a quarter of a minute."""
    with Index.open(next((tour_folder / "indexes").iterdir())) as index:
        return index.path, map_(index)


def markers(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in (folder / "scenes" / "records").glob("*.json"):
        place = json.loads(path.read_text())["marker_at"]
        if place is not None:
            found[f"images/{path.stem}.png"] = tuple(place)
    return found


def map_of(path: Path) -> Path:
    """Where the current generation has its map."""
    return path / "derived" / (path / "CURRENT").read_text().strip() / "map.parquet"


def holds(place: tuple[int, int], row: int, col: int) -> bool:
    return (place[1] // 32, place[0] // 32) == (row, col)


def sees(place: tuple[int, int], row: int, col: int) -> bool:
    gaps = [(32 * cell - (at + 20), at - 32 * (cell + 1)) for cell, at in ((col, place[0]), (row, place[1]))]
    return max(max(gap) for gap in gaps) < REACH


def test_the_planted_marker_is_a_cluster_of_its_own(tour: Path, mapped: tuple[Path, CellMap]) -> None:
    path, found = mapped
    planted = markers(tour)
    rows = duckdb.connect().sql(
        f"SELECT i.path, m.cell // 7 AS row, m.cell % 7 AS col, m.cluster FROM '{map_of(path)}' m "
        f"JOIN '{path}/shards/*/images.parquet' i ON i.id = m.image"
    )
    cells = [(name, row, col, number) for name, row, col, number in rows.fetchall()]
    own = Counter(n for name, r, c, n in cells if name in planted and holds(planted[name], r, c))
    number, hits = own.most_common(1)[0]
    assert number > 0
    assert hits >= 0.8 * len(planted)
    members = [(name, row, col) for name, row, col, n in cells if n == number]
    showing = [name in planted and sees(planted[name], row, col) for name, row, col in members]
    assert np.mean(showing) >= 0.9

    cluster = next(each for each in found.clusters if each.number == number)
    assert cluster.cells == len(members)
    assert cluster.images == len({name for name, _, _ in members})
    assert cluster.label is not None
    assert cluster.label.name == "triangle cross"
    with Index.open(path) as index:
        hits_found = similar(index, *parse_cell(cluster.exemplars[0]), k=20).hits
    assert sum(hit.path in planted for hit in hits_found) >= 18


def test_a_clusters_numbers_are_counted_again(mapped: tuple[Path, CellMap]) -> None:
    path, found = mapped
    rows = duckdb.connect().sql(f"SELECT image, cell, cluster FROM '{map_of(path)}'").fetchall()
    for cluster in found.clusters[:6]:
        members = [(image, cell) for image, cell, number in rows if number == cluster.number]
        pairs = [a[1] == b[1] for a, b in combinations(members, 2) if a[0] != b[0]]
        assert cluster.position == pytest.approx(np.mean(pairs) * 49)
        places = Counter(cell for _, cell in members)
        row, col = cluster.peak
        assert places[row * 7 + col] == cluster.peak_cells == max(places.values())
    assert found.alone == Rate(sum(number == 0 for *_, number in rows), len(rows))
    order = [cluster.suspicion for cluster in found.clusters]
    assert order == sorted(order, reverse=True)


def test_the_stored_map_is_used_again_and_the_index_stays_sound(
    tour: Path, mapped: tuple[Path, CellMap], audit, ask
) -> None:
    path, found = mapped
    before = map_of(path).stat().st_mtime_ns
    assert "most suspicious first" in audit("map", "--clusters", "--out", "map.png")
    assert Path("map.png").is_file()
    assert Path("map-clusters.png").is_file()
    assert ask("map")["clusters"][0]["number"] == found.clusters[0].number
    assert map_of(path).stat().st_mtime_ns == before
    assert check(path).is_sound


def test_a_damaged_map_is_seen_and_a_stale_one_forgotten(tmp_path: Path) -> None:
    images = random_images(3, 12)
    for image in images:
        image.status = "ok"
    folder = make_index(tmp_path / "index", images)
    with Index.open(folder) as index:
        first = map_(index, sample=60, seed=4)
        again = map_(index, sample=60, seed=5), map_(index, sample=60, seed=4)
    np.testing.assert_array_equal(first.points, again[1].points)  # the same seed, made anew
    assert not np.array_equal(first.points, again[0].points)
    assert (len(first.sampled), first.alone.total) == (60, 12 * 9)
    assert check(folder).is_sound
    assert check(folder, repair=True).is_sound
    content = map_of(folder).read_bytes()
    map_of(folder).write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    assert any("map.parquet" in problem for problem in check(folder).problems)
    with Index.open(folder) as index, pytest.raises(IndexDamaged, match=r"map\.parquet .* --repair"):
        map_(index, sample=60, seed=4)
    assert check(folder, repair=True).is_sound
    assert not map_of(folder).exists()
    with Index.open(folder) as index:
        map_(index, sample=60, seed=4)
        assert stored_map(index) == map_of(folder)
    with IndexWriter.resume(folder) as writer:
        writer.set_removed([2])
        writer.finish()
    assert not map_of(folder).exists()
    assert check(folder).is_sound


def test_cells_without_content_lie_on_no_map_and_every_stage_is_told(tmp_path: Path) -> None:
    images = random_images(3, 12)
    for image in images:
        image.status = "ok"
    images[4].features[1, 1] = images[4].norms[1, 1] = 0
    images[7].features[0] = images[7].norms[0] = 0
    with Index.open(make_index(tmp_path / "index", images)) as index:
        diary = Diary()
        found = map_(index, sample=60, seed=4, watch=diary)
        assert found.empty == 4
        assert found.alone.total == 12 * 9 - 4
        assert not index.is_empty(found.sampled).any()
        assert "4 cells have no content" in " ".join(view_of(found).tables[0].notes)
        # a map of the days when they lay on it too is made again
        columns = lay_out(index, 60, 4, Silence())
        assert len(columns["cell"]) == 104
        more = {name: np.append(column, column[:4]) for name, column in columns.items()}
        save_map(index, more)
        assert map_(index, sample=60, seed=4).alone.total == 104
    assert [stage.split(",")[0] for stage in diary.stages] == [
        "reading cells",
        "principal axes",
        "neighbours in the sample",
        "UMAP",
        "UMAP",
        "clusters",
        "placing the other cells",
    ]
    assert diary.stages["UMAP, epochs"] == [500, 500]
    placed = diary.stages["placing the other cells"]
    assert placed[0] == placed[1] == 104 - len(found.sampled)


def test_a_map_without_annotations_has_clusters(tmp_path: Path) -> None:
    images = random_images(3, 12)
    for image in images:
        image.status, image.present, image.foreground = "ok", None, None
        image.features[:] = np.eye(image.features.shape[-1])[np.arange(9).reshape(3, 3) % 2]
    with Index.open(make_index(tmp_path / "index", images)) as index:
        found = map_(index, sample=60, seed=4)
    assert found.clusters
    assert {each.foreground for each in found.clusters} == {Rate(0, 0)}


def cluster(number: int, images: int, lift: int, **changes: Any) -> Cluster:
    """Ten cells of so many images, all of one class that is so many times as frequent there."""
    share = ClassShare("cat", Rate(images, images), None, Rate(0, images * (lift - 1)), 0.001, 0.001)
    facts = {"foreground": Rate(0, 10), "position": 9.0, "peak": (0, 0), "peak_cells": 9} | changes
    return Cluster(number, 10, images, (f"{number}.jpg:0,0",), (share,), (), **facts)


def test_clusters_of_one_image_come_last() -> None:
    alone, several = cluster(1, 1, 260, position=None), cluster(2, 2, 3)
    covered = cluster(3, 5, 3, foreground=Rate(10, 10))  # all on annotated objects: nothing suspicious
    assert (alone.suspicion, covered.suspicion) == (0, 0)
    assert several.suspicion == pytest.approx(9)
    assert sorted([alone, covered, several], key=rank_cluster) == [several, covered, alone]


def test_the_sheet_has_twelve_clusters_and_is_drawn_only_when_asked(mapped: tuple[Path, CellMap]) -> None:
    path, found = mapped
    assert len(found.clusters) > 12
    with Index.open(path) as index:
        first, sheet = pictures_of(index, found)
        assert (first.only_with, sheet.only_with) == (None, "clusters")
        assert callable(sheet.image)
        assert sheet.drawn().height < 2600


def test_too_few_cells_are_refused(tmp_path: Path) -> None:
    images = random_images(1, 1)
    images[0].status = "ok"
    with (
        Index.open(make_index(tmp_path / "index", images)) as index,
        pytest.raises(DatasetError, match="9 cells"),
    ):
        map_(index)


@pytest.mark.parametrize(("count", "sample"), [(10, 1000), (10, 37), (10, 4), (3, 9)])
def test_every_image_has_an_equal_share_of_the_sample(count: int, sample: int) -> None:
    images = np.arange(count) * 2
    drawn = sample_cells(images, 9, sample, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn.tolist())) == min(sample, count * 9)
    per_image = Counter((drawn // 9).tolist())
    assert set(per_image) <= set(images.tolist())
    shares = [per_image[image] for image in images.tolist()]
    assert max(shares) - min(shares) <= 1


def test_principal_axes_are_those_of_the_singular_value_decomposition() -> None:
    vectors = (np.random.default_rng(0).standard_normal((80, 6)) * [9, 5, 3, 2, 1, 0.5]).astype(np.float32)
    _, values, expected = np.linalg.svd(vectors - vectors.mean(axis=0))
    axes = Axes.of(vectors)
    np.testing.assert_allclose(np.abs(expected @ axes.axes), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(axes.project(vectors), axis=0), values, rtol=1e-4)


@pytest.mark.parametrize("count", [50, 2501])  # runs of one cell, and of two of which one is short
def test_nearest_are_those_of_all_distances_and_twins_are_no_distance_apart(count: int) -> None:
    vectors = np.random.default_rng(6).standard_normal((count, 4)).astype(np.float32)
    vectors[20] = vectors[30] = vectors[count - 1]
    asked = np.array([20, 0, 7, count - 1])
    near, far = Nearest(vectors).find(vectors[asked], 7)
    for row, ids, distances in zip(asked, near, far, strict=True):
        every = np.linalg.norm(vectors[row].astype(np.float64) - vectors, axis=1)
        np.testing.assert_allclose(distances, np.sort(every)[:7], rtol=1e-5)
        np.testing.assert_allclose(every[ids], distances, rtol=1e-5)
        assert len(set(ids.tolist())) == 7
    assert set(near[0, :3].tolist()) == {20, 30, count - 1}
    assert far[0, :3].tolist() == [0, 0, 0]
    assert Nearest(vectors[:3]).find(vectors, 7)[0].shape == (count, 3)


def test_cells_are_placed_by_their_five_nearest() -> None:
    rng = np.random.default_rng(2)
    vectors, points = rng.standard_normal((30, 4)).astype(np.float32), rng.random((30, 2)).astype(np.float32)
    clusters = rng.integers(0, 4, 30)
    queries = rng.standard_normal((20, 4)).astype(np.float32)
    placed, members = Placing(Nearest(vectors), points, clusters).place(queries)
    for query, point, member in zip(queries, placed, members, strict=True):
        apart = sorted((float(np.linalg.norm(query - vector)), i) for i, vector in enumerate(vectors))[:5]
        total = sum(1 / far for far, _ in apart)
        expected = sum(points[i] / far / total for far, i in apart)
        np.testing.assert_allclose(point, expected, rtol=1e-3)
        votes = Counter()
        for far, i in apart:
            votes[int(clusters[i])] += 1 / far
        assert votes[int(member)] == pytest.approx(max(votes.values()))


def test_position_is_one_for_cells_spread_evenly_and_the_grid_for_cells_in_one_place() -> None:
    assert position_lift(30, 30, (3, 4)) == 12
    assert position_lift(0, 0, (3, 4)) is None
    # 3 images with all 4 cells each: 3 * 4 * 2 ordered pairs in one place, 12 * 8 of different images
    assert position_lift(24, 96, (2, 2)) == 1


def test_class_shares_are_fishers_exact_test() -> None:
    pairs = {(image, image % 3) for image in range(30)} | {(image, 1) for image in range(8)}
    images, classes = np.array(sorted(pairs)).T
    known = ImageClasses(("a", "b", "c"), images, classes)
    found = np.array([0, 1, 2, 3, 4, 7, 10, 99])  # 99 has no class
    rows = {row.name: row for row in class_shares(known, [found])[0]}
    for label, name in enumerate("abc"):
        inside = {image for image, k in pairs if k == label}
        here, rest = set(found.tolist()) & set(range(30)), set(range(30)) - set(found.tolist())
        table = [[len(inside & here), len(here - inside)], [len(inside & rest), len(rest - inside)]]
        assert rows[name].p_value == pytest.approx(fisher_exact(table, "greater").pvalue)
        assert rows[name].images == Rate(len(inside & here), len(inside))
        assert rows[name].elsewhere == Rate(len(here - inside), 30 - len(inside))
        share_of_found = len(inside & here) / len(here)
        assert rows[name].of_found == pytest.approx(share_of_found)
        assert rows[name].lift == pytest.approx(share_of_found / (len(inside) / 30))


def test_match_lists_mutual_pairs(demo: Path, audit) -> None:
    said = audit("match", "images/000003.png", "images/000011.png", "--mutual", "--out", "match.png")
    assert "each other's nearest" in said


def test_every_cell_with_its_place_can_be_exported(
    mapped: tuple[Path, CellMap], tmp_path: Path, audit
) -> None:
    path, answer = mapped
    file = tmp_path / "cells.parquet"
    audit("map", "--index", str(path), "--out", str(tmp_path / "map.png"), "--export", str(file))
    rows = duckdb.sql(f"SELECT * FROM '{file}'").fetchnumpy()
    assert len(rows["path"]) == answer.alone.total
    places = {f"{p}:{r},{c}" for p, r, c in zip(rows["path"], rows["row"], rows["col"], strict=True)}
    assert len(places) == len(rows["path"])
    assert int((rows["cluster"] == 0).sum()) == answer.alone.hits
    sampled = np.stack([rows["x"], rows["y"]], axis=1)[rows["is_sampled"]]
    np.testing.assert_allclose(sampled, answer.points, rtol=1e-6)
    for cluster in answer.clusters:
        assert set(cluster.exemplars) <= places
        own = rows["cluster"] == cluster.number
        assert int(own.sum()) == cluster.cells
        assert int(rows["foreground"][own].sum()) == cluster.foreground.hits
