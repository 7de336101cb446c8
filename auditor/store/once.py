"""What an open index was asked before is not worked out again: a page's section and its findings share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from auditor.store.index import Index

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def once(ask: Callable[Concatenate[Index, Asked], Answer]) -> Callable[Concatenate[Index, Asked], Answer]:
    """A question whose answer is kept as long as the index is open; records are frozen, so all may have it.

    An open index stays at one state of what was committed, so that an answer cannot grow old.
    """
    kept: WeakKeyDictionary[Index, dict[Any, Answer]] = WeakKeyDictionary()

    @wraps(ask)
    def answer(index: Index, /, *args: Asked.args, **options: Asked.kwargs) -> Answer:
        answers = kept.setdefault(index, {})
        asked = (args, tuple(sorted(options.items())))
        if asked not in answers:
            answers[asked] = ask(index, *args, **options)
        return answers[asked]

    return answer
