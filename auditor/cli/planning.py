"""`audit plan`: what an index would take, before anything of it is made."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from auditor.cli.indexing import index, make_request
from auditor.terminal.options import INDEXES, new_path
from auditor.terminal.progress import Bar
from auditor.terminal.show import show

if TYPE_CHECKING:
    from auditor.records import Estimate
    from auditor.report.views import View


@wraps(index, assigned=("__annotations__",))  # it takes the options of audit index
def plan(**options: Any) -> None:
    """What would audit index take? Images, cells, disk, memory and time, measured on 20 of the images.

    Takes the options of audit index, and exits with 1 where disk or memory do not hold what they ask for.

    Example: audit plan ./imagenet/val --backbone resnet50
    """
    from auditor.indexing.start import plan_index

    request, as_json = make_request(**options), options["json"]
    path = new_path(options["name"]) if options["name"] else None
    with Bar(quiet=as_json) as bar:
        estimate, refusal = plan_index(request, bar, path=path, folder=INDEXES)
    show(estimate, as_json=as_json, view=view_estimate(estimate))
    if refusal is not None:
        raise refusal


def view_estimate(estimate: Estimate) -> View:
    """A line for each thing that indexing takes."""
    from auditor.report.text import plural, size
    from auditor.report.views import View

    rows, cols = estimate.grid
    variants = plural(len(estimate.variants), "variant")
    memory = "" if estimate.machine_bytes is None else f" of {size(estimate.machine_bytes)}"
    search = f"exact: a query reads {size(2 * estimate.cells * estimate.dim)}"
    if estimate.lists_bytes:
        search = f"by lists of {size(estimate.lists_bytes)}; audit list says which share they find"
    lines = (
        f"images  {estimate.images:,}, head {estimate.head}, {variants}",
        f"cells   {estimate.cells:,}, {rows} x {cols} of {estimate.dim} numbers for each image",
        f"disk    {size(estimate.bytes)} of {size(estimate.free_bytes)} free",
        f"memory  about {size(estimate.memory_bytes)} at most{memory}",
        f"time    about {_duration(estimate.seconds)}, {1 / estimate.seconds_per_image:.1f} images a second",
        f"search  {search}",
        f"Measured on {plural(estimate.probed, 'image')} on this machine as busy as it is now; "
        "what is listed and cannot be read takes less.",
    )
    return View(f"What {estimate.index} would take", notes=lines)


def _duration(seconds: float) -> str:
    """Two units of time, the larger first."""
    for unit, smaller, length in (("day", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if seconds >= length:
            rest = seconds % length * {"h": 1 / 3600, "min": 1 / 60, "s": 1}[smaller]
            return f"{int(seconds // length)} {unit} {int(rest)} {smaller}"
    return f"{seconds:.0f} s"
