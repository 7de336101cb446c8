"""Data sets of synthetic scenes: a folder of files, or the recipe alone, drawn as it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.scenes import CLASSES, Recipe, Scene, Symbol, render, sample_scene
from auditor.errors import DatasetError
from auditor.grids import Mask


def write_scenes(folder: Path, recipe: Recipe, images: int, *, recipe_only: bool = False) -> Iterator[int]:
    """Write scenes 0 .. images - 1, yielding the number done after each; a second run continues the first.

    `recipe.json` alone describes the set. Unless `recipe_only`, there are also images/ and masks/ (semantic),
    instances/, records/ (JSON: target, classes, boxes, centres, areas, colours, rotations), classes.txt and
    manifest.jsonl, written last. Raises DatasetError when the folder holds scenes of another recipe.
    """
    _claim(folder, recipe, images)
    if recipe_only:
        return
    for name in ("images", "masks", "instances", "records"):
        (folder / name).mkdir(exist_ok=True)
    for number in range(images):
        record = folder / "records" / f"{number:06d}.json"
        if not record.exists():
            _write_scene(folder, sample_scene(recipe, number), f"{number:06d}", record)
        yield number + 1
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    lines = (_manifest_line(sample_scene(recipe, number), f"{number:06d}") for number in range(images))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def class_number(name: str | None) -> int | None:
    """The number of a class by its name; DatasetError lists the classes."""
    if name is None or name in CLASSES:
        return None if name is None else CLASSES.index(name)
    raise DatasetError(f"no symbol is called {name!r}; there are: {', '.join(CLASSES)}")


def read_recipe(folder: Path) -> tuple[Recipe, int]:
    """The recipe of a folder of scenes and how many there are."""
    path = folder / "recipe.json"
    try:
        stored = json.loads(path.read_text())
        return Recipe(**stored["recipe"]), int(stored["images"])
    except FileNotFoundError:
        raise DatasetError(
            f"{folder} holds no scenes; make some with: audit synth {folder} --images 1000"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is no recipe of scenes ({error}); remove it and run audit synth again"
        ) from error


def is_synthetic(folder: Path) -> bool:
    """Whether `audit synth` made the images of this folder: its recipe lies there, or beside images/."""
    places = [folder, *([folder.resolve().parent] if folder.resolve().name == "images" else [])]
    for place in places:
        try:
            read_recipe(place)
        except (DatasetError, OSError):
            continue
        return True
    return False


def _claim(folder: Path, recipe: Recipe, images: int) -> None:
    """Store the recipe, or make sure that the folder's scenes are of this one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.json"
    if path.exists() and read_recipe(folder)[0] != recipe:
        raise DatasetError(f"{folder} holds scenes of another recipe; choose another folder or remove it")
    if not path.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder} is not empty and holds no scenes; choose another folder")
    path.write_text(json.dumps({"images": images, "recipe": asdict(recipe)}, indent=1) + "\n")


def _write_scene(folder: Path, scene: Scene, name: str, record: Path) -> None:
    """One scene's files; the record is written last, so its presence means that the others are whole."""
    rendered = render(scene)
    rendered.image.save(folder / "images" / f"{name}.png", compress_level=1)
    Image.fromarray(rendered.semantic).save(folder / "masks" / f"{name}.png", compress_level=1)
    Image.fromarray(rendered.instance).save(folder / "instances" / f"{name}.png", compress_level=1)
    record.write_text(json.dumps(_describe(scene, rendered.instance)) + "\n")


def _describe(scene: Scene, instance: NDArray[np.uint8]) -> dict[str, Any]:
    return {
        "target": CLASSES[scene.target],
        "classes": sorted(CLASSES[symbol.label] for symbol in scene.symbols),
        "background": scene.background,
        "has_texture": scene.has_texture,
        "marker_at": scene.marker_at,
        "objects": [
            _describe_symbol(number, symbol, instance == number)
            for number, symbol in enumerate(scene.symbols, start=1)
        ],
    }


def _describe_symbol(number: int, symbol: Symbol, visible: Mask) -> dict[str, Any]:
    rows, cols = np.nonzero(visible)
    box = [int(v) for v in (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)] if rows.size else None
    return asdict(symbol) | {
        "instance": number,
        "class": CLASSES[symbol.label],
        "box": box,
        "area": int(rows.size),
    }


def _manifest_line(scene: Scene, name: str) -> dict[str, Any]:
    return {
        "path": f"images/{name}.png",
        "label": CLASSES[scene.target],
        "labels": sorted(CLASSES[symbol.label] for symbol in scene.symbols),
        "mask": f"masks/{name}.png",
        "has_texture": str(scene.has_texture).lower(),
        "has_marker": str(scene.marker_at is not None).lower(),
    }
