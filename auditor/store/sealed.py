"""Small JSON files that know whether they are whole: a frozen record and the checksum of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from auditor.errors import IndexDamaged
from auditor.files import new_file

Record = TypeVar("Record")

LIMIT = 1 << 28  # bytes: a crafted file is not read into memory


def write_sealed(path: Path, record: Any) -> None:
    """Replace the file atomically; a record of the same content gives the same bytes."""
    with new_file(path) as temporary:
        temporary.write_text(seal(record), encoding="utf-8")


def seal(record: Any) -> str:
    """The record as JSON behind its checksum."""
    content = asdict(record)
    return json.dumps({"checksum": checksum(content), **content}, indent=1) + "\n"


def read_content(path: Path) -> tuple[dict[str, Any], bool]:
    """The JSON object in a file without its checksum, and whether that holds; IndexDamaged for none."""
    try:
        if path.stat().st_size > LIMIT:
            raise IndexDamaged(f"{path} is damaged: it is larger than such a file can be")
        content = json.loads(path.read_text(encoding="utf-8"))
        stated = content.pop("checksum")
        return content, bool(stated == checksum(content))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise IndexDamaged(f"{path} is damaged: {_reason(error)}") from None


def read_sealed(path: Path, kind: type[Record]) -> Record:
    """The record in a file; IndexDamaged where it is not what was written."""
    content, is_whole = read_content(path)
    if not is_whole:
        raise IndexDamaged(f"{path} is damaged: its checksum does not hold")
    return decode_as(path, kind, content)


def decode_as(path: Path, kind: type[Record], content: Mapping[str, Any]) -> Record:
    """The content as a record; IndexDamaged, naming the file, where it does not have its shape."""
    try:
        decode: Callable[[Any], Record] = _decoder(kind)  # type: ignore[arg-type]
        return decode(content)
    except (TypeError, ValueError, KeyError, AttributeError, StopIteration, RecursionError) as error:
        raise IndexDamaged(f"{path} is damaged: {_reason(error)}") from None


def checksum(content: Mapping[str, Any]) -> str:
    """A digest of JSON content that does not depend on spaces or the order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode()).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return (str(error).splitlines() or [type(error).__name__])[0]


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """What makes a JSON value the annotated type: dataclasses, tuples, mappings and optional ones, nested.

    Made once for each type: to look into an annotation takes far longer than to decode a value.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return partial(_record, kind, {field.name: _decoder(hints[field.name]) for field in fields(kind)})
    if origin is UnionType:
        present = _decoder(next(argument for argument in arguments if argument is not NoneType))
        return lambda value: None if value is None else present(value)
    if origin is tuple:
        repeats = arguments[-1] is Ellipsis
        return partial(_tuple, [_decoder(each) for each in arguments[: 1 if repeats else None]], repeats)
    if origin is Mapping:
        inner = _decoder(arguments[1])
        return lambda value: {key: inner(part) for key, part in value.items()}
    if origin is Literal:
        return partial(_one_of, arguments)
    return partial(_plain, kind)


def _record(kind: Any, decoders: Mapping[str, Callable[[Any], Any]], value: Any) -> Any:
    # an older file lacks what was added since
    return kind(**{name: decode(value[name]) for name, decode in decoders.items() if name in value})


def _tuple(decoders: list[Callable[[Any], Any]], repeats: bool, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {type(value).__name__}")
    if repeats:
        return tuple(map(decoders[0], value))
    return tuple(decode(part) for decode, part in zip(decoders, value, strict=True))


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    if value not in choices:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, choices))}")
    return value


def _plain(kind: Any, value: Any) -> Any:
    """A number, text or truth value of exactly its type; an int may stand for a float."""
    if type(value) is kind or kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"{kind.__name__} was expected, not {type(value).__name__}")
