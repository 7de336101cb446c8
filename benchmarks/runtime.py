"""Grids by each runtime and precision beside eager torch's in float32, one thread, the same images in turns.

    OMP_NUM_THREADS=1 python benchmarks/runtime.py [NAME ...]

Each line is eager torch in float32 over another way in CPU seconds: above 1, that way is faster. Below it,
what an index that is made so would say of its cells, here of a network with random weights on noise. Torch
gets the images as `audit index` gives them to it, channels last. bfloat16 is left out where the processor
lacks it: OpenVINO would compute in float32, and torch would emulate it, up to ten times as slow.
"""

from __future__ import annotations

import sys

import torch
from side_by_side import compare, load

from auditor.data.occlusion import normalise
from auditor.indexing.extract import Extractor
from auditor.models.compiled import import_openvino
from auditor.models.heads import OwnHead
from auditor.models.weights import load_backbone
from auditor.records import Precision, Runtime
from auditor.report.text import tell_agreement

NAMES = (
    "resnet18",
    "resnet50",
    "timm/vit_small_patch16_224",
    "timm/vit_base_patch16_224",
    "timm/convnext_tiny",
)
WAYS: tuple[tuple[Runtime, Precision], ...] = (
    ("openvino", "float32"),
    ("torch", "bfloat16"),
    ("openvino", "bfloat16"),
)
IMAGES, ROUNDS = 4, 7


def main(names: list[str]) -> None:
    """Two lines for each model and way, and the load before them."""
    torch.set_num_threads(1)
    has_it = "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 224, 224, 3), generator=generator, dtype=torch.uint8)
    for name in names:
        backbone = load_backbone(name, weights="random:0", device="cpu")
        head, images = OwnHead(backbone), normalise(pixels, backbone.preprocess)
        eager = Extractor(backbone, "mean", "float32", 0)
        for runtime, precision in WAYS:
            if precision == "bfloat16" and not has_it:
                continue
            other = Extractor(backbone, "mean", precision, 0, runtime)
            print(load(), flush=True)
            compare(
                f"{name}, {IMAGES} images: eager float32 / {runtime} {precision}",
                lambda eager=eager, images=images: eager.run(images),  # type: ignore[misc]
                lambda other=other, images=images: other.run(images),  # type: ignore[misc]
                rounds=ROUNDS,
            )
            agreement = other.agreement(head, "pointwise", images)
            assert agreement is not None
            print(f"    {tell_agreement(agreement)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(NAMES))
