"""`audit copy`: an index to an object store, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from auditor.remote import RemotePath, locate
from auditor.terminal.endings import keeping
from auditor.terminal.lines import say, say_json
from auditor.terminal.options import AsJson, index_path, new_path
from auditor.terminal.progress import Bar


def copy(
    source: Annotated[
        str, typer.Argument(help="An index by name, path or URL, also a part.", show_default=False)
    ],
    target: Annotated[
        str,
        typer.Argument(help="A URL such as s3://bucket/name, a name or a path.", show_default=False),
    ],
    json: AsJson = False,
) -> None:
    """Copy an index to an object store, or from there; what is there already is left. Run again to continue.

    Example: audit copy photos-dinov2 s3://bucket/indexes/photos-dinov2
    """
    from auditor.report.write import as_json
    from auditor.store.copying import copy_index

    here = locate(source)
    here = here if isinstance(here, RemotePath) else index_path(str(here))
    there = locate(target)
    there = there if isinstance(there, RemotePath) or "/" in target else new_path(target)
    with Bar(quiet=json) as bar, keeping(lambda: "what was copied is kept; run the same command to go on"):
        copied = copy_index(here, there, bar)
    if json:
        say_json(as_json({"source": here, "target": there, "copied": copied}))
        return
    say(f"copied: {here} to {there}" if copied else f"nothing is new: {there} has all of {here}")
