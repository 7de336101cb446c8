"""The paper's metrics (section 4.1, Tables 1 to 8) as questions to an index."""

from auditor.measure.context import class_detail, context
from auditor.measure.images import find_class, image_grids, image_rows
from auditor.measure.metrics import metrics

__all__ = ["class_detail", "context", "find_class", "image_grids", "image_rows", "metrics"]
