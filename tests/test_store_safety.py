"""Kills and flipped bits: the index ends with the same content, and damage is noticed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.errors import IndexDamaged
from auditor.files import TEMPORARY, flush
from auditor.store import Index, IndexWriter, Placed, promote_staged, read_current, write_staged
from auditor.store.check import check
from auditor.store.map_file import save_map
from auditor.store.shards import adopt
from indexes import arrays, cell_columns, image_columns, make_index, manifest, random_images, shard

WRITER = """
import sys
from pathlib import Path
from indexes import manifest, random_images, shard
from auditor.store import IndexWriter, Placed, read_current
from auditor.store.manifest import has_manifest

path, images = Path(sys.argv[1]), random_images(0, 48)
if has_manifest(path) and read_current(path) is not None:
    sys.exit(0)
print("ready", flush=True)
writer = IndexWriter.resume(path) if has_manifest(path) else IndexWriter.create(path, manifest())
with writer:
    if not writer.placement.shards:
        writer.place([
            Placed(f"{first:05d}", first, tuple(image.path for image in images[first:first + 4]))
            for first in range(0, 48, 4)
        ])
    for placed in writer.missing():
        shard(writer, placed.name, images[placed.first:placed.first + 4], placed.first)
    writer.finish()
"""


def was_killed(path: Path, after: float) -> bool:
    """Whether a process that writes the index had to be killed, seconds after its libraries loaded."""
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": folders}
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert process.wait(after) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def content(path: Path) -> dict[str, Any]:
    """Everything that questions can see."""
    with Index.open(path) as index:
        tables = {
            name: index.query(f"SELECT * FROM {name} ORDER BY ALL") for name in ("images", "cells", "classes")
        }
        vectors = index.vectors(np.arange(48 * 9))
        shards = index.generation.shards
    plain = {
        name: {key: repr(column.tolist()) for key, column in table.items()} for name, table in tables.items()
    }
    return {**plain, "vectors": vectors.tobytes(), "shards": shards}


@pytest.mark.parametrize("most", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_a_writer_killed_at_random_points_ends_with_the_same_content(tmp_path: Path, most: int) -> None:
    began = time.monotonic()
    assert not was_killed(tmp_path / "whole", after=60)
    whole = time.monotonic() - began
    chance, path, kills, ended = random.Random(most), tmp_path / "killed", 0, 0
    # an eighth of the work at most, so that many kills fall into one index; then into another
    while True:
        if was_killed(path, after=chance.uniform(0, whole / 8) if kills < most else 60):
            kills += 1
            continue
        ended += 1
        assert content(path) == content(tmp_path / "whole")
        if kills >= most or (most == 12 and kills >= 4):
            break
        path = tmp_path / f"killed{ended}"
    assert not list(path.glob(".tmp-*"))
    assert check(path).is_sound


class Disk:
    """What a loss of power would leave: which state of a file or folder was flushed, and which names were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flushed: set[tuple[int, int]] = set()
        self.unsure: set[int] = set()
        self.moves = 0
        self._fsync, self._mkdir = os.fsync, os.mkdir
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, partial(self.move, getattr(os, name)))

    def fsync(self, handle: int) -> None:
        found = os.fstat(handle)
        self.flushed.add((found.st_ino, found.st_mtime_ns))
        self.unsure.discard(found.st_ino)
        self._fsync(handle)

    def mkdir(self, path: Path, *mode: int) -> None:
        self._mkdir(path, *mode)
        if TEMPORARY not in str(path):
            self.unsure.add(Path(path).parent.stat().st_ino)

    def move(self, move: Callable[[Path, Path], None], source: Path, target: Path) -> None:
        """Into place only what is on the disk; out of it, under a temporary name, anything."""
        if not Path(target).name.startswith(TEMPORARY):
            for path in (source, *Path(source).rglob("*")):
                assert (path.stat().st_ino, path.stat().st_mtime_ns) in self.flushed, (path, target)
            self.unsure.add(Path(target).parent.stat().st_ino)
            self.moves += 1
        move(source, target)


