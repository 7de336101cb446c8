"""What must stay fast, as ratios measured side by side: `make bench`.

    python benchmarks/bench.py [NAME ...]

Each line has its goal; figures of the last run are in RESULTS.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from big import make_big
from side_by_side import compare, load, peak_memory, run

from auditor.measure.counts import CLASSES, PAIRS, count_images, count_pairs
from auditor.search.nearest import nearest_cells, searchable
from auditor.store import Index, Placed, read_placement
from auditor.store.blocks import Verified
from auditor.store.placement import extend_placement

FOLDER = Path(tempfile.gettempdir()) / "audit-bench"
FINISH = "from pathlib import Path\nimport sys\nfrom auditor.store import IndexWriter\n"
FINISH += "with IndexWriter.resume(Path(sys.argv[1])) as writer: writer.finish()\n"


@cache
def big(images: int, dim: int = 64) -> Path:
    """An index of so many images of 49 cells and 3 variants; kept between runs."""
    path = FOLDER / "indexes" / f"big-{images}-{dim}"
    if not (path / "CURRENT").exists():
        shutil.rmtree(path, ignore_errors=True)
        make_big(path, images, dim=dim)
    return path


def verification() -> None:
    """What it costs to verify what an answer reads: nothing once a file is known in its state."""
    path = big(20_000)

    def ask() -> None:
        with Index.open(path) as index:
            index.query(PAIRS.format(classes=CLASSES["all"]))
            nearest_cells(index, index.vectors(np.array([24]))[0], 20, searchable(index))

    def ask_unverified() -> None:
        is_known = Verified.is_known
        Verified.is_known = lambda *_: True  # type: ignore[method-assign]
        try:
            ask()
        finally:
            Verified.is_known = is_known  # type: ignore[method-assign]

    def ask_first() -> None:
        (path / ".verified").unlink(missing_ok=True)
        ask()

    compare("answers, files verified before / never verified", ask, ask_unverified, 1.05)
    compare("answers, first time that files are read / never verified", ask_first, ask_unverified)


def counts() -> None:
    """Table 1's counts, made once for each generation."""
    path = big(100_000)

    def ask() -> None:
        with Index.open(path) as index:
            count_pairs(index, "all"), count_images(index, "all")

    def count() -> None:
        with Index.open(path) as index:
            index.query(PAIRS.format(classes=CLASSES["all"]))

    compare("Table 1 over 14.7 million cell rows / counting its pairs", ask, count, 0.5)


def search() -> None:
    """One exact query against the product that it needs at least."""
    with Index.open(big(4_000, 512)) as index:
        allowed, vector = searchable(index), index.vectors(np.array([24]))[0]
        cells = np.arange(index.images * index.manifest.cells_per_image)
        matrix, query = torch.from_numpy(index.vectors(cells)).half(), torch.from_numpy(vector).half()
        compare(
            "exact query, 196,000 x 512 / fp16 product in torch",
            lambda: nearest_cells(index, vector, 20, allowed),
            lambda: torch.topk(matrix @ query, 20),
            0.7,
        )


def start() -> None:
    """Commands against the imports that none can do without."""
    path = big(20_000)
    needed = "import numpy, duckdb, faiss, typer, rich"
    for words, goal in (
        (("--help",), 1.3),
        (("list",), 1.3),
        (("context", "--index", path), 1.3),
        (("metrics", "--index", path), 1.3),
    ):
        compare(
            f"audit {words[0]} / numpy, duckdb, faiss, typer, rich",
            lambda words=words: run("-m", "auditor", *words, cwd=FOLDER),  # type: ignore[misc]
            lambda: run("-c", needed, cwd=FOLDER),
            goal,
        )


def memory() -> None:
    """What building the derived files takes, whatever the size."""
    script = FOLDER / "finish.py"
    script.write_text(FINISH, encoding="utf-8")
    small, large = (peak_memory((script, big(images))) for images in (1_000, 100_000))
    print(f"memory of finish: {large} MiB at 100,000 images, {small} MiB at 1,000")


def plans() -> None:
    """100,000 shards planned and found again, against writing and reading as many plain lines."""
    path, lines = FOLDER / "plan", FOLDER / "lines.txt"
    shards = [Placed(f"{first:09d}", first, (f"{first}.jpg",)) for first in range(100_000)]

    def plan() -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        extend_placement(path, shards)
        read_placement(path)

    def write() -> None:
        lines.write_text("\n".join(f"{s.name},{s.first},{s.paths[0]}" for s in shards), encoding="utf-8")
        lines.read_text(encoding="utf-8").split("\n")

    compare("a plan of 100,000 shards / as many lines of text", plan, write)


BENCHES: dict[str, Callable[[], None]] = {
    bench.__name__: bench for bench in (verification, counts, search, start, memory, plans)
}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(load())
    for chosen in sys.argv[1:] or BENCHES:
        BENCHES[chosen]()
    print(load())
