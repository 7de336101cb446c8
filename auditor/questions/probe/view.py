"""The metrics with a probe beside those with the index's own head."""

from __future__ import annotations

from dataclasses import replace

from auditor.questions.metrics.view import tabulate_metrics
from auditor.questions.probe.record import Probe
from auditor.report.text import certify, plural
from auditor.report.views import View


def view_probe(probe: Probe) -> View:
    """Both heads in one table, and how the probe was trained."""
    own = replace(probe.own, index=f"{probe.index}, own head")
    probed = replace(probe.metrics, index=f"{probe.index}, {probe.kind} probe")
    how = f"out of {probe.folds} folds" if probe.folds > 1 else f"on {probe.trained_on}"
    notes = (
        f"Trained {how}: {plural(probe.trained_images, 'image')}, {plural(probe.epochs, 'epoch')}, "
        f"seed {probe.seed}. The head is {probe.file}.",
        *([] if probe.metrics.census is None else [probe.metrics.census.sentence]),
        f"Own head: {certify(probe.own.certificate)}",
        f"Probe: {certify(probe.metrics.certificate)}",
        *probe.notes,
    )
    return View("Probe", (replace(tabulate_metrics((own, probed)), notes=notes),))


VIEWS = {Probe: view_probe}
