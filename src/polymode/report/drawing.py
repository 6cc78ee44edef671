"""Molecules as drawings in the colours of the page, small enough for hundreds of them.

RDKit lays a molecule out and draws it as SVG. Only the paths of that SVG are kept, those of one
colour and width joined, and their colours become names, so that dark and light pages colour them.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from polymode.metrics.molecules.toolkit import molecule, rdkit
from polymode.report.pictures import Drawing, Stroke

__all__ = ["draw_molecule"]

_ELEMENTS = {"n": (7,), "o": (8,), "s": (16,), "f": (9,), "x": (17, 35, 53), "p": (15, 5, 14)}
_PATH = re.compile(r"<path\b[^>]*?\bd='([MLQCZ0-9.,\s-]+)'([^>]*)>")
_COLOUR = re.compile(r"#([0-9A-Fa-f]{6})")
_WIDTH = re.compile(r"stroke-width:([0-9.]+)")
_FILLED = re.compile(r"\bfill(?::|=')#")


def draw_molecule(smiles: str, *, width: int = 250, height: int = 170) -> Drawing | None:
    """Return the drawing of a molecule.

    Parameters
    ----------
    smiles : str
        Any SMILES of it.
    width, height : int
        Size of the drawing, in pixels at its natural size.

    Returns
    -------
    Drawing or None
        The same for the same SMILES, always; None where it is no molecule.

    Raises
    ------
    MissingExtraError
        Without RDKit.

    Examples
    --------
    >>> drawing = draw_molecule("CCO")
    >>> drawing.width, sorted({stroke.colour for stroke in drawing.strokes})
    (250, ['c', 'o'])
    >>> draw_molecule("C1CC") is None
    True
    """
    found = molecule(smiles)
    if found is None:
        return None
    artist = rdkit("Chem.Draw.rdMolDraw2D").MolDraw2DSVG(width, height)
    options = artist.drawOptions()
    options.clearBackground = False
    options.setAtomPalette(dict(_palette()))
    options.padding = 0.06
    options.fixedBondLength = 22  # small molecules are not blown up; large ones still shrink
    options.bondLineWidth = 2
    artist.DrawMolecule(found)
    artist.FinishDrawing()
    return Drawing(width, height, tuple(_strokes(artist.GetDrawingText())), smiles)


@cache
def _palette() -> tuple[tuple[int, tuple[float, float, float]], ...]:
    """Return a colour for each element that tells which name it has on the page."""
    names = {
        number: (i / 255, 0.0, 0.0)
        for i, numbers in enumerate(_ELEMENTS.values(), start=1)
        for number in numbers
    }
    return ((-1, (0.0, 0.0, 0.0)), *names.items())


def _strokes(svg: str) -> Iterator[Stroke]:
    """Yield the paths of RDKit's SVG, those that look alike as one."""
    names = ("c", *_ELEMENTS)
    looks: dict[tuple[str, float], list[str]] = {}
    for path, style in _PATH.findall(svg):
        colour = names[int(_first(_COLOUR, style, "000000"), 16) >> 16]
        width = 0.0 if _FILLED.search(style) else float(_first(_WIDTH, style, "1"))
        looks.setdefault((colour, width), []).append(re.sub(r"\s*([MLQCZ])\s*", r"\1", path))
    for (colour, width), paths in looks.items():
        yield Stroke(colour, width, "".join(paths).strip())


def _first(pattern: re.Pattern[str], text: str, default: str) -> Any:
    """Return the first group of the first match."""
    found = pattern.search(text)
    return found[1] if found else default
