"""What of a dataset an index could not read: said at the end of `audit index`, and perhaps too much of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auditor.errors import TooMuchBadData
from auditor.records import BadImage, IndexSummary
from auditor.store import Index

SHOWN = 5  # files that a message names; JSON lists all

_BROKEN = (
    "SELECT path, code, error FROM images WHERE status = 'broken' AND NOT is_removed ORDER BY path COLLATE C"
)
_UNCLEAR = "SELECT count(*) AS n FROM images WHERE usable AND code = 'annotation'"


def tell_bad(path: Path, summary: IndexSummary) -> IndexSummary:
    """The summary of a complete index with its broken images and those whose foreground is unknown."""
    with Index.open(path) as index:
        rows = index.query(_BROKEN)
        unclear = int(index.query(_UNCLEAR)["n"][0])
    columns = (rows[name].tolist() for name in ("path", "code", "error"))
    bad = tuple(BadImage(*row) for row in zip(*columns, strict=True))
    return replace(summary, bad=bad, unclear=unclear)


def check_bad(summary: IndexSummary, most: float) -> None:
    """TooMuchBadData where more than this share (0 to 1) of the images that are there cannot be read."""
    bad = len(summary.bad)
    if not summary.images or bad <= most * summary.images:
        return
    named = [f"{image.path} ({image.code})" for image in summary.bad[:SHOWN]]
    more = f", and {bad - SHOWN} more: audit index ... --json lists all" if bad > SHOWN else ""
    raise TooMuchBadData(
        f"{bad} of {summary.images} images cannot be read ({bad / summary.images:.1%}, --max-bad allows "
        f"{most:.1%}): {', '.join(named)}{more}. The index {summary.name} is complete and can be used "
        "without them; repair or remove the files and run the same command again, or allow more bad ones"
    )
