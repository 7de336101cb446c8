"""Folders, ImageNet layouts and manifests, made by hand, and hostile folders."""

import json
import os

import pytest
from PIL import Image

from auditor.data.read import read_dataset
from auditor.errors import DatasetError
from auditor.records import ClassName


def put(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(root / path)


def names(dataset):
    return [known.name for known in dataset.classes]


def labelled(dataset):
    return {
        sample.path: None if sample.label is None else dataset.classes[sample.label].name
        for sample in dataset.samples
    }


# ----------------------------------------------------------------------------------------------- folders


def test_plain_folder_with_subfolders_and_strangers(tmp_path):
    put(tmp_path, "b.png", "a.jpg", "sub/c.PNG", ".hidden.png", ".git/d.png")
    (tmp_path / "readme.md").write_text("no image")
    dataset = read_dataset(tmp_path)
    assert (dataset.kind, dataset.classes) == ("folder", ())
    assert [sample.path for sample in dataset.samples] == ["a.jpg", "b.png", "sub/c.PNG"]
    assert all(sample.labels == () and sample.label is None for sample in dataset.samples)
    assert any(".md 1" in note for note in dataset.notes)


def test_class_folders(tmp_path):
    put(tmp_path, "dog/1.png", "cat/1.png", "cat/deep/2.png")
    dataset = read_dataset(tmp_path)
    assert dataset.kind == "class folders"
    assert names(dataset) == ["cat", "dog"]
    assert labelled(dataset) == {"cat/1.png": "cat", "cat/deep/2.png": "cat", "dog/1.png": "dog"}


def test_splits_of_class_folders(tmp_path):
    put(tmp_path, "train/dog/1.png", "train/cat/1.png", "val/dog/9.png", "val/flat.png")
    dataset = read_dataset(tmp_path)
    assert labelled(dataset) == {
        "train/cat/1.png": "cat",
        "train/dog/1.png": "dog",
        "val/dog/9.png": "dog",
        "val/flat.png": None,
    }
    assert [sample.split for sample in dataset.samples] == ["train", "train", "val", "val"]


@pytest.mark.parametrize("paths", [("images/1.png", "images/2.png"), ("x.png", "a/1.png", "b/1.png")])
def test_folders_that_are_no_classes(tmp_path, paths):
    put(tmp_path, *paths)
    assert read_dataset(tmp_path).classes == ()


def test_one_synset_folder_is_a_class(tmp_path):
    put(tmp_path, "n01440764/a.JPEG")
    dataset = read_dataset(tmp_path)
    assert dataset.kind == "imagenet"
    assert dataset.classes == (ClassName("n01440764", "n01440764"),)
    assert dataset.samples[0].label == 0


def test_limit_and_sample(tmp_path):
    put(tmp_path, *(f"{number:02}.png" for number in range(20)))
    every = [sample.path for sample in read_dataset(tmp_path).samples]
    assert [sample.path for sample in read_dataset(tmp_path, limit=3).samples] == every[:3]
    drawn = [[s.path for s in read_dataset(tmp_path, sample=7, seed=seed).samples] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    assert len(set(drawn[0])) == 7
    assert len(read_dataset(tmp_path, sample=99).samples) == 20


# --------------------------------------------------------------------------------------- hostile folders


def test_links_that_loop_end_and_nothing_is_read_twice(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    put(root, "a/1.png", "b/2.png")
    put(outside, "3.png")
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "a" / "beside").symlink_to(root / "b", target_is_directory=True)
    (root / "b" / "beside").symlink_to(root / "a", target_is_directory=True)
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    (root / "c").symlink_to(outside, target_is_directory=True)
    dataset = read_dataset(root)
    assert [sample.path for sample in dataset.samples] == ["a/1.png", "b/2.png", "c/3.png"]
    assert any("not followed" in note for note in dataset.notes)


def test_what_is_no_regular_file_is_skipped(tmp_path):
    put(tmp_path, "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    dataset = read_dataset(tmp_path)
    assert [sample.path for sample in dataset.samples] == ["good.png"]
    assert any("no regular files, skipped: 2" in note for note in dataset.notes)


def test_names_that_are_not_utf8_are_skipped_with_a_note(tmp_path):
    put(tmp_path, "gööd\n\x1b[31m.png")
    try:
        os.close(os.open(os.fsencode(tmp_path) + b"/bad\xff.png", os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    dataset = read_dataset(tmp_path)
    assert [sample.path for sample in dataset.samples] == ["gööd\n\x1b[31m.png"]
    assert any("bad\\udcff.png" in note for note in dataset.notes)
    assert all(note.isprintable() for note in dataset.notes)


@pytest.mark.parametrize(
    ("root", "annotations", "message"),
    [
        ("nowhere", None, "is not a folder"),
        ("empty", None, "holds no images"),
        ("images", "nowhere.json", "do not exist"),
        ("images", "broken.json", "no readable JSON"),
        ("images", "other.json", "no list 'images'"),
        ("images", "strange.bin", "holds no annotations"),
        ("images", "empty", "holds no annotations"),
    ],
)
def test_what_cannot_be_read_says_which_file(tmp_path, root, annotations, message):
    put(tmp_path, "images/1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text('{"images": [')
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "strange.bin").write_bytes(b"\0")
    named = None if annotations is None else tmp_path / annotations
    with pytest.raises(DatasetError, match=message) as error:
        read_dataset(tmp_path / root, named)
    assert str(tmp_path) in str(error.value)


# ----------------------------------------------------------------------------------------------- ImageNet


def test_validation_folder_takes_synsets_from_a_list(tmp_path):
    stem = "ILSVRC2012_val_0000000"
    put(tmp_path, *(f"val/{stem}{number}.JPEG" for number in (1, 2, 3)))
    (tmp_path / "list.csv").write_text(f"file,synset\n{stem}1.JPEG,n02000001\n{stem}2.JPEG,n01000001\n")
    (tmp_path / "list.txt").write_text(f"{stem}1 n02000001\n{stem}2.JPEG n01000001\n")
    (tmp_path / "LOC.csv").write_text(
        f"ImageId,PredictionString\n{stem}1,n02000001 1 2 3 4 \n{stem}2,n01000001 5 6 7 8 n01000001 1 1 2 2\n"
    )
    for name in ("list.csv", "list.txt", "LOC.csv"):
        dataset = read_dataset(tmp_path / "val", tmp_path / name)
        assert dataset.kind == "imagenet"
        assert [known.synset for known in dataset.classes] == ["n01000001", "n02000001"]
        assert [sample.label for sample in dataset.samples] == [1, 0, None]
        assert any("kept without a label: 1 " in note for note in dataset.notes)
    (tmp_path / "bad.csv").write_text("a,b\nc,d\n")
    with pytest.raises(DatasetError, match="names no synsets"):
        read_dataset(tmp_path / "val", tmp_path / "bad.csv")


def test_real_validation_images_and_boxes(real):
    by_xml = read_dataset(real / "ilsvrc" / "images", real / "ilsvrc" / "boxes")
    by_list = read_dataset(real / "ilsvrc" / "images", real / "ilsvrc" / "synsets.csv")
    assert len(by_xml.samples) == len(by_xml.classes) == 260
    assert labelled(by_xml) == labelled(by_list)
    assert all(sample.regions and sample.regions[0].size == (227, 227) for sample in by_xml.samples)


# ----------------------------------------------------------------------------------------------- manifests


def test_manifest_csv(tmp_path):
    put(tmp_path, "x/b.png", "a.png", "c.png", "unlisted.png")
    (tmp_path / "manifest.csv").write_text(
        "\ufeffpath,label,labels,split,group,weight\n"
        "x/b.png,dog,dog;cat,val,g1,3\n"
        'a.png,cat,"[""cat"", ""fish""]",,g2,\n'
        "c.png,,,,,\n"
        'a.png,cat,"[""cat"", ""fish""]",,g2,\n'
        "gone.png,dog,,,,\n"
        "../outside.png,dog,,,,\n"
        ",dog,,,,\n"
        "a.png,too,many,columns,in,this,line\n",
        encoding="utf-8",
    )
    dataset = read_dataset(tmp_path)
    a, c, b = dataset.samples
    assert dataset.kind == "manifest"
    assert names(dataset) == ["cat", "dog", "fish"]
    assert (a.path, a.label, a.labels, a.split, a.metadata) == (
        "a.png",
        0,
        (0, 2),
        None,
        {"group": "g2", "weight": ""},
    )
    assert (b.path, b.label, b.labels, b.split, b.metadata) == (
        "x/b.png",
        1,
        (0, 1),
        "val",
        {"group": "g1", "weight": "3"},
    )
    assert (c.path, c.label, c.labels) == ("c.png", None, ())
    notes = " ".join(dataset.notes)
    for reason in (
        "repeat a path, dropped: 1",
        "not in the folder, dropped: 2",
        "without a path, dropped: 1",
    ):
        assert reason in notes
    assert "number of columns is not the header's, dropped: 1" in notes
    assert "does not list, left out: 1 (first: unlisted.png)" in notes


def write_scenes(root, rows, classes="circle\nsquare\nstar\n"):
    (root / "classes.txt").write_text(classes)
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_manifest_of_scenes_with_semantic_masks(tmp_path):
    put(tmp_path, "images/0.png", "images/1.png", "images/2.png")
    (tmp_path / "masks").mkdir()
    mask = Image.new("L", (8, 6))
    mask.putpixel((0, 0), 3)
    mask.putpixel((1, 0), 1)
    for number in range(2):
        mask.save(tmp_path / f"masks/{number}.png")
    write_scenes(
        tmp_path,
        [
            {
                "path": "images/1.png",
                "label": "star",
                "mask": "masks/1.png",
                "seed": 5,
                "tags": ["a"],
                "n": None,
            },
            {"path": "images/0.png", "label": "star", "labels": ["star", "circle"], "mask": "masks/0.png"},
            {"path": "images/2.png", "label": "square", "labels": ["square"], "mask": "masks/gone.png"},
        ],
    )
    dataset = read_dataset(tmp_path)
    first, second, third = dataset.samples
    assert names(dataset) == ["circle", "square", "star"]
    assert (first.label, first.labels) == (2, (0, 2))
    assert [(region.label, region.file.value) for region in first.regions] == [(0, 1), (2, 3)]
    assert (second.labels, second.metadata) == ((0, 2), {"seed": "5", "tags": '["a"]'})  # read from the mask
    assert third.regions == ()
    assert any("Masks that are not there" in note for note in dataset.notes)
    assert not any("does not list" in note for note in dataset.notes)  # masks are no forgotten images


def test_manifest_without_class_list_takes_the_whole_mask(tmp_path):
    put(tmp_path, "0.png", "masks/0.png")
    (tmp_path / "manifest.jsonl").write_text('{"path": "0.png", "label": 7, "mask": "masks/0.png"}\n')
    dataset = read_dataset(tmp_path)
    assert names(dataset) == ["7"]
    assert [(region.label, region.file.value) for region in dataset.samples[0].regions] == [(0, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "0.png", "label": "moon"}\n', "line 1 names class 'moon'"),
        ('{"path": "0.png"\n', "line 1 is no JSON"),
        ("[" * 100_000 + "\n", "line 1 is no JSON"),
        ("[1]\n", "line 1 is no JSON object"),
    ],
)
def test_broken_manifests_name_the_line(tmp_path, text, message):
    put(tmp_path, "0.png")
    write_scenes(tmp_path, [])
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


def test_broken_csv_manifests(tmp_path):
    put(tmp_path, "0.png")
    for content, message in ((b"a,b\n", "no column `path`"), (b"path\n\xff.png\n", "no readable CSV")):
        (tmp_path / "manifest.csv").write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            read_dataset(tmp_path)
