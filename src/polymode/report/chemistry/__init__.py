"""A run on molecules as a page, as tables and as a verdict."""

from polymode.report.chemistry.page import chemistry_page
from polymode.report.chemistry.tables import (
    chemistry_tables,
    config_table,
    molecule_table,
    oracle_table,
    time_table,
)
from polymode.report.chemistry.words import verdict

__all__ = [
    "chemistry_page",
    "chemistry_tables",
    "config_table",
    "molecule_table",
    "oracle_table",
    "time_table",
    "verdict",
]
