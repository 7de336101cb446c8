"""Whether two manifests are of the same kind of content, and what is said where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from auditor.store.manifest import NOT_CONTENT, Manifest


class Difference(NamedTuple):
    """What differs, and both sides in short."""

    name: str
    before: str
    now: str


def differences(old: Manifest, new: Manifest) -> Iterator[Difference]:
    """All that decides what a shard holds and is known before the first one."""
    pairs = [
        ("dataset", old.dataset.root, new.dataset.root),
        ("backbone", old.backbone.model, new.backbone.model),
        ("weights", old.backbone.weights_sha256, new.backbone.weights_sha256),
        ("model arguments", old.backbone.model_args, new.backbone.model_args),
        ("runtime", old.runtime, new.runtime),
        ("head", old.head.name, new.head.name),
        ("classes", [c.name for c in old.classes], [c.name for c in new.classes]),
    ]
    pairs += [
        (name, getattr(old, name), getattr(new, name))
        for name in ("preprocess", "grid", "dim", "variants", "fill")
    ]
    pairs += [
        (name.replace("_", " "), old.options.get(name), value)
        for name, value in new.options.items()
        if name not in (*NOT_CONTENT, "runtime")
    ]
    yield from _differing(pairs)


def differences_of_parts(one: Manifest, other: Manifest) -> Iterator[Difference]:
    """The same, and what may change within an index but not between parts that are made side by side."""
    yield from differences(one, other)
    versions = sorted({*one.versions, *other.versions})
    yield from _differing(
        [
            ("annotations", one.dataset.annotations, other.dataset.annotations),
            ("classes of the dataset", one.dataset.classes, other.dataset.classes),
            ("the head's file", one.head.sha256, other.head.sha256),
            *((name, one.versions.get(name), other.versions.get(name)) for name in versions),
        ]
    )


def _differing(pairs: list[tuple[str, Any, Any]]) -> Iterator[Difference]:
    for name, before, now in pairs:
        if before != now:
            yield Difference(name, _short(before), _short(now))


def _short(value: Any) -> str:
    if hasattr(value, "__dataclass_fields__"):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    text = str(value)
    return text if len(text) <= 90 else text[:87] + "..."
