"""The commands in the order of the work: build an index, ask it, look at images, report, synthesise."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from auditor import __version__
from auditor.cli import housekeeping, indexing, listing, merging, report, synthetic, view
from auditor.questions import PANELS, QUESTIONS, Question, all_questions
from auditor.terminal.endings import DEBUG
from auditor.terminal.lines import say, warn


def _as_flags(parameters: list[Any]) -> list[Any]:
    """Options that take no value, which their help shows as such: not `--json <bool>`."""
    for each in parameters:
        if isinstance(each, TyperOption) and each.is_flag:
            each.metavar = ""
    return parameters


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _as_flags(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _as_flags(super().get_params(ctx))


app = typer.Typer(
    name="audit",
    cls=_Group,
    help="What did my image classifier really look at, and what is in my dataset that nobody labelled?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with:  audit index ./photos --backbone dinov2   then:  audit metrics",
)


def _add_question(question: Question) -> None:
    module = question.load("command")
    command = getattr(module, question.name, None) or getattr(module, f"{question.name}_")
    app.command(name=question.name, cls=_Command, rich_help_panel=question.panel)(command)


def _add_plug_in(question: Question) -> None:
    """A package of somebody else's may be broken; the other commands must work all the same."""
    try:
        _add_question(question)
    except Exception as error:
        warn(f"the question {question.name} of {question.package} is left out: {error}")


def _add(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(name=command.__name__.rstrip("_"), cls=_Command, rich_help_panel=panel)(command)


_add(
    "Build an index",
    indexing.index,
    merging.merge,
    listing.list_,
    listing.check,
    housekeeping.remove,
    housekeeping.rename,
    listing.models,
)
for each in sorted(QUESTIONS, key=lambda question: PANELS.index(question.panel)):
    _add_question(each)
for each in all_questions():
    if each.package:
        _add_plug_in(each)
_add("Report", report.report, view.view)
_add("Synthetic scenes", synthetic.synth, synthetic.train)


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
