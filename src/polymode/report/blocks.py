"""What a page is made of: sections of tables, plots, prose and completions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from polymode.report.pictures import Gallery

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Fact",
    "Facts",
    "ModeShare",
    "Plot",
    "PromptView",
    "Prose",
    "Section",
    "Table",
    "Widget",
]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    text : str
        What it says.
    detail : str
        What stands smaller beside it, such as an interval; may be empty.
    value : float, str or None
        What it is sorted by; None sorts last.
    strong : bool
        Whether it stands out.
    """

    text: str
    detail: str = ""
    value: float | str | None = None
    strong: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    title : str
        Its heading.
    unit : str
        Unit of its numbers; empty for none.
    number : bool
        Whether it is set to the right, as numbers are.
    """

    title: str
    unit: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table, for the page, the terminal and papers alike.

    Parameters
    ----------
    name : str
        What identifies it on the page.
    caption : str
        What it shows.
    columns : sequence of Column
        The first one names the rows.
    rows : sequence of sequence of Cell
        As many cells as columns in each.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    kind: ClassVar[Literal["table"]] = "table"


@dataclass(frozen=True)
class Plot:
    """An interactive plot.

    Parameters
    ----------
    name : str
        What identifies it on the page.
    caption : str
        What it shows; also read aloud in its place.
    traces : sequence of mapping
        Traces of plotly.js. Strings ``@run-0`` … stand for the colour of a run, ``@ink`` and
        ``@muted`` for those of the page. Names go through `plot_text`.
    layout : mapping
        Layout of plotly.js; fonts and colours are the page's.
    """

    name: str
    caption: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]

    kind: ClassVar[Literal["plot"]] = "plot"


@dataclass(frozen=True)
class Prose:
    """Paragraphs, or a list.

    Parameters
    ----------
    lines : sequence of str
        One for each.
    listed : bool
        Whether they are a list.
    """

    lines: Sequence[str]
    listed: bool = False

    kind: ClassVar[Literal["prose"]] = "prose"


@dataclass(frozen=True)
class ModeShare:
    """One mode of a prompt in one run.

    Parameters
    ----------
    mode : str or None
        Its name; None for completions without an answer.
    share : float
        Share of the samples, in [0, 1].
    count : int
        Number of samples.
    reward : float
        Their mean reward.
    example : str
        One of the completions.
    """

    mode: str | None
    share: float
    count: int
    reward: float
    example: str


@dataclass(frozen=True)
class PromptView:
    """One prompt with what each run makes of it.

    Parameters
    ----------
    text : str
        The prompt.
    summary : sequence of str
        A few words for each run.
    runs : sequence of tuple of str, int, sequence of ModeShare and int
        Name, number of the colour, the most frequent modes, and how many more there are.
    """

    text: str
    summary: Sequence[str]
    runs: Sequence[tuple[str, int, Sequence[ModeShare], int]]

    kind: ClassVar[Literal["prompt"]] = "prompt"


@dataclass(frozen=True)
class Fact:
    """One number that matters.

    Parameters
    ----------
    label : str
        What it is.
    text : str
        The number as it is shown.
    detail : str
        What stands smaller below it, such as an interval; may be empty.
    """

    label: str
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """A few numbers in a row, large.

    Parameters
    ----------
    facts : sequence of Fact
        Three to eight of them.
    """

    facts: Sequence[Fact]

    kind: ClassVar[Literal["facts"]] = "facts"


@dataclass(frozen=True)
class Widget:
    """A part of the page that a script of ours brings to life.

    Parameters
    ----------
    name : str
        Name of its template in `templates` and of its script in `static`: one of each on a page.
    context : mapping
        What the template shows; it escapes all of it.
    data : mapping
        What the script reads, as JSON, by the name of the element that holds it.
    """

    name: str
    context: Mapping[str, Any]
    data: Mapping[str, Any]

    kind: ClassVar[Literal["widget"]] = "widget"


Block = Table | Plot | Prose | PromptView | Facts | Widget | Gallery


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading.

    Parameters
    ----------
    name : str
        What links to it: letters, digits and hyphens.
    title : str
        The heading.
    blocks : sequence of Block
        What stands in it.
    lead : str
        A sentence under the heading; may be empty.
    beside : bool
        Whether plots stand beside each other where there is room.
    short : str
        What links to it; empty takes the title.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""
    beside: bool = False
    short: str = ""
