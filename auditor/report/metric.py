"""What a number of a record is: the title, the definition, the unit and the source that its field carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

Unit = Literal["percent", "points", "count", "chance", "factor"]
Table = Literal["pairs", "images"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number of a record is: the heading of its column, its definition, its unit, its source.

    `counts` turns counted columns, a row per pair or per image, into hits and totals; `over` says which of
    the two tables it reads, and `is_mean` that the number is the mean of the rows' own rates, not the rate of
    their sums.
    """

    title: str
    definition: str
    unit: Unit = "percent"
    source: str = ""
    counts: Callable[[Mapping[str, Any]], tuple[Any, Any]] | None = None
    over: Table = "images"
    is_mean: bool = False


def metric(
    title: str,
    definition: str,
    counts: Callable[[Mapping[str, Any]], tuple[Any, Any]] | None = None,
    *,
    unit: Unit = "percent",
    source: str = "",
    over: Table = "images",
    is_mean: bool = False,
) -> dict[str, Metric]:
    """The metadata of a field that is a metric: everything that is known of it, in one place."""
    return {"metric": Metric(title, definition, unit, source, counts, over, is_mean)}


def same_metric(kind: type, name: str) -> dict[str, Metric]:
    """The metadata of a field that is the metric of another record."""
    return {"metric": metrics_of(kind)[name]}


class derived(property):  # noqa: N801  (used as property is)
    """A property that is a metric: `@derived.of(title, definition)` above its function."""

    metric: Metric
    after: str  # the field behind which it stands in tables

    @classmethod
    def of(
        cls, title: str, definition: str, *, after: str, unit: Unit = "points", source: str = ""
    ) -> Callable[[Callable[[Any], Any]], derived]:
        """The decorator of a property with its title, definition, unit and source."""

        def describe(function: Callable[[Any], Any]) -> derived:
            described = cls(function)
            described.metric, described.after = Metric(title, definition, unit, source), after
            return described

        return describe


@cache
def metrics_of(kind: type) -> Mapping[str, Metric]:
    """The metrics of a record type by field, in their order; what it derives stands behind what it names."""
    metrics = {each.name: each.metadata["metric"] for each in fields(kind) if "metric" in each.metadata}
    for name, value in vars(kind).items():
        if isinstance(value, derived):
            names = list(metrics)
            place = names.index(value.after) + 1
            metrics[name] = value.metric
            metrics = {each: metrics[each] for each in (*names[:place], name, *names[place:])}
    return metrics
