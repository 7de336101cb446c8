"""The frozen records that stages hand to one another, and those that several questions share.

Records carry facts and what follows from them by arithmetic; drawing, printing and writing live elsewhere.
Arrays in records are NumPy arrays and are not to be written to.
"""

from auditor.records.answers import (
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
    Preprocess,
    ProbeKind,
    Readout,
    Region,
    Sample,
    Verdict,
)
from auditor.records.shares import SIGNIFICANT, ClassShare

__all__ = [
    "SIGNIFICANT",
    "VARIANTS",
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
    "Preprocess",
    "ProbeKind",
    "Rate",
    "Readout",
    "Region",
    "Sample",
    "SearchLists",
    "Verdict",
]
