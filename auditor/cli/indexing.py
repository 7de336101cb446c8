"""`audit index`, `list`, `check` and `models`: make indexes, see them, verify them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditor.cli.options import INDEXES, AsJson, IndexName, TableFile, index_path, pairs, show
from auditor.cli.progress import Bar
from auditor.errors import AuditError
from auditor.records import Fill, Interpolation

if TYPE_CHECKING:
    from auditor.indexing.plan import HeadChoice

DataFolder = Annotated[Path, typer.Argument(help="Folder of images, read in place.", show_default=False)]
Triple = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="One number or three; the backbone's own if not given.")
]


def index(
    dataset: DataFolder,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone", "-b", help="Short name (audit models), timm/NAME, open_clip/NAME:TAG or a file."
        ),
    ] = "symbols",
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="Boxes, masks or labels that lie elsewhere.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the index; DATASET-BACKBONE when not given.")
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="auto|own|text|probe|none|FILE",
            help="auto: the model's own, else a probe, else none. FILE: a probe from heads/ of an index.",
        ),
    ] = "auto",
    readout: Annotated[
        Literal["pointwise", "exact"], typer.Option(help="How the head is applied to cells.")
    ] = "pointwise",
    template: Annotated[str, typer.Option(help="Prompt of --head text.")] = "a photo of a {}.",
    fill: Annotated[Fill, typer.Option(help="What occluded pixels become.")] = "mean",
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights file; random:SEED for an untrained baseline.")
    ] = None,
    model_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Argument of the model's constructor; repeatable."),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Input side in pixels.")] = None,
    mean: Triple = None,
    std: Triple = None,
    interpolation: Annotated[Interpolation | None, typer.Option(help="Of the resize.")] = None,
    preprocess: Annotated[
        Literal["model", "paper"],
        typer.Option(help="paper: ImageNet mean and std, bilinear, for every backbone."),
    ] = "model",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="N images drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of --sample, the probe and noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="bfloat16: faster, tables within 0.2 points.")
    ] = "float32",
    batch: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read images.")] = 2,
    json: AsJson = False,
) -> None:
    """Index a folder of images: features and class scores of every cell. Run again to continue.

    Example: audit index ./imagenet/val --annotations ./boxes --backbone resnet50
    """
    from auditor.indexing.build import build_index
    from auditor.indexing.plan import Request

    chosen = _head(head)
    request = Request(
        dataset=dataset, backbone=backbone, annotations=annotations, weights=weights,
        model_args=pairs(model_arg), size=size, mean=_triple(mean), std=_triple(std),
        interpolation=interpolation, preprocess=preprocess, head=chosen,
        template=template, readout=readout, fill=fill, limit=limit, sample=sample, seed=seed,
        device=device, precision=precision, batch=batch, workers=workers,
    )  # fmt: skip
    path = INDEXES / (name or _name(dataset, backbone, chosen))
    with Bar(quiet=json) as bar:
        summary = build_index(path, request, bar)
    show((summary,), as_json=json)


def list_(json: AsJson = False, table: TableFile = None) -> None:
    """List the indexes here: dataset, backbone, images, cells, size, head, certificate.

    Example: audit list
    """
    from auditor.store.index import list_indexes

    show(list_indexes(INDEXES), as_json=json, table=table)


def check(
    index: IndexName = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild what is derived from the shards.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Verify every file of an index; exit 1 if something is damaged.

    Example: audit check --index birds-dinov2 --repair
    """
    from auditor.store.check import check as verify

    found = verify(index_path(index), repair=repair)
    show(found, as_json=json)
    if not found.is_sound:
        sys.exit(1)


def models(json: AsJson = False, table: TableFile = None) -> None:
    """List the backbones that have a short name; any timm/NAME or open_clip/NAME:TAG works too.

    Example: audit index ./photos --backbone timm/convnext_tiny.fb_in22k
    """
    from auditor.models.catalog import rows

    show(rows(), as_json=json, table=table)


def _triple(text: str | None) -> tuple[float, float, float] | None:
    """`0.5` or `0.5,0.4,0.3`."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise AuditError(f"{text!r} is neither one number nor three with commas between them") from None
    if len(values) not in (1, 3):
        raise AuditError(f"{text!r} holds {len(values)} numbers; give one or three")
    red, green, blue = values * 3 if len(values) == 1 else values
    return red, green, blue


def _head(text: str) -> HeadChoice | Path:
    """A head by its name, or the file that holds one."""
    from auditor.indexing.plan import HEADS

    if (found := next((name for name in HEADS if name == text), None)) is not None:
        return found
    if text.endswith(".safetensors"):
        return Path(text)
    raise typer.BadParameter(
        f"{text!r} is neither {', '.join(HEADS)} nor a .safetensors file", param_hint="--head"
    )


def _name(dataset: Path, backbone: str, head: HeadChoice | Path) -> str:
    """DATASET-BACKBONE, and the file's name where the head comes from one."""
    words = [dataset.resolve().name, _short(backbone), *([head.stem] if isinstance(head, Path) else [])]
    return "-".join(words)


def _short(backbone: str) -> str:
    """A backbone's name as part of a folder's."""
    return (
        Path(backbone).stem
        if backbone.endswith(".safetensors")
        else backbone.split("/", 1)[-1].replace(":", "-")
    )
