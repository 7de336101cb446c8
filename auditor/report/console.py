"""Records on a terminal, or in a pipe: plain tables that never break a number and never obey a file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase
from typing import Any

import rich.box
from rich.columns import Columns
from rich.console import Console, JustifyMethod
from rich.table import Table as Drawn
from rich.text import Text

from auditor.records import (
    Attack,
    BackboneRow,
    CellMap,
    Check,
    ClassDetail,
    ClassMaps,
    Concept,
    ContextTable,
    FillTable,
    ImageContext,
    ImageGrids,
    IndexSummary,
    Match,
    Metrics,
    Pooling,
    Probe,
    Relevance,
    Similar,
    Thresholds,
)
from auditor.report.cell_tables import (
    rank_classes,
    tabulate_class,
    tabulate_classes,
    tabulate_match,
    tabulate_similar,
    title,
)
from auditor.report.context_views import tabulate_fills, tabulate_flips, tabulate_panels, tabulate_shifts
from auditor.report.experiment_tables import (
    tabulate_changes,
    tabulate_pooling,
    tabulate_probe,
    tabulate_thresholds,
)
from auditor.report.explanation_tables import tabulate_attack, tabulate_maps, tabulate_relevance
from auditor.report.search_tables import tabulate_concept, tabulate_concept_hits, tabulate_map
from auditor.report.tables import (
    Entry,
    Table,
    tabulate_backbones,
    tabulate_context,
    tabulate_indexes,
    tabulate_metrics,
    tabulate_readouts,
    turn,
    unstack,
)
from auditor.report.text import certify, plural, size, visible

_NAME_WIDTH = 16  # a name is folded to this many columns before a table is split
_GAP = 2  # columns between two columns of a table
_NO_EDGE = 10_000


def show(record: Any, console: Console) -> None:
    """Print a record, or a sequence of IndexSummary, Metrics or BackboneRow."""
    if isinstance(record, Sequence):
        if record:
            _LISTS[type(record[0])](record, console)
        else:
            console.print("Nothing to show.")
    else:
        _SHOWN[type(record)](record, console)


def _show_backbones(rows: Sequence[BackboneRow], console: Console) -> None:
    _print_table(tabulate_backbones(rows), console)


def _show_indexes(summaries: Sequence[IndexSummary], console: Console) -> None:
    _print_table(tabulate_indexes(summaries), console)


def _show_metrics(rows: Sequence[Metrics], console: Console) -> None:
    table = tabulate_metrics(rows)
    fits = len(_blocks(table, console.width)) == 1
    _print_table(table if fits else unstack(turn(table)), console)
    if len(rows) > 1:
        _print_table(tabulate_readouts(rows), console)
    else:
        _print_line(f"{rows[0].index}: {certify(rows[0].certificate)}", console)


def _show_probe(probe: Probe, console: Console) -> None:
    _print_table(unstack(turn(tabulate_probe(probe))), console)


def _show_thresholds(found: Thresholds, console: Console) -> None:
    _print_table(tabulate_thresholds(found), console)


def _show_pooling(found: Pooling, console: Console) -> None:
    _print_table(tabulate_pooling(found), console)
    if found.changes:
        _print_table(tabulate_changes(found.changes), console)


def _show_context(table: ContextTable, console: Console) -> None:
    _print_table(tabulate_context(table), console)


def _show_class(detail: ClassDetail, console: Console) -> None:
    _print_table(tabulate_context(ContextTable(detail.index, "delta", (detail.row,))), console)
    if detail.images:
        _print_table(tabulate_class(detail), console)


def _show_image_context(context: ImageContext, console: Console) -> None:
    for table in (tabulate_panels(context), tabulate_shifts(context), tabulate_flips(context)):
        _print_table(table, console)


def _show_fills(table: FillTable, console: Console) -> None:
    _print_table(tabulate_fills(table), console)


def _show_similar(similar: Similar, console: Console) -> None:
    _print_table(tabulate_similar(similar), console)


def _show_match(match: Match, console: Console) -> None:
    _print_table(tabulate_match(match), console)


def _show_concept(found: Concept, console: Console) -> None:
    _print_table(tabulate_concept_hits(found), console)
    _print_table(tabulate_concept(found), console)


def _show_grids(grids: ImageGrids, console: Console) -> None:
    """Letters for classes, a map per variant, and what the letters stand for."""
    letters = _letters(grids)
    _print_line(grids.path, console, "bold")
    maps = [_draw_map(grids, variant, letters) for variant in range(len(grids.variants))]
    console.print(Columns(maps, padding=(1, 4)))
    if grids.foreground is not None:
        _print_line("Capitals: foreground cells.", console, "dim")
    table = tabulate_classes(grids)
    rows = zip(letters.values(), table.rows, strict=True)
    lettered = tuple((replace(row[0], text=f"{letter}  {row[0].text}"), *row[1:]) for letter, row in rows)
    _print_table(replace(table, rows=lettered), console)


def _show_check(check: Check, console: Console) -> None:
    verdict = "is sound" if check.is_sound else f"is damaged: {plural(len(check.problems), 'problem')}"
    _print_line(f"{check.index} {verdict}", console, "bold green" if check.is_sound else "bold red")
    _print_line(f"{plural(check.files, 'file')}, {size(check.bytes)} verified", console)
    for problem in check.problems:
        _print_line(f"damaged   {problem}", console)
    for repaired in check.repaired:
        _print_line(f"repaired  {repaired}", console)


_LISTS: Mapping[type, Callable[[Any, Console], None]] = {
    BackboneRow: _show_backbones,
    IndexSummary: _show_indexes,
    Metrics: _show_metrics,
}
_SHOWN: Mapping[type, Callable[[Any, Console], None]] = {
    ContextTable: _show_context,
    ClassDetail: _show_class,
    ImageContext: _show_image_context,
    FillTable: _show_fills,
    Similar: _show_similar,
    Match: _show_match,
    ImageGrids: _show_grids,
    CellMap: lambda found, console: _print_table(tabulate_map(found), console),
    Concept: _show_concept,
    Check: _show_check,
    Probe: _show_probe,
    Thresholds: _show_thresholds,
    Pooling: _show_pooling,
    ClassMaps: lambda found, console: _print_table(tabulate_maps(found), console),
    Relevance: lambda found, console: _print_table(tabulate_relevance(found), console),
    Attack: lambda found, console: _print_table(tabulate_attack(found), console),
}


# ------------------------------------------------------------------------------------- grids as letters


def _letters(grids: ImageGrids) -> dict[int, str]:
    """A letter for each of the 26 most frequent classes, in that order; the rest share a dot."""
    return {label: ascii_lowercase[i] if i < 26 else "." for i, label in enumerate(rank_classes(grids))}


def _draw_map(grids: ImageGrids, variant: int, letters: Mapping[int, str]) -> Text:
    drawn = Text(no_wrap=True)
    drawn.append(visible(title(grids.variants[variant])), style="dim")
    for row, labels in enumerate(grids.labels[variant].tolist()):
        drawn.append("\n")
        for col, label in enumerate(labels):
            is_foreground = grids.foreground is not None and bool(grids.foreground[row, col])
            letter = letters[label].upper() if is_foreground else letters[label]
            drawn.append(f"{letter} ", style="bold cyan" if label == grids.label else "")
    return drawn


# ------------------------------------------------------------------------------------- lines and tables


def _safe(text: str, style: str = "") -> Text:
    """Text that is printed as it is: no markup, no escape codes."""
    return Text(visible(text), style=style)


def _print_line(text: str, console: Console, style: str = "") -> None:
    console.print(_safe(text, style), soft_wrap=not console.is_terminal)


def _print_table(table: Table, console: Console) -> None:
    """Print the table, its columns spread over several blocks where the terminal is too narrow for all."""
    _print_line(table.caption, console, "bold")
    room = _room(console)
    for kept in _blocks(table, room):
        console.print(_draw(table, kept, room), crop=False, soft_wrap=True)
    for note in table.notes:
        _print_line(note, console, "dim")
    console.print()


def _room(console: Console) -> int:
    """Columns that a table may take: a pipe has no edge, and what reads it wants names and numbers whole."""
    return console.width if console.is_terminal else _NO_EDGE


def _blocks(table: Table, room: int) -> list[tuple[int, ...]]:
    """The columns of each block; every block begins with the first column."""
    widths = [_least_width(table, index) for index in range(len(table.columns))]
    blocks = [[0]]
    for index in range(1, len(widths)):
        taken = sum(widths[i] + _GAP for i in blocks[-1])
        if taken + widths[index] > room and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(index)
    return [tuple(block) for block in blocks]


def _least_width(table: Table, index: int) -> int:
    """The widest number or heading's word, so that none is ever broken; a name may fold."""
    column = table.columns[index]
    words = [len(word) for word in column.name.split()]
    if column.is_number:
        return max([*words, *(len(text) for row in table.rows for text in _lines(row[index]))])
    return max([*words, min(_full_width(table, index), _NAME_WIDTH)])


