"""What every command does with an answer: print it as a view or as JSON, write its table and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.terminal.lines import say, say_json
from auditor.terminal.options import REPORTS

if TYPE_CHECKING:
    from auditor.records import IndexSummary
    from auditor.report.views import Picture, View


def show(
    answer: Any,
    *,
    as_json: bool = False,
    table: Path | None = None,
    view: View | None = None,
    about: Sequence[IndexSummary] = (),
) -> None:
    """Print an answer as its view or as JSON, and write its rows to a file where one is asked for.

    It begins with which index answers, or indexes.
    """
    from auditor.report.write import as_json as to_json
    from auditor.report.write import write_table

    if table is not None:
        write_table(answer, table)
    if as_json:
        say_json(to_json(answer, about))
        return
    from auditor.report.about import describe
    from auditor.report.views import view_of
    from auditor.terminal.console import output, print_line, print_view

    console = output()
    for index in about:
        print_line(describe(index), console, "dim")
    print_view(view or view_of(answer), console)
    if table is not None:
        say(f"table: {table}")


def save_pictures(pictures: Iterable[Picture], index: str, out: Path | None) -> list[Path]:
    """Write pictures as PNG, those of one name below one another, and return where they are.

    They go to reports/INDEX/words.png, with what a file name cannot hold replaced, or to `out`: the second
    and further names of one answer beside it, with their last word added.
    """
    paths = []
    for count, (words, named) in enumerate(groupby(pictures, key=lambda picture: picture.words)):
        from auditor.draw.packing import save, stack  # no earlier: many an answer has no picture

        group = list(named)
        path = _path(index, words) if out is None else out if not count else _beside(out, words[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        save(stack([picture.drawn() for picture in group]), path, group[0].most)
        paths.append(path)
    return paths


def _path(index: str, words: tuple[str, ...]) -> Path:
    stem = "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in word) for word in words)
    return REPORTS / index / f"{stem[-120:]}.png"


def _beside(path: Path, word: str) -> Path:
    return path.with_stem(f"{path.stem}-{word}")
