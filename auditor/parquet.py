"""Parquet files as DuckDB is told of them, so that it reads these very files and nothing into their names.

To DuckDB a path is a pattern (`*`, `?`, `[`), may begin in the user's home (`~`), and a folder named
`label=3` is a column that takes the place of the file's own of that name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def pattern_of(path: Path) -> str:
    """The pattern that fits this very file alone."""
    return re.sub(r"[*?\[]", r"[\g<0>]", os.fspath(path.absolute()))


def rows_of(*paths: Path, **options: bool) -> str:
    """SQL of the rows of these files, read with these options."""
    files = ", ".join("'" + pattern_of(path).replace("'", "''") + "'" for path in paths)
    chosen = {"hive_partitioning": False, **options}
    return f"read_parquet([{files}], {', '.join(f'{name} = {value}' for name, value in chosen.items())})"