def test_what_gets_its_name_is_on_the_disk_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images, disk = tmp_path / "index", random_images(0, 6), Disk(monkeypatch)
    handles = len(list(Path("/proc/self/fd").iterdir()))
    flush(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == handles
    with IndexWriter.create(path, manifest()) as writer:
        shard(writer, "00000", images[:3], 0)
        assert not disk.unsure
        writer.place([Placed("00001", 3, tuple(image.path for image in images[3:]))])
        assert not disk.unsure
        write_staged(path, "00001", **arrays(images[3:]), images=image_columns(images[3:], 3))
        assert not disk.unsure
        columns = image_columns(images[3:], 3), cell_columns(images[3:], 3)
        promote_staged(path, writer.manifest, "00001", images=columns[0], cells=columns[1])
        assert not disk.unsure
        writer.finish()
    with Index.open(path) as index:
        save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)})
    IndexWriter.create(tmp_path / "other", manifest()).close()
    adopt(tmp_path / "other", path, "shards", "00001")
    assert not disk.unsure
    assert disk.moves >= 12


def flip(path: Path, chance: random.Random) -> None:
    """Turn over one bit of a file."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("sound") / "index", random_images(3, 10))


NO_CONTENT = {".lock", ".writer", ".verified"}


def files_of(path: Path) -> list[str]:
    files = (file for file in path.rglob("*") if file.is_file() and file.name not in NO_CONTENT)
    return sorted(file.relative_to(path).as_posix() for file in files)


def test_check_notices_a_flipped_bit_in_every_file(sound: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    assert check(sound).is_sound
    names = files_of(sound)
    assert len(names) == 2 * 7 + 1 + 2 + 2 + 1  # shards, index.json, plan, generation, CURRENT
    for name in names:
        copy = tmp_path / "copy"
        shutil.copytree(sound, copy)
        flip(copy / name, chance)
        checked = check(copy)
        assert len(checked.problems) >= 1, name
        assert Path(name).name.split("-")[0] in checked.problems[0]
        assert "audit" in checked.problems[0] + str(checked.repair)
        shutil.rmtree(copy)


def test_check_notices_every_missing_file(sound: Path, tmp_path: Path) -> None:
    for name in files_of(sound):
        copy = tmp_path / "copy"
        shutil.copytree(sound, copy)
        (copy / name).unlink()
        assert not check(copy).is_sound, name
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["audit.duckdb", "generation.json"])
def test_repair_rebuilds_what_is_derived(sound: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "index"
    shutil.copytree(sound, path)
    flip(path / "derived" / "000001" / name, random.Random(2))
    repaired = check(path, repair=True)
    assert repaired.is_sound
    assert len(repaired.repaired) == 1
    assert check(path).is_sound
    Index.open(path).close()


@pytest.mark.parametrize("file", ["features.npy", "images.parquet"])
def test_a_damaged_shard_is_named_dropped_and_made_again_under_the_same_ids(
    sound: Path, tmp_path: Path, file: str
) -> None:
    path, images = tmp_path / "index", random_images(3, 10)
    shutil.copytree(sound, path)
    flip(path / "shards/00000" / file, random.Random(5))
    checked = check(path, repair=True)
    assert not checked.is_sound
    assert f"{file} damaged; it holds images 0 to 4, a/img000.jpg to a/img004.jpg" in checked.problems[0]
    with IndexWriter.resume(path) as writer:
        (lost,) = writer.drop_damaged()
    with IndexWriter.resume(path) as writer:
        assert writer.missing() == (lost,)
        assert lost.paths == tuple(image.path for image in images[:5])
        assert writer.placement.images == 10
        with pytest.raises(IndexDamaged, match="lacks images from id 0"):
            writer.finish()
        shard(writer, lost.name, images[:5], lost.first)
        writer.finish()
    ours, theirs = read_current(path), read_current(sound)
    assert ours is not None
    assert theirs is not None
    assert ours.shards == theirs.shards
    assert check(path).is_sound
