"""What is annotated and cannot be read: never background, always counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import SMALL, write_dataset
from PIL import Image

from auditor.data.foreground import project
from auditor.data.load import load
from auditor.data.pixels import read_mask
from auditor.data.read import read_dataset
from auditor.errors import DatasetError
from auditor.grids import Geometry
from auditor.records import Dataset, Preprocess
from auditor.store import Index

SOUND = [1, 1, 3, 3]
PREPROCESS = Preprocess(resize=8, crop=6)


def put(root: Path, *paths: str, size: tuple[int, int] = (8, 6)) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(root / path)


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_coco(root: Path, *rows: dict[str, Any], images: list[dict[str, Any]] | None = None) -> Dataset:
    put(root, "images/1.png")
    listed = images or [{"id": 1, "file_name": "1.png", "width": 8, "height": 6}]
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    annotations = [
        {"id": number, "image_id": 1, "category_id": 3, "bbox": SOUND} | row
        for number, row in enumerate(rows)
    ]
    write(root / "instances.json", {"images": listed, "annotations": annotations, "categories": categories})
    return read_dataset(root)


def is_counted(dataset: Dataset, images: int = 1) -> bool:
    """Whether the notes say how many images have an unknown foreground."""
    words = f"{images} image{'s' if images > 1 else ''} whose annotations cannot all be read"
    return any(words in note and "unknown" in note for note in dataset.notes)


# ------------------------------------------------------------------------------------- COCO


@pytest.mark.parametrize(
    "broken",
    [
        {"bbox": [float("nan"), 1, 2, 2]},
        {"bbox": [1, 1, 0, 2]},
        {"bbox": [10**400, 1, 2, 2]},
        {"bbox": [True, True, 2, 2]},
        {"bbox": [20, 1, 2, 2]},
        {"bbox": None},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": [[1, 2, 3, 4, 5, 10**400]]},
        {"segmentation": {"size": [6, 8], "counts": [3, 5]}},
        {"segmentation": {"size": [6, 8], "counts": "zz"}},
        {"segmentation": {"size": 6, "counts": [48]}},
        {"category_id": 99},
        {"category_id": None},
    ],
    ids=str,
)
def test_a_lost_object_of_coco_is_no_background(tmp_path: Path, broken: dict[str, Any]) -> None:
    dataset = write_coco(tmp_path, {"bbox": SOUND}, broken)
    (sample,) = dataset.samples
    assert sample.regions == ()
    assert sample.unclear
    assert 0 in sample.labels
    assert is_counted(dataset)
    loaded = load(dataset, sample, PREPROCESS)
    assert (loaded.status, loaded.code, loaded.foreground) == ("ok", "annotation", None)
    assert sample.unclear in str(loaded.error)


def test_boxes_and_polygons_that_leave_their_image_are_clipped_and_counted(tmp_path: Path) -> None:
    dataset = write_coco(
        tmp_path,
        {"bbox": [-3, 1, 6, 90]},
        {"segmentation": [[0, 0, 20, 0, 20, 3]]},
        {"bbox": [0, 0, 8.004, 6]},
    )
    boxes = [region.box for region in dataset.samples[0].regions]
    assert boxes == [(0, 1, 3, 6), None, (0, 0, 8, 6)]
    assert any("Boxes that leave their image, clipped: 1 " in note for note in dataset.notes)
    assert any("Polygons that leave their image, clipped: 1 " in note for note in dataset.notes)


def test_annotations_without_an_id_or_with_one_that_is_taken_are_kept_and_counted(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path, {"id": 7}, {"id": 7, "bbox": [4, 1, 2, 2]}, {"id": None})
    assert len(dataset.samples[0].regions) == 3
    assert any("share their id with another, kept: 1 (first: annotation 7" in note for note in dataset.notes)
    assert any("Annotations without an id, kept: 1 " in note for note in dataset.notes)


def test_an_id_that_two_images_share_says_of_neither_what_is_in_it(tmp_path: Path) -> None:
    put(tmp_path, "images/2.png")
    entries = [{"id": 1, "file_name": f"{number}.png", "width": 8, "height": 6} for number in (1, 2)]
    entries.append({"id": 2, "file_name": "2.png", "width": 8, "height": 6})
    dataset = write_coco(tmp_path, {}, {"image_id": 2}, images=entries)
    assert [sample.path for sample in dataset.samples] == ["images/2.png"]
    assert dataset.samples[0].regions == ()
    assert any("share their id with another image" in note for note in dataset.notes)


def test_an_image_is_not_given_what_belongs_to_its_namesake(tmp_path: Path) -> None:
    put(tmp_path, "images/b/1.png", "images/b/9.png")
    names = ("a/1.png", "images/b/1.png", "x/9.png", "y/9.png")
    entries = [
        {"id": number, "file_name": name, "width": 8, "height": 6} for number, name in enumerate(names)
    ]
    rows = [{"image_id": number, "bbox": [number, 1, 1, 1]} for number in range(4)]
    (sample,) = write_coco(tmp_path, *rows, images=entries).samples
    assert sample.path == "images/b/1.png"
    assert [region.box for region in sample.regions] == [(1, 1, 2, 2)]


# ------------------------------------------------------------------------------------- VOC and ImageNet


def xml(*objects: str, size: str = "<size><width>8</width><height>6</height></size>") -> str:
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def thing(name: str, *edges: object) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(names, edges, strict=True))
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


@pytest.mark.parametrize(
    "broken",
    [
        thing("dog", "nan", 0, 3, 3),
        thing("dog", 5, 2, 1, 6),
        thing("dog", "x", 0, 1, 1),
        thing("dog", 9, 0, 12, 3),
        "<object><name>dog</name></object>",
        thing("", 0, 0, 3, 3),
    ],
)
@pytest.mark.parametrize("kind", ["voc", "imagenet"])
def test_a_lost_object_of_an_xml_is_no_background(tmp_path: Path, kind: str, broken: str) -> None:
    image = "n01440764/1.png" if kind == "imagenet" else "photos/1.png"
    put(tmp_path, image)
    write(tmp_path / "xml" / "1.xml", xml(thing("cat", 1, 1, 4, 4), broken))
    dataset = read_dataset(tmp_path, tmp_path / "xml")
    (sample,) = dataset.samples
    assert dataset.kind == kind
    assert sample.regions == ()
    assert sample.unclear
    said = {dataset.classes[label].name for label in sample.labels}
    assert said >= ({"cat", "dog"} if "dog" in broken else {"cat"})
    assert is_counted(dataset)


def test_boxes_of_xml_are_clipped_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png", "3.png")
    write(tmp_path / "1.xml", xml(thing("cat", -2, 1, 4, 60)))
    write(tmp_path / "2.xml", xml(thing("cat", 1, 1, 8, 6)))
    write(tmp_path / "3.xml", xml(thing("cat", 9, 1, 12, 6), size=""))
    dataset = read_dataset(tmp_path)
    assert [sample.regions[0].box for sample in dataset.samples[:2]] == [(0, 1, 4, 6), (1, 1, 8, 6)]
    assert any("Boxes that leave their image, clipped: 1 " in note for note in dataset.notes)
    assert any("do not give their image's size" in note for note in dataset.notes)
    loaded = load(dataset, dataset.samples[2], PREPROCESS)  # only the image itself shows that it is outside
    assert (loaded.code, loaded.foreground) == ("annotation", None)


# ------------------------------------------------------------------------------------- YOLO


@pytest.mark.parametrize(
    "broken",
    [
        "1 nan 0.5 0.1 0.1",
        "9 0.5 0.5 0.1 0.1",
        "x",
        "1 0.5 0.5 0 0.1",
        "1 0.5",
        "1 1.8 0.5 0.1 0.1",
        "1 0 0 1 1 .5",
        "1 0.5 0.5 0.1 big",
    ],
)
def test_a_lost_line_of_yolo_is_no_background(tmp_path: Path, broken: str) -> None:
    put(tmp_path, "images/1.png", "images/2.png")
    write(tmp_path / "data.yaml", "names: [dog, cat]\n")
    write(tmp_path / "labels/1.txt", f"0 0.5 0.5 0.25 0.5\n{broken}\n")
    write(tmp_path / "labels/2.txt", "0 0.5 0.5 0.25 0.5\n")
    dataset = read_dataset(tmp_path)
    first, second = dataset.samples
    assert first.regions == ()
    assert first.unclear
    assert first.labels == ((0, 1) if broken.startswith("1") else (0,))
    assert second.regions
    assert second.unclear is None
    assert is_counted(dataset)


def test_boxes_of_yolo_are_clipped_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png")
    write(tmp_path / "labels/1.txt", "0 0.1 0.5 0.4 0.5\n0 0.5 0.5 1.000001 1\n0 0 0 1.5 0 1 1\n")
    dataset = read_dataset(tmp_path)
    clipped, whole, polygon = dataset.samples[0].regions
    assert clipped.box == pytest.approx((0, 0.25, 0.3, 0.75))
    assert whole.box == (0, 0, 1, 1)
    assert polygon.polygons is not None
    assert any("Boxes that leave their image, clipped: 1 " in note for note in dataset.notes)
    assert any("Polygons that leave their image, clipped: 1 " in note for note in dataset.notes)


def test_keypoints_of_yolo_are_no_polygon(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png")
    write(tmp_path / "data.yaml", "names: [dog]\nkpt_shape: [2, 2]\n")
    write(tmp_path / "labels/1.txt", "0 0.5 0.5 0.25 0.5 0.1 0.1 0.9 0.9\n")
    (region,) = read_dataset(tmp_path).samples[0].regions
    assert region.box == (0.375, 0.25, 0.625, 0.75)


# ------------------------------------------------------------------------------------- mask images


def semantic(root: Path, values: Any, classes: str = "cat\ndog\n") -> Dataset:
    put(root, "images/1.png")
    write(root / "classes.txt", classes)
    (root / "masks").mkdir(exist_ok=True)
    Image.fromarray(np.array(values)).save(root / "masks" / "1.png")
    return read_dataset(root)


def test_a_mask_value_of_no_class_is_no_background(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    values[1, 1], values[3, 3], values[2, 2] = 1, 77, 255
    dataset = semantic(tmp_path, values)
    loaded = load(dataset, dataset.samples[0], PREPROCESS)
    assert (loaded.status, loaded.code, loaded.foreground) == ("ok", "annotation", None)
    assert "77" in str(loaded.error)
    values[3, 3] = 2
    dataset = semantic(tmp_path, values)
    assert load(dataset, dataset.samples[0], PREPROCESS).foreground is not None


def test_a_mask_shows_more_classes_than_its_line_names(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    values[1, 1], values[3, 3] = 1, 2
    semantic(tmp_path, values)
    row = {"path": "images/1.png", "labels": ["cat"], "mask": "masks/1.png"}
    write(tmp_path / "manifest.jsonl", row)
    dataset = read_dataset(tmp_path)
    loaded = load(dataset, dataset.samples[0], PREPROCESS)
    assert dataset.kind == "manifest"
    assert (loaded.code, loaded.foreground) == ("annotation", None)


@pytest.mark.parametrize("content", [b"no image", b"", None], ids=["text", "empty", "gone"])
def test_an_unreadable_mask_is_no_background(tmp_path: Path, content: bytes | None) -> None:
    put(tmp_path, "images/cat/1.png", "images/dog/2.png", "masks/cat/1.png", "masks/dog/2.png")
    dataset = read_dataset(tmp_path)
    (tmp_path / "masks/cat/1.png").unlink()
    if content is not None:
        (tmp_path / "masks/cat/1.png").write_bytes(content)
    loaded = load(dataset, dataset.samples[0], PREPROCESS)
    assert (loaded.status, loaded.code, loaded.foreground) == ("ok", "annotation", None)
    assert load(dataset, dataset.samples[1], PREPROCESS).foreground is not None


def test_masks_of_values_that_no_format_keeps_are_refused(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    values[2:4, 2:4] = 200
    for name, options in (("a.webp", {"quality": 50}), ("b.avif", {}), ("c.jp2", {}), ("d.jpg", {})):
        Image.fromarray(values).convert("RGB").save(tmp_path / name, **options)
        with pytest.raises(DatasetError, match="save masks as PNG"):
            read_mask(tmp_path / name, is_semantic=False)
    Image.fromarray(values).convert("CMYK").save(tmp_path / "e.tif")
    with pytest.raises(DatasetError, match="save"):
        read_mask(tmp_path / "e.tif", is_semantic=False)
    Image.fromarray(values).convert("RGB").save(tmp_path / "f.webp", lossless=True)
    assert np.array_equal(read_mask(tmp_path / "f.webp"), values)


def test_masks_of_fractions(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.4, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert (read_mask(tmp_path / "a.tif", is_semantic=False) != 0).tolist() == [[False, True, True]]
    with pytest.raises(DatasetError, match="whole numbers"):
        read_mask(tmp_path / "a.tif")
    Image.fromarray(np.array([[0.0, np.nan, 1.0]], np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DatasetError, match="numbers"):
        read_mask(tmp_path / "b.tif", is_semantic=False)
    Image.fromarray(np.array([[0.0, 3.0, 1.0]], np.float32)).save(tmp_path / "c.tif")
    assert read_mask(tmp_path / "c.tif").tolist() == [[0, 3, 1]]


def test_a_mask_lies_as_it_is_displayed(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    values[0, 0] = 1
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed a quarter clockwise
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "a.png"), np.rot90(values, -1))


# ------------------------------------------------------------------------------------- manifests


@pytest.mark.parametrize(
    "path", ["../../elsewhere/1.png", "/elsewhere/1.png", "masks/../../../elsewhere/1.png"]
)
def test_no_mask_of_a_manifest_leaves_the_folder(tmp_path: Path, path: str) -> None:
    root = tmp_path / "a" / "data"
    put(root, "images/1.png")
    put(tmp_path, "elsewhere/1.png")
    path = path.replace("/elsewhere", str(tmp_path / "elsewhere")) if path.startswith("/") else path
    assert (root / path).exists() or not path.startswith("..")
    write(root / "manifest.jsonl", {"path": "images/1.png", "label": "cat", "mask": path})
    dataset = read_dataset(root)
    assert dataset.samples[0].regions == ()
    assert dataset.samples[0].unclear
    assert any("lead out of the folder" in note for note in dataset.notes)
    assert is_counted(dataset)


def test_a_mask_whose_name_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    write(tmp_path / "manifest.jsonl", {"path": "1.png", "label": "cat", "mask": "m" * 5000})
    (sample,) = read_dataset(tmp_path).samples
    assert sample.unclear
    assert sample.regions == ()


def test_masks_of_a_manifest_may_be_named_from_its_own_folder(tmp_path: Path) -> None:
    put(tmp_path, "data/images/1.png", "data/masks/1.png", "notes/masks/1.png")
    for mask in ("../data/masks/1.png", str(tmp_path / "data/masks/1.png"), "masks/1.png"):
        write(tmp_path / "notes/list.jsonl", {"path": "images/1.png", "label": "cat", "mask": mask})
        dataset = read_dataset(tmp_path / "data", tmp_path / "notes/list.jsonl")
        assert len(dataset.samples[0].regions) == 1


def test_links_that_lead_out_are_followed_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "data/1.png", "outside/2.png", "outside/more/3.png")
    (tmp_path / "data/2.png").symlink_to(tmp_path / "outside/2.png")
    (tmp_path / "data/more").symlink_to(tmp_path / "outside/more")
    (tmp_path / "data/again.png").symlink_to(tmp_path / "data/1.png")
    dataset = read_dataset(tmp_path / "data")
    assert [sample.path for sample in dataset.samples] == ["1.png", "2.png", "again.png", "more/3.png"]
    assert any("Links that lead out of the folder, followed: 2 " in note for note in dataset.notes)


def test_lines_that_contradict_one_another_leave_their_image_out(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png", "3.png", "cat.png", "dog.png")
    rows = [
        {"path": "1.png", "label": "cat", "mask": "cat.png"},
        {"path": "./1.png", "label": "dog", "mask": "dog.png"},
        {"path": "2.png", "label": "dog"},
        {"path": "2.png", "label": "dog"},
        {"path": "3.png", "label": "dog"},
    ]
    write(tmp_path / "manifest.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    dataset = read_dataset(tmp_path)
    assert [sample.path for sample in dataset.samples] == ["2.png", "3.png"]
    assert any("describe differently, left out: 1 (first: line 2, 1.png" in note for note in dataset.notes)
    assert any("Lines that repeat a path, dropped: 1 (first: line 4, 2.png" in note for note in dataset.notes)


# ------------------------------------------------------------------------------------- in an index


def test_an_unclear_image_leaves_every_count_of_foreground(
    tmp_path: Path, audit: Callable[..., str], ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "pets")
    path = root / "boxes" / "02.xml"
    lost = "<object><name>cat</name><bndbox><xmin>nan</xmin></bndbox></object></annotation>"
    path.write_text(path.read_text().replace("</annotation>", lost))
    audit("index", root / "images", "-a", root / "boxes", *SMALL, "--head", "probe", "--name", "i")
    with Index.open(Path("indexes/i")) as index:
        image = index.image("cat/02.png")
        cells = index.query("SELECT foreground, variant FROM cells WHERE image = ?", [image])
        assert np.ma.getmaskarray(cells["foreground"]).all()
        assert set(cells["variant"]) == {0}
        row = index.query("SELECT status, code, error, label FROM images WHERE id = ?", [image])
        assert (row["status"][0], row["code"][0]) == ("ok", "annotation")
        assert index.manifest.classes[row["label"][0]].name == "cat"
        assert any("1 image whose annotations" in note for note in index.manifest.dataset.notes)


def test_where_no_annotation_can_be_used_the_answer_is_not_that_there_is_none(
    tmp_path: Path, audit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "pets")
    for path in root.glob("boxes/*.xml"):
        path.write_text(path.read_text().replace("<ymin>15</ymin>", "<ymin>nan</ymin>"))
    audit("index", root / "images", "-a", root / "boxes", *SMALL, "--head", "probe", "--name", "i")
    with pytest.raises(
        DatasetError, match=r"of 6 of 6 images of i is unknown .* cannot be used: a box is missing"
    ):
        audit("context")


def test_the_foreground_of_a_box_is_what_it_was(tmp_path: Path) -> None:
    """Clipping changes no cell: a crop never shows what lies outside of the image."""
    dataset = write_coco(tmp_path, {"bbox": [-3, 1, 6, 90]})
    geometry = Geometry(8, 6)
    found = project(dataset.samples[0], geometry, (8, 6))
    assert found is not None
    left, top, right, bottom = geometry.project_box((-3, 1, 3, 91), 8, 6)
    slow = np.zeros((6, 6), bool)
    slow[top:bottom, left:right] = True
    assert np.array_equal(found.union, slow)
