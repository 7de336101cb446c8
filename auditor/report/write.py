"""Records as JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from auditor.errors import AuditError
from auditor.files import new_file, write_bytes
from auditor.parquet import text_of
from auditor.records import IndexSummary
from auditor.report.about import keys
from auditor.report.flat import Flat, Value, facts, flatten

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_AS_IS = {bool, int, str, NoneType}
_SQL = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}


def as_json(record: Any, about: Sequence[IndexSummary] = ()) -> str:
    """A record, or a list of them, as JSON: fields in their order, then what follows from them.

    Each field stands on a line of its own, and so does each row of a table. A rate is {"hits", "total",
    "value"}, an array nested lists, a number that is not finite null. Only ASCII is written, so that a name
    that is no valid UTF-8 survives. With `about`, the index of the record or one for each of a list, it
    begins with which index answers; a record's own field of that name stays.
    """
    plain = _begin(_plain(record), about)
    if isinstance(plain, list) and all(isinstance(each, dict) for each in plain):
        return _between("[]", [_entries(each, "  ") for each in plain], "")
    return _entries(plain, "") if isinstance(plain, dict) else _line(plain)


def table_of(record: Any) -> tuple[list[str], list[list[Value]]]:
    """A record as column names and rows of plain values, the same that `write_table` writes."""
    flat = flatten(record)
    return list(flat.names), [list(row) for row in flat.rows]


def write_table(record: Any, path: Path) -> None:
    """Write a record's flat table as CSV or Parquet, by the suffix of the path.

    In CSV, text that a spreadsheet would execute gets a ' before it; Parquet and JSON hold it as it is.
    """
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix.lower() not in writers:
        raise AuditError(f"cannot tell how to write {path}; name it .csv or .parquet")
    flat = flatten(record)
    if not flat.names:
        raise AuditError(f"there is nothing to write to {path}: the answer is empty")
    writers[path.suffix.lower()](flat, path)


def _begin(plain: Any, about: Sequence[IndexSummary]) -> Any:
    if not about:
        return plain
    if isinstance(plain, list):
        return [keys(index) | each for index, each in zip(about, plain, strict=True)]
    return keys(about[0]) | plain


def _plain(value: Any) -> Any:
    if type(value) in _AS_IS:  # most of a large answer
        return value
    match value:
        case bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value):
            return {name: _plain(getattr(value, name)) for name in facts(value.__class__)}
        case np.ndarray() | np.generic():
            return _plain(value.tolist())
        case Path():
            return str(value)
        case Mapping():
            return {str(key): _plain(value[key]) for key in sorted(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _entries(plain: Mapping[str, Any], indent: str) -> str:
    """An object whose entries stand on lines of their own, and of a list of rows each row."""
    inner = indent + "  "
    return _between("{}", [f"{_line(name)}: {_value(each, inner)}" for name, each in plain.items()], indent)


def _value(plain: Any, indent: str) -> str:
    is_table = isinstance(plain, list) and any(isinstance(each, dict | list) for each in plain)
    return _between("[]", map(_line, plain), indent) if is_table else _line(plain)


def _between(brackets: str, lines: Iterable[str], indent: str) -> str:
    inner = f"\n{indent}  "
    text = f",{inner}".join(lines)
    return f"{brackets[0]}{inner}{text}\n{indent}{brackets[1]}" if text else brackets


def _line(plain: Any) -> str:
    return json.dumps(plain, allow_nan=False)


def _write_csv(flat: Flat, path: Path) -> None:
    lines = "".join(_csv_line(row) for row in (flat.names, *flat.rows))
    write_bytes(path, _storable(lines).encode())


def _csv_line(row: Sequence[Value]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(map(_inert, row))  # it ends in \r\n, so that a \r in a name is quoted too
    return text.getvalue().removesuffix("\r\n") + "\n"


def _inert(value: Value) -> Value:
    """Text that a spreadsheet would take for a formula, with ' before it, as OWASP advises.

    It shows such text as it is and runs nothing; numbers, also those that are text, stay numbers.
    """
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value)
        else value
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def _write_parquet(flat: Flat, path: Path) -> None:
    import duckdb

    columns = [[_storable(row[index]) for row in flat.rows] for index in range(len(flat.names))]
    asked = ", ".join(
        f'unnest(?::{_SQL[kind]}[]) AS "{name}"' for name, kind in zip(flat.names, flat.kinds, strict=True)
    )
    with new_file(path) as temporary, duckdb.connect() as connection:
        connection.sql(f"SELECT {asked}", params=columns).write_parquet(text_of(temporary))


def _storable(value: Any) -> Any:
    r"""Text whose undecodable bytes are written \udc80, since neither format can hold them."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
