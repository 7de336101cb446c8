"""`audit index`: make an index, or continue it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.listing import view_indexes
from auditor.errors import AuditError
from auditor.records import Fill, Interpolation, Precision, Runtime
from auditor.remote import locate
from auditor.terminal.endings import keeping
from auditor.terminal.options import INDEXES, AsJson, new_path, pairs
from auditor.terminal.progress import Bar
from auditor.terminal.show import show

if TYPE_CHECKING:
    from auditor.indexing.request import HeadChoice, Request
    from auditor.records import IndexSummary

DataFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder of images, tars or Parquet files, read in place; also a URL, such as s3://bucket/photos.",
        show_default=False,
        parser=locate,
        metavar="DATASET",
    ),
]
Triple = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="One number or three; the backbone's own if not given.")
]

MaxBad = Annotated[
    float,
    typer.Option(min=0, max=1, metavar="SHARE", help="Of images that cannot be read; above it, exit 3."),
]


def index(
    dataset: DataFolder,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            "-b",
            help="Short name (audit models), timm/NAME, open_clip/NAME:TAG or a file; "
            "scenes by audit synth need none.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            "-a",
            help="Boxes, masks or labels that lie elsewhere.",
            parser=locate,
            metavar="PATH",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the index; DATASET-BACKBONE when not given.")
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="auto|own|text|probe|none|FILE",
            help="auto: the model's own, else a probe, else none. FILE: a probe, or weight and bias.",
        ),
    ] = "auto",
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names of a head in a file, one a line.")
    ] = None,
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
        Precision, typer.Option(help="bfloat16: faster where the processor has it, other answers.")
    ] = "float32",
    runtime: Annotated[Runtime, typer.Option(help="openvino: faster on CPUs for many networks.")] = "torch",
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Only part K of N, on any machine; audit merge joins the parts."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: shards are made by the workers of a cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; one on this machine when not given.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read images.")] = 2,
    max_bad: MaxBad = 0.01,
    json: AsJson = False,
) -> None:
    """Index a folder of images: features and class scores of every cell. Run again to continue.

    Example: audit index ./imagenet/val --annotations ./boxes --backbone resnet50
    """
    request = make_request(**locals())
    from auditor.indexing.bad import check_bad
    from auditor.indexing.start import build_index

    path = new_path(name) if name else None
    with Bar(quiet=json) as bar, keeping(lambda: _kept(request, path)):
        summary = build_index(request, bar, path=path, folder=INDEXES)
    view = view_indexes((summary,))
    show((summary,), as_json=json, view=replace(view, notes=(*view.notes, *tell_listed(summary))))
    check_bad(summary, max_bad)


def make_request(
    *,
    head: str,
    model_arg: list[str] | None,
    mean: str | None,
    std: str | None,
    shard: str | None,
    name: str | None,
    max_bad: float,
    json: bool,
    **same: Any,
) -> Request:
    """What the options of `audit index` ask for, read; `name`, `max_bad` and `json` are no part of it."""
    from auditor.indexing.request import Request
    from auditor.store.part import Part

    return Request(
        head=_head(head),
        model_args=pairs(model_arg),
        mean=_triple(mean),
        std=_triple(std),
        part=Part.parse(shard) if shard else None,
        **same,
    )


def _kept(request: Request, path: Path | None) -> str:
    """What of a stopped run is there for the next one."""
    from auditor.indexing.request import place_of
    from auditor.report.text import plural
    from auditor.store.shards import read_shard, shard_names, staged_names

    images = staged = 0
    with suppress(AuditError):
        path = place_of(request, path, INDEXES)
        images = sum(read_shard(path, shard).images for shard in shard_names(path))
        staged = len(staged_names(path))
    if not images and not staged:
        return "no image was finished yet; run the same command again"
    extracted = f" and {plural(staged, 'shard')} without scores" if staged else ""
    return f"{plural(images, 'image')}{extracted} are kept in {path}; run the same command to go on"


def tell_listed(summary: IndexSummary) -> tuple[str, ...]:
    """What became of the images of a complete index."""
    return (*_arithmetic(summary), *_bad(summary))


def _arithmetic(summary: IndexSummary) -> tuple[str, ...]:
    """What became of every image that was listed, so that no count differs without a word."""
    from auditor.report.text import plural, tell_empty

    if summary.indexed is None:
        return ()
    parts = {
        "indexed": summary.indexed,
        "broken": summary.broken,
        "filtered (no annotation covers enough of the crop)": summary.filtered,
        "removed": summary.removed,
    }
    shown = {what: number for what, number in parts.items() if number or what == "indexed"}
    counted = " + ".join(f"{number:,} {what}" for what, number in shown.items())
    notes = [f"{plural(summary.images + summary.removed, 'image')} listed = {counted}"]
    if summary.empty_cells:
        notes.append(tell_empty(summary.empty_cells, summary.images_with_empty_cells or 0))
    return tuple(notes)


def _bad(summary: IndexSummary) -> tuple[str, ...]:
    """The first images that could not be read and why, and how many have an unknown foreground."""
    from auditor.indexing.bad import SHOWN
    from auditor.report.text import plural

    notes = [f"{image.code}: {image.error}" for image in summary.bad[:SHOWN]]
    if len(summary.bad) > SHOWN:
        notes.append(f"and {len(summary.bad) - SHOWN:,} more images that are broken; --json lists them all")
    if summary.unclear:
        notes.append(
            f"{plural(summary.unclear, 'image')} with an annotation that cannot be used: the foreground is "
            "unknown, so that no count of foreground or background has them"
        )
    return tuple(notes)


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
    from auditor.indexing.request import HEAD_FILES, HEADS

    if (found := next((name for name in HEADS if name == text), None)) is not None:
        return found
    if text.endswith(HEAD_FILES):
        return Path(text)
    files = " or ".join(HEAD_FILES)
    raise typer.BadParameter(
        f"{text!r} is neither {', '.join(HEADS)} nor a {files} file", param_hint="--head"
    )
