"""One decorator that makes a question a command: it opens the index, asks, and shows what came back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from auditor.errors import AuditError
from auditor.terminal.lines import say
from auditor.terminal.options import AsJson, IndexName, PictureFile, TableFile, open_index
from auditor.terminal.patience import Patience
from auditor.terminal.show import save_pictures, show

Command = Callable[..., None]
Indexes = Annotated[
    list[str] | None, typer.Option("--index", "-i", metavar="NAME", help="Repeatable: one row per index.")
]
_ADDED: Mapping[str, tuple[Any, Any]] = {
    "out": (PictureFile, None),
    "index": (IndexName, None),
    "json": (AsJson, False),
    "table": (TableFile, None),
}


def question(*, draws: bool = False, index: Any = IndexName) -> Callable[[Callable[..., Any]], Command]:
    """The decorator of a function `(index, ...options) -> record`, or a generator of records.

    The command has the function's own options and --index, --json, --table, and with `draws` --out for the
    pictures of the record's `draw.py`. A parameter named `watch` is given a progress bar. `index` is another
    option than --index to name the index by; with `Indexes` the function is asked once for each, its records
    are shown together, and a parameter named `beside` is given all of them. Each answer begins with the index
    that gave it, and its pictures are written before it is printed, so that no closed pipe loses them; with
    --json only where --out asks for them. One that cannot be drawn ends the command after the answer.
    """

    def decorate(function: Callable[..., Any]) -> Command:
        options = _options(function)

        def command(**given: Any) -> None:
            added = {name: given.pop(name) for name in _ADDED if name in given}
            if index is Indexes:
                _show_together(function, added, given)
                return
            with open_index(added["index"]) as opened:
                answers = _ask(function, opened, given, quiet=added["json"])
                while _show_next(answers, opened, added, given, _patience(function, opened, added)):
                    pass

        names = {"index": (index, None)}
        extra = {name: names.get(name, option) for name, option in _ADDED.items() if draws or name != "out"}
        for name, (kind, default) in extra.items():
            options.append(_parameter(name, kind, default))
        return _describe(command, function, options)

    return decorate


def _ask(function: Callable[..., Any], index: Any, given: Mapping[str, Any], *, quiet: bool) -> Iterator[Any]:
    """The function's record, or records, each when it is wanted."""
    if not _takes(function, "watch"):
        answer = function(index, **given)
    else:
        from auditor.terminal.progress import Bar  # what has no bar does not wait for it

        with Bar(quiet=quiet) as watch:
            answer = function(index, **given, watch=watch)
    yield from answer if isinstance(answer, Iterator) else (answer,)


def _takes(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def _patience(
    function: Callable[..., Any], index: Any, added: Mapping[str, Any]
) -> AbstractContextManager[Any]:
    """A line that says that work goes on, unless the function's own progress does."""
    name = function.__name__.rstrip("_")
    return (
        nullcontext()
        if _takes(function, "watch")
        else Patience(f"audit {name} asks {index.name} ...", quiet=added["json"])
    )


def _show_next(
    answers: Iterator[Any],
    index: Any,
    added: Mapping[str, Any],
    given: Mapping[str, Any],
    patience: AbstractContextManager[Any],
) -> bool:
    """Draw the next record and show it; False where there is none."""
    pictures: list[Path] = []
    failure: AuditError | None = None
    with patience:
        record = next(answers, None)
        if record is None:
            return False
        try:
            if "out" in added and (added["out"] or not added["json"]):
                pictures = _save(index, record, added["out"], given)
        except AuditError as error:  # the answer is whole without its pictures
            failure = error
    show(record, as_json=added["json"], table=added["table"], about=(index.summary(),))
    for picture in [] if added["json"] else pictures:
        say(f"picture: {picture}")
    if failure is not None:
        raise failure
    return True


def _show_together(function: Callable[..., Any], added: dict[str, Any], given: dict[str, Any]) -> None:
    names: Sequence[str | None] = added["index"] or [None]
    with ExitStack() as opening:
        indexes = [opening.enter_context(open_index(name)) for name in names]
        if _takes(function, "beside"):
            given = {**given, "beside": indexes}
        records = []
        for index in indexes:
            with _patience(function, index, added):
                records.append(function(index, **given))
        about = [index.summary() for index in indexes]
    show(tuple(records), as_json=added["json"], table=added["table"], about=about)


def _save(index: Any, record: Any, out: Path | None, given: Mapping[str, Any]) -> list[Path]:
    from auditor.report.views import pictures_of

    wanted = (
        picture
        for picture in pictures_of(index, record)
        if picture.only_with is None or given[picture.only_with]
    )
    return save_pictures(wanted, index.name, out)


def _options(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The function's own options; its index, those beside it and its watch are no options."""
    _, *parameters = inspect.signature(function).parameters.values()
    scope = getattr(function, "__globals__", {})
    return [
        _parameter(each.name, _kind(each.annotation, scope), each.default)
        for each in parameters
        if each.name not in ("watch", "beside")
    ]


def _kind(annotation: Any, scope: dict[str, Any]) -> Any:
    """An option's annotation; evaluated here, since those of index and record are not to be imported."""
    return eval(annotation, scope) if isinstance(annotation, str) else annotation


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _describe(command: Command, function: Callable[..., Any], options: list[inspect.Parameter]) -> Command:
    """The command as the command line reads it: name, help and options."""
    described: Any = command
    described.__name__ = function.__name__.rstrip("_")
    described.__doc__ = function.__doc__
    described.__signature__ = inspect.Signature(options)
    described.__annotations__ = {option.name: option.annotation for option in options}
    return command
