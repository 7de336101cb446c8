"""The backbone of a request, and batches of loaded images through it: as they are, and occluded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.data.load import Loaded
from auditor.data.occlusion import normalise, occlude
from auditor.errors import IndexDamaged
from auditor.indexing.request import Request, choose_backbone
from auditor.indexing.shard import ShardRows
from auditor.models.backbone import Backbone, Grid
from auditor.models.heads import Head, dense_scores
from auditor.models.runtime import emulates_bfloat16
from auditor.models.weights import load_backbone
from auditor.records import Agreement, Fill, Precision, Rate, Readout, Runtime
from auditor.records.watch import Watch
from auditor.store.manifest import Manifest
from auditor.store.shards import Staged, is_staged, read_staged


def load_request(request: Request, watch: Watch | None = None) -> Backbone:
    """The backbone that was asked for; `watch` sees it downloaded, and is told what will be slow."""
    backbone = load_backbone(
        choose_backbone(request),
        weights=request.weights,
        model_args=request.model_args,
        size=request.size,
        mean=request.mean,
        std=request.std,
        interpolation=request.interpolation,
        preprocess=request.preprocess,
        device=request.processor,
        watch=watch,
    )
    is_by_torch = (request.precision, request.runtime) == ("bfloat16", "torch")
    if watch is not None and is_by_torch and backbone.device.type == "cpu" and emulates_bfloat16():
        watch.say(
            "this processor has no bfloat16, so torch emulates it, up to ten times as slow as float32: "
            "leave out --precision bfloat16"
        )
    return backbone


class Extractor:
    """Runs a backbone on loaded images, without gradients, in a precision and by a runtime."""

    def __init__(
        self, backbone: Backbone, fill: Fill, precision: Precision, seed: int, runtime: Runtime = "torch"
    ) -> None:
        self.backbone, self.fill, self.seed = backbone, fill, seed
        self.precision, self.runtime = precision, runtime

    @classmethod
    def of(cls, manifest: Manifest, backbone: Backbone, fill: Fill | None = None) -> Extractor:
        """As the index was made, or with another fill."""
        seed = manifest.options["seed"]
        return cls(backbone, fill or manifest.fill, manifest.precision, seed, manifest.runtime)

    def images(self, loaded: Sequence[Loaded]) -> Tensor:
        """The network's input (B, 3, S, S) on its device."""
        pixels = torch.from_numpy(np.stack([item.pixels for item in loaded]))
        return normalise(pixels.to(self.backbone.device), self.backbone.preprocess)

    def original(self, loaded: Sequence[Loaded], images: Tensor | None = None) -> Grid:
        """The grid of the unmodified images; `images` are the network's input, where it is there already."""
        return self.run(self.images(loaded) if images is None else images)

    def occluded(self, loaded: Sequence[Loaded], variant: str, images: Tensor | None = None) -> Grid:
        """The grid of without_bg (only the foreground is left) or without_fg (it alone is occluded)."""
        unions = np.stack([item.foreground.union for item in loaded if item.foreground is not None])
        masks = torch.from_numpy(unions if variant == "without_fg" else ~unions).to(self.backbone.device)
        images = self.images(loaded) if images is None else images
        return self.run(occlude(images, masks, self.fill, self.backbone.preprocess, seed=self.seed))

    @torch.no_grad()
    def agreement(self, head: Head | None, readout: Readout, images: Tensor) -> Agreement | None:
        """How far its cells of these images are from eager torch's in float32; None where it makes those."""
        if (self.runtime, self.precision) == ("torch", "float32"):
            return None
        with torch.backends.cudnn.flags(allow_tf32=False):
            wanted = self.backbone.grid_of(images)
        found = self.run(images)
        is_empty = ~(wanted.features.any(-1) | found.features.any(-1))
        cosines = F.cosine_similarity(wanted.features, found.features, dim=-1)
        changed = None
        if head is not None:
            classes = [dense_scores(head, grid, readout).argmax(-1) for grid in (wanted, found)]
            changed = Rate(int((classes[0] != classes[1]).sum()), classes[0].numel())
        lowest = float(cosines.masked_fill(is_empty, 1).min())
        return Agreement(self.runtime, self.precision, len(images), changed, lowest)

    @torch.no_grad()
    def run(self, images: Tensor) -> Grid:
        """The grid of the network's input (B, 3, S, S)."""
        if self.runtime == "openvino":
            from auditor.models.compiled import compiled

            return compiled(self.backbone, self.precision).grid_of(images)
        uses_autocast = self.precision == "bfloat16"
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=uses_autocast):
            return self.backbone.grid_of(images)


def find_staged(index: Path, name: str, paths: Sequence[str], watch: Watch) -> Staged | None:
    """What is staged for exactly these images; None where nothing sound is or the dataset has changed."""
    if not is_staged(index, name):
        return None
    try:
        staged = read_staged(index, name)
    except IndexDamaged as damage:
        watch.say(f"{damage}, and will be made again")
        return None
    return staged if list(staged.images["path"]) == list(paths) else None


def restore_grid(held: Staged | ShardRows, rows: Sequence[int]) -> Grid:
    """The grid of images from the unit vectors and norms that are kept (fp16: to 2e-4 of the logits)."""
    features = torch.from_numpy(held.features[rows].astype(np.float32) * held.norms[rows][..., None])
    return Grid(features, torch.from_numpy(np.array(held.pooled[rows])), None, None)
