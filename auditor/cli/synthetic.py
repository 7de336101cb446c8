"""`audit synth` and `audit train`: scenes with known answers, and classifiers trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from auditor.cli.options import pairs
from auditor.cli.progress import Bar


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
    from auditor.data.synth import Recipe, class_number, write_scenes

    recipe = Recipe(seed, class_number(texture), class_number(marker))
    with Bar("scenes", images) as bar:
        for done in write_scenes(out, recipe, images, recipe_only=recipe_only):
            bar.at(done)
    typer.echo(f"{images} scenes in {out}")


def train(
    scenes: Annotated[Path, typer.Argument(help="Folder that audit synth wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The weights to write.")] = Path(
        "model.safetensors"
    ),
    arch: Annotated[str, typer.Option(help="Any timm architecture.")] = "resnet18",
    model_arg: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Argument of the architecture; repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(help="Input side in pixels.")] = 224,
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    batch: Annotated[int, typer.Option(min=2)] = 512,
    optimizer: Annotated[Literal["sgd", "adamw"], typer.Option()] = "sgd",
    rate: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 0.15,
    weight_decay: Annotated[float, typer.Option()] = 1e-4,
    seed: Annotated[int, typer.Option()] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that render scenes.")] = 1,
    start: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from these weights; random ones if not given.")
    ] = None,
) -> None:
    """Train a classifier on scenes with one label per image (paper 4.4); continues a stopped run.

    Example: audit train scenes --arch resnet10t --model-arg output_stride=16 --size 112 --epochs 1
    """
    from auditor.build.training import TrainingRequest, train_on_scenes
    from auditor.models.weights import parse_model_args, pick_device

    request = TrainingRequest(
        arch, parse_model_args(pairs(model_arg)), size, epochs, batch, optimizer, rate, weight_decay, seed,
        str(pick_device(device)), workers, start,
    )  # fmt: skip
    with Bar("steps", 1) as bar:
        result = train_on_scenes(
            scenes,
            out,
            request,
            on_step=lambda p: bar.at(p.step, p.steps, f"steps, loss {p.loss:.3f}"),
            on_validation=lambda v: bar.say(f"epoch {v.epoch + 1}: Loc. {v.loc.value:.3f} on unseen scenes"),
        )
    typer.echo(
        f"{out}: image accuracy {result.accuracy.value:.3f}, Loc. {result.loc.value:.3f} on unseen scenes"
    )
