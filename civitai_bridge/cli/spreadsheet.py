"""Rows for a spreadsheet: CSV in which no cell is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ..orchestration.ledger import harmless
from ..resources.plain_text import printable


def csv_line(cells: Iterable[object]) -> str:
    """One line, without its end. A cell that a spreadsheet would take for a formula gets a ' before it; numbers stay.

    assert csv_line(["a", "=1+1", -5, None]) == "a,'=1+1,-5,"
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, (int, float)):
        return str(cell)
    return harmless(printable(str(cell)))
