"""Search of an index that is called large: against brute force, through changes, damage and kills."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from crash import dies_at
from numpy.typing import NDArray

from auditor.cli.listing import view_indexes
from auditor.errors import IndexDamaged
from auditor.questions.similar.ask import similar
from auditor.records.watch import Silence
from auditor.report.views import view_of
from auditor.search import measure_lists, nearest, proposals
from auditor.search.make_lists import prepare_search
from auditor.search.nearest import find_cells, nearest_cells, searchable
from auditor.search.proposals import Lists, proposer
from auditor.store import Index, IndexWriter, code_runs
from auditor.store.check import check
from auditor.store.generations import LISTS
from auditor.store.listing import list_indexes
from auditor.store.lists_file import open_lists, read_lists
from auditor.store.removal import remove_index
from indexes import DIM, Diary, FakeImage, make_index, random_images, shard

REMOVED = [4, 9]
CLUSTERS = 12


def clustered(seed: int, count: int) -> list[FakeImage]:
    """Images whose cells lie around a few directions."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIM))
    made = random_images(seed, count)
    for number, image in enumerate(made):
        image.path = f"{seed}/{number:04d}.jpg"
        image.status = "broken" if number == 7 else "ok"
        cells = centres[rng.integers(0, CLUSTERS, (3, 3))] + 0.5 * rng.standard_normal((3, 3, DIM))
        image.features = (cells / np.linalg.norm(cells, axis=-1, keepdims=True)).astype(np.float32)
    return made


@pytest.fixture(autouse=True)
def is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred cells are many; few of them choose and measure."""
    monkeypatch.setattr(proposals, "LARGE", 200)
    monkeypatch.setattr(measure_lists, "ASKED", 20)
    monkeypatch.setattr(measure_lists, "RERANKED", (60, 200))


@pytest.fixture(scope="module")
def images() -> list[FakeImage]:
    return clustered(1, 120)


@pytest.fixture(scope="module")
def plain(images: list[FakeImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index without lists."""
    return make_index(tmp_path_factory.mktemp("plain") / "index", images, size=20, removed=REMOVED)


