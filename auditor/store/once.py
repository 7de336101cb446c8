"""What an index was asked before is not worked out again: by a page, its findings, the next command."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import cache, cached_property, partial, wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints
from weakref import WeakKeyDictionary

import duckdb
import numpy as np

import auditor
from auditor.errors import IndexBusy, IndexDamaged, IndexMismatch, OutputError
from auditor.files import index_word
from auditor.store.index import Index
from auditor.store.places import MANIFEST
from auditor.store.sealed import decode_as

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def once(ask: Callable[Concatenate[Index, Asked], Answer]) -> Callable[Concatenate[Index, Asked], Answer]:
    """A question whose answer is kept: as long as the index is open, and beside what is derived of it.

    An open index stays at one state of what was committed, and the next generation begins without answers, so
    that none can grow old. What is asked of a file or of a second index is not kept; what a plug-in answers
    is while the index is open. Records are frozen, so all may have one.
    """
    kept: WeakKeyDictionary[Index, dict[str, Answer]] = WeakKeyDictionary()
    signature, is_ours = inspect.signature(ask), ask.__module__.partition(".")[0] == "auditor"

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
            work_out = partial(ask, index, *args, **options)
            answers[asked] = _Stored(ask, index, asked).read_or(work_out) if is_ours else work_out()
        return answers[asked]

    return answer


class _Stored(Generic[Answer]):
    """The file of an answer; one that cannot be read, or was not given by this very code, is no answer.

    A sentence in an answer may name the index as the working directory has it called.
    """

    def __init__(self, ask: Callable[..., Answer], index: Index, asked: str) -> None:
        self._ask, self._index = ask, index
        question = f"{ask.__module__}.{ask.__qualname__} {asked}"
        self._name = f"answer-{ask.__name__}-{blake2b(question.encode(), digest_size=8).hexdigest()}.json"

    @cached_property
    def _by(self) -> list[str]:
        """What the answer depends on beside the generation."""
        described = (self._index.path / MANIFEST).read_bytes()
        known = blake2b(described, digest_size=16).hexdigest(), index_word(self._index.path)
        return [*_answering(), *known]

    def read_or(self, work_out: Callable[[], Answer]) -> Answer:
        """The answer that is kept, else the one worked out, which is kept where whoever asks may write."""
        if (found := self._read()) is None:
            found = work_out()
            self._write(found)
        return found

    def _read(self) -> Answer | None:
        try:
            if (path := self._index.file(self._name)) is None:
                return None
            content = json.loads(path.read_bytes())
            if content["by"] != self._by:
                return None
            kind: type[Answer] = get_type_hints(self._ask)["return"]
            return decode_as(path, kind, content["answer"])
        except (IndexDamaged, OSError, ValueError, KeyError, TypeError):  # `audit check` says which
            return None

    def _write(self, answer: Answer) -> None:
        with suppress(IndexMismatch, IndexBusy, IndexDamaged, OutputError, OSError):
            text = json.dumps({"by": self._by, "answer": answer}, default=_facts, separators=(",", ":"))
            self._index.keep(self._name, lambda to: _save(to, text))


def _save(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _facts(record: Any) -> dict[str, Any]:
    """A record's fields, whose own records JSON asks for in turn: no copy of all of them is made."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


@cache
def _answering() -> tuple[str, ...]:
    """What answers: a digest of audit's sources, and the libraries that count and compare for it."""
    digest = blake2b(digest_size=16)
    for file in sorted(Path(auditor.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest(), duckdb.__version__, np.__version__
