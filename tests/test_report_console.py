"""What a terminal and a pipe get: hostile names as text, numbers whole, columns in the paper's order."""

import io
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_audit
from rich.console import Console
from typer.main import get_command

from auditor.cli.app import app
from auditor.cli.listing import view_backbones, view_check, view_indexes
from auditor.questions.context.record import ClassContext, ClassDetail, ContextTable
from auditor.questions.grid.record import PredictionGrid
from auditor.questions.match.record import Match, Pair
from auditor.questions.metrics.record import Metrics
from auditor.questions.similar.record import Similar
from auditor.records import VARIANTS, BackboneRow, Certificate, Check, Hit, IndexSummary, Rate
from auditor.report.tables import Column, Entry, Table
from auditor.report.views import View, view_of
from auditor.terminal.console import output, print_line, print_view
from auditor.terminal.patience import Patience

HOSTILE = "[/]x[red]\x1b[31m\u202e.jpg"
SHOWN = r"[/]x[red]\x1b[31m\u202e.jpg"
NONE = Rate(0, 0)
EXACT = Certificate("gap", "linear", "exact", 3.1e-7, 3.1e-7, "linear", 8)


def metrics(index: str = "val") -> Metrics:
    return Metrics(
        index=index,
        backbone="resnet50.tv2_in1k",
        images=50000,
        top1=Rate(40170, 50000),
        top5=Rate(47500, 50000),
        fg_det=Rate(40000, 49817),
        loc=Rate(345678, 1023456),
        loc_per_image=0.412,
        loc_without_bg=Rate(300000, 1023456),
        bg_act=Rate(12345, 33544),
        bg_act_without_fg=Rate(9345, 33544),
        det_top1=Rate(42000, 50000),
        det_top5=Rate(48000, 50000),
        real_acc=Rate(40001, 46837),
        real_rec=Rate(40002, 57000),
        real_rec_per_image=0.7,
        certificate=EXACT,
    )


def context(name: str = "jacamar") -> ClassContext:
    intervals = ((0.206, 0.49), (0.56, 0.835))
    return ClassContext(
        label=95,
        name=name,
        synset="n01843065",
        images=39,
        loc=Rate(450, 1203),
        fg_det=Rate(36, 39),
        bg_act=Rate(13, 39),
        bg_act_interval=intervals[0],
        bg_act_without_fg=Rate(28, 39),
        bg_act_without_fg_interval=intervals[1],
        gained=16,
        lost=1,
        p_value=0.0003,
        q_value=0.0041,
        bg_share=0.5,
        bg_share_elsewhere=0.1,
        least_excess=0.25,
        least_delta=0.19,
    )


def grids(side: int = 7, classes: int = 12) -> PredictionGrid:
    rng = np.random.default_rng(side)
    labels = rng.integers(0, classes, (3, side, side))
    foreground = rng.random((side, side)) < 0.3
    names = {label: f"class-{label}" for label in range(classes)}
    return PredictionGrid(HOSTILE, 0, VARIANTS, labels, rng.random(labels.shape), foreground, names)


RECORDS = {
    "backbones": [BackboneRow(HOSTILE, "timm", "resnet50.tv2_in1k", (7, 7), 2048, "gap", "linear, exact")],
    "indexes": [IndexSummary(HOSTILE, "folder", "resnet50", 1000, 49000, 12345678, "own", EXACT, False)],
    "metrics": [metrics(HOSTILE), metrics("other")],
    "context": ContextTable("val", "delta", (context(HOSTILE),)),
    "class": ClassDetail("val", context(), (grids(),)),
    "similar": Similar("val", "a.jpg", 3, 4, (Hit(HOSTILE, 1, 2, 0.98765, "tabby", True, None),)),
    "match": Match("val", HOSTILE, "b.jpg", 0.5, 0.1, True, (Pair((1, 2), (3, 4), 0.9, 0.1),)),
    "grids": grids(),
    "check": Check("val", 12, 3456, (f"{HOSTILE}: checksum",), (HOSTILE,)),
}


def shown(record: object, width: int = 80) -> str:
    """What a console of this width shows."""
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None)
    print_view(view(record), console)
    return text.getvalue()


