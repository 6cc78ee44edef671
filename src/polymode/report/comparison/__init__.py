"""A comparison of runs as a page, as tables and as a verdict."""

from polymode.report.comparison.page import comparison_page
from polymode.report.comparison.tables import (
    comparison_tables,
    found_table,
    pair_table,
    promise_table,
    summary_table,
)
from polymode.report.comparison.verdict import verdict

__all__ = [
    "comparison_page",
    "comparison_tables",
    "found_table",
    "pair_table",
    "promise_table",
    "summary_table",
    "verdict",
]
