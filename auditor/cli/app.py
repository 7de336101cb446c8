"""The commands in the order of the work: build an index, ask it, look at images, report, synthesise.

A command is made when it is looked up: of all of them one is run, and most load what the others need.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from auditor import __version__
from auditor.questions import PANELS, QUESTIONS, Question, all_questions, find_question
from auditor.terminal.endings import DEBUG
from auditor.terminal.lines import say, warn


def _plain(parameters: list[Any]) -> list[Any]:
    """Options that take no value, which their help shows as such: not `--json <bool>`; values taken as is."""
    for each in parameters:
        each.process_value = partial(_take, each)
        if isinstance(each, TyperOption) and each.is_flag:
            each.metavar = ""
    return parameters


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


def _take(parameter: Any, context: Any, value: Any) -> Any:
    """A value, read here where that is simple: what typer reads them with loads for a tenth of a second."""
    described = getattr(parameter, "type_descriptor", None)
    if value is None and not parameter.required:
        plain = () if parameter.multiple or parameter.nargs == -1 else None
    elif described is None or (plain := _read(described, described.annotation, value)) is None:
        return type(parameter).process_value(parameter, context, value)
    return plain if parameter.callback is None else parameter.callback(context, parameter, plain)


def _read(described: Any, kind: Any, value: Any) -> Any:
    """A value as the type that a parameter is annotated with; None where that is left to typer.

    Of the command line all values are texts, of defaults they have their type.
    """
    if described.parameter_info.parser is not None:
        return None
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else None
    if get_origin(kind) is list:
        items = value if isinstance(value, list | tuple) else ()
        parts = [_read(described, get_args(kind)[0], each) for each in items]
        return None if not parts or any(part is None for part in parts) else parts
    if type(value) is kind:
        return value
    if kind is Path:
        return Path(value) if _is_free(described.parameter_info, value) else None
    return _number(described.parameter_info, kind, value) if kind in (int, float) else None


def _is_free(info: Any, path: str) -> bool:
    """Whether typer has nothing to say against a path: no option of ours asks what lies there."""
    asks = info.exists or info.resolve_path or info.writable or info.allow_dash or info.path_type
    is_any = info.file_okay and info.dir_okay and not asks
    return is_any and (os.access(path, os.R_OK) or not os.path.lexists(path))


def _number(info: Any, kind: type[int | float], text: str) -> int | float | None:
    """A number within its bounds that is written as Python writes it."""
    try:
        number = kind(text)
    except ValueError:
        return None
    is_inside = (info.min is None or info.min <= number) and (info.max is None or number <= info.max)
    return number if str(number) == text and is_inside else None


BUILD = {
    "plan": "planning",
    "index": "indexing",
    "merge": "merging",
    "copy": "copying",
    "list": "listing",
    "check": "listing",
    "remove": "housekeeping",
    "rename": "housekeeping",
    "models": "listing",
}
OTHERS = {"report": "report", "view": "view", "synth": "synthetic", "train": "synthetic"}
"""The module of each command that is no question."""


class _Commands(Mapping[str, Any]):
    """Every command by its name, made when it is looked up; plug-ins are looked for behind the others."""

    def __getitem__(self, name: str) -> Any:
        command = _command(name)
        if command is None:
            raise KeyError(name)
        return command

    def __iter__(self) -> Iterator[str]:
        own = sorted(QUESTIONS, key=lambda question: PANELS.index(question.panel))
        yield from BUILD
        yield from (question.name for question in own)
        yield from (each.name for each in all_questions() if each.package and _command(each.name))
        yield from OTHERS

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Group(TyperGroup):
    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.commands = _Commands()  # type: ignore[assignment]

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


_HELP = {"help_option_names": ["-h", "--help"]}
"""Said of every command too: click keeps the names under which help was first asked for, by whomever."""


@cache
def _command(name: str) -> Any:
    """The command of this name; None where there is none."""
    if name in BUILD:
        return _made(name, import_module(f"auditor.cli.{BUILD[name]}"), "Build an index")
    if name in OTHERS:
        panel = "Synthetic scenes" if OTHERS[name] == "synthetic" else "Report"
        return _made(name, import_module(f"auditor.cli.{OTHERS[name]}"), panel)
    question = find_question(name)
    if question is None:
        return None
    return _plug_in(question) if question.package else _made(name, question.load("command"), question.panel)


def _plug_in(question: Question) -> Any:
    """A package of somebody else's may be broken; the other commands must work all the same."""
    try:
        return _made(question.name, question.load("command"), question.panel)
    except (Exception, SystemExit) as error:
        warn(f"the question {question.name} of {question.package} is left out: {error}")
        return None


def _made(name: str, module: Any, panel: str) -> Any:
    """The function of this name as a command, with an underscore where Python has the name."""
    function = getattr(module, name, None) or getattr(module, f"{name}_")
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    alone.command(name=name, cls=_Command, rich_help_panel=panel, context_settings=_HELP)(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="audit",
    cls=_Group,
    help="What did my image classifier really look at, and what is in my dataset that nobody labelled?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings=_HELP,
    epilog="Start with:  audit index ./photos --backbone dinov2   then:  audit metrics",
)


def _version(asked: bool) -> None:
    if asked:
        say(f"audit {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Where an error came from, in full.")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"
