"""Options that commands share, and what every command does with a record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from auditor.errors import AuditError
from auditor.store.index import Index, newest

if TYPE_CHECKING:
    from PIL.Image import Image

INDEXES = Path("indexes")
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
    typer.Option("--out", metavar="FILE", help="Where the picture goes; in reports/ when not given."),
]


def index_path(name: str | None) -> Path:
    """The folder of an index: newest, by name below indexes/, or a path of its own."""
    if name is None:
        return newest(INDEXES)
    return Path(name) if Path(name, "index.json").exists() else INDEXES / name


def open_index(name: str | None) -> Index:
    """The index that `--index` names."""
    return Index.open(index_path(name))


def console() -> Console:
    """Standard output, as wide as the terminal."""
    return Console()


def show(record: Any, *, as_json: bool = False, table: Path | None = None) -> None:
    """Print a record as a table or as JSON, and write it to a file where one is asked for."""
    if table is not None:
        from auditor.report.write import write_table

        write_table(record, table)
    if as_json:
        from auditor.report.write import as_json as to_json

        sys.stdout.write(to_json(record) + "\n")
        return
    from auditor.report.console import show as print_record

    print_record(record, console())
    if table is not None:
        console().print(f"table: {table}", markup=False, highlight=False)


def picture_path(out: Path | None, index: str, *words: str) -> Path:
    """Where a picture goes: `out`, or reports/INDEX/words.png with what a file name cannot hold replaced."""
    if out is not None:
        return out
    stem = "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in word) for word in words)
    return REPORTS / index / f"{stem[-120:]}.png"


def save_picture(picture: Image, path: Path, *, quiet: bool) -> None:
    """Write a drawing as PNG and say where it is."""
    from auditor.draw.grids import save

    path.parent.mkdir(parents=True, exist_ok=True)
    save(picture, path)
    if not quiet:
        console().print(f"picture: {path}", markup=False, highlight=False, soft_wrap=True)


def pairs(texts: list[str] | None) -> dict[str, str]:
    """The KEY=VALUE arguments of a repeatable option."""
    for text in texts or []:
        if "=" not in text:
            raise AuditError(f"{text!r} is not KEY=VALUE, for example output_stride=16")
    return dict(text.split("=", 1) for text in texts or [])