def view(record: object) -> View:
    """A record's view; lists of indexes and backbones, and checks, have theirs in the application."""
    listed = record[0] if isinstance(record, list) and record else record
    views = {BackboneRow: view_backbones, IndexSummary: view_indexes, Check: view_check, list: view_indexes}
    if type(listed) in views:
        return views[type(listed)](record)
    return view_of(tuple(record) if isinstance(record, list) else record)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"[\d,./+]*\d[\d,./]*\.?\d*", text))


@pytest.mark.parametrize("name", RECORDS)
def test_names_are_text_and_never_markup_or_escapes(name):
    text = shown(RECORDS[name], 400)
    assert SHOWN in text
    assert not any(char in text for char in "\x1b\u202e")


@pytest.mark.parametrize("width", [80, 60, 200])
@pytest.mark.parametrize("name", ["metrics", "context", "match", "similar"])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(name, width):
    text = shown(RECORDS[name], width)
    assert max(map(len, text.splitlines())) <= width
    whole = {
        "metrics": ["345678/1023456", "300000/1023456", "40002/57000", "33.8", "70.2"],
        "context": ["450/1203", "33.3", "71.8", "+38.5", "0.004", "+19.0"],
        "match": ["0.9000", "0.100", "20.0", "1,2", "3,4"],
        "similar": ["0.9877"],
    }
    assert set(whole[name]) <= numbers(text)


