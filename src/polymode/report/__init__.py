"""The one look of every page that polymode writes, and tables for papers."""

from polymode.report.blocks import Block, Cell, Column, Plot, Prose, Section, Table
from polymode.report.page import page
from polymode.report.text import to_latex, to_markdown

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Plot",
    "Prose",
    "Section",
    "Table",
    "page",
    "to_latex",
    "to_markdown",
]
