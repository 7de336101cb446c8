"""JSON, CSV and Parquet read back by other readers and compared with values written out by hand."""

import csv
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from auditor.errors import AuditError
from auditor.files import new_file, write_bytes
from auditor.questions.context.record import ClassContext, ClassDetail, ContextTable
from auditor.questions.grid.record import PredictionGrid
from auditor.questions.match.record import Match, Pair
from auditor.questions.similar.record import Similar
from auditor.records import BackboneRow, Check, Hit, IndexSummary, Rate
from auditor.report.write import as_json, table_of, write_table

UNDECODABLE = "bad\udcff.jpg"


def context(**changed: object) -> ClassContext:
    row = {
        "label": 95,
        "name": 'jacamar, "the" <bird>\n',
        "synset": None,
        "images": 39,
        "loc": Rate(1, 4),
        "fg_det": Rate(36, 39),
        "bg_act": Rate(13, 39),
        "bg_act_interval": (0.25, 0.5),
        "bg_act_without_fg": Rate(28, 39),
        "bg_act_without_fg_interval": None,
        "gained": 16,
        "lost": 1,
        "p_value": float("nan"),
        "q_value": None,
    }
    return ClassContext(**(row | changed))


def grids() -> PredictionGrid:
    labels = np.arange(8).reshape(2, 2, 2)
    foreground = np.array([[True, False], [False, False]])
    return PredictionGrid(
        UNDECODABLE,
        3,
        ("original", "without_fg"),
        labels,
        labels / 8,
        foreground,
        {3: "cat", 10: "x", 9: "y"},
    )


TABLE = ContextTable("val", "delta", (context(), context(label=7, loc=Rate(0, 0))))
SIMILAR = Similar("val", "q.jpg", 0, 1, (Hit(UNDECODABLE, 1, 0, 0.5, None, None, "cat"),))
MATCH = Match(
    "val", "a", "b", 0.7, 0.1, True, (Pair((0, 1), (1, 0), 0.9, 0.02), Pair((1, 1), (0, 0), 0.8, 0.01))
)
RECORDS = {
    "context": TABLE,
    "class": ClassDetail("val", context(), (grids(), grids())),
    "grids": grids(),
    "similar": SIMILAR,
    "match": MATCH,
    "check": Check("val", 3, 12, ("a", "b"), ()),
    "indexes": [IndexSummary("n", "folder", "b", 1, 49, 10, "own", None, True)],
    "backbones": (BackboneRow("b", "timm", "m.tag", (7, 8), 2048, "gap", "linear"),),
    "empty": ContextTable("val", "delta", ()),
}


def test_json_holds_fields_and_what_follows_from_them():
    row = json.loads(as_json(TABLE))["rows"][0]
    assert row["bg_act"] == {"hits": 13, "total": 39, "value": 13 / 39}
    assert row["delta"] == 28 / 39 - 13 / 39
    assert row["bg_act_interval"] == [0.25, 0.5]
    assert row["p_value"] is None
    assert json.loads(as_json(TABLE))["rows"][1]["loc"] == {"hits": 0, "total": 0, "value": None}
    assert json.loads(as_json(Check("val", 1, 2, ("x",), ())))["is_sound"] is False


def test_json_has_plain_lists_for_arrays_and_sorted_names():
    answer = json.loads(as_json(grids()))
    assert answer["labels"] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert answer["foreground"] == [[True, False], [False, False]]
    assert list(answer["names"]) == ["3", "9", "10"]
    assert answer["path"] == UNDECODABLE


@pytest.mark.parametrize("name", RECORDS)
def test_json_is_stable_ascii_without_nan(name):
    text = as_json(RECORDS[name])
    assert text == as_json(RECORDS[name])
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


