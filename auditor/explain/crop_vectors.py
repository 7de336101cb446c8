"""A folder of crops as a reference set: the backbone encodes each of them by itself (section 6.2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.data.files import list_files
from auditor.data.load import load
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.explain.live import reopen
from auditor.indexing.extract import Extractor
from auditor.records import Dataset, Sample
from auditor.store import Index

FROM_CROPS = "crops enlarged to the network's whole input, each the mean of its cells"
"""A thing that fills the input looks larger to the network than it does in an image: expect lower cosines."""


def encode_crops(index: Index, folder: Path) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The images of a folder by name and their pooled vectors (n, C) at unit length."""
    names = list_files(folder, Notes()).images
    if not names:
        raise DatasetError(f"{folder} holds no images; a reference set is a JSON file or a folder of crops")
    backbone, _ = reopen(index)
    extractor = Extractor.of(index.manifest, backbone)
    # the shorter side fills the input: what the dataset's own crop cuts off is part of a crop made by hand
    preprocess = replace(index.manifest.preprocess, resize=index.manifest.preprocess.crop)
    vectors = []
    for name in names:
        loaded = load(Dataset(folder, "crops", (), ()), Sample(name), preprocess)
        if not loaded.is_ok:
            raise DatasetError(loaded.error or f"{folder / name} cannot be read")
        vectors.append(extractor.original([loaded]).pooled[0].cpu().numpy())
    pooled = np.stack(vectors).astype(np.float32)
    return names, pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-30)
