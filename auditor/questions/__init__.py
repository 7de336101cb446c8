"""The questions that an index is asked, a folder each, in the order in which a page answers them.

Every folder has the same files: `record.py`, the frozen answer; `ask.py`, the function of the question's name
that gives it, and perhaps `report`, what a page asks; `view.py`, the answer in tables; `draw.py`, the answer
in pictures, where there are any; `command.py`, the command. A folder of that shape in another installed
package is a question too, if its entry point stands in the group `auditor.questions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

Panel = Literal["Ask the index", "Look at images and cells", "Explain with the model", "Plug-ins"]
ASK: Panel = "Ask the index"
LOOK: Panel = "Look at images and cells"
EXPLAIN: Panel = "Explain with the model"
PLUG_INS: Panel = "Plug-ins"
PANELS = (ASK, LOOK, EXPLAIN, PLUG_INS)


@dataclass(frozen=True, slots=True)
class Question:
    """A question by the name of its command; nothing of its folder is loaded until it is asked for.

    `title` is what a page calls it where it cannot be answered. One that is not `of_classes` can be asked of
    an index whose cells have no class. One that `needs_model` runs the backbone again, and loads torch.
    """

    name: str
    title: str
    panel: Panel
    of_classes: bool = True
    needs_model: bool = False
    package: str = ""

    def load(self, part: str) -> ModuleType:
        """One file of the folder, imported."""
        return import_module(f"{self.folder}.{part}")

    @property
    def folder(self) -> str:
        """The package that the folder is."""
        return self.package or f"{__name__}.{self.name}"

    @property
    def function(self) -> Any:
        """The function that asks: of the question's name, with an underscore where Python has the name."""
        ask = self.load("ask")
        return getattr(ask, self.name, None) or getattr(ask, f"{self.name}_")


QUESTIONS = (
    Question("findings", "Findings", ASK, of_classes=False),
    Question("metrics", "Metrics", ASK),
    Question("hygiene", "Hygiene", ASK, of_classes=False),
    Question("confusion", "Confusion", ASK),
    Question("causes", "Causes", ASK),
    Question("labels", "Labels", ASK),
    Question("grid", "Prediction grids", LOOK),
    Question("context", "Context dependence", ASK),
    Question("shortcuts", "Shortcuts", ASK),
    Question("occlude", "One image occluded and inpainted", LOOK, needs_model=True),
    Question("fills", "Delta under other fills", ASK, needs_model=True),
    Question("probe", "Probe", ASK, needs_model=True),
    Question("threshold", "Thresholds", ASK),
    Question("cam", "Class maps", EXPLAIN),
    Question("ledger", "Ledger", EXPLAIN),
    Question("relevance", "Relevance", EXPLAIN, needs_model=True),
    Question("match", "Correspondence", LOOK, of_classes=False),
    Question("map", "Map", LOOK, of_classes=False),
    Question("artifacts", "Artifacts", LOOK, of_classes=False),
    Question("leaks", "Leaks", LOOK, of_classes=False),
    Question("concept", "Concepts", LOOK, of_classes=False),
    Question("similar", "Similar cells", LOOK, of_classes=False),
    Question("find", "Regions found", LOOK, of_classes=False),
    Question("attack", "Attack", EXPLAIN, needs_model=True),
    Question("pool", "Pooling rules", ASK),
)


def all_questions() -> Iterator[Question]:
    """The project's own questions, then those of other installed packages."""
    yield from QUESTIONS
    from importlib.metadata import entry_points  # a command of our own does not wait for it

    own = {question.name for question in QUESTIONS}
    for point in sorted(entry_points(group="auditor.questions"), key=lambda point: point.name):
        if point.name not in own:
            title = point.name.capitalize()
            yield Question(point.name, title, PLUG_INS, of_classes=False, package=point.value)


def find_question(name: str) -> Question | None:
    """The question of this name."""
    return next((question for question in all_questions() if question.name == name), None)
