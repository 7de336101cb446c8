"""Annotation files after an accident: read, noted, or refused by a sentence; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from packed import write_tar
from PIL import Image

from auditor.data.formats.yolo import parse_names
from auditor.data.load import load
from auditor.data.read import read_dataset
from auditor.errors import DatasetError
from auditor.records import Preprocess

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>"
CODE = {"size": [6, 8], "counts": [3, 5, 40]}
COCO = {
    "images": [{"id": n, "file_name": f"{name}.png", "width": 8, "height": 6} for n, name in enumerate("ab")],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 3, 4]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 6, 0, 6, 6]]},
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": CODE},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}
FILES = {
    "coco": ("instances.json", json.dumps(COCO)),
    "voc": (
        "a.xml",
        "<annotation><size><width>8</width><height>6</height></size>"
        f"<object><name>cat</name>{BOX}</object><object><name>dog</name>{BOX}</object></annotation>",
    ),
    "yolo": ("labels/a.txt", "0 0.5 0.5 0.25 0.5\n1 0 0 1 0 1 1\n"),
    "names": ("data.yaml", "path: .\nnames:\n  0: cat\n  1: 'big dog'\nkpt_shape: [2, 2]\n"),
    "csv": ("manifest.csv", 'path,label,labels,mask\na.png,cat,"cat;dog",m/a.png\nb.png,dog,,\n'),
    "jsonl": (
        "manifest.jsonl",
        '{"path": "a.png", "label": "cat", "mask": "m/a.png"}\n{"path": "b.png", "labels": ["dog"]}\n',
    ),
    "classes": ("classes.txt", "cat\ndog\n"),
    "mask": ("masks/a.png", ""),
}
WORDS = (
    *("NaN", "null", "-1", "1e999", "9" * 400, "[", "{}", '""', "\0", "\ufeff", "\n", "..", "&x;", "'", "<"),
    *("\udcff", "\\ud800"),
)


def spoil(data: bytes, rng: np.random.Generator) -> bytes:
    body = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, max(len(body), 1)))
        length = int(rng.integers(1, 12))
        match rng.integers(0, 5):
            case 0:
                body = body[:place]
            case 1:
                del body[place : place + length]
            case 2:
                body[place:place] = body[place : place + 4 * length]
            case 3 if body:
                body[min(place, len(body) - 1)] ^= 1 << int(rng.integers(0, 8))
            case _:
                word = WORDS[int(rng.integers(0, len(WORDS)))].encode(errors="surrogateescape")
                body[place : place + length] = word
    return bytes(body)


def write_around(root: Path, kind: str) -> None:
    """The images, and what the spoilt file needs beside it."""
    for name in "ab":
        Image.new("RGB", (8, 6)).save(root / f"{name}.png")
    for folder in ("m", "masks", "labels"):
        (root / folder).mkdir()
    Image.fromarray(np.full((6, 8), 1, np.uint8)).save(root / "m" / "a.png")
    if kind == "voc":
        (root / "b.xml").write_text(FILES["voc"][1])
    if kind == "names":
        (root / "labels" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    if kind in ("classes", "mask"):
        Image.fromarray(np.full((6, 8), 1, np.uint8)).save(root / "masks" / "a.png")
    if kind == "mask":
        (root / "classes.txt").write_text("cat\n")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
def test_a_spoilt_file_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    write_around(tmp_path, kind)
    name, text = FILES[kind]
    whole = (tmp_path / name).read_bytes() if kind == "mask" else text.encode()
    read = 0
    for seed in range(300):
        (tmp_path / name).write_bytes(spoil(whole, np.random.default_rng(seed)))
        try:
            dataset = read_dataset(tmp_path)
        except DatasetError:
            continue
        read += 1
        assert all(note.isprintable() for note in dataset.notes)
        for sample in dataset.samples:
            loaded = load(dataset, sample, Preprocess(6, 6))
            assert loaded.status in ("ok", "filtered"), loaded.error
            assert (loaded.code == "annotation") == bool(loaded.status == "ok" and loaded.error)
            assert not (sample.unclear and loaded.foreground is not None)
            assert all(0 <= label < len(dataset.classes) for label in sample.labels)
            for region in sample.regions:
                assert region.file is None or region.file.path.resolve().is_relative_to(tmp_path.resolve())
    assert read > 15


HALF = "\\ud800"  # of a surrogate pair: JSON and YAML can say it, and no text holds it


@pytest.mark.parametrize("kind", ["coco", "jsonl", "names"])
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(tmp_path: Path, kind: str) -> None:
    write_around(tmp_path, kind)
    name, text = FILES[kind]
    (tmp_path / name).write_text(text.replace("'big dog'", '"dog"').replace("dog", HALF))
    with pytest.raises(DatasetError, match=name):
        read_dataset(tmp_path)
    (tmp_path / name).write_text(text.replace("'big dog'", '"dog"').replace("dog", f"{HALF}\\udc00"))
    if kind != "names":  # YAML writes what lies beyond in another way
        assert "\U00010000" in {each.name for each in read_dataset(tmp_path).classes}


def test_half_of_a_surrogate_pair_in_a_tar_leaves_its_member_out(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "tars").mkdir()
    spoilt = f'{{"label": "{HALF}", "caption": "x"}}'.encode()
    write_tar(
        tmp_path / "tars" / "a.tar", {"0.png": data, "0.json": spoilt, "1.png": data, "1.cls": b"9" * 5000}
    )
    dataset = read_dataset(tmp_path / "tars")
    assert [each.name for each in dataset.classes] == ["9" * 5000]
    assert "no JSON object, left out: 1 (first: 0.json)" in " ".join(dataset.notes)


def test_a_yaml_of_a_billion_names_is_told_in_a_line() -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["a0: &a0 [x]", *lines])
    for names in ("names: *a9", "names: {0: *a9}", "names: {x: *a9}"):
        with pytest.raises(ValueError, match="class") as error:
            parse_names(f"{bomb}\n{names}\n")
        assert len(str(error.value)) < 1000
