"""`audit remove` and `audit rename`: indexes that are no longer wanted, or not under this name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from auditor.terminal.lines import confirm, say, say_json
from auditor.terminal.options import AsJson, index_path

Name = Annotated[str, typer.Argument(metavar="NAME", help="An index by name or path.", show_default=False)]


def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json: AsJson = False,
) -> None:
    """Delete an index: what its manifest lists and what is derived from it, and nothing else.

    Example: audit remove photos-dinov2
    """
    from auditor.report.about import describe
    from auditor.report.text import size
    from auditor.store.listing import summary_of
    from auditor.store.removal import remove_index

    path = index_path(name)
    summary = summary_of(path)
    if not yes:
        asked = f"Delete {path} ({describe(summary)}, {size(summary.bytes)})?"
        confirm(asked)
    left = remove_index(path)
    if json:
        _tell(index=summary.name, path=path, bytes=summary.bytes, kept=left)
        return
    say(f"removed: {path}, {size(summary.bytes)}")
    if left:
        say(f"kept: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''} in {path}, not of the index")


def rename(
    name: Name,
    to: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.", show_default=False)],
    json: AsJson = False,
) -> None:
    """Give an index another name.

    Example: audit rename photos-dinov2 holiday
    """
    from auditor.store.removal import rename_index

    path = index_path(name)
    target = rename_index(path, to)
    if json:
        _tell(index=to, path=target, before=path)
        return
    say(f"renamed: {path} is now {to}")


def _tell(**facts: Any) -> None:
    """What was done, as JSON."""
    from auditor.report.write import as_json

    say_json(as_json(facts))