def test_each_row_of_a_table_is_a_line_of_json():
    for record, indent in ((TABLE, "    "), ([TABLE, TABLE], "      ")):
        lines = as_json(record).splitlines()
        rows = [json.loads(line.rstrip(",")) for line in lines if line.startswith(f"{indent}{{")]
        assert rows == json.loads(as_json(TABLE))["rows"] * (2 if isinstance(record, list) else 1)
    assert '  "rows": []' in as_json(RECORDS["empty"])
    assert (as_json({}), as_json([])) == ("{}", "[]")


def test_a_rate_takes_three_columns_and_an_interval_two():
    names, rows = table_of(TABLE)
    row = dict(zip(names, rows[0], strict=True))
    assert (row["bg_act_hits"], row["bg_act_total"], row["bg_act_value"]) == (13, 39, 13 / 39)
    assert (row["bg_act_interval_low"], row["bg_act_interval_high"]) == (0.25, 0.5)
    assert (row["bg_act_without_fg_interval_low"], row["p_value"]) == (None, None)
    assert row["delta"] == 28 / 39 - 13 / 39
    assert dict(zip(names, rows[1], strict=True))["loc_value"] is None


def test_grids_are_one_row_per_variant_and_cell():
    names, rows = table_of(grids())
    assert names == ["path", "variant", "row", "col", "label", "name", "probability", "foreground"]
    assert len(rows) == 8
    assert rows[3] == [UNDECODABLE, "original", 1, 1, 3, "cat", 3 / 8, False]
    assert rows[4] == [UNDECODABLE, "without_fg", 0, 0, 4, "class 4", 0.5, True]
    assert len(table_of(RECORDS["class"])[1]) == 16


def test_hits_and_pairs_are_ranked():
    assert table_of(SIMILAR)[1] == [[1, UNDECODABLE, 1, 0, 0.5, None, None, "cat"]]
    assert table_of(MATCH) == (
        ["rank", "a_row", "a_col", "b_row", "b_col", "cosine", "share"],
        [[1, 0, 1, 1, 0, 0.9, 0.02], [2, 1, 1, 0, 0, 0.8, 0.01]],
    )


def test_columns_do_not_depend_on_what_is_missing():
    names, rows = table_of(RECORDS["indexes"])
    assert dict(zip(names, rows[0], strict=True))["certificate_exact_error"] is None
    assert table_of(RECORDS["empty"]) == (table_of(TABLE)[0], [])
    assert table_of([]) == ([], [])


@pytest.mark.parametrize("name", RECORDS)
def test_csv_and_parquet_hold_the_table(name, tmp_path):
    names, rows = table_of(RECORDS[name])
    stored = [[v.replace("\udcff", r"\udcff") if isinstance(v, str) else v for v in row] for row in rows]
    for suffix in ("csv", "parquet"):
        write_table(RECORDS[name], tmp_path / f"t.{suffix}")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as opened:
        read = list(csv.reader(opened))
    assert read == [names, *([("" if v is None else str(v)) for v in row] for row in stored)]
    asked = duckdb.sql(f"SELECT * FROM '{tmp_path / 't.parquet'}'")
    assert asked.columns == names
    assert [list(row) for row in asked.fetchall()] == stored


def test_parquet_types_hold_where_every_value_is_missing(tmp_path):
    write_table(ContextTable("val", "delta", (context(q_value=None),)), tmp_path / "t.parquet")
    asked = duckdb.sql(f"SELECT * FROM '{tmp_path / 't.parquet'}'")
    types = dict(zip(asked.columns, map(str, asked.types), strict=True))
    assert (types["q_value"], types["images"], types["synset"]) == ("DOUBLE", "BIGINT", "VARCHAR")


def test_other_suffixes_and_empty_lists_are_refused(tmp_path):
    with pytest.raises(AuditError, match=r"name it \.csv or \.parquet"):
        write_table(TABLE, tmp_path / "t.xlsx")
    with pytest.raises(AuditError, match="nothing to write"):
        write_table([], tmp_path / "t.csv")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(AuditError, match="cannot write"):
        write_table(TABLE, tmp_path / "file" / "t.csv")


def test_a_broken_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "t.csv"
    write_bytes(path, b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_file(path) as temporary:
        fail(temporary)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]