@pytest.fixture
def path(plain: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(plain, tmp_path / "index")


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    """One with lists, open."""
    prepare_search(path, Silence())
    with Index.open(path) as opened:
        yield opened


def brute_force(
    index: Index, vector: NDArray[np.float32], allowed: NDArray[np.bool_], k: int, per_image: int = 0
) -> list[int]:
    """Cell ids of the k allowed cells of largest cosine, by loops."""
    cells = np.flatnonzero(allowed)
    cosines = index.vectors(cells) @ vector
    found: list[int] = []
    for place in np.lexsort((cells, -cosines)):
        cell = int(cells[place])
        if not per_image or sum(other // 9 == cell // 9 for other in found) < per_image:
            found.append(cell)
    return found[:k]


def test_recall_is_what_brute_force_says(index: Index) -> None:
    search = index.generation.search
    assert search is not None
    assert search.cells == 119 * 9  # those of removed images may come back
    assert search.asked == 20
    allowed, shares = searchable(index), []
    for cell in np.flatnonzero(allowed)[::5].tolist():
        others = allowed.copy()
        others[cell // 9] = False
        vector = index.vectors(np.array([cell]))[0]
        expected = brute_force(index, vector, others, 20, 1)
        found, _ = find_cells(index, proposer(index, others), vector, 20, others, 1)
        shares.append(len(set(found.tolist()) & set(expected)) / 20)
    assert len(shares) > 200
    assert abs(np.mean(shares) - search.recall) < 0.05
    assert np.mean(shares) > 0.93
    assert search.probed < search.lists


FILTERS: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]] = {
    "all": lambda image, cell: image >= 0,
    "half of the images": lambda image, cell: image % 2 == 0,
    "one place": lambda image, cell: cell == 4,
    "few": lambda image, cell: (image % 10 == 0) & (cell < 5),
    "none": lambda image, cell: image < 0,
}


@pytest.mark.parametrize("per_image", [0, 1, 2])
@pytest.mark.parametrize("chosen", FILTERS)
def test_whatever_is_filtered_all_lists_give_what_brute_force_gives(
    index: Index, chosen: str, per_image: int
) -> None:
    image, cell = np.indices((120, 9))
    allowed = searchable(index) & FILTERS[chosen](image, cell)
    search = index.generation.search
    assert search is not None
    everything = Lists(index.lists, search.lists, 10_000)
    for asked in (0, 40, 333):
        vector = index.vectors(np.array([asked]))[0]
        expected = brute_force(index, vector, allowed, 25, per_image)
        assert find_cells(index, everything, vector, 25, allowed, per_image)[0].tolist() == expected
        few, _ = find_cells(index, Lists(index.lists, 1, 30), vector, 25, allowed, per_image)
        assert allowed.ravel()[few].all()
        assert not per_image or np.bincount(few // 9).max(initial=0) <= per_image


def test_where_few_cells_may_be_found_search_is_exact(index: Index) -> None:
    allowed = searchable(index)
    allowed[22:] = False  # 19 images: 171 cells
    vector = index.vectors(np.array([700]))[0]
    hits = nearest_cells(index, vector, 30, allowed)
    found = [index.image(hit.path) * 9 + hit.row * 3 + hit.col for hit in hits]
    assert found == brute_force(index, vector, allowed, 30)
    assert proposals.recall_of(index, allowed) is None


def test_no_answer_is_short_because_its_lists_are(index: Index) -> None:
    search = index.generation.search
    assert search is not None
    index.generation = replace(index.generation, search=replace(search, probed=1, reranked=5))
    allowed = searchable(index)
    vector = index.vectors(np.array([0]))[0]
    assert len(nearest_cells(index, vector, 10_000, allowed)) == int(allowed.sum())
    assert len(nearest_cells(index, vector, 10_000, allowed, 1)) == 117


def test_an_answer_says_what_it_may_have_missed(index: Index, images: list[FakeImage]) -> None:
    search = index.generation.search
    assert search is not None
    answer = similar(index, images[0].path, 1, 1)
    assert answer.recall == search.recall
    (table,) = view_of(answer).tables
    assert any(
        note.startswith(f"Approximate: on cells of this index, {search.recall:.1%}") for note in table.notes
    )
    (row,) = list_indexes(index.path.parent)
    assert row.search == index.summary().search == search
    notes = " ".join(note for table in view_indexes((row,)).tables for note in table.notes)
    assert f"search finds {search.recall:.1%} of the 20 nearest cells of other images" in notes
    assert f"looking into {search.probed} of {search.lists} lists" in notes


def test_below_the_threshold_nothing_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "LARGE", 5_000)
    prepare_search(path, Silence())
    with Index.open(path) as index:
        assert index.lists is None
        answer = similar(index, "1/0000.jpg", 1, 1)
        assert answer.recall is None
        assert not any("Approximate" in note for note in view_of(answer).tables[0].notes)


def test_the_same_shards_give_the_same_lists(plain: Path, path: Path, tmp_path: Path) -> None:
    other = shutil.copytree(plain, tmp_path / "other")
    for each in (path, other):
        prepare_search(each, Silence())
    one, two = ((each / "derived/000001" / LISTS).read_bytes() for each in (path, other))
    assert one == two


# ------------------------------------------------------------------------------------- changes


def test_images_are_added_to_the_lists_and_removed_ones_never_found(path: Path) -> None:
    prepare_search(path, Silence())
    with IndexWriter.resume(path) as writer:
        writer.set_removed([*REMOVED, 20, 21])
        writer.finish()
    watch = Diary()
    prepare_search(path, watch)
    assert watch.stages == {}  # the lists are those of the same shards
    with Index.open(path) as index:
        before = index.generation.search
        assert before is not None
        assert index.lists.ntotal == 119 * 9
        hits = {hit.path for hit in similar(index, "1/0000.jpg", 1, 1, k=100).hits}
        assert not hits & {"1/0020.jpg", "1/0021.jpg"}
    with IndexWriter.resume(path) as writer:
        shard(writer, "00099", clustered(2, 30), 120)
        writer.finish()
    prepare_search(path, watch)
    assert not any(stage.startswith("making") for stage in watch.stages)
    assert all(done == total for done, total in watch.stages.values())
    with Index.open(path) as index:
        after = index.generation.search
        assert after is not None
        assert (after.trained, after.lists) == (before.trained, before.lists)
        assert after.cells == index.lists.ntotal == before.cells + 29 * 9
        everything = Lists(index.lists, after.lists, 10_000)
        allowed = searchable(index)
        vector = index.features(130)[0, 0]
        found, _ = find_cells(index, everything, vector, 40, allowed)
        assert found.tolist() == brute_force(index, vector, allowed, 40)
        assert (found // 9 >= 120).any()


def test_a_few_images_are_added_alone(path: Path) -> None:
    """No other is read, and what is known of the lists holds until the index has grown by a tenth."""
    prepare_search(path, Silence())
    with IndexWriter.resume(path) as writer:
        shard(writer, "00099", clustered(2, 9), 120)
        writer.finish()
    watch = Diary()
    prepare_search(path, watch)
    assert watch.stages == {"sorting cells into search lists, images": [9, 9]}
    with Index.open(path) as index:
        search = index.generation.search
        assert search is not None
        assert (search.cells, search.measured) == (127 * 9, 119 * 9)
        assert lists_of(index.lists) == lists_of(added_by_faiss(index))


def lists_of(faiss_index: Any) -> dict[int, tuple[bytes, list[int]]]:
    """Of each list that is not empty the blocks of codes and the ids."""
    ivf = faiss.downcast_index(faiss.extract_index_ivf(faiss_index))
    read = {}
    for number in range(ivf.nlist):
        if size := ivf.invlists.list_size(number):
            blocks = -(-size // 32) * ivf.M2 * 16  # of 32 cells, four bits of each of M2 parts
            codes = faiss.rev_swig_ptr(ivf.invlists.get_codes(number), blocks).tobytes()
            read[number] = (codes, faiss.rev_swig_ptr(ivf.invlists.get_ids(number), size).tolist())
    return read


def added_by_faiss(index: Index) -> Any:
    """The same lists, filled by FAISS itself, in memory."""
    file = index.file(LISTS)
    assert file is not None
    lists = read_lists(file, DIM, "").lists
    lists.reset()
    cells = np.arange(index.images * 9)
    vectors = index.vectors(cells)
    lists.add_with_ids(vectors[vectors.any(axis=1)], cells[vectors.any(axis=1)])
    return lists


@pytest.mark.parametrize("run", [1, 1000, 1 << 20])
def test_the_lists_are_what_faiss_makes_of_the_cells(
    path: Path, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_runs, "RUN", run)
    monkeypatch.setattr(nearest, "BLOCK", 2000)
    prepare_search(path, Silence())
    with Index.open(path) as index:
        assert lists_of(index.lists) == lists_of(added_by_faiss(index))


def test_lists_are_made_anew_where_the_index_has_outgrown_them(path: Path) -> None:
    prepare_search(path, Silence())
    with IndexWriter.resume(path) as writer:
        shard(writer, "00099", clustered(2, 130), 120)
        writer.finish()
    watch = Diary()
    prepare_search(path, watch)
    assert any(stage.startswith("making") for stage in watch.stages)
    assert check(path).is_sound


# ------------------------------------------------------------------------------------- damage and kills


def test_a_killed_build_leaves_exact_search_and_goes_on(path: Path, plain: Path) -> None:
    def build() -> None:
        prepare_search(path, Silence())

    step, states = 1, set()
    while dies_at(step, build):
        with Index.open(path) as index, Index.open(plain) as untouched:
            states.add(index.lists is not None)
            allowed, vector = searchable(index), index.vectors(np.array([50]))[0]
            if index.lists is None:
                assert nearest_cells(index, vector, 20, allowed) == nearest_cells(
                    untouched, vector, 20, allowed
                )
        step += 1
    assert step > 3
    assert False in states
    with Index.open(path) as index:
        assert index.lists.ntotal == 119 * 9
    assert check(path).is_sound
    assert not [each for each in path.rglob(".tmp-*") if each.parent.parent.name == "derived"]


def test_damage_is_found_said_and_repaired(path: Path) -> None:
    prepare_search(path, Silence())
    file = path / "derived/000001" / LISTS
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with Index.open(path) as index, pytest.raises(IndexDamaged, match=r"lists.faiss is missing or damaged"):
        similar(index, "1/0000.jpg", 1, 1)
    assert "lists.faiss" in " ".join(check(path).problems)
    assert check(path, repair=True).is_sound
    with Index.open(path) as index:
        assert similar(index, "1/0000.jpg", 1, 1).recall is None
    prepare_search(path, Silence())
    with Index.open(path) as index:
        assert similar(index, "1/0000.jpg", 1, 1).recall is not None


def test_no_answer_comes_from_lists_with_a_flipped_bit(path: Path) -> None:
    prepare_search(path, Silence())
    file = path / "derived/000001" / LISTS
    sound = file.read_bytes()
    for bit in np.random.default_rng(3).integers(0, 8 * len(sound), 60).tolist():
        content = bytearray(sound)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        with Index.open(path) as index, pytest.raises(IndexDamaged, match=LISTS):
            similar(index, "1/0000.jpg", 1, 1)


@pytest.mark.parametrize("read", [open_lists, read_lists])
def test_a_file_that_is_none_is_named(path: Path, tmp_path: Path, read: Callable[..., object]) -> None:
    prepare_search(path, Silence())
    content = (path / "derived/000001" / LISTS).read_bytes()
    many, file = (10**15).to_bytes(8, "little"), tmp_path / LISTS
    last = int.from_bytes(content[-24:-16], "little")
    round_ = (last + 2**61).to_bytes(8, "little")  # eight bytes a cell come round to what they were
    less = (-64).to_bytes(8, "little", signed=True)
    for broken in (b"", content[:20], content[:-8] + many, content[:-16] + many * 2, content[8:],
                   content[:-24] + less + content[-16:], content[:-24] + many + content[-16:],
                   content[:-24] + round_ + content[-16:]):  # fmt: skip
        file.write_bytes(broken)
        with pytest.raises(IndexDamaged, match=r"lists.faiss does not (open|belong).*; do this"):
            read(file, DIM, "do this")
    file.write_bytes(content)
    with pytest.raises(IndexDamaged, match="does not belong"):
        read(file, DIM + 8, "do this")


def test_removing_an_index_removes_its_lists(path: Path) -> None:
    prepare_search(path, Silence())
    assert remove_index(path) == ()
    assert not path.exists()
