"""One arithmetic of an index's images: what was listed, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.store import Index

STATUSES = """
SELECT count(*) AS listed,
  count(*) FILTER (is_removed) AS removed,
  count(*) FILTER (NOT is_removed AND status = 'broken') AS broken,
  count(*) FILTER (NOT is_removed AND status = 'filtered') AS filtered,
  count(*) FILTER (usable) AS measured,
  count(*) FILTER (usable AND len(coalesce(labels, [])) = 0) AS unlabelled,
  count(*) FILTER (usable AND len(coalesce(labels, [])) > 0 AND NOT has_foreground) AS unannotated
FROM (
  SELECT *, id IN (
    SELECT image FROM cells WHERE variant = 0 AND cell = 0 AND foreground IS NOT NULL) AS has_foreground
  FROM images)
"""


@dataclass(frozen=True, slots=True)
class ImageCensus:
    """What became of the images that were listed: listed = measured + filtered + broken + removed.

    Of the measured, `unlabelled` have no class of the head and `unannotated` a class but no foreground;
    `evaluated` are the rest, which have both. `least` is the share of the crop that an annotation has to
    cover (COCO's 1 %); an image without one is `filtered`.
    """

    listed: int
    removed: int
    broken: int
    filtered: int
    measured: int
    unlabelled: int
    unannotated: int
    least: float

    @property
    def evaluated(self) -> int:
        """Images with a class of the head and foreground."""
        return self.measured - self.unlabelled - self.unannotated

    @property
    def sentence(self) -> str:
        """The two sums in words; of a sum with one term, that it is all."""
        lost, bare = list(self._lost()), list(self._bare())
        if not lost and not bare:
            return f"{self.listed:,} images listed, all of them indexed and evaluated."
        sums = [f"{self.listed:,} images listed = " + " + ".join([f"{self.measured:,} indexed", *lost])]
        if bare:
            sums.append(
                f"{self.measured:,} indexed = " + " + ".join([f"{self.evaluated:,} evaluated", *bare])
            )
        return "; ".join(sums) + "."

    def _lost(self) -> Iterator[str]:
        if self.filtered:
            yield f"{self.filtered:,} without an annotation of {100 * self.least:g} % of the crop"
        if self.broken:
            yield f"{self.broken:,} that cannot be read"
        if self.removed:
            yield f"{self.removed:,} gone from the dataset"

    def _bare(self) -> Iterator[str]:
        if self.unlabelled:
            yield f"{self.unlabelled:,} without a label that the head knows"
        if self.unannotated:
            yield f"{self.unannotated:,} with a class but no boxes or masks"


def take_census(index: Index) -> ImageCensus:
    """The census of an index."""
    row = index.counted(STATUSES)
    return ImageCensus(
        **{name: int(column[0]) for name, column in row.items()}, least=index.manifest.dataset.min_area
    )
