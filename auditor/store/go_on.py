"""The command that goes on with an index, as one types it in a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from auditor.files import index_word
from auditor.store.manifest import Manifest

_BUILT_IN = {"hub", "package"}  # weights that no option names


def index_command(path: Path, manifest: Manifest, head: str | None = None) -> str:
    """Goes on with this very index: everything that decides its content, as the manifest recorded it.

    `head` is what --head names, if not what scored the index: a file of the user's is kept in the index.
    An index that is older than the record of --limit and --sample goes on with every image of the dataset.
    """
    return shlex.join(["audit", "index", manifest.dataset.root, *_options(path, manifest, head)])


def unfinished(path: Path, manifest: Manifest) -> str:
    """Why an index without a database cannot be read yet, and what to do."""
    if manifest.part:
        stem = shlex.quote(str(path).removesuffix(manifest.part.suffix))
        return (
            f"{path} is part {manifest.part} of an index; when all parts are done, join them with: "
            f"audit merge {stem}.*-of-{manifest.part.of}"
        )
    return f"{path} is unfinished; go on with: {index_command(path, manifest)}"


def _options(path: Path, manifest: Manifest, head: str | None) -> Iterator[str]:
    backbone, preprocess, options = manifest.backbone, manifest.preprocess, manifest.options
    word = index_word(path)
    if manifest.part:
        yield from ("--shard", str(manifest.part))
        word = word.removesuffix(manifest.part.suffix)
    yield from ("--backbone", backbone.name, "--name", word)
    if manifest.dataset.annotations:
        yield from ("--annotations", manifest.dataset.annotations)
    if backbone.weights not in _BUILT_IN:
        yield from ("--weights", backbone.weights)
    for key, value in backbone.model_args.items():
        yield from ("--model-arg", f"{key}={value}")
    yield from ("--head", head or _head(path, manifest))
    yield from ("--size", str(preprocess.crop))
    yield from ("--mean", _numbers(preprocess.mean), "--std", _numbers(preprocess.std))
    yield from ("--interpolation", preprocess.interpolation)
    usually = {"readout": "pointwise", "precision": "float32", "runtime": "torch", "seed": 0}
    for name, usual in usually.items():
        if options.get(name, usual) != usual:
            yield from (f"--{name}", str(options[name]))
    for name in ("template", "limit", "sample"):
        if options.get(name) is not None:
            yield from (f"--{name}", str(options[name]))
    if manifest.fill != "mean":
        yield from ("--fill", manifest.fill)


def _head(path: Path, manifest: Manifest) -> str:
    """The head by name; one that came from a file is the index's own copy of that file."""
    if not (manifest.options.get("head_file") and manifest.head.file):
        return manifest.head.name
    return str(path.resolve() / manifest.head.file)


def _numbers(values: tuple[float, float, float]) -> str:
    return ",".join(map(str, values))
