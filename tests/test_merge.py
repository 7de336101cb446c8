"""An index made in parts, by runs that share nothing but the images, is the index that one run makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import run_audit
from crash import dies_at
from photos import SMALL, write_dataset, write_photo
from same import assert_same

import auditor.indexing.build as building
from auditor.errors import AuditError, IndexBusy, IndexDamaged, IndexMismatch, IndexMissing
from auditor.store import HeadFacts, Index, IndexWriter, read_current, read_manifest, staged_names
from auditor.store.check import check
from auditor.store.part import Part
from auditor.store.same import differences_of_parts
from auditor.store.sealed import write_sealed
from auditor.store.shards import SHARD, shard_names
from indexes import manifest

OWN = ("--backbone", "symbols", "--max-bad", "1")
PROBE = (*SMALL, "--head", "probe", "--max-bad", "1")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven images with boxes, one of them cut short and one empty, of which every shard holds two."""
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "pets", images=7)
    cut = root / "images" / "cat" / "02.png"
    cut.write_bytes(cut.read_bytes()[:300])
    (root / "images" / "dog" / "05.png").write_bytes(b"")
    return root


@pytest.fixture(autouse=True)
def two_images_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = building.Build.__init__

    def small(self: Any, *words: Any) -> None:
        begin(self, *words)
        self.shard_images = 2

    monkeypatch.setattr(building.Build, "__init__", small)


def index(dataset: Path, *words: str | Path) -> None:
    run_audit("index", dataset / "images", "-a", dataset / "boxes", *words)


def parts(dataset: Path, count: int, *words: str) -> list[Path]:
    for number in range(1, count + 1):
        index(dataset, *words, "--name", "pets", "--shard", f"{number}/{count}")
    return [Path(f"indexes/pets.{number}-of-{count}") for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [0, 1, 5, 24])
@pytest.mark.parametrize("of", [1, 2, 5, 7])
def test_parts_share_a_plan_in_order_and_evenly(of: int, count: int) -> None:
    shares = [Part.parse(f"{number}/{of}").select(range(count)) for number in range(1, of + 1)]
    assert [each for share in shares for each in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_part_is_written_as_a_number_of_a_number() -> None:
    for text in ("1/1", "3/16", "999999/999999"):
        part = Part.parse(text)
        assert str(part) == text
        assert part.suffix == f".{text.replace('/', '-of-')}"
    for text in ("0/2", "3/2", "1/0", "2", "a/b", "-1/2", "1/2/3", " 1/2", "1/2\n", "1/", "1000000/1000000"):
        with pytest.raises(AuditError, match="is no part of a whole; write 3/16"):
            Part.parse(text)


def test_all_that_parts_must_share_is_named_where_it_differs() -> None:
    one = replace(manifest(), options={"target": "all", "seed": 0, "limit": None})
    dataset, backbone, versions = one.dataset, one.backbone, dict(one.versions)
    changed: dict[str, dict[str, Any]] = {
        "dataset": {"dataset": replace(dataset, root="/data/cats")},
        "backbone": {"backbone": replace(backbone, model="other")},
        "weights": {"backbone": replace(backbone, weights_sha256="0" * 64)},
        "model arguments": {"backbone": replace(backbone, model_args={})},
        "head": {"head": HeadFacts("none")},
        "classes": {"classes": one.classes[:3]},
        "preprocess": {"preprocess": replace(one.preprocess, crop=96)},
        "grid": {"grid": (3, 4)},
        "dim": {"dim": 17},
        "variants": {"variants": one.variants[:1]},
        "fill": {"fill": "blur"},
        "seed": {"options": {"target": "all", "seed": 1}},
        "annotations": {"dataset": replace(dataset, annotations="boxes.csv")},
        "classes of the dataset": {"dataset": replace(dataset, classes=())},
        "the head's file": {"head": replace(one.head, sha256="0" * 64)},
        "numpy": {"versions": {}},
        "torch": {"versions": versions | {"torch": "1.0"}},
    }
    for name, change in changed.items():
        for pair in ((one, replace(one, **change)), (replace(one, **change), one)):
            assert [each.name for each in differences_of_parts(*pair)] == [name]
    for alike in ({"limit": 3}, {"sample": 3}, {"part": "1/2"}):
        assert not list(differences_of_parts(one, replace(one, options={**one.options, **alike})))
    (long,) = differences_of_parts(one, replace(one, dataset=replace(dataset, root="/" + "x" * 90)))
    assert (long.before, long.now) == ("/data/birds", "/" + "x" * 86 + "...")
    (whole,) = differences_of_parts(one, replace(one, dataset=replace(dataset, root="/" + "x" * 89)))
    assert whole.now == "/" + "x" * 89


@pytest.mark.parametrize("count", [1, 3, 6])
def test_parts_make_what_one_run_makes(dataset: Path, count: int) -> None:
    """Bad images and occluded variants too; of six parts two have nothing to do."""
    index(dataset, *OWN, "--name", "whole")
    made = parts(dataset, count, *OWN)
    held = [set(shard_names(part)) for part in made]
    assert sum(map(len, held)) == len(set().union(*held)) == 4
    assert all(check(part).is_sound for part in made)
    run_audit("merge", *made, "--max-bad", "1")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))
    with Index.open(Path("indexes/pets")) as merged:
        codes = merged.query("SELECT code FROM images WHERE status = 'broken' ORDER BY path")["code"]
        assert codes.tolist() == ["corrupt", "empty"]


