"""`audit synth` and `audit train`: scenes with known answers, and classifiers from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditor.terminal.endings import keeping
from auditor.terminal.lines import say
from auditor.terminal.options import pairs
from auditor.terminal.progress import Bar

if TYPE_CHECKING:
    from auditor.train.training import Validation


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write the scenes to.")],
    images: Annotated[int, typer.Option("--images", "-n", min=1, help="How many scenes.")] = 1000,
    seed: Annotated[int, typer.Option(help="Scenes of one seed are always the same.")] = 0,
    texture: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Plant a fault: this class stands on stripes.")
    ] = None,
    marker: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Plant a fault: this class comes with a corner marker."),
    ] = None,
    recipe_only: Annotated[
        bool, typer.Option("--recipe-only", help="Write the recipe alone; audit train renders as it reads.")
    ] = False,
) -> None:
    """Write synthetic scenes: 3-5 of 20 symbols, one label, exact masks (paper A.2).

    Example: audit synth scenes --images 300 --texture "star dot" --marker "triangle cross"
    """
    from auditor.data.scenes import Recipe
    from auditor.data.synth import class_number, write_scenes

    recipe = Recipe(seed, class_number(texture), class_number(marker))
    with Bar("scenes", images) as bar, keeping(lambda: _kept(out / "recipe.json", "what was written")):
        for done in write_scenes(out, recipe, images, recipe_only=recipe_only):
            bar.at(done)
    say(f"{images} scenes in {out}")


def train(
    dataset: Annotated[Path, typer.Argument(help="Scenes by audit synth, or any folder of labelled images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The weights to write.")] = Path(
        "model.safetensors"
    ),
    arch: Annotated[str, typer.Option(help="Any architecture of timm, or a short name.")] = "resnet18",
    head: Annotated[
        Literal["fc", "mlp"], typer.Option(help="fc: one linear layer; mlp: three layers, Table 6.")
    ] = "fc",
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="Boxes, masks or labels that lie elsewhere.")
    ] = None,
    model_arg: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Argument of the architecture; repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(help="Input side in pixels.")] = 224,
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    batch: Annotated[int, typer.Option(min=2)] = 512,
    optimizer: Annotated[
        Literal["sgd", "adamw"] | None,
        typer.Option(help="sgd for networks with BatchNorm, else adamw, when not given (A.2)."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate after the warm-up.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="The optimizer's in A.2 when not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, the order and the crops.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read or render images.")] = 1,
    start: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from these weights; random ones if not given.")
    ] = None,
) -> None:
    """Train a classifier from one label per image, keep its best epoch (4.4, A.4); continues a stopped run.

    Example: audit train scenes --arch resnet10t --model-arg output_stride=16 --size 112 --epochs 1
    """
    from auditor.models.weights import parse_model_args, pick_device
    from auditor.train.training import TrainingRequest
    from auditor.train.training import train as train_classifier

    request = TrainingRequest(
        arch, head, parse_model_args(pairs(model_arg)), annotations, size, epochs, batch, optimizer, rate,
        weight_decay, seed, str(pick_device(device)), workers, start,
    )  # fmt: skip
    checkpoint = out.with_name(out.name + ".checkpoint")
    with Bar("steps", 1) as bar, keeping(lambda: _kept(checkpoint, "the last checkpoint")):
        best = train_classifier(
            dataset,
            out,
            request,
            on_step=lambda p: bar.at(p.step, p.steps, f"steps, loss {p.loss:.3f}"),
            on_validation=lambda v: bar.say(_describe(v)),
            say=bar.say,
        )
    say(f"{out}: {_describe(best)}")


def _kept(sign: Path, what: str) -> str:
    """What of a stopped run is there for the next one, if this file is there."""
    if sign.exists():
        return f"{what} is kept; run the same command to go on"
    return "nothing was written yet; run the same command again"


def _describe(found: Validation) -> str:
    loc = "" if found.loc.value is None else f", Loc. {found.loc.value:.3f}"
    return f"epoch {found.epoch + 1}: image accuracy {found.accuracy.value:.3f}{loc} on unseen images"
