"""A record as a notebook shows it: its view's tables in plain HTML, everything in them text."""

from __future__ import annotations

from typing import Any

from auditor.report.page import render_view
from auditor.report.views import view_of


def render(record: Any) -> str:
    """HTML of the record's view."""
    return render_view(view_of(record))
