"""The paper's own numbers, in percent, of the backbones that it evaluates: Tables 1, 2, 3 and 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auditor.store import Index, Manifest


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of the paper: what it was measured on, the metrics of its columns, and a row per backbone.

    `head` and `classes` are those of an index whose numbers are its numbers; `is_annotated` whether it
    counts foreground.
    """

    name: str
    images: str
    head: str
    classes: int
    is_annotated: bool
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]


IMAGENET = "ImageNet's validation set with ILSVRC boxes"

TABLE1 = PaperTable(
    "Table 1",
    IMAGENET,
    "own",
    1000,
    True,
    (
        "top1",
        "top5",
        "fg_det",
        "loc",
        "loc_without_bg",
        "bg_act",
        "bg_act_without_fg",
        "real_acc",
        "real_rec",
    ),
    {
        "efficientnet_b0": (78.4, 94.3, 93.7, 44.0, 42.2, 55.3, 24.6, 84.7, 91.8),
        "resnet50": (80.3, 95.1, 94.3, 33.7, 33.5, 34.5, 28.7, 86.1, 92.0),
        "convnext_base": (83.7, 96.7, 94.7, 58.3, 57.0, 55.2, 34.7, 88.3, 90.9),
        "swin_base": (83.1, 96.4, 94.2, 75.2, 76.0, 89.2, 35.8, 87.7, 89.8),
        "maxvit_base": (84.7, 96.9, 94.8, 77.3, 77.1, 90.3, 37.9, 88.5, 89.7),
    },
)
TABLE2 = PaperTable(
    "Table 2",
    "ImageNet-A",
    "own",
    1000,
    False,
    ("top1", "det_top1", "top5", "det_top5"),
    {
        "efficientnet_b0": (3.8, 30.6, 16.6, 57.5),
        "resnet50": (7.2, 38.9, 24.8, 66.9),
        "convnext_base": (17.9, 51.9, 43.9, 78.8),
        "swin_base": (18.0, 51.1, 42.9, 76.1),
        "maxvit_base": (23.3, 56.9, 49.2, 79.5),
    },
)
TABLE3 = PaperTable(
    "Table 3",
    "COCO's validation set with its masks",
    "probe",
    80,
    True,
    ("top1", "top5", "fg_det", "loc", "bg_act", "bg_act_without_fg"),
    {
        "clip_resnet50": (47.1, 88.8, 50.7, 44.8, 75.7, 53.1),
        "clip_convnext": (47.8, 90.4, 89.4, 59.4, 89.1, 82.0),
        "clip_vit": (46.5, 89.0, 74.5, 61.8, 88.8, 73.3),
        "dinov1_resnet50": (45.9, 86.2, 87.1, 59.0, 83.8, 77.4),
        "dinov1_vit": (44.2, 83.1, 51.6, 16.1, 90.5, 84.2),
        "dinov2": (47.7, 91.6, 93.5, 69.0, 93.2, 77.1),
        "dinov3": (47.7, 91.5, 92.1, 77.9, 91.1, 75.4),
        "dinov3_convnext": (47.5, 90.0, 90.3, 66.3, 81.4, 76.5),
        "mae": (40.2, 77.5, 78.4, 54.7, 81.8, 73.8),
        "beit3": (43.0, 81.6, 80.5, 60.6, 84.8, 73.4),
    },
)
TABLE6 = PaperTable(
    "Table 6",
    IMAGENET,
    "own",
    1000,
    True,
    ("top1", "fg_det", "loc", "bg_act", "bg_act_without_fg", "real_rec"),
    {
        "vit_base_cls": (75.7, 90.8, 72.7, 86.2, 24.4, 86.6),
    },
)
TABLES = (TABLE1, TABLE2, TABLE3, TABLE6)

FROM_FILE = ("dinov1_resnet50",)
"""Backbones whose published weights are on no hub, and come from a file."""


def find_row(index: Index) -> tuple[PaperTable, tuple[float, ...]] | None:
    """The paper's numbers of the network that an index is of; None where it is not the paper's.

    It is where its name, weights, head, classes and readout are.
    """
    manifest = index.manifest
    if not _has_its_weights(manifest) or manifest.readout != "pointwise":
        return None
    is_annotated = len(manifest.variants) > 1
    for table in TABLES:
        row = table.rows.get(manifest.backbone.name)
        wanted = table.head, table.classes, table.is_annotated
        if row is not None and wanted == (manifest.head.name, len(manifest.classes), is_annotated):
            return table, row
    return None


def _has_its_weights(manifest: Manifest) -> bool:
    weights = manifest.backbone.weights
    is_file = manifest.backbone.name in FROM_FILE and not weights.startswith("random")
    return weights == "hub" or is_file
