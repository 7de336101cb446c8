"""Words and numbers as every table, drawing and page shows them."""

from __future__ import annotations

from math import floor, log10

from auditor.records import Agreement, Certificate, Rate
from auditor.report.visible import visible as visible

NO_DATA = "–"


def percent(rate: Rate) -> str:
    """A rate in percent with one decimal, as the paper's tables print it."""
    return share(rate.value)


def share(value: float | None) -> str:
    """A share in [0, 1] in percent with one decimal."""
    return NO_DATA if value is None else f"{100 * value:.1f}"


def counts(rate: Rate) -> str:
    """Hits/total, empty when nothing was counted."""
    return f"{rate.hits}/{rate.total}" if rate.total else ""


def points(delta: float | None) -> str:
    """A difference of shares in points, with its sign."""
    return NO_DATA if delta is None else f"{100 * delta:+.1f}"


def interval(bounds: tuple[float, float] | None, decimals: int = 0) -> str:
    """An interval of shares in percent, low to high."""
    if bounds is None:
        return ""
    low, high = bounds
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}"


def chance(value: float | None) -> str:
    """A p- or q-value with three decimals, never rounded to zero."""
    if value is None:
        return NO_DATA
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, never in powers of ten: 0.000412."""
    if not value:
        return "0"
    return f"{value:.{max(digits - 1 - floor(log10(abs(value))), 0)}f}"


def times(value: float | None) -> str:
    """A factor with one decimal."""
    return NO_DATA if value is None else f"x{value:.1f}"


def size(count: int) -> str:
    """Bytes with a binary unit."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun, and an s or the plural given when it is not one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or f'{noun}s'}"


def left_out(empty: int) -> tuple[str, ...]:
    """The sentence on so many cells without content, if there are any."""
    have, they = ("has", "it was") if empty == 1 else ("have", "they were")
    said = f"{plural(empty, 'cell')} {have} no content (a feature of zeros): {they} left out."
    return (said,) if empty else ()


def tell_empty(cells: int, images: int) -> str:
    """The sentence on cells whose features are all zero, and the images that they lie in."""
    where = f"{plural(cells, 'cell')} of {plural(images, 'image')}"
    return f"{where} have no content: their features are all zero, so they are similar to nothing"


_VERDICTS = {
    "exact": "The mean of the cells' scores is the image's score: head and readout are exact",
    "exact-affine": "The scores of cells read one by one do not add up to the image's score, since the head "
    "is not linear; an exact decomposition exists",
    "exact-attn": "The scores of cells read one by one do not add up to the image's score, since the model "
    "pools by attention; an exact decomposition exists",
    "pointwise-only": "The head is applied to each cell on its own; no decomposition of the image's score "
    "over the cells exists",
    "features-only": "There is no head that scores cells; retrieval and correspondence need none",
}


_LENGTHS = (
    "The scores of cells read one by one do not add up to the image's score, since each cell is divided by "
    "its own length; divided by the pooled vector's they do"
)


def certify(certificate: Certificate | None) -> str:
    """How cell scores relate to image scores, in one sentence."""
    if certificate is None:
        return "No certificate: how cell scores relate to image scores was not measured."
    measured = _measurements(certificate)
    note = f" {certificate.note.rstrip('.')}." if certificate.note else ""
    verdict = _LENGTHS if certificate.exact_readout == "pooled_norm" else _VERDICTS[certificate.verdict]
    return f"{verdict}{measured}.{note}"


def _measurements(certificate: Certificate) -> str:
    found = []
    if certificate.pointwise_error is not None:
        found.append(f"error of the pointwise readout {certificate.pointwise_error:.1e}")
    if certificate.exact_error is not None:
        found.append(f"of the exact one ({certificate.exact_readout}) {certificate.exact_error:.1e}")
    return f" ({', '.join(found)}, on {plural(certificate.images, 'image')})" if found else ""


_RUNTIMES = {"torch": "torch", "openvino": "OpenVINO"}


def tell_agreement(agreement: Agreement) -> str:
    """How far cells are from those of eager torch in float32, in one sentence."""
    changed, cosine = agreement.changed, f"the lowest cosine of a cell is {agreement.cosine:.6f}"
    cells = f"{percent(changed)} % of cells have another class ({counts(changed)}), " if changed else ""
    runtime, images = _RUNTIMES[agreement.runtime], plural(agreement.images, "image")
    made = f"cells by {runtime} in {agreement.precision}"
    return f"{made}; beside eager torch in float32, on {images}, {cells}{cosine}"


_VARIANTS = {
    "original": "original",
    "without_bg": "without background",
    "without_fg": "without foreground",
    "inpainted": "inpainted",
    "inpainted_without_fg": "inpainted, without foreground",
}


def variant_title(variant: str) -> str:
    """A variant in words."""
    return _VARIANTS.get(variant, variant)
