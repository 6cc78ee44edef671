"""The one look of every page that polymode writes, and tables for papers."""

from polymode.report.blocks import Block, Cell, Column, Plot, Prose, Section, Table
from polymode.report.drawing import draw_molecule
from polymode.report.page import page
from polymode.report.pictures import Card, Drawing, Gallery, Stroke
from polymode.report.text import to_latex, to_markdown

__all__ = [
    "Block",
    "Card",
    "Cell",
    "Column",
    "Drawing",
    "Gallery",
    "Plot",
    "Prose",
    "Section",
    "Stroke",
    "Table",
    "draw_molecule",
    "page",
    "to_latex",
    "to_markdown",
]
