"""The frozen answer to one question."""

from __future__ import annotations

NOT_WRITTEN = {"is_written": False}
"""Metadata of a field that is too large for JSON and tables."""


class Record:
    """The frozen answer to one question; a notebook shows it by the view that lies beside it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from auditor.report.notebook import render

        return render(self)
