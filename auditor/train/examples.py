"""What a classifier is trained on: scenes, drawn as they are read, or the labelled images of any dataset."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import RandomResizedCrop

from auditor.data.ahead import load_ahead
from auditor.data.pixels import open_upright
from auditor.data.read import read_dataset
from auditor.data.scenes import CLASSES, render, render_image, sample_scene
from auditor.data.scenes import Recipe as SceneRecipe
from auditor.data.synth import read_recipe
from auditor.errors import DatasetError
from auditor.grids import Mask
from auditor.records import ClassName, Preprocess, Sample
from auditor.records import Dataset as ImageSet

SCENES_HELD_OUT = 600  # scenes beyond the training ones, for validation
_SCALE, _RATIO = (0.35, 1.0), (3 / 4, 4 / 3)  # of the random crop's area and sides; not given in the paper
_HELD_OUT_SPLITS = ("val", "valid", "validation")


class HeldOut(NamedTuple):
    """An image that training never sees: pixels (S, S, 3), the right classes, pixel masks (S, S) by class."""

    pixels: NDArray[np.uint8]
    labels: tuple[int, ...]
    masks: Mapping[int, Mask]


class Example(NamedTuple):
    """Pixels (S, S, 3) and their class; `broken` says which file they had to stand in for."""

    pixels: NDArray[np.uint8]
    label: int
    broken: str


class TrainingSet(Protocol):
    """A source of images to learn from, and of others to validate on."""

    @property
    def preprocess(self) -> Preprocess:
        """From an image to the network's input."""
        ...

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """What the labels number."""
        ...

    @property
    def images(self) -> int:
        """Training images in an epoch."""
        ...

    def epoch(self, epoch: int) -> Dataset[Example]:
        """The training images of an epoch, in its order."""
        ...

    def held_out(self, say: Callable[[str], None]) -> Iterator[HeldOut]:
        """The validation images; a file that cannot be read is reported and left out."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the images are, for the header of the weights."""
        ...


def find_examples(dataset: Path, annotations: Path | None, size: int, seed: int) -> TrainingSet:
    """The scenes of a recipe where the folder holds one, else the labelled images of the dataset."""
    if (dataset / "recipe.json").is_file():
        return SceneExamples(*read_recipe(dataset), size)
    return ImageExamples(read_dataset(dataset, annotations), size, seed)


def load_batches(
    images: Dataset[Example], first: int, batch: int, workers: int
) -> Iterator[tuple[Tensor, Tensor, set[str]]]:
    """Full batches from batch `first` on: uint8 pixels (B, S, S, 3), labels (B,), which files were broken."""
    remaining = torch.utils.data.Subset(images, range(first * batch, len(images)))  # type: ignore[arg-type]
    yield from DataLoader(remaining, batch, num_workers=workers, drop_last=True, collate_fn=_collate)


def _collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor, set[str]]:
    pixels, labels, broken = zip(*examples, strict=True)
    return torch.from_numpy(np.stack(pixels)), torch.tensor(labels), set(broken) - {""}


# ------------------------------------------------------------------------------------------------ scenes


@dataclass(frozen=True, slots=True)
class SceneExamples:
    """Scenes 0 .. images - 1 of a recipe to learn from, those after them to validate on (A.2)."""

    recipe: SceneRecipe
    images: int
    size: int

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """The 20 symbols."""
        return tuple(ClassName(name) for name in CLASSES)

    @property
    def preprocess(self) -> Preprocess:
        """The whole scene."""
        return Preprocess(self.size, self.size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")

    def epoch(self, epoch: int) -> Dataset[Example]:
        """Scenes are drawn independently of one another, so every epoch keeps their order."""
        return _Scenes(self)

    def held_out(
        self, say: Callable[[str], None] = lambda text: None, scenes: int = SCENES_HELD_OUT
    ) -> Iterator[HeldOut]:
        """Unseen scenes; the image is right if it shows the sampled target, a cell if the class is there."""
        for number in range(self.images, self.images + scenes):
            scene = sample_scene(self.recipe, number)
            rendered = render(scene)
            masks = {symbol.label: rendered.semantic == symbol.label + 1 for symbol in scene.symbols}
            yield HeldOut(self.pixels(rendered.image), (scene.target,), masks)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """A scene at the size of the input."""
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BILINEAR))

    def describe(self) -> dict[str, Any]:
        """The recipe makes the same scenes anywhere."""
        return {"recipe": asdict(self.recipe), "images": self.images}


