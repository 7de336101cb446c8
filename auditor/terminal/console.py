"""A view on a terminal, or in a pipe: plain tables that never break a number and never obey a file name."""

from __future__ import annotations

import os
from collections.abc import Sequence

import rich.box
from rich.columns import Columns
from rich.console import Console, JustifyMethod
from rich.table import Table as Drawn
from rich.text import Text

from auditor.report.tables import Entry, Table, split, turn, unstack
from auditor.report.views import Letters, View
from auditor.report.visible import visible
from auditor.terminal.lines import shown

_NAME_WIDTH = 16  # a name is folded to this many columns before a table is split, but its words are not:
_WORD_WIDTH = 44  # a path of up to so many columns, of 120, is not cut
_GAP = 2  # columns between two columns of a table
_PIPE = 120  # columns of what is no terminal, where COLUMNS does not say


def output() -> Console:
    """Standard output; what is no terminal gets lines of 120 columns, or of COLUMNS."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE
    return console


def print_view(view: View, console: Console) -> None:
    """Print a view: its letters and tables, or its heading where it has neither, then its notes."""
    if view.letters:
        print_line(view.heading, console, "bold")
        console.print(Columns([_draw_letters(letters) for letters in view.letters], padding=(1, 4)))
        for note in view.notes:
            print_line(note, console, "dim")
    elif not view.tables:
        print_line(view.heading, console, "bold")
    for table in view.tables:
        parts = split(table)
        for part in parts:
            print_table(part, console)
        if parts != (table,):
            print_line(f"all {len(table.rows):,} rows: --json", console)
            console.print()
    for note in () if view.letters else view.notes:
        print_line(note, console)


def print_line(text: str, console: Console, style: str = "") -> None:
    """A sentence, broken between words where the console ends."""
    console.print(shown(text, style))


def print_table(table: Table, console: Console) -> None:
    """Print the table, its columns spread over several blocks where the terminal is too narrow for all."""
    if table.is_turnable and len(_blocks(table, console.width)) > 1:
        table = unstack(turn(table))
    print_line(table.caption, console, "bold")
    for kept in _blocks(table, console.width):
        console.print(_draw(table, kept, console.width), crop=False, soft_wrap=True)
    for note in table.notes:
        print_line(note, console, "dim")
    console.print()


def _draw_letters(letters: Letters) -> Text:
    drawn = Text(no_wrap=True)
    drawn.append(shown(letters.title, "dim"))
    for row, marks in zip(letters.rows, letters.is_marked, strict=True):
        drawn.append("\n")
        for letter, is_marked in zip(row, marks, strict=True):
            drawn.append(f"{letter} ", style="bold cyan" if is_marked else "")
    return drawn


# ------------------------------------------------------------------------------------- lines and tables


def _blocks(table: Table, room: int) -> list[tuple[int, ...]]:
    """The columns of each block; every block begins with the first column."""
    widths = [_least_width(table, index, room) for index in range(len(table.columns))]
    blocks = [[0]]
    for index in range(1, len(widths)):
        taken = sum(widths[i] + _GAP for i in blocks[-1])
        if taken + widths[index] > room and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(index)
    return [tuple(block) for block in blocks]


def _least_width(table: Table, index: int, room: int) -> int:
    """The widest number or heading's word, so that none is ever broken; a name may fold, a path if long."""
    column = table.columns[index]
    words = [len(word) for word in column.name.split()]
    lines = [text for row in table.rows for text in _lines(row[index])]
    if column.is_number:
        return max([*words, *map(len, lines)])
    longest = max([0, *(len(word) for text in lines for word in text.split())])
    names = min(_full_width(table, index), _NAME_WIDTH)
    return max([*words, names, min(longest, _WORD_WIDTH * room // 120)])


def _widths(table: Table, kept: Sequence[int], room: int) -> list[int]:
    """Every column as narrow as it may be, then the room that is left given out from left to right."""
    widths = [_least_width(table, index, room) for index in kept]
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
        drawn.add_column(shown(table.columns[index].name), justify=side, overflow="fold", width=width)
    for row in table.rows:
        drawn.add_row(*(_stack(row[index]) for index in kept))
    return drawn


def _stack(entry: Entry) -> Text:
    """The entry with its small print on a line below."""
    stacked = shown(entry.text)
    if entry.detail:
        stacked.append("\n").append(shown(entry.detail, "dim"))
    return stacked


def _lines(entry: Entry) -> tuple[str, str]:
    return visible(entry.text), visible(entry.detail)
