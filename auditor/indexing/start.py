"""`audit index`, from its first word: what needs no model is said before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from auditor.data.class_names import read_class_list
from auditor.data.files import check_places
from auditor.data.read import read_dataset
from auditor.errors import AuditError, BackboneError
from auditor.indexing.bad import tell_bad
from auditor.indexing.request import Request, choose_backbone, place_of
from auditor.models.catalog import read_header, require_source, resolve
from auditor.models.hub import refuse_early
from auditor.models.names import check_name
from auditor.models.runtime import check_runtime
from auditor.records import Dataset, Estimate, IndexSummary
from auditor.records.watch import Watch

INDEXES = Path("indexes")


def build_index(
    request: Request, watch: Watch, *, path: Path | None = None, folder: Path = INDEXES
) -> IndexSummary:
    """Build the index at `path`, or continue it: new images are added, vanished ones marked as removed.

    Without a path it lies below `folder`, called DATASET-BACKBONE.
    """
    dataset, path = _begin(request, watch, path, folder)
    from auditor.indexing.build import build

    summary = build(path, request, dataset, watch)
    return tell_bad(path, summary) if summary.is_complete else summary


def plan_index(
    request: Request, watch: Watch, *, path: Path | None = None, folder: Path = INDEXES
) -> tuple[Estimate, AuditError | None]:
    """What the same would take, and why it cannot be, where disk or memory do not hold it."""
    dataset, path = _begin(request, watch, path, folder)
    from auditor.indexing.estimate import estimate, refuse

    made = estimate(request, dataset, path, watch)
    return made, refuse(made, path)


def _begin(request: Request, watch: Watch, path: Path | None, folder: Path) -> tuple[Dataset, Path]:
    """The dataset, read, and where its index lies; the next stage loads the model."""
    check_request(request)
    watch.start(f"reading {request.dataset.name}", 1)
    dataset = read_dataset(
        request.dataset, request.annotations, limit=request.limit, sample=request.sample, seed=request.seed
    )
    watch.advance(1)
    name = choose_backbone(request)
    watch.start(f"loading {name}", 1)
    return dataset, place_of(request, path, folder)


def check_request(request: Request) -> None:
    """DatasetError or BackboneError for what is wrong, as far as it shows without a model."""
    check_places(request.dataset, request.annotations)
    check_runtime(request.runtime, request.device)
    weights = request.weights
    is_random = weights is not None and weights.partition(":")[0] == "random"
    if weights is not None and not is_random and not Path(weights).is_file():
        raise BackboneError(f"no weights at {weights}")
    if request.backbone is not None:
        spec = resolve(request.backbone)
        check_name(spec)
        if weights is None:
            require_source(spec)
    _check_head(request)
    if request.backbone is not None and weights is None and spec.weights is None:
        refuse_early(spec)


def _check_head(request: Request) -> None:
    if isinstance(request.head, Path):
        if not request.head.is_file():
            raise BackboneError(f"no head at {request.head}")
        if request.head.suffix == ".safetensors":
            read_header(request.head)
    if request.classes is not None:
        if not isinstance(request.head, Path):
            raise BackboneError("--classes names the classes of a head in a file: give it with --head FILE")
        read_class_list(request.classes, distinct=False)