def test_a_probe_is_trained_once_all_parts_are_there(dataset: Path, audit: Callable[..., str]) -> None:
    """Parts extract; the merged index trains and scores, as one run would have, without extracting again."""
    index(dataset, *PROBE, "--name", "whole")
    made = parts(dataset, 2, *PROBE)
    assert not any(shard_names(part) for part in made)
    audit("merge", *made)
    merged = Path("indexes/pets")
    assert len(staged_names(merged)) == 4
    assert read_current(merged) is None
    index(dataset, *PROBE, "--name", "pets")
    assert_same(Path("indexes/whole"), merged)
    audit("merge", *made, "--max-bad", "1")  # again changes nothing
    assert_same(Path("indexes/whole"), merged)


def test_merging_goes_on_wherever_it_died(dataset: Path) -> None:
    """Killed before every change of the disk in turn, the same command ends with the same index."""
    index(dataset, *OWN, "--name", "whole")
    made = parts(dataset, 2, *OWN)
    before = {part: sorted(file for file in part.rglob("*") if file.is_file()) for part in made}
    words = ("merge", *made, "--max-bad", "1")
    step = 1
    while dies_at(step, lambda: run_audit(*words)):
        step += 11
        if step % 3 == 0:
            shutil.rmtree("indexes/pets", ignore_errors=True)
    assert step > 20
    run_audit(*words)
    current = read_current(Path("indexes/pets"))
    assert_same(Path("indexes/whole"), Path("indexes/pets"))
    run_audit(*words)
    assert read_current(Path("indexes/pets")) == current
    for part, files in before.items():
        assert sorted(file for file in part.rglob("*") if file.is_file()) == files


def test_a_missing_part_is_named_and_what_is_there_is_kept(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "whole")
    first, second = parts(dataset, 2, *OWN)
    with pytest.raises(IndexMissing, match=r"2 of 4 shards are in none of .*of part 2/2: run it too"):
        run_audit("merge", first)
    assert len(shard_names(Path("indexes/pets"))) == 2
    run_audit("merge", second, "--max-bad", "1")  # one after the other is as good
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


def test_the_missing_part_can_be_made_in_the_merged_index(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "whole")
    first, _ = parts(dataset, 2, *OWN)
    with pytest.raises(IndexMissing, match="make them there with: audit index"):
        run_audit("merge", first)
    index(dataset, *OWN, "--name", "pets")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


def test_a_stopped_part_goes_on_and_is_named_until_then(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "whole")
    first, second = parts(dataset, 2, *OWN)
    shutil.rmtree(second / "shards" / shard_names(second)[-1])
    message = r"of part 2/2: go on with it: audit index .*--shard 2/2.*--name pets"
    with pytest.raises(IndexMissing, match=message):
        run_audit("merge", first, second)
    index(dataset, *OWN, "--name", "pets", "--shard", "2/2")
    run_audit("merge", first, second, "--max-bad", "1")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