@pytest.mark.parametrize(("columns", "width"), [(None, 120), ("70", 70), ("1000", 1000)])
def test_a_pipe_is_as_wide_as_columns_says(columns, width, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    detail = replace(context("sea slug, " * 20), synset=None)
    print_view(view(ContextTable("val", "delta", (detail,))), output())
    print_line("so it is " * 60, output())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    is_whole = any("sea slug, " * 20 in line and "71.8 (56–84)" in line and "0.004" in line for line in lines)
    assert is_whole == (width == 1000)


def test_a_path_is_not_cut_where_there_is_room():
    path = "validation/n02106662/00000657.jpg"
    hit = Hit(path, 1, 2, 0.9, "tabby", True, None)
    assert f"{path}:1,2" in shown(Similar("val", "a.jpg", 3, 4, (hit,)), 120)


def test_a_long_name_folds_before_the_table_is_split():
    text = shown(ContextTable("val", "delta", (context("a very long class name " * 3),)), 90)
    assert sum(line.startswith("Class ") for line in text.splitlines()) == 1


def test_metrics_stand_in_the_papers_order_and_empty_ones_are_left_out():
    paper = ["Top-1", "Top-5", "FG Det.", "Loc.", "BG Act.", "Delta", "ReaL Acc.", "ReaL Rec."]
    text = shown([metrics()], 300)
    header = text.splitlines()[1]
    assert sorted(paper, key=header.index) == paper
    without = shown([replace(metrics(), real_acc=NONE, real_rec=NONE, real_rec_per_image=None)], 300)
    assert "ReaL" not in without
    assert "Delta" in without
    mixed = shown([metrics(), replace(metrics("other"), real_acc=NONE)], 300)
    assert "ReaL Acc." in mixed


def test_delta_is_in_points_and_the_certificate_in_words():
    text = shown([metrics()], 120)
    assert f"{100 * (9345 - 12345) / 33544:+.1f}" in text
    assert "The mean of the cells' scores is the image's score" in text
    assert "3.1e-07" in text


def test_the_readouts_of_several_indexes_stand_side_by_side():
    token = Certificate("token", "linear", "pointwise-only", 0.71, None, None, 8)
    rows = [
        metrics("fc"),
        replace(metrics("cls"), certificate=token),
        replace(metrics("old"), certificate=None),
    ]
    found = [line.split() for line in shown(rows, 120).splitlines()]
    assert ["fc", "gap", "linear", "exact", "3.1e-07", "linear", "3.1e-07"] in found
    assert ["cls", "token", "linear", "pointwise-only", "7.1e-01", "–", "–"] in found
    assert ["old", *["–"] * 6] in found


def test_a_narrow_terminal_gets_metrics_in_rows_with_their_counts():
    rows = [line.split() for line in shown([metrics()], 80).splitlines()]
    assert ["BG", "Act.", "36.8", "12345/33544"] in rows
    assert ["Loc.", "33.8", "345678/1023456"] in rows


def test_a_class_without_images_shows_no_numbers():
    empty = replace(
        context(),
        loc=NONE,
        fg_det=NONE,
        bg_act=NONE,
        bg_act_without_fg=NONE,
        bg_act_interval=None,
        bg_act_without_fg_interval=None,
        images=0,
        q_value=None,
        least_delta=None,
    )
    row = next(
        line
        for line in shown(ContextTable("val", "delta", (empty,), plain=True)).splitlines()
        if "jacamar" in line
    )
    assert row.split() == ["jacamar", *["–"] * 7]


def test_class_detail_counts_its_cells():
    one = grids()
    text = shown(ClassDetail("val", replace(context(), label=3), (one,)), 120)
    for variant in range(3):
        inside = outside = 0
        for row in range(7):
            for col in range(7):
                if one.labels[variant, row, col] == 3:
                    inside += int(one.foreground[row, col])
                    outside += int(not one.foreground[row, col])
        assert f"FG {inside}/{one.foreground.sum()}" in text
        assert f"BG {outside}/{49 - one.foreground.sum()}" in text


@pytest.mark.parametrize(("side", "classes"), [(7, 12), (16, 40)])
def test_the_letters_of_a_map_are_the_classes_of_the_grid(side, classes):
    one = grids(side, classes)
    text = shown(
        replace(one, variants=("original",), labels=one.labels[:1], probabilities=one.probabilities[:1])
    )
    drawn = [line.split() for line in text.splitlines()[2 : 2 + side]]
    names = dict(re.findall(r"^([a-z])  class-(\d+) ", text, re.MULTILINE))
    assert len(names) == min(classes, 26)
    for row in range(side):
        for col in range(side):
            letter = drawn[row][col]
            label = one.labels[0, row, col]
            assert letter == "." if str(label) not in names.values() else names[letter.lower()] == str(label)
            assert letter == "." or letter.isupper() == one.foreground[row, col]


def test_grids_without_annotations_say_nothing_of_foreground():
    assert "foreground cells" not in shown(replace(grids(), foreground=None, label=None))


def test_check_says_sound_or_what_is_wrong():
    assert "val is sound" in shown(Check("val", 12, 3456, (), ()))
    damaged = shown(Check("val", 12, 3456, ("cells.faiss: checksum", "b"), ("c",)))
    assert "val is damaged: 2 problems" in damaged
    assert "cells.faiss: checksum" in damaged
    assert "repaired  c" in damaged
    assert "repair with:  audit x" in shown(Check("val", 1, 2, ("y",), (), ("audit x",)))


def test_unfinished_indexes_are_named_and_empty_lists_are_said_so():
    assert "is unfinished" in shown(RECORDS["indexes"])
    assert shown([]).strip() == "Nothing to show."


def test_a_long_wait_is_said_on_a_terminal_and_leaves_nothing_there():
    for after, is_terminal, is_said in ((0.05, True, True), (60, True, False), (0.05, False, False)):
        text = io.StringIO()
        console = Console(file=text, force_terminal=is_terminal, width=80)
        with Patience("audit similar asks val ...", after=after, console=console):
            time.sleep(0.3)
        assert ("audit similar asks val" in text.getvalue()) == is_said
        if is_said:
            assert text.getvalue().endswith("\x1b[2K")  # the line is erased
        else:
            assert "audit" not in text.getvalue()


@pytest.mark.parametrize("words", [[], ["map"], ["check"], ["remove"], ["fills"]], ids=" ".join)
def test_flags_are_shown_without_a_value(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    if words:  # a command that was looked at alone first
        get_command(app).commands[words[0]].make_context(words[0], [], resilient_parsing=True)
    run_audit(*words, "--help")
    lines = capsys.readouterr().out.splitlines()
    assert not any("bool" in line for line in lines)
    assert any(re.search(r"--help +-h +Show this", line) for line in lines)


def test_a_long_table_shows_its_ends_and_says_where_the_rest_is():
    columns = (Column("Class", is_number=False),)
    rows = tuple((Entry(f"class-{number}"),) for number in range(50))
    text = io.StringIO()
    table = Table("Classes", columns, rows, ("A note.",), ends=(20, 10))
    print_view(View("Classes", (table,)), Console(file=text, width=80))
    shown_rows = re.findall(r"class-(\d+)", text.getvalue())
    assert shown_rows == [str(number) for number in (*range(20), *range(40, 50))]
    assert "all 50 rows: --json" in text.getvalue()
    assert text.getvalue().count("A note.") == 1
