"""Missing and wrong labels where the truth is known, beside cleanlab on the same probabilities and images.

python benchmarks/labels.py [REAL]: scenes with half of their labels hidden, and one in twelve wrong; REAL is
a folder with `coco` (all labels but one hidden, drawn five times) and `ilsvrc` (ReaL labels). cleanlab is not
needed by the package: pip install cleanlab.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax
from side_by_side import run

from auditor.data.scenes import CLASSES, Recipe, render, sample_scene
from auditor.measure.scores import require_scores
from auditor.questions.labels.ask import labels
from auditor.store import Index

SCENES, WRONG = 600, 12
SEEDS = range(5)

Flags = NDArray[np.bool_]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Which classes (n, K) are in the images, given, and may be asked; `asked_given` for wrong labels."""

    there: Flags
    given: Flags
    asked: Flags
    asked_given: Flags


def main(real: Path | None) -> None:
    """Every set, one after another."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, changes in (
            ("plain", {}),
            ("planted", {"texture_class": 3, "marker_class": CLASSES.index("triangle cross"), "leak": 0.3}),
        ):
            truth = write_scenes(folder / name, Recipe(31, **changes))
            run("-m", "auditor", "index", name, "--backbone", "symbols", "--name", name, cwd=folder)
            compare(f"scenes, {name}", folder / "indexes" / name, lambda paths, t=truth: t, 100)
            head = f"{name}-probe"
            words = ["--backbone", "symbols", "--head", "probe", "--name", head]
            run("-m", "auditor", "index", name, *words, cwd=folder)
            compare(f"scenes, {name}, probe", folder / "indexes" / head, lambda paths, t=truth: t, 100)
        if real is not None:
            on_photos(real, folder)


def on_photos(real: Path, folder: Path) -> None:
    """COCO's with a probe, ILSVRC's with the network's own head."""
    network = [
        "--backbone", "timm/mobilenetv2_100", "--model-arg", "pad_type=same", "--mean", "0.5", "--std", "0.5",
        "--interpolation", "bilinear", "--weights", real / "weights" / "mobilenetv2_100_tf2.safetensors",
    ]  # fmt: skip
    images, boxes = real / "ilsvrc/images", real / "ilsvrc/boxes"
    run("-m", "auditor", "index", images, "--annotations", boxes, *network, "--name", "val", cwd=folder)
    compare("ILSVRC against ReaL", folder / "indexes/val", None, 20)
    everything = read_coco(real)
    for seed in SEEDS:
        file = folder / f"one-{seed}.json"
        file.write_text(json.dumps(hide(everything, seed)))
        words = ["-m", "auditor", "index", real / "coco/images", "--annotations", file, *network]
        run(*words, "--head", "probe", "--name", f"coco-{seed}", cwd=folder)
        compare(
            f"COCO, draw {seed}", folder / f"indexes/coco-{seed}", lambda paths: _coco(everything, paths), 20
        )


def write_scenes(folder: Path, recipe: Recipe) -> tuple[Flags, Flags]:
    """Half of the classes of each scene are labelled, one at least; of one scene in `WRONG` one is wrong."""
    rng = np.random.default_rng(recipe.seed)
    there, given = np.zeros((2, SCENES, len(CLASSES)), np.bool_)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    lines = []
    for number in range(SCENES):
        scene = sample_scene(recipe, number)
        drawn, classes = render(scene), sorted({symbol.label for symbol in scene.symbols})
        kept = [k for k in classes if rng.random() < 0.5] or [int(rng.choice(classes))]
        mask = np.where(np.isin(drawn.semantic, [k + 1 for k in kept]), drawn.semantic, 0).astype(np.uint8)
        if rng.random() < 1 / WRONG:
            old = int(rng.choice(kept))
            new = int(rng.choice([k for k in range(len(CLASSES)) if k not in classes]))
            mask[mask == old + 1] = new + 1
            kept = sorted({new, *kept} - {old})
        there[number, classes] = given[number, kept] = True
        file = f"{number:04d}.png"
        drawn.image.save(folder / "images" / file, compress_level=1)
        Image.fromarray(mask).save(folder / "masks" / file)
        line = {"path": f"images/{file}", "label": CLASSES[kept[0]], "labels": [CLASSES[k] for k in kept]}
        lines.append(json.dumps(line | {"mask": f"masks/{file}"}))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return there, given


def read_coco(real: Path) -> dict[str, Any]:
    """Both of its files as one."""
    parts = [json.loads((real / f"coco/instances_{kind}.json").read_text()) for kind in ("polygons", "rle")]
    rows = [row for part in parts for row in part["annotations"]]
    images = [image for part in parts for image in part["images"]]
    return parts[0] | {"images": images, "annotations": [row | {"id": n} for n, row in enumerate(rows, 1)]}


def hide(everything: dict[str, Any], seed: int) -> dict[str, Any]:
    """One drawn category for each image."""
    rng = np.random.default_rng(seed)
    categories: dict[int, set[int]] = {}
    for row in everything["annotations"]:
        categories.setdefault(row["image_id"], set()).add(row["category_id"])
    kept = {image: sorted(found)[int(rng.integers(len(found)))] for image, found in categories.items()}
    rows = [row for row in everything["annotations"] if kept[row["image_id"]] == row["category_id"]]
    return everything | {"annotations": rows}