def test_a_damaged_shard_is_named_and_made_again(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "whole")
    first, second = parts(dataset, 2, *OWN)
    damaged = second / "shards" / shard_names(second)[0] / "features.npy"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    with pytest.raises(IndexDamaged, match=r"features.npy damaged; make it again with: audit index .*2/2"):
        run_audit("merge", first, second)
    assert len(shard_names(Path("indexes/pets"))) == 3
    index(dataset, *OWN, "--name", "pets", "--shard", "2/2")
    run_audit("merge", first, second, "--max-bad", "1")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


def test_a_shard_that_was_damaged_since_is_taken_anew(dataset: Path) -> None:
    made = parts(dataset, 2, *OWN)
    run_audit("merge", *made, "--max-bad", "1")
    merged = Path("indexes/pets")
    norms = merged / "shards" / shard_names(merged)[0] / "norms.npy"
    content = norms.read_bytes()
    norms.unlink()  # the part's is the same file
    norms.write_bytes(content[:-1])
    run_audit("merge", *made, "--max-bad", "1")
    assert norms.read_bytes() == content
    assert check(merged).is_sound


def test_a_part_that_is_still_made_is_waited_for(dataset: Path) -> None:
    made = parts(dataset, 2, *OWN)
    with IndexWriter.resume(made[1]), pytest.raises(IndexBusy, match="2-of-2"):
        run_audit("merge", *made)
    run_audit("merge", *made, "--max-bad", "1")


def test_parts_of_other_weights_or_libraries_are_refused(dataset: Path) -> None:
    first, second = parts(dataset, 2, *SMALL, "--head", "none", "--max-bad", "1")
    manifest = read_manifest(second)
    write_sealed(second / "index.json", replace(manifest, versions={**manifest.versions, "torch": "1.0"}))
    with pytest.raises(IndexMismatch, match=r"no parts of one index: torch is .* and 1\.0 in the other"):
        run_audit("merge", first, second)
    shutil.rmtree(second)
    other = ("--backbone", "timm/test_resnet", "--weights", "random:1", "--size", "96", "--head", "none")
    index(dataset, *other, "--name", "pets", "--shard", "2/2")
    with pytest.raises(IndexMismatch, match="weights is random:0 in one and random:1 in the other"):
        run_audit("merge", first, second)
    assert not Path("indexes/pets").exists()


def test_parts_of_another_state_of_the_dataset_are_refused(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "pets", "--shard", "1/2")
    write_photo(dataset / "images" / "cat" / "03.png", 30)
    index(dataset, *OWN, "--name", "pets", "--shard", "2/2")
    with pytest.raises(IndexMismatch, match=r"another state of the dataset.*differ at"):
        run_audit("merge", "indexes/pets.1-of-2", "indexes/pets.2-of-2")


def test_a_part_keeps_to_its_plan_when_the_dataset_grows(dataset: Path, capsys: Any) -> None:
    made = parts(dataset, 2, *OWN)
    write_photo(dataset / "images" / "cat" / "03.png", 30)
    shutil.rmtree(made[1] / "shards" / shard_names(made[1])[-1])
    capsys.readouterr()
    index(dataset, *OWN, "--name", "pets", "--shard", "2/2")
    assert "the dataset is not as it was planned (1 images, such as cat/03.png)" in capsys.readouterr().err
    run_audit("merge", *made, "--max-bad", "1")
    index(dataset, *OWN, "--name", "pets")
    with Index.open(Path("indexes/pets")) as merged:
        assert merged.images == 8
        assert merged.path_of(7) == "cat/03.png"


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_part_whose_plan_was_lost_is_planned_as_the_others(dataset: Path, harm: str) -> None:
    """Its own shards cannot say what the others hold: what is planned anew is the dataset."""
    index(dataset, *OWN, "--name", "whole")
    made = parts(dataset, 2, *OWN)
    shutil.rmtree(made[1] / "shards" / shard_names(made[1])[0])
    lose_plan(made[1], harm)
    with pytest.raises(IndexDamaged, match=r"audit check --index .*2-of-2 --repair"):
        run_audit("merge", *made)
    checked = check(made[1], repair=True)
    assert "is a shard that the plan does not have" in checked.problems[0]
    assert "--shard 2/2" in checked.repair[0]
    index(dataset, *OWN, "--name", "pets", "--shard", "2/2")
    assert check(made[1]).is_sound
    run_audit("merge", *made, "--max-bad", "1")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


