"""Which index an answer is of: a line for people, keys for machines."""

from __future__ import annotations

from typing import Any

from auditor.records import IndexSummary
from auditor.report.text import plural


def describe(index: IndexSummary) -> str:
    """One line: the index, its dataset and backbone, and what to know before believing its answers."""
    facts = f"{index.name}: {index.dataset}, {index.backbone}, {plural(index.images, 'image')}"
    return "; ".join([facts, *index.caveats])


def keys(index: IndexSummary) -> dict[str, Any]:
    """What the JSON of an answer begins with."""
    return {
        "index": index.name,
        "dataset": index.dataset,
        "backbone": index.backbone,
        "caveats": list(index.caveats),
    }
