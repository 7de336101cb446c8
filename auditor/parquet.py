"""Files as DuckDB is told of them, so that it reads these very files and nothing into their names.

DuckDB takes text in UTF-8 alone. To it a path of a Parquet file is a pattern (`*`, `?`, `[`), may begin in
the user's home (`~`), and a folder named `label=3` is a column that takes the place of the file's own of that
name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from auditor.errors import OutputError


def text_of(path: Path) -> str:
    """The full path; OutputError where it is no text, as a name of another encoding is none."""
    full = os.fspath(path.absolute())
    try:
        full.encode()
    except UnicodeEncodeError:
        raise OutputError(
            f"{full} is a name that is not UTF-8, and DuckDB opens no such file; rename the folder, or "
            "choose another place"
        ) from None
    return full


def pattern_of(path: Path) -> str:
    """The pattern that fits this very file alone."""
    return re.sub(r"[*?\[]", r"[\g<0>]", text_of(path))


def rows_of(*paths: Path, **options: bool) -> str:
    """SQL of the rows of these files, read with these options."""
    files = ", ".join("'" + pattern_of(path).replace("'", "''") + "'" for path in paths)
    chosen = {"hive_partitioning": False, **options}
    return f"read_parquet([{files}], {', '.join(f'{name} = {value}' for name, value in chosen.items())})"