@pytest.mark.parametrize("repair", [True, False])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_plan_lost_with_a_shard_is_made_again_from_the_dataset(
    dataset: Path, lost: int, repair: bool
) -> None:
    index(dataset, *OWN, "--name", "whole")
    shutil.copytree("indexes/whole", "indexes/harmed")
    harmed = Path("indexes/harmed")
    shutil.rmtree(harmed / "shards" / shard_names(harmed)[lost])
    lose_plan(harmed, "lost")
    if repair:
        check(harmed, repair=True)
    index(dataset, *OWN, "--name", "harmed")
    assert_same(Path("indexes/whole"), harmed)


def test_a_whole_index_that_lost_its_plan_keeps_its_ids_when_the_dataset_grew(dataset: Path) -> None:
    """The first image by name is new: planned from the dataset, every image would move on by one."""
    index(dataset, *OWN, "--name", "pets")
    write_photo(dataset / "images" / "cat" / "000.png", 30)
    before = shard_names(Path("indexes/pets"))
    lose_plan(Path("indexes/pets"), "lost")
    index(dataset, *OWN, "--name", "pets")
    assert check(Path("indexes/pets")).is_sound
    assert shard_names(Path("indexes/pets"))[:-1] == before
    with Index.open(Path("indexes/pets")) as grown:
        assert [grown.path_of(image) for image in (0, 7)] == ["cat/00.png", "cat/000.png"]
        assert grown.images == 8


def test_shards_of_another_state_of_the_dataset_are_not_taken_for_what_is_planned_anew(dataset: Path) -> None:
    index(dataset, *OWN, "--name", "pets", "--shard", "1/2")
    write_photo(dataset / "images" / "cat" / "000.png", 30)
    index(dataset, *OWN, "--name", "whole")
    lose_plan(Path("indexes/pets.1-of-2"), "lost")
    made = parts(dataset, 2, *OWN)
    run_audit("merge", *made, "--max-bad", "1")
    with Index.open(Path("indexes/whole")) as whole, Index.open(Path("indexes/pets")) as merged:
        assert merged.generation.shards == whole.generation.shards  # with the checksums of all files


def lose_plan(path: Path, harm: str) -> None:
    if harm == "lost":
        shutil.rmtree(path / "plan")
        return
    (file,) = (path / "plan").iterdir()
    file.write_bytes(file.read_bytes()[:-9])


def test_a_part_is_told_from_an_index(dataset: Path, audit: Callable[..., str]) -> None:
    made = parts(dataset, 2, *OWN)
    with pytest.raises(IndexDamaged, match=r"is part 1/2 of an index.*audit merge indexes/pets\.\*-of-2"):
        audit("metrics", "--index", made[0])
    assert "pets.1-of-2 is part 1/2; once all are made, join them with: audit merge" in audit("list")
    with pytest.raises(AuditError, match="named twice"):
        audit("merge", made[0], made[0])
    with pytest.raises(IndexMismatch, match="is part 1/2 of an index; go on with --shard 1/2"):
        index(dataset, *OWN, "--name", "pets.1-of-2")
    for wrong in ("0/2", "3/2", "2", "a/b"):
        with pytest.raises(AuditError, match="write 3/16"):
            index(dataset, *OWN, "--shard", wrong)
    assert (made[0] / "shards" / shard_names(made[0])[0] / SHARD).is_file()


@pytest.mark.parametrize("file", ["features.npy", "norms.npy", "pooled.npy", "images.parquet", "staged.json"])
def test_no_probe_learns_from_a_flipped_bit(dataset: Path, file: str, capsys: Any) -> None:
    """What waits for a probe and is not what was written is extracted again, and is in no merged index."""
    index(dataset, *PROBE, "--name", "whole")
    made = parts(dataset, 1, *PROBE)
    name = staged_names(made[0])[0]
    damaged = made[0] / "staging" / name / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(bytes(content))
    with pytest.raises(IndexDamaged, match=rf"{name}: damaged .*{file}.*make it again with: audit index"):
        run_audit("merge", *made)
    index(dataset, *PROBE, "--name", "pets", "--shard", "1/1")
    assert f"{file} is" in capsys.readouterr().err
    run_audit("merge", *made, "--max-bad", "1")
    index(dataset, *PROBE, "--name", "pets")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))
