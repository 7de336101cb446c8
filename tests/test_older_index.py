"""An index of this version of the format from its first days: what was added to it since is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.questions.metrics.ask import metrics
from auditor.questions.similar.ask import similar
from auditor.store import FileFacts, Index, IndexWriter
from auditor.store.check import check
from auditor.store.columns import IMAGES
from auditor.store.manifest import MANIFEST, read_manifest
from auditor.store.sealed import checksum, write_sealed
from auditor.store.shards import SHARD, read_shard, shard_names
from indexes import make_index, random_images, shard

ADDED = {"columns": ("size", "mtime_ns", "code"), MANIFEST: ("agreement",), "generation.json": ("search",)}
"""To the images, to the manifest, and to what a generation says of itself."""

GROWN = random_images(5, 3)


def strip(path: Path) -> None:
    """Take away what the file's first writers did not know."""
    content = json.loads(path.read_text())
    for field in ("checksum", *ADDED[path.name]):
        del content[field]
    path.write_text(json.dumps({"checksum": checksum(content), **content}))


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index `older`, written as then, beside `now`, which holds the same."""
    monkeypatch.chdir(tmp_path)
    images = random_images(2, 12)
    make_index(tmp_path / "indexes" / "now", images, removed=[3])
    with monkeypatch.context() as patched:
        for column in ADDED["columns"]:
            patched.delitem(IMAGES, column)
        path = make_index(tmp_path / "indexes" / "older", images, removed=[3])
        strip(path / MANIFEST)
        for name in shard_names(path):
            folder, stated = path / "shards" / name, read_shard(path, name)
            strip(folder / MANIFEST)
            files = {**stated.files, MANIFEST: FileFacts.of(folder / MANIFEST)}
            write_sealed(folder / SHARD, replace(stated, files=files))
        with IndexWriter.resume(path) as writer:
            writer.finish()
        for generation in path.glob("derived/*/generation.json"):
            strip(generation)
    return path


def test_it_is_sound_and_answers_what_it_would_now(older: Path, ask: Callable[..., Any]) -> None:
    assert check(older).is_sound
    manifest = read_manifest(older)
    assert (manifest.runtime, manifest.precision, manifest.agreement) == ("torch", "float32", None)
    with Index.open(older) as index, Index.open(older.with_name("now")) as now:
        assert not set(ADDED["columns"]) & set(index.query("FROM images"))
        assert replace(metrics(index), index="now") == metrics(now)
        asked = random_images(2, 1)[0].path, 0, 0
        assert similar(index, *asked).hits == similar(now, *asked).hits
    for words in ("list", "labels", "artifacts", "hygiene", "findings"):
        answer = ask(*words.split(), *([] if words == "list" else ["--index", "older"]))
        assert "older" in json.dumps(answer)


def test_it_grows_and_is_repaired_with_what_is_known(older: Path) -> None:
    with IndexWriter.resume(older) as writer:
        shard(writer, "00099", GROWN, 12)
        writer.finish()
    with Index.open(older) as index:
        rows = index.query("SELECT path, size FROM images ORDER BY id")
        assert len(rows["path"]) == 15
        assert rows["size"].mask.all()
    (older / MANIFEST).unlink()
    assert check(older, repair=True).is_sound
