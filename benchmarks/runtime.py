"""Grids by OpenVINO beside eager torch's, one thread, the same images in turns.

    OMP_NUM_THREADS=1 python benchmarks/runtime.py [NAME ...]

Each line is eager torch over OpenVINO in CPU seconds: above 1, OpenVINO is faster. Torch gets the images as
`audit index` gives them to it, channels last. bfloat16 is left out where the processor lacks it: OpenVINO
would compute in float32, and torch would take minutes.
"""

from __future__ import annotations

import sys

import torch
from side_by_side import compare, load

from auditor.data.occlusion import normalise
from auditor.indexing.extract import Extractor
from auditor.models.compiled import import_openvino
from auditor.models.weights import load_backbone
from auditor.records import Precision

NAMES = (
    "resnet18",
    "resnet50",
    "timm/vit_small_patch16_224",
    "timm/vit_base_patch16_224",
    "timm/convnext_tiny",
)
IMAGES, ROUNDS = 4, 3


def main(names: list[str]) -> None:
    """A line for each model and precision, and the load before it."""
    torch.set_num_threads(1)
    has_it = "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if has_it else ("float32",)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 224, 224, 3), generator=generator, dtype=torch.uint8)
    for name in names:
        backbone = load_backbone(name, weights="random:0", device="cpu")
        images = normalise(pixels, backbone.preprocess)
        for precision in precisions:
            eager = Extractor(backbone, "mean", precision, 0)
            by_openvino = Extractor(backbone, "mean", precision, 0, "openvino")
            print(load(), flush=True)
            compare(
                f"{name}, {IMAGES} images, {precision}: eager torch / OpenVINO",
                lambda eager=eager, images=images: eager.run(images),  # type: ignore[misc]
                lambda by_openvino=by_openvino, images=images: by_openvino.run(images),  # type: ignore[misc]
                rounds=ROUNDS,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or list(NAMES))
