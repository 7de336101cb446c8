"""Indexes are listed, removed, renamed and repaired, and nothing that is not theirs is touched."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import run_audit

from auditor.cli import listing
from auditor.cli.housekeeping import remove
from auditor.errors import AuditError, IndexBusy, IndexDamaged, IndexMissing
from auditor.files import temporary_name
from auditor.measure.evidence import cell_evidence
from auditor.store import HeadFacts, Index, IndexWriter, read_current, read_manifest, write_staged
from auditor.store.check import check
from auditor.store.manifest import write_manifest
from auditor.store.removal import remove_index, rename_index
from indexes import arrays, image_columns, make_index, manifest, random_images, shard


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is one with two indexes, of which `b` is newer and untrained."""
    monkeypatch.chdir(tmp_path)
    images = random_images(2, 6)
    make_index(tmp_path / "indexes" / "a", images)
    made = manifest()
    untrained = replace(made, backbone=replace(made.backbone, weights="random:0", weights_sha256="random:0"))
    make_index(tmp_path / "indexes" / "b", images, described=untrained)
    return tmp_path


def spoil(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def test_the_list_says_weights_date_and_newest(here: Path, ask: Callable[..., Any], audit: Any) -> None:
    a, b = ask("list")
    assert [a["weights"], b["weights"]] == ["hub", "random:0"]
    assert [a["is_newest"], b["is_newest"]] == [False, True]
    assert a["created"] <= a["modified"] < b["created"] <= b["modified"]
    shown = audit("list").splitlines()
    rows = {line.split()[0]: line for line in shown if line.startswith(("a ", "b "))}
    assert "random:0, untrained" in rows["b"]
    assert "untrained" not in rows["a"]
    assert rows["b"].startswith("b * ")
    assert any(line.startswith("b: random weights") for line in shown)


def test_the_list_says_whether_cells_carry_the_class(
    here: Path, ask: Callable[..., Any], audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("indexes/b/derived/000001/audit.duckdb").rename("kept")  # b cannot be asked, a can
    shown = audit("list").splitlines()
    Path("kept").rename("indexes/b/derived/000001/audit.duckdb")
    with Index.open(Path("indexes/a")) as index:
        evidence = cell_evidence(index)
    assert evidence is not None
    assert f"a: {evidence.sentence}" in shown
    assert not any(line.startswith("b: Its cells") for line in shown)
    assert ask("list")[1]["evidence"] == evidence.sentence  # of the same images
    monkeypatch.setattr(listing, "QUICK", 1)
    assert [row["evidence"] for row in ask("list")] == [None, None]


def test_a_damaged_index_is_a_line_of_the_list(here: Path, ask: Callable[..., Any], audit: Any) -> None:
    shutil.copytree("indexes/a", "indexes/c")
    spoil(Path("indexes/b/index.json"))
    spoil(Path("indexes/c/shards/00000/norms.npy"))
    a, b, c = ask("list")
    assert a["problem"] is None
    assert "index.json is damaged" in b["problem"]
    assert "norms.npy" in c["problem"]
    lines = [line for line in audit("list").splitlines() if " cannot be used: " in line]
    assert [line.split()[0] for line in lines] == ["b", "c"]


def test_no_other_index_answers_for_one_that_cannot_be_read(here: Path, audit: Callable[..., str]) -> None:
    spoil(Path("indexes/b/index.json"))
    with pytest.raises(IndexDamaged, match="b may be the newest, so name the index that you mean"):
        run_audit("metrics")
    assert audit("metrics", "--index", "a").startswith("a: birds, fake, ")


# ------------------------------------------------------------------------------------------------ removing


def test_what_audit_wrote_is_removed_and_the_rest_kept(here: Path, audit: Callable[..., str]) -> None:
    assert audit("remove", "a", "--yes").startswith("removed: indexes/a, ")
    assert not Path("indexes/a").exists()
    mine = Path("indexes/b/shards/00000/mine.txt")
    mine.write_text("mine")
    assert "kept: shards/00000/mine.txt in indexes/b" in audit("remove", "b", "--yes")
    assert [file for file in Path("indexes/b").rglob("*") if file.is_file()] == [mine]


def test_a_removal_is_asked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decline(text: str, *, abort: bool, err: bool) -> None:
        assert "indexes/b" in text
        assert "random weights" in text
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", decline)
    with pytest.raises(typer.Abort):
        remove("b", yes=False)
    assert check(Path("indexes/b")).is_sound


def test_what_is_no_index_for_certain_is_not_removed(here: Path) -> None:
    Path("indexes/photos").mkdir()
    Path("indexes/photos/index.json").write_text("{}")
    Path("indexes/photos/me.jpg").write_bytes(b"x")
    with pytest.raises(IndexDamaged):
        remove_index(Path("indexes/photos"))
    with pytest.raises(IndexMissing):
        remove_index(Path("indexes"))
    assert Path("indexes/photos/me.jpg").exists()


@pytest.mark.parametrize("linked", [".", "shards", "shards/00000"])
def test_no_link_is_followed(here: Path, linked: str) -> None:
    """Neither the index itself nor a folder in it."""
    link = Path("indexes/b", linked)
    link.rename("elsewhere")
    link.symlink_to(here / "elsewhere")
    before = sorted(Path().rglob("*")), sorted(Path("elsewhere").rglob("*"))
    with pytest.raises(AuditError, match="is a link"):
        remove_index(Path("indexes/b"))
    assert (sorted(Path().rglob("*")), sorted(Path("elsewhere").rglob("*"))) == before


def test_a_manifest_that_names_a_head_outside_removes_none(here: Path) -> None:
    ours = read_manifest(Path("indexes/b"))
    for name in ("../a/index.json", str(here / "indexes/a/index.json")):
        write_manifest(Path("indexes/b"), replace(ours, head=HeadFacts("probe", name, "0" * 64)))
        with pytest.raises(IndexDamaged, match="which is no file of an index"):
            remove_index(Path("indexes/b"))
    assert check(Path("indexes/a")).is_sound
    assert Path("indexes/b/shards/00000/features.npy").exists()


def test_an_unfinished_index_is_removed_with_what_is_derived_and_staged(here: Path) -> None:
    path, images = Path("indexes/b"), random_images(5, 3)
    with IndexWriter.resume(path) as writer:
        shard(writer, "00009", images, 6)
        write_staged(path, "00010", **arrays(images), images=image_columns(images, 9))
    left = path / temporary_name()  # by a writer that was killed
    left.mkdir()
    (left / "features.npy").write_bytes(b"half")
    assert remove_index(path) == ()
    assert not path.exists()


def test_an_index_that_is_being_written_is_left_alone(here: Path) -> None:
    with IndexWriter.resume(Path("indexes/b")):
        with pytest.raises(IndexBusy):
            remove_index(Path("indexes/b"))
        with pytest.raises(IndexBusy):
            rename_index(Path("indexes/b"), "c")
    assert check(Path("indexes/b")).is_sound


# ------------------------------------------------------------------------------------------------ renaming


def test_a_renamed_index_answers_under_its_new_name(here: Path, audit: Callable[..., str]) -> None:
    audit("rename", "a", "birds")
    assert not Path("indexes/a").exists()
    with Index.open(Path("indexes/birds")) as index:
        assert index.name == "birds"
    IndexWriter.resume(Path("indexes/birds")).close()


def test_a_name_that_is_taken_or_none_is_refused(here: Path) -> None:
    Path("indexes/empty").mkdir()
    Path("indexes/link").symlink_to("nowhere")
    for name in ("b", "empty", "link"):
        with pytest.raises(AuditError, match="is there already"):
            rename_index(Path("indexes/a"), name)
    for name in ("", "..", "x/y", ".hidden"):
        with pytest.raises(AuditError, match="is no name"):
            rename_index(Path("indexes/a"), name)
    with pytest.raises(AuditError, match=r"cannot rename indexes/a: File name too long$"):
        rename_index(Path("indexes/a"), "a" * 300)
    assert check(Path("indexes/a")).is_sound


def test_what_was_done_as_json(here: Path, ask: Callable[..., Any]) -> None:
    renamed = ask("rename", "a", "birds")
    assert (renamed["index"], renamed["before"]) == ("birds", "indexes/a")
    assert Path(renamed["path"]).samefile("indexes/birds")
    Path("indexes/b/mine.txt").write_text("mine")
    removed = ask("remove", "b", "--yes")
    assert removed["bytes"] > 1000
    assert (removed["index"], removed["path"], removed["kept"]) == ("b", "indexes/b", ["mine.txt"])


# ------------------------------------------------------------------------------------------------ repairing


@pytest.fixture
def scenes(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is one with an index of unusual options, and a newer one of usual ones."""
    monkeypatch.chdir(tmp_path)
    words = "--limit 24 --fill blur --size 128 --mean 0.4,0.5,0.6 --precision bfloat16 --seed 3 --head probe"
    run_audit("index", demo_folder / "scenes", "--name", "first", *words.split())
    run_audit("index", demo_folder / "scenes", "--limit", "8", "--name", "second")
    return tmp_path / "indexes" / "first"


def test_the_command_of_check_repairs_this_very_index(
    scenes: Path, ask: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before, current = read_manifest(scenes), read_current(scenes)
    assert current is not None
    (name,) = [each.name for each in current.shards]
    for file in (f"derived/{current.name}/audit.duckdb", f"shards/{name}/cells.parquet"):
        spoil(scenes / file)
        with pytest.raises(SystemExit):
            run_audit("check", "--index", "first", "--json")
        (command,) = check(scenes).repair
        assert command in capsys.readouterr().out
        run_audit(*shlex.split(command)[1:])
        capsys.readouterr()
        assert check(scenes).is_sound
    assert read_manifest(scenes).options == before.options
    assert check(scenes).repair == ()
    with Index.open(scenes) as index:  # its annotations came along
        assert index.query("SELECT count(*) AS n FROM images WHERE label IS NOT NULL")["n"].tolist() == [24]
        assert index.images == 24


def test_an_index_with_a_damaged_head_is_built_again(
    scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(scenes / "heads" / "probe.safetensors")
    first, second = check(scenes).repair
    assert first == "audit remove first"
    run_audit(*shlex.split(first)[1:], "--yes")
    run_audit(*shlex.split(second)[1:])
    assert check(scenes).is_sound
    assert read_manifest(scenes).options["limit"] == 24
