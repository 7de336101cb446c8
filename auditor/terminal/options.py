"""Options that commands share, and where indexes and reports lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.errors import AuditError
from auditor.files import INDEXES as INDEXES

if TYPE_CHECKING:
    from auditor.store import Index

REPORTS = Path("reports")

IndexName = Annotated[
    str | None,
    typer.Option("--index", "-i", metavar="NAME", help="Index by name or path; the newest when not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record as JSON and nothing else.")]
TableFile = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="Write the table to a .csv or .parquet file as well."),
]
PictureFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where the picture goes; reports/ when not given, with --json nowhere.",
    ),
]
Count = Annotated[int, typer.Option("--top", "-k", min=1, help="How many.")]
Subject = Annotated[str, typer.Argument(help="An indexed image, or an image file.", show_default=False)]


def index_path(name: str | None) -> Path:
    """The folder of an index: newest, by name below indexes/, or a path of its own."""
    from auditor.store.listing import newest
    from auditor.store.manifest import is_index

    if name is None:
        return newest(INDEXES)
    return Path(name) if is_index(Path(name)) else INDEXES / name


def new_path(name: str) -> Path:
    """Where an index that is to be made lies: by name below indexes/, or at a path of its own."""
    if name in ("", ".", ".."):
        raise AuditError(f"{name!r} is no name of an index; give a word, or the path of a folder")
    return INDEXES / name


def open_index(name: str | None) -> Index:
    """The index that `--index` names."""
    from auditor.store.index import Index

    return Index.open(index_path(name))


def pairs(texts: list[str] | None) -> dict[str, str]:
    """The KEY=VALUE arguments of a repeatable option."""
    for text in texts or []:
        if "=" not in text:
            raise AuditError(f"{text!r} is not KEY=VALUE, for example output_stride=16")
    return dict(text.split("=", 1) for text in texts or [])
