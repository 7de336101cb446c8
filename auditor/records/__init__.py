"""The frozen records that stages hand to one another.

Records carry facts and what follows from them by arithmetic; drawing, printing and writing live elsewhere.
Arrays in records are NumPy arrays and are not to be written to.
"""

from auditor.records.answers import (
    BackboneRow,
    Check,
    ClassContext,
    ClassDetail,
    ContextTable,
    Hit,
    ImageGrids,
    ImageRow,
    IndexSummary,
    Match,
    Metrics,
    Pair,
    Rate,
    Similar,
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
    Region,
    Sample,
    Verdict,
)

__all__ = [
    "VARIANTS",
    "BackboneRow",
    "Certificate",
    "Check",
    "ClassContext",
    "ClassDetail",
    "ClassName",
    "ContextTable",
    "Dataset",
    "Fill",
    "Foreground",
    "Hit",
    "ImageGrids",
    "ImageRow",
    "IndexSummary",
    "Interpolation",
    "MaskFile",
    "Match",
    "Metrics",
    "Pair",
    "Preprocess",
    "Rate",
    "Region",
    "Sample",
    "Similar",
    "Verdict",
]