def _widths(table: Table, kept: Sequence[int], room: int) -> list[int]:
    """Every column as narrow as it may be, then the room that is left given out from left to right."""
    widths = [_least_width(table, index) for index in kept]
    left = room - sum(widths) - _GAP * (len(kept) - 1)
    for position, index in enumerate(kept):
        more = min(max(left, 0), _full_width(table, index) - widths[position])
        widths[position] += more
        left -= more
    return widths


def _full_width(table: Table, index: int) -> int:
    column = table.columns[index]
    return max([len(visible(column.name)), *(len(line) for row in table.rows for line in _lines(row[index]))])


def _draw(table: Table, kept: Sequence[int], room: int) -> Drawn:
    widths = _widths(table, kept, room)
    drawn = Drawn(
        box=rich.box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
        width=sum(widths) + _GAP * (len(widths) - 1),  # without it rich squeezes the table to its own guess
    )
    for index, width in zip(kept, widths, strict=True):
        side: JustifyMethod = "right" if table.columns[index].is_number else "left"
        drawn.add_column(_safe(table.columns[index].name), justify=side, overflow="fold", width=width)
    for row in table.rows:
        drawn.add_row(*(_stack(row[index]) for index in kept))
    return drawn


def _stack(entry: Entry) -> Text:
    """The entry with its small print on a line below."""
    shown = _safe(entry.text)
    if entry.detail:
        shown.append("\n").append(visible(entry.detail), style="dim")
    return shown


def _lines(entry: Entry) -> tuple[str, str]:
    return visible(entry.text), visible(entry.detail)
