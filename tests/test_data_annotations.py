"""COCO, VOC, YOLO and mask folders, sound and broken."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from auditor.data.files import pair
from auditor.data.formats.segments import decode_counts
from auditor.data.formats.yolo import parse_names
from auditor.data.notes import Notes
from auditor.data.read import read_dataset
from auditor.errors import DatasetError

TRIANGLE = [0, 0, 6, 0, 6, 6]


def put(root, *paths, size=(8, 6)):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(root / path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# ----------------------------------------------------------------------------------------------- pairing


def test_pairs_need_mirrored_folders_where_stems_repeat():
    images = ["train/cat/1.jpg", "train/dog/1.jpg", "val/2.jpg", "3.jpg", "3.png", "lone.jpg"]
    notes = Notes()
    texts = ["train/dog/1.xml", "elsewhere/2.xml", "3.xml", "4.xml"]
    assert pair(images, texts, notes) == {
        "train/dog/1.jpg": "train/dog/1.xml",
        "val/2.jpg": "elsewhere/2.xml",
    }
    assert [note.rsplit(": ", 1)[1] for note in notes.sentences()] == ["3.xml).", "4.xml)."]


def test_a_flat_annotation_of_two_images_goes_to_neither():
    assert pair(["a/1.jpg", "b/1.jpg"], ["1.xml"], Notes()) == {}


# ----------------------------------------------------------------------------------------------- COCO


def coco(images=None, annotations=(), categories=None):
    return {
        "images": images or [{"id": 1, "file_name": "1.png", "width": 8, "height": 6}],
        "annotations": list(annotations),
        "categories": categories or [{"id": 5, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def annotation(key, segmentation, **changes):
    row = {"id": key, "image_id": 1, "category_id": 3, "segmentation": segmentation, "bbox": [1, 1, 2, 2]}
    return row | changes


def read_coco(tmp_path, content):
    put(tmp_path, "images/1.png")
    write(tmp_path / "instances.json", json.dumps(content))
    return read_dataset(tmp_path)


def test_coco_polygons_codes_and_boxes(tmp_path):
    code = {"size": [6, 8], "counts": [3, 5, 40]}
    dataset = read_coco(
        tmp_path,
        coco(
            annotations=[
                annotation(1, [TRIANGLE]),
                annotation(2, code, category_id=5, iscrowd=1),
                annotation(3, []),
            ]
        ),
    )
    (sample,) = dataset.samples
    polygon, crowd, box = sample.regions
    assert dataset.kind == "coco"
    assert dataset.min_area == 0.01
    assert [known.name for known in dataset.classes] == ["cat", "dog"]  # by id
    assert (sample.labels, sample.label) == ((0, 1), None)
    assert polygon.polygons == (tuple(map(float, TRIANGLE)),)
    assert crowd.rle == code
    assert box.box == (1, 1, 3, 3)
    assert {region.size for region in sample.regions} == {(8, 6)}
    assert any("Crowd annotations, kept" in note for note in dataset.notes)


def test_coco_drops_what_pycocotools_accepts_in_silence(tmp_path):
    good = annotation(1, [TRIANGLE])
    broken = {
        "their category is not listed": annotation(2, [TRIANGLE], category_id=99),
        "their image is not listed": annotation(3, [TRIANGLE], image_id=99),
        "its runs do not add up to its size": annotation(4, {"size": [6, 8], "counts": [3, 5]}),
        "its size is not that of its image": annotation(5, {"size": [8, 6], "counts": [48]}),
        "its counts are neither a string": annotation(6, {"size": [6, 8], "counts": [50, -2]}),
        "its counts are no run-length code": annotation(7, {"size": [6, 8], "counts": "\x00zz"}),
        "a polygon needs three or more": annotation(8, [[1, 2, 3, 4]]),
        "a polygon holds something else": annotation(9, [[1, 2, 3, 4, 5, float("nan")]]),
        "a polygon leaves its image by far": annotation(10, [[1, 2, 3, 4, 5, 1e9]]),
        "neither a segmentation nor a box": annotation(11, None, bbox=None),
        "a box is empty": annotation(12, [], bbox=[1, 1, 0, 2]),
        "Annotations without an id, kept": annotation(None, [TRIANGLE]),
        "Entries of annotations that repeat one": good,
        "Entries of images that repeat one": None,
        "Entries of categories without an id": None,
        "Categories that share their id": None,
    }
    content = coco(annotations=[good, *(row for row in broken.values() if row)])
    content["categories"] += [
        {"id": 9, "name": "cow"},
        {"id": 9, "name": "imposter"},
        {"id": [], "name": "x"},
    ]
    content["images"].append(content["images"][0])
    dataset = read_coco(tmp_path, content)
    assert dataset.samples[0].regions == ()  # what is dropped would count as background
    assert [known.name for known in dataset.classes] == ["cat", "dog"]
    for reason in broken:
        assert sum(reason in note for note in dataset.notes) == 1, reason


def test_coco_keeps_different_annotations_that_share_an_id(tmp_path):
    rows = [annotation(1, [TRIANGLE]), annotation(1, [TRIANGLE], category_id=5)]
    assert len(read_coco(tmp_path, coco(annotations=rows)).samples[0].regions) == 2


def test_coco_images_are_found_where_they_are(tmp_path):
    put(tmp_path, "train/1.png", "val/1.png", "val/2.png", "3.png")
    images = [
        {"id": number, "file_name": name, "width": 8, "height": 6}
        for number, name in enumerate(("val\\1.png", "2.png", "1.png", "gone.png", "../3.png"))
    ]
    rows = [annotation(number, [TRIANGLE], image_id=number) for number in range(5)]
    write(tmp_path / "annotations" / "instances_val.json", json.dumps(coco(images, rows)))
    write(tmp_path / "annotations" / "captions_val.json", json.dumps({"images": [], "annotations": []}))
    dataset = read_dataset(tmp_path)
    assert [sample.path for sample in dataset.samples] == ["3.png", "val/1.png", "val/2.png"]
    assert any("not in the folder: 2 (first: 1.png)" in note for note in dataset.notes)
    assert any("left out: 1 (first: train/1.png)" in note for note in dataset.notes)


def test_coco_without_a_usable_annotation(tmp_path):
    with pytest.raises(DatasetError, match="leaves no image"):
        read_coco(tmp_path, coco())
    with pytest.raises(DatasetError, match="no categories"):
        read_coco(tmp_path, coco(categories=[{"id": 1}]))


def test_compressed_codes_are_decoded_as_pycocotools_does():
    rng = np.random.default_rng(1)
    for density in (0.0, 0.01, 0.5, 0.99, 1.0):
        mask = np.asfortranarray(rng.random((60, 700)) < density, dtype=np.uint8)
        flat = mask.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        slow = np.diff(np.concatenate(([0], changes, [flat.size])))
        slow = slow if flat[0] == 0 else np.concatenate(([0], slow))
        np.testing.assert_array_equal(decode_counts(coco_mask.encode(mask)["counts"].decode()), slow)


def test_real_coco_folder(real):
    dataset = read_dataset(real / "coco")
    files = [
        json.loads((real / "coco" / f"instances_{kind}.json").read_text()) for kind in ("polygons", "rle")
    ]
    entries = [image for content in files for image in content["images"]]
    listed = {image["file_name"] for image in entries}
    assert len(entries) == 66
    assert len(listed) == 65  # one image is in both files
    annotated = {
        image["file_name"]
        for content in files
        for image in content["images"]
        if any(row["image_id"] == image["id"] for row in content["annotations"])
    }
    assert {sample.path for sample in dataset.samples} == {f"images/{name}" for name in annotated}
    assert sum(len(sample.regions) for sample in dataset.samples) == 93 + 355
    assert len(dataset.classes) == 80
    assert any(note.startswith("Crowd annotations, kept") and ": 3 " in note for note in dataset.notes)


# ----------------------------------------------------------------------------------------------- XML


def xml(*objects, size="<size><width>8</width><height>6</height></size>"):
    parts = (
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        f"</bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation>{size}{''.join(parts)}</annotation>"


def test_voc(tmp_path):
    put(tmp_path, "JPEGImages/1.png", "JPEGImages/2.png", "JPEGImages/3.png", "JPEGImages/4.png")
    boxes = tmp_path / "Annotations"
    write(boxes / "1.xml", xml(("dog", 1, 2, 5, 6), ("cat", 0, 0, 2.5, 2)))
    write(boxes / "2.xml", xml(("dog", 5, 2, 1, 6), ("dog", "x", 0, 1, 1), ("dog", 0, 0, "nan", 1), size=""))
    write(boxes / "3.xml", "<annotation>")
    dataset = read_dataset(tmp_path)
    first, second, third, fourth = dataset.samples
    assert dataset.kind == "voc"
    assert (first.labels, first.label) == ((0, 1), None)
    assert [(region.label, region.box, region.size) for region in first.regions] == [
        (1, (1, 2, 5, 6), (8, 6)),
        (0, (0, 0, 2.5, 2), (8, 6)),
    ]
    assert second.regions == third.regions == fourth.regions == ()
    notes = " ".join(dataset.notes)
    assert "malformed: 3 " in notes
    assert "XML files that cannot be read, left out: 1 " in notes
    assert "without a readable XML file, kept without boxes: 2 " in notes


def test_xml_of_synset_folders(tmp_path):
    put(tmp_path, "i/n02000001/a.JPEG", "i/n01000001/a.JPEG", "i/n01000001/b.JPEG")
    write(tmp_path / "x" / "n01000001" / "a.xml", xml(("n01000001", 0, 0, 4, 4)))
    write(tmp_path / "x" / "n02000001" / "a.xml", xml(("n01000001", 0, 0, 2, 2)))
    dataset = read_dataset(tmp_path / "i", tmp_path / "x")
    assert dataset.kind == "imagenet"
    assert [(s.label, s.labels, [r.box[2] for r in s.regions]) for s in dataset.samples] == [
        (0, (0,), [4]),
        (0, (0,), []),
        (1, (0, 1), [2]),
    ]
    assert any("names another class than their label" in note for note in dataset.notes)


def test_entities_in_xml_are_refused(tmp_path):
    put(tmp_path, "1.png")
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    write(tmp_path / "1.xml", f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x><object>&a11;</object></x>')
    with pytest.raises(DatasetError, match="no XML file"):
        read_dataset(tmp_path)


def test_a_stray_xml_does_not_make_a_folder_voc(tmp_path):
    put(tmp_path, "1.png")
    write(tmp_path / "meta.xml", "<x/>")
    assert read_dataset(tmp_path).kind == "folder"


# ----------------------------------------------------------------------------------------------- YOLO


@pytest.mark.parametrize(
    "text",
    [
        "nc: 2\nnames: ['dog', \"big cat\"]\ntrain: x\n",
        "names:\n  - dog  # good\n  - big cat\nnc: 2\n",
        "names:\n- dog\n- big cat\n",
        "path: .\nnames:\n  1: big cat\n  0: dog\n",
        "names: {0: dog, 1: 'big cat'}",
        "names: [\n  'dog',\n  'big cat',\n]\n",
    ],
)
def test_names_of_data_yaml(text):
    assert parse_names(text) == ["dog", "big cat"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('names: ["traffic light, red", dog]', ["traffic light, red", "dog"]),
        ("names:\n  0: 'a: b'\n  1: it's # a comment\n", ["a: b", "it's"]),
        ("# the names: below\nnames: ['#1', '1', \"no\"]", ["#1", "1", "no"]),
        ("train: x\n", []),
        ("names:\n", []),
        ("- names\n", []),
        ("{{ no yaml, and nothing in it is of any use }}", []),
    ],
)
def test_names_of_data_yaml_are_read_as_yaml(text, names):
    assert parse_names(text) == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names: [dog, cat", "is no valid YAML: .*; correct or remove it"),
        ("names:\n\t- dog\n", "is no valid YAML"),
        ("names: !!python/object:os.path {}", "is no valid YAML"),
        ("names: coco.names", "has `names: 'coco.names'`; write a list"),
        ("names: [dog, no]", "has a class 1 that YAML reads as False, not as text; quote its name"),
        ("names: {0: dog, 1: 1}", "has a class 1 that YAML reads as 1, not as text; quote its name"),
        ("names: [dog, ~]", "has a class 1 that YAML reads as None"),
        ("names: [dog, ' ']", "has no name for class 1"),
        ("names: [dog, cat, dog]", "calls classes 0 and 2 'dog'; give each its own name"),
        ("names: {0: dog, 2: cat}", "numbers its classes 0, 2; number them from 0 to 1 without gaps"),
        ("names: {1: dog, 2: cat}", "numbers its classes 1, 2"),
        ("names: {dog: 0, cat: 1}", "numbers its classes dog, cat"),
        ("names: {0: dog, 1: cat, 1: cow}", "gives a number to two classes"),
        ("names: [dog]\nnames: [cat]\n", "has `names` twice"),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_named(tmp_path, text, problem):
    put(tmp_path, "images/1.png")
    write(tmp_path / "labels/1.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "data.yaml", text)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_dataset(tmp_path)
    assert str(tmp_path / "data.yaml") in str(caught.value)


def test_yolo(tmp_path):
    put(tmp_path, "images/train/1.png", "images/val/1.png", "images/val/2.png")
    write(tmp_path / "data.yaml", "names: [dog, cat]\n")
    write(tmp_path / "labels/train/1.txt", "1 0.5 0.5 0.25 0.5\n\n0 0 0 1 0 1 1\n")
    lines = ("2 0.5 0.5 0.1 0.1", "x", "0 1 2", "0 nan 0.5 0.1 0.1", "0 0.5 0.5 0 0.1", "0 9 0.5 0.1 0.1")
    write(tmp_path / "labels/val/1.txt", "\n".join(lines))
    for root in (tmp_path, tmp_path / "images"):
        dataset = read_dataset(root)
        first, second, third = dataset.samples
        assert dataset.kind == "yolo"
        assert [known.name for known in dataset.classes] == ["dog", "cat"]
        assert (first.labels, first.label, first.split) == ((0, 1), None, "train")
        assert first.regions[0].box == (0.375, 0.25, 0.625, 0.75)
        assert first.regions[1].polygons == ((0, 0, 1, 0, 1, 1),)
        assert all(region.is_relative for region in first.regions)
        assert second.regions == third.regions == ()
        assert sum("Label lines dropped" in note for note in dataset.notes) == 5


def test_yolo_without_names_numbers_the_classes(tmp_path):
    put(tmp_path, "train/images/1.png")
    write(tmp_path / "train/labels/1.txt", "2 0.5 0.5 0.5 0.5\n")
    dataset = read_dataset(tmp_path)
    assert [known.name for known in dataset.classes] == ["0", "1", "2"]
    write(tmp_path / "train/labels/1.txt", "999999999 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DatasetError, match="names class 999999999"):
        read_dataset(tmp_path)


# ----------------------------------------------------------------------------------------------- masks


def put_mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).save(path)


def test_masks_of_class_folders(tmp_path):
    put(tmp_path, "images/cat/1.jpg", "images/dog/1.jpg", "images/dog/2.jpg")
    put_mask(tmp_path / "masks/cat/1.png", [[0, 9]])
    put_mask(tmp_path / "masks/dog/1.png", [[1, 0]])
    dataset = read_dataset(tmp_path)
    assert dataset.kind == "masks"
    assert [(s.path, s.label, [r.file.value for r in s.regions]) for s in dataset.samples] == [
        ("images/cat/1.jpg", 0, [None]),
        ("images/dog/1.jpg", 1, [None]),
        ("images/dog/2.jpg", 1, []),
    ]
    assert dataset.samples[0].regions[0].file.path == tmp_path / "masks/cat/1.png"


def test_semantic_masks(tmp_path):
    put(tmp_path, "images/1.jpg", "images/2.jpg")
    write(tmp_path / "classes.txt", "cat\ndog\nbird\n")
    put_mask(tmp_path / "masks/1.png", [[0, 3, 255, 1, 77]])
    write(tmp_path / "masks/2.png", "no image")
    for root, annotations in (
        (tmp_path, None),
        (tmp_path / "images", None),
        (tmp_path / "images", tmp_path / "masks"),
    ):
        dataset = read_dataset(root, annotations)
        assert [known.name for known in dataset.classes] == ["cat", "dog", "bird"]
        assert [sample.labels for sample in dataset.samples] == [(0, 2), ()]
        assert [region.file.value for region in dataset.samples[0].regions] == [1, 3]
        assert any("above the 3 classes" in note and "77" in note for note in dataset.notes)
        assert any("Masks that cannot be read" in note for note in dataset.notes)


def test_masks_without_any_classes(tmp_path):
    put(tmp_path, "images/1.jpg")
    put_mask(tmp_path / "masks/1.png", [[0, 1]])
    dataset = read_dataset(tmp_path)
    assert [known.name for known in dataset.classes] == ["foreground"]
    assert dataset.samples[0].label is None
    assert len(dataset.samples[0].regions) == 1


def test_a_class_called_masks_is_a_class(tmp_path):
    put(tmp_path, "masks/1.png", "no_masks/2.png")
    assert [known.name for known in read_dataset(tmp_path).classes] == ["masks", "no_masks"]
