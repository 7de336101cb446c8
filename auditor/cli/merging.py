"""`audit merge`: parts of an index, made on as many machines as one likes, become one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.indexing import MaxBad, tell_listed
from auditor.cli.listing import view_indexes
from auditor.errors import AuditError
from auditor.terminal.endings import keeping
from auditor.terminal.options import AsJson, index_path, new_path
from auditor.terminal.progress import Bar
from auditor.terminal.show import show


def merge(
    parts: Annotated[
        list[str], typer.Argument(metavar="PART...", help="Parts by name or path.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the index; that of the parts when not given.")
    ] = None,
    max_bad: MaxBad = 0.01,
    json: AsJson = False,
) -> None:
    """Join the parts that `audit index --shard` made. Run again to continue.

    Example: audit merge indexes/photos-dinov2.*-of-16
    """
    from auditor.indexing.bad import check_bad, tell_bad
    from auditor.search.make_lists import prepare_search
    from auditor.store.listing import summary_of
    from auditor.store.merge import merge as join

    paths = [index_path(part) for part in parts]
    path = new_path(name or _name_of(paths[0]))
    with Bar(quiet=json) as bar, keeping(lambda: f"what was joined is in {path}; run the same command again"):
        join(paths, path, bar)
        prepare_search(path, bar)
    summary = summary_of(path)
    if summary.is_complete:
        summary = tell_bad(path, summary)
    view = view_indexes((summary,))
    show((summary,), as_json=json, view=replace(view, notes=(*view.notes, *tell_listed(summary))))
    check_bad(summary, max_bad)


def _name_of(path: Path) -> str:
    from auditor.store.manifest import read_manifest

    part = read_manifest(path).part
    name = path.resolve().name
    if part is None or not name.endswith(part.suffix):
        raise AuditError(f"{path} has no name of a part of an index; name the whole with --name")
    return name.removesuffix(part.suffix)
