"""Pictures of molecules on a page: drawings, cards and galleries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

__all__ = ["Card", "Drawing", "Gallery", "Stroke"]


class Stroke(NamedTuple):
    """Some lines or areas of a drawing that look alike.

    Parameters
    ----------
    colour : str
        Name of the colour in `page.css`, without ``--atom-``.
    width : float
        Width of lines, in units of the drawing; 0 fills areas.
    path : str
        What an SVG path takes as ``d``.
    """

    colour: str
    width: float
    path: str


@dataclass(frozen=True)
class Drawing:
    """A drawing in the colours of the page.

    Parameters
    ----------
    width, height : int
        Its size, in units of its own.
    strokes : tuple of Stroke
        From the back to the front.
    label : str
        What is read aloud in its place.
    """

    width: int
    height: int
    strokes: tuple[Stroke, ...]
    label: str


@dataclass(frozen=True)
class Card:
    """A molecule with what is known of it.

    Parameters
    ----------
    title : str
        What stands out, such as its reward.
    detail : str
        What stands beside it; may be empty.
    drawing : Drawing or None
        None where there is nothing to draw.
    smiles : str
        Its SMILES, to be copied; may be empty.
    facts : sequence of tuple of str and str
        Names and values.
    share : float or None
        In [0, 1]: drawn as a bar; None for none.
    kind : str
        What it is one of; may be empty.
    more : sequence of Card
        Others of its kind, smaller, behind a button that says the kind.
    """

    title: str
    detail: str
    drawing: Drawing | None
    smiles: str
    facts: Sequence[tuple[str, str]] = ()
    share: float | None = None
    kind: str = ""
    more: Sequence["Card"] = ()


@dataclass(frozen=True)
class Gallery:
    """Cards in a grid.

    Parameters
    ----------
    name : str
        What identifies it on the page.
    caption : str
        What it shows.
    cards : sequence of Card
        All of them, in order.
    n_first : int
        How many are seen at once; the others wait behind a button.
    """

    name: str
    caption: str
    cards: Sequence[Card]
    n_first: int = 10

    kind: ClassVar[Literal["gallery"]] = "gallery"
