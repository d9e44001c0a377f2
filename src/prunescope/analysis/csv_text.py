"""A table as CSV that a spreadsheet opens without running what is in it."""

from __future__ import annotations

import csv
from typing import Literal

import pandas as pd

FORMULAS = (  # what a cell that a spreadsheet would run begins with, also in full width
    *("=", "+", "-", "@", "\t", "\r", "\n"),
    *("＝", "＋", "－", "＠"),
)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; a text that begins as a formula does gets a quotation mark before it.

    *Source:* OWASP, CSV Injection.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    safe = table.assign(**{str(column): table[column].map(_harmless) for column in texts})
    # The csv module does not quote a text for a lone return, at which readers begin a new row.
    returns = any(safe[column].astype(str).str.contains("\r").any() for column in texts)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    return safe.to_csv(index=False, lineterminator="\n", quoting=quoting)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
