"""Why an index has no foreground to count: the true reason, and what to do about it."""

from __future__ import annotations

from auditor.store import Index
from auditor.store.go_on import index_command

CENSUS = """
WITH known AS (
  SELECT error, len(coalesce(labels, [])) > 0 AS has_label, id IN (
    SELECT image FROM cells WHERE variant = 0 AND cell = 0 AND foreground IS NOT NULL) AS has_foreground
  FROM images WHERE usable)
SELECT count(*) AS images, count(*) FILTER (has_foreground) AS annotated,
  count(*) FILTER (has_label) AS labelled, count(*) FILTER (has_label AND has_foreground) AS both,
  coalesce(min(error), '') AS problem, count(error) AS unclear
FROM known
"""


def explain_absence(index: Index) -> str | None:
    """Why no image of the index has both a class of the head and foreground; None where some has."""
    found = index.counted(CENSUS)
    images, annotated, labelled, both, unclear = (
        int(found[name][0]) for name in ("images", "annotated", "labelled", "both", "unclear")
    )
    root = index.manifest.dataset.root
    if not images:
        return f"{index.name} has no image that could be read; see: audit check --index {index.name}"
    if not annotated and unclear:  # an image that is usable has an error where its annotation has one
        return (
            f"the foreground of {unclear:,} of {images:,} images of {index.name} is unknown and nothing else "
            f"is annotated: {found['problem'][0]}; correct the annotations and index under another --name"
        )
    if not annotated:
        return (
            f"nothing is annotated in {index.name}: this needs boxes or masks; index it with them: "
            + index_beside(index, "annotated", "--annotations FILE")
        )
    if not labelled:
        return _unmatched(index, annotated)
    if not both:
        return (
            f"{annotated:,} images of {index.name} have boxes or masks, and {labelled:,} others a class of "
            f"its head, but none has both; check the annotations' file names and classes in {root}"
        )
    return None


def explain_no_background(index: Index) -> str:
    """Why no class has a background cell without foreground to look at."""
    if (reason := explain_absence(index)) is not None:
        return reason
    return (
        f"no labelled image of {index.name} has a background cell: some annotated pixel lies in every cell; "
        "a backbone with a finer grid may have some: audit models"
    )


def index_beside(index: Index, kind: str, *words: str, head: str | None = None) -> str:
    """The command that makes another index of the same images and backbone, with these words besides."""
    manifest = index.manifest
    if head is None and manifest.options.get("head_file") and manifest.head.file:
        head = str(index.path.resolve() / manifest.head.file)
    return " ".join([index_command(index.path.with_name(f"{index.name}-{kind}"), manifest, head), *words])


def _unmatched(index: Index, annotated: int) -> str:
    """Foreground is there, but its classes are not the head's."""
    manifest = index.manifest
    names = [known.name for known in manifest.dataset.classes]
    first = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    heads = f"{len(manifest.classes):,} classes of its head"
    whose = f"the dataset's classes ({first})" if names else "its labels"
    if manifest.options.get("head_file"):
        fix = f"name the head's classes as the dataset does: {index_beside(index, 'named', '--classes FILE')}"
    else:
        fix = f"train a head on the labels: {index_beside(index, 'probe', head='probe')}"
    return (
        f"{annotated:,} images of {index.name} have boxes or masks, but none of {whose} is among the "
        f"{heads}; {fix}"
    )
