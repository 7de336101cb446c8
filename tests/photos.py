"""Little data sets on disk, and the options that index them fastest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SMALL = ("--backbone", "timm/test_resnet", "--weights", "random:0", "--size", "96")


def write_photo(path: Path, seed: int, size: tuple[int, int] = (120, 90)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)


def write_dataset(root: Path, images: int = 6) -> Path:
    """A folder per class, with VOC-like boxes of the class beside each image's middle."""
    for number in range(images):
        kind = ("cat", "dog")[number % 2]
        write_photo(root / "images" / kind / f"{number:02d}.png", number)
        box = f"<xmin>{20 + number}</xmin><ymin>15</ymin><xmax>{70 + number}</xmax><ymax>60</ymax>"
        xml = (
            f"<annotation><filename>{number:02d}.png</filename><size><width>120</width><height>90</height>"
            f"<depth>3</depth></size><object><name>{kind}</name><bndbox>{box}</bndbox></object></annotation>"
        )
        (root / "boxes").mkdir(exist_ok=True)
        (root / "boxes" / f"{number:02d}.xml").write_text(xml)
    return root
