"""Foreground masks packed for the index, and unpacked for whoever draws or scores again; no torch."""

from __future__ import annotations

import json

import numpy as np
from pycocotools import mask as coco_mask

from auditor.data.formats.segments import fill as fill_code
from auditor.grids import Mask


def pack_mask(mask: Mask) -> str:
    """A mask (S, S) as COCO's compressed run-length code in JSON: some hundred bytes."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return json.dumps(
        {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
    )


def unpack_mask(text: str) -> Mask:
    """The mask (S, S) that `pack_mask` packed."""
    return fill_code(json.loads(text))
