"""A table as CSV that a spreadsheet opens without running what is in it."""

from __future__ import annotations

import pandas as pd

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a cell that a spreadsheet would run begins with


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; a text that begins as a formula does gets a quotation mark before it.

    *Source:* OWASP, CSV Injection.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    safe = table.assign(**{str(column): table[column].map(_harmless) for column in texts})
    return safe.to_csv(index=False, lineterminator="\n")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
