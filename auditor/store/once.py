"""What an index was asked before is not worked out again: by a page, its findings, the next command."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import cache, wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints
from weakref import WeakKeyDictionary

from auditor.errors import IndexBusy, IndexMismatch, OutputError
from auditor.store.index import Index
from auditor.store.sealed import decode_as

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def once(ask: Callable[Concatenate[Index, Asked], Answer]) -> Callable[Concatenate[Index, Asked], Answer]:
    """A question whose answer is kept: as long as the index is open, and beside what is derived of it.

    An open index stays at one state of what was committed, and the next generation begins without answers, so
    that none can grow old; one that other code gave, or that goes by another index's name, is asked again.
    Records are frozen, so all may have one. What is asked of a file or of a second index is not kept.
    """
    kept: WeakKeyDictionary[Index, dict[str, Answer]] = WeakKeyDictionary()
    signature = inspect.signature(ask)

    @wraps(ask)
    def answer(index: Index, /, *args: Asked.args, **options: Asked.kwargs) -> Answer:
        bound = signature.bind(index, *args, **options)
        bound.apply_defaults()
        told = {name: value for name, value in [*bound.arguments.items()][1:] if name != "watch"}
        try:
            asked = json.dumps(told)
        except TypeError:
            return ask(index, *args, **options)
        answers = kept.setdefault(index, {})
        if asked not in answers:
            answers[asked] = _stored(ask, index, asked, lambda: ask(index, *args, **options))
        return answers[asked]

    return answer


def _stored(ask: Callable[..., Answer], index: Index, asked: str, compute: Callable[[], Answer]) -> Answer:
    """The answer from the index's files, or computed and put there, where whoever asks may write."""
    question = f"{ask.__module__}.{ask.__qualname__} {asked}"
    name = f"answer-{ask.__name__}-{blake2b(question.encode(), digest_size=8).hexdigest()}.json"
    by = f"{_code_of(ask.__module__.partition('.')[0])} {index.name}"
    if (path := index.file(name)) is not None:
        content = json.loads(path.read_bytes())
        if content["by"] == by:
            kind: type[Answer] = get_type_hints(ask)["return"]
            return decode_as(path, kind, content["answer"])
    answer = compute()
    text = json.dumps({"by": by, "answer": answer}, default=_facts, separators=(",", ":"))
    with suppress(IndexMismatch, IndexBusy, OutputError, OSError):  # another process writes it, or nobody may
        index.keep(name, lambda to: _write(to, text))
    return answer


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _facts(record: Any) -> dict[str, Any]:
    """A record's fields, whose own records JSON asks for in turn: no copy of all of them is made."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


@cache
def _code_of(package: str) -> str:
    """A digest of the sources that answer: of audit, and of the plug-in's package that asks."""
    digest = blake2b(digest_size=16)
    for name in sorted({package, "auditor"}):
        origin = Path(str(sys.modules[name].__file__))
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()
