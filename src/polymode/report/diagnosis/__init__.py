"""A diagnosis as a page, as tables and in words."""

from polymode.report.diagnosis.page import diagnosis_page
from polymode.report.diagnosis.tables import (
    bad_row_table,
    budget_table,
    diagnosis_tables,
    figure_table,
    modes_kept_table,
    reliability_table,
    what_if_table,
)

__all__ = [
    "bad_row_table",
    "budget_table",
    "diagnosis_page",
    "diagnosis_tables",
    "figure_table",
    "modes_kept_table",
    "reliability_table",
    "what_if_table",
]
