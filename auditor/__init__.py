"""audit: what did my image classifier really look at, and what is in my dataset that nobody labelled?

    import auditor

    index = auditor.open("indexes/val-resnet50")
    auditor.metrics(index)
    auditor.context(index, by="bg_act_wo_fg")

Every question of the command line is a function of its name that takes an index and returns a frozen record.
Nothing is loaded until it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from auditor.records.watch import Watch
    from auditor.store import Index

__version__ = "0.1.0"


def open(path: str | Path) -> Index:
    """An index, open for reading; a context manager that closes it. Raises IndexMissing, IndexDamaged."""
    from auditor.store import Index

    return Index.open(Path(path))


def index(
    dataset: str | Path,
    *,
    to: str | Path | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Index:
    """Index a folder of images, or continue, and open the result: what `audit index` does.

    `options` are the fields of `auditor.indexing.request.Request`: backbone, annotations, head, size ...
    `to` is the index's folder, indexes/DATASET-BACKBONE when not given; `watch` is told of the progress.
    """
    from auditor.indexing.request import Request
    from auditor.indexing.start import INDEXES, build_index
    from auditor.records.watch import Silence
    from auditor.remote import locate

    request = Request(dataset=locate(dataset), **options)
    path = None if to is None else Path(to)
    built = build_index(request, watch or Silence(), path=path)
    return open(path or INDEXES / built.name)


def columns(record: Any, to: Literal["lists", "arrow", "pandas"] = "lists") -> Any:
    """What a record lists, by column: a dict of lists, an Arrow table or a pandas data frame.

    The columns are those of `--table FILE.csv`: a rate is three of them, its hits, total and value. Arrow and
    pandas must be installed; AuditError where they are not.
    """
    from auditor.report.flat import to_columns

    return to_columns(record, to)


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        from auditor.questions import find_question

        question = find_question(name)
        if question is not None:
            return question.function
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")


def __dir__() -> Sequence[str]:
    from auditor.questions import all_questions

    return sorted([*globals(), *(question.name for question in all_questions())])
