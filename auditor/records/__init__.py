"""The frozen records that stages hand to one another, and those that several questions share.

Records carry facts and what follows from them by arithmetic; drawing, printing and writing live elsewhere.
Arrays in records are NumPy arrays and are not to be written to.
"""

from auditor.records.answers import (
    Agreement,
    BackboneRow,
    BadImage,
    Check,
    Estimate,
    Hit,
    ImageGrids,
    IndexSummary,
    Rate,
    SearchLists,
)
from auditor.records.inputs import (
    VARIANTS,
    Certificate,
    ClassName,
    Dataset,
    Fill,
    Foreground,
    Interpolation,
    MaskFile,
    Precision,
    Preprocess,
    ProbeKind,
    Readout,
    Region,
    Runtime,
    Sample,
    Verdict,
)
from auditor.records.shares import SIGNIFICANT, ClassShare

__all__ = [
    "SIGNIFICANT",
    "VARIANTS",
    "Agreement",
    "BackboneRow",
    "BadImage",
    "Certificate",
    "Check",
    "ClassName",
    "ClassShare",
    "Dataset",
    "Estimate",
    "Fill",
    "Foreground",
    "Hit",
    "ImageGrids",
    "IndexSummary",
    "Interpolation",
    "MaskFile",
    "Precision",
    "Preprocess",
    "ProbeKind",
    "Rate",
    "Readout",
    "Region",
    "Runtime",
    "Sample",
    "SearchLists",
    "Verdict",
]
