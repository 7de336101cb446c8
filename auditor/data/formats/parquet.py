"""Parquet as Hugging Face's datasets write it: a column of images {bytes, path}, labels beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.data.class_names import number, parse_json, to_class
from auditor.data.containers import (
    PARQUET,
    connect,
    image_column,
    quoted,
    row_name,
    why_not,
)
from auditor.data.files import Source, note_ignored, split_of, split_of_container
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.parquet import pattern_of, rows_of
from auditor.records import ClassName, Dataset, Sample

if TYPE_CHECKING:
    import duckdb

_LABELS = ("label", "labels", "class", "cls")
_PLAIN = ("VARCHAR", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "BOOLEAN")


class Table(NamedTuple):
    """One file: its columns by name, those of its images and labels, the names that its labels count."""

    path: str
    columns: Mapping[str, str]
    image: str
    label: str | None
    names: tuple[str, ...] | None


def matches(source: Source) -> bool:
    """Whether there are Parquet files and no images beside them, and the user named no annotations."""
    return source.annotations is None and not source.files.images and bool(source.files.ending(PARQUET))


def read(source: Source, notes: Notes) -> Dataset:
    """A sample per row: files in the order of their names, rows as they lie in each.

    Classes are those of a ClassLabel in the file's own metadata, else what the label column holds; columns of
    text and numbers are metadata. DatasetError where no file has a column of images.
    """
    root = source.files.root
    others: list[str] = []
    rows: list[tuple[Table, list[dict[str, Any]]]] = []
    with connect(root) as connection:
        for path in source.files.ending(PARQUET):
            try:
                table = _table(connection, root, path)
                rows.append((table, _rows(connection, root, table)))
            except DatasetError as error:
                others.append(str(error))
                notes.count("Parquet files that cannot be used, left out", error)
    if not rows:
        raise DatasetError(others[0])
    classes = _classes(rows, notes)
    ids = number(classes)
    samples = tuple(_sample(table, row, ids, notes) for table, read in rows for row in read)
    note_ignored(source.files.without(PARQUET), notes)
    return Dataset(root, "parquet", classes, samples)


def _table(connection: duckdb.DuckDBPyConnection, root: Path, path: str) -> Table:
    import duckdb

    file = root / path
    try:
        image = image_column(connection, file)
        described = connection.execute(f"DESCRIBE SELECT * FROM {rows_of(file)}").fetchall()
        pairs = connection.execute(
            "SELECT key, value FROM parquet_kv_metadata(?)", [pattern_of(file)]
        ).fetchall()
    except duckdb.Error as error:
        raise DatasetError(f"{file} is no Parquet file that can be read: {why_not(error)}") from error
    columns = {name: kind for name, kind, *_ in described}
    if image is None:
        raise DatasetError(
            f"{file} has no column of images, which is a struct with `bytes`; it has {', '.join(columns)}"
        )
    features = _features(dict(pairs).get(b"huggingface"))
    named = {name: found for name in columns if (found := _class_names(features.get(name)))}
    label = next((name for name in _LABELS if name in named), next(iter(named), None))
    label = label or next((name for name in _LABELS if name in columns), None)
    return Table(path, columns, image, label, named.get(label or ""))


def _features(text: bytes | None) -> Mapping[str, Any]:
    try:
        return dict(parse_json(text or b"{}")["info"]["features"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of a ClassLabel, or of a list of them."""
    if isinstance(feature, list) and len(feature) == 1:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return tuple(map(str, feature["names"]))
    return _class_names(feature.get("feature"))


def _rows(connection: duckdb.DuckDBPyConnection, root: Path, table: Table) -> list[dict[str, Any]]:
    """Everything but the images' bytes, which are not read here."""
    import duckdb

    chosen = {f"{quoted(table.image)}.path": "path"} if "path VARCHAR" in table.columns[table.image] else {}
    if table.label:
        chosen[quoted(table.label)] = "label"
    plain = [name for name, kind in table.columns.items() if kind in _PLAIN and name != table.label]
    chosen |= {quoted(name): quoted(f"of {name}") for name in plain}
    columns = ", ".join(f"{what} AS {name}" for what, name in chosen.items()) or "1 AS nothing"
    file = root / table.path
    sql = f"SELECT {columns}, file_row_number AS row_number FROM {rows_of(file, file_row_number=True)}"
    try:
        result = connection.execute(f"{sql} ORDER BY file_row_number")
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    except duckdb.Error as error:
        raise DatasetError(f"{file} is damaged: {why_not(error)}; fetch it again") from error


def _classes(rows: list[tuple[Table, list[dict[str, Any]]]], notes: Notes) -> tuple[ClassName, ...]:
    """The names of all files' features in their order; where a file has none, its own values in theirs."""
    names: dict[str, None] = {}
    for table, _ in rows:
        names.update(dict.fromkeys(table.names or ()))
    values = {value for table, read in rows if not table.names for row in read for value in _values(row)}
    if values and all(isinstance(value, int) for value in values):
        notes.say("No class names in the Parquet files: classes are called by their number.")
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    names.update(dict.fromkeys(map(str, ordered)))
    return tuple(to_class(name) for name in names)


def _values(row: Mapping[str, Any]) -> list[str | int]:
    """What the label column says; -1 is how a row without a label is written."""
    value = row.get("label")
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, (str, int)) and each not in ("", -1)]


def _sample(table: Table, row: Mapping[str, Any], ids: Mapping[str, int], notes: Notes) -> Sample:
    name = row_name(row["row_number"], row.get("path"))
    path = f"{table.path}/{name}" if table.path else name
    labels = []
    for value in _values(row):
        if table.names is None or isinstance(value, str):
            label = ids.get(str(value))
        else:
            label = ids[table.names[value]] if 0 <= value < len(table.names) else None
        if label is None:
            notes.count("Labels that the Parquet's class names do not count, dropped", f"{value} of {path}")
        else:
            labels.append(label)
    metadata = {
        key.removeprefix("of "): str(value)
        for key, value in row.items()
        if key.startswith("of ") and value is not None
    }
    split = split_of(path) or split_of_container(table.path)
    return Sample(
        path, tuple(sorted(set(labels))), labels[0] if len(labels) == 1 else None, (), split, metadata
    )