def _coco(everything: dict[str, Any], paths: list[str]) -> dict[str, set[str]]:
    names = {row["id"]: row["name"] for row in everything["categories"]}
    files = {row["id"]: Path(row["file_name"]).name for row in everything["images"]}
    there: dict[str, set[str]] = {path: set() for path in paths}
    for row in everything["annotations"]:
        there.setdefault(files[row["image_id"]], set()).add(names[row["category_id"]])
    return there


def find_truth(index: Index, rows: dict[str, Any], known: Any) -> Truth:
    """From ReaL labels, from names by file, or from what was drawn."""
    count, classes = len(rows["id"]), index.manifest.classes
    there, given = np.zeros((2, count, len(classes)), np.bool_)
    for place, found in enumerate(rows["labels"]):
        given[place, np.asarray(found, dtype=np.int64)] = True
    asked = np.broadcast_to(given.any(axis=0), given.shape).copy()
    asked_given = np.ones(count, np.bool_)
    if known is None:
        for place, found in enumerate(rows["real"]):
            there[place, [] if found is np.ma.masked else np.asarray(found, dtype=np.int64)] = True
        asked_given = there.any(axis=1)
        asked = np.broadcast_to((there & given).any(axis=1)[:, None], given.shape).copy()
        return Truth(there, given, asked, asked_given)
    answer = known(list(rows["path"]))
    if isinstance(answer, dict):
        numbers = {each.name: label for label, each in enumerate(classes)}
        for place, path in enumerate(rows["path"]):
            there[place, [numbers[name] for name in answer[Path(path).name]]] = True
    else:
        there[:] = answer[0][[int(Path(path).stem) for path in rows["path"]]]
    return Truth(there, given, asked, asked_given)


def compare(title: str, path: Path, known: Any, first: int) -> None:
    """Both lists beside cleanlab's: average precision, precision of the first, and of what is certain."""
    with Index.open(path) as index:
        rows = index.query("SELECT id, path, labels, real FROM images WHERE usable ORDER BY id")
        truth, answer = find_truth(index, rows, known), labels(index)
        scores = require_scores(index)
        images = softmax(np.stack([scores.image(int(image)) for image in rows["id"]]), axis=-1)
        cells = np.stack([softmax(each, axis=-1).max(axis=0) for each in scores.each(rows["id"])])
    places = {path: place for place, path in enumerate(rows["path"])}
    free = ~truth.given & truth.asked
    missing, certain, wrong, sure = (np.full(free.shape, -9.0) for _ in range(4))
    for row in answer.missing:
        missing[places[row.path], row.label] = row.score
        certain[places[row.path], row.label] = row.is_certain
    for label in answer.wrong:
        wrong[places[label.path], label.label] = label.score
        sure[places[label.path], label.label] = label.is_certain
    said = truth.given & truth.asked_given[:, None]
    print(f"\n{title}: {(free & truth.there).sum()} missing, {(said & ~truth.there).sum()} wrong labels")
    print(f"  exchanged: missing {answer.missing_by_chance}, wrong {answer.wrong_by_chance}")
    show("missing, ours", missing[free], certain[free] > 0, truth.there[free], first)
    show("wrong, ours", wrong[said], sure[said] > 0, ~truth.there[said], 20)
    for name, p in (("image", images), ("surest cell", cells)):
        for what, chosen, score, flagged in by_cleanlab(truth, p):
            mask = free if what == "missing" else said
            right = truth.there if what == "missing" else ~truth.there
            count = first if what == "missing" else 20
            show(f"{what}, cleanlab {chosen}, {name}", score[mask], flagged[mask], right[mask], count)


def by_cleanlab(truth: Truth, p: Shares) -> Any:
    """Its per-class label quality and what it flags; of one label per image also its margin."""
    try:
        from cleanlab.multilabel_classification import filter as several
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        print("  cleanlab is not installed")
        return
    warnings.simplefilter("ignore")  # one for every class without images
    given = [np.flatnonzero(row).tolist() for row in truth.given]
    quality = np.where(truth.given, p, 1 - p)
    flags = np.zeros(p.shape, np.bool_)
    try:
        issues = several.find_multilabel_issues_per_class(given, p, n_jobs=1)
        flags = np.asarray(issues, dtype=np.bool_)
    except ValueError as problem:
        print(f"  cleanlab: {problem}")
    yield "missing", "multi-label", 1 - quality, flags
    yield "wrong", "multi-label", 1 - quality, flags
    if (truth.given.sum(axis=1) == 1).all():
        label = truth.given.argmax(axis=1)
        for method in ("self_confidence", "normalized_margin"):
            score = 1 - get_label_quality_scores(label, p, method=method)
            everywhere = np.repeat(score[:, None], p.shape[1], axis=1)
            yield "wrong", method, everywhere, np.zeros(p.shape, np.bool_)


def show(name: str, score: Shares, flagged: Flags, right: Flags, first: int) -> None:
    """One row."""
    order = np.argsort(-score, kind="stable")
    hits = right[order]
    average = (np.cumsum(hits) / (1 + np.arange(len(hits))))[hits].mean() if hits.any() else float("nan")
    number, found = int(flagged.sum()), int((flagged & right).sum())
    print(
        f"  {name:48} AP {average:.3f}  precision@{first} {hits[:first].mean():.2f}  "
        f"flagged {number}, right {found}, recall {found / max(int(right.sum()), 1):.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