@dataclass(frozen=True, slots=True)
class _Scenes(Dataset[Example]):
    examples: SceneExamples

    def __len__(self) -> int:
        return self.examples.images

    def __getitem__(self, position: int) -> Example:
        scene = sample_scene(self.examples.recipe, position)
        return Example(self.examples.pixels(render_image(scene)), scene.target, "")


# ------------------------------------------------------------------------------------------------ images


class ImageExamples:
    """Labelled images: the split val is held out, or a tenth of the images where there is none."""

    def __init__(self, dataset: ImageSet, size: int, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self.preprocess = Preprocess(round(size * 256 / 224), size, interpolation="bilinear")
        labelled = [sample for sample in dataset.samples if sample.labels]
        has_split = any(sample.split in _HELD_OUT_SPLITS for sample in labelled)
        is_held_out = _is_in_held_out_split if has_split else _is_in_tenth
        self.validation = [sample for sample in labelled if is_held_out(sample)]
        self.training = [sample for sample in labelled if not is_held_out(sample) and sample.split != "test"]
        if len(self.training) < 2 or len(dataset.classes) < 2:
            raise DatasetError(
                f"{dataset.root} has {len(self.training)} labelled images of {len(dataset.classes)} classes "
                "to learn from; training needs two of each, for example in a folder per class"
            )

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """The classes of the dataset."""
        return self.dataset.classes

    @property
    def images(self) -> int:
        """Labelled images that are not held out."""
        return len(self.training)

    def epoch(self, epoch: int) -> Dataset[Example]:
        """All training images, in an order that the seed and the epoch decide."""
        order = list(self.training)
        random.Random(f"{self.seed} {epoch}").shuffle(order)
        return _Images(self.dataset.root, order, self.preprocess.crop, (self.seed, epoch))

    def held_out(self, say: Callable[[str], None]) -> Iterator[HeldOut]:
        """The images of the split; right is any class that the image is labelled with."""
        for loaded in load_ahead(self.dataset, self.validation, self.preprocess, workers=2, ahead=64):
            if loaded.status == "broken":
                say(f"left out of validation: {loaded.error}")
            if loaded.is_ok:
                foreground = loaded.foreground
                masks = dict(zip(foreground.labels, foreground.masks, strict=True)) if foreground else {}
                yield HeldOut(loaded.pixels, loaded.sample.labels, masks)

    def describe(self) -> dict[str, Any]:
        """Where the images lie and how many there are."""
        return {"dataset": str(self.dataset.root.resolve()), "images": self.images}


def _is_in_held_out_split(sample: Sample) -> bool:
    return sample.split in _HELD_OUT_SPLITS


def _is_in_tenth(sample: Sample) -> bool:
    """Decided by the path alone, so that adding an image moves no other one."""
    return hashlib.blake2b(sample.path.encode(), digest_size=1).digest()[0] % 10 == 0


@dataclass(frozen=True, slots=True)
class _Images(Dataset[Example]):
    """Images in a given order, each cropped and mirrored at random by (seed, epoch, position) alone."""

    root: Path
    samples: Sequence[Sample]
    size: int
    seed: tuple[int, int]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Example:
        """A broken image is named in `broken`, and the next one that can be read takes its place."""
        broken = ""
        for step in range(len(self)):
            sample = self.samples[(position + step) % len(self)]
            try:
                image = open_upright(self.root / sample.path)
            except DatasetError as problem:
                broken = broken or str(problem)
                continue
            rng = random.Random(f"{self.seed} {position}")
            return Example(self._vary(image, rng), rng.choice(sample.labels), broken)
        raise DatasetError(f"none of the {len(self.samples)} images to learn from can be read: {broken}")

    def _vary(self, image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own generator
            torch.manual_seed(rng.getrandbits(63))
            crop = RandomResizedCrop.get_params(image, list(_SCALE), list(_RATIO))
        top, left, height, width = crop
        box = (left, top, left + width, top + height)
        pixels = np.asarray(image.resize((self.size, self.size), Image.Resampling.BILINEAR, box))
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels
