"""Text of users made safe for where it is shown, and tables as Markdown and LaTeX."""

import json
import re
from typing import Any

from polymode.files import json_ready
from polymode.report.blocks import Cell, Table

__all__ = ["plot_text", "script_json", "shown", "to_latex", "to_markdown"]

# What no page should contain: control characters but for tab and newline, and lone surrogates.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def shown(text: str, limit: int | None = None) -> str:
    """Return text with characters that nothing can show replaced, cut where it is long.

    Parameters
    ----------
    text : str
        Any text.
    limit : int or None
        The most characters; what is cut off is counted at the end.

    Returns
    -------
    str
        Still has to be escaped.

    Examples
    --------
    >>> shown("a long completion", limit=6)
    'a long … (11 more characters)'
    """
    cut = text if limit is None else text[:limit]
    clean = _UNPRINTABLE.sub("\ufffd", cut.replace("\r\n", "\n").replace("\r", "\n"))
    more = len(text) - len(cut)
    return f"{clean} … ({more:,} more characters)" if more else clean


def script_json(value: Any) -> str:
    r"""Return JSON that can stand in a script element of a page.

    Parameters
    ----------
    value : object
        What `json` can write; numbers that are not finite become null.

    Returns
    -------
    str
        Pure ASCII without ``<``, ``>`` and ``&``: nothing in it can end the element.

    Examples
    --------
    >>> print(script_json(["</script>", float("nan")]))
    ["\u003c/script\u003e", null]
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # a walk over everything: only where it is needed
        text = json.dumps(json_ready(value), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def plot_text(text: str) -> str:
    """Return text that plotly.js shows as it is; it reads labels as a kind of HTML.

    Parameters
    ----------
    text : str
        Such as the name of a run.

    Returns
    -------
    str
        In one line, of at most 60 characters.

    Examples
    --------
    >>> plot_text("<b>bold</b>")
    '&lt;b&gt;bold&lt;/b&gt;'
    """
    line = " ".join(shown(text).split())
    line = line if len(line) <= 60 else f"{line[:59]}…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(table: Table) -> str:
    r"""Return a table in Markdown.

    Parameters
    ----------
    table : Table
        Any table.

    Returns
    -------
    str
        In the dialect of GitHub. Characters with a meaning are escaped.

    Examples
    --------
    >>> from polymode.report import Cell, Column
    >>> runs = Table("t", "", [Column("run", number=False)], [[Cell("a|b")]])
    >>> print(to_markdown(runs))
    | run |
    |:---|
    | a\|b |
    """
    head = [_markdown(_title(c.title, c.unit)) for c in table.columns]
    rule = ["---:" if c.number else ":---" for c in table.columns]
    rows = [[_markdown_cell(cell) for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def to_latex(table: Table) -> str:
    r"""Return a table in LaTeX, for the package booktabs.

    Parameters
    ----------
    table : Table
        Any table.

    Returns
    -------
    str
        A `table` environment with caption and label. Characters with a meaning are escaped.

    Examples
    --------
    >>> from polymode.report import Cell, Column
    >>> runs = Table("t", "Runs.", [Column("run", number=False)], [[Cell("50%_a")]])
    >>> r"50\%\_a" in to_latex(runs)
    True
    """
    head = " & ".join(_latex(_title(c.title, c.unit)) for c in table.columns)
    rows = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{_latex(table.caption)}}}",
            f"  \\label{{tab:{table.name}}}",
            f"  \\begin{{tabular}}{{{''.join('r' if c.number else 'l' for c in table.columns)}}}",
            r"    \toprule",
            f"    {head} \\\\",
            r"    \midrule",
            *(f"    {row}" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _title(title: str, unit: str) -> str:
    return f"{title} ({unit})" if unit else title


def _markdown(text: str) -> str:
    line = " ".join(shown(text, 200).split())
    return re.sub(r"([\\`*_{}\[\]<>|#~$&])", r"\\\1", line)


def _markdown_cell(cell: Cell) -> str:
    text = _markdown(cell.text)
    text = f"**{text}**" if cell.strong and text else text
    return f"{text} {_markdown(cell.detail)}" if cell.detail else text


def _latex(text: str) -> str:
    line = " ".join(shown(text, 200).split())
    line = "".join(_LATEX.get(character, character) for character in line)
    return f"{{}}{line}" if line.startswith("[") else line  # after \\ it would be an argument


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text)
    text = f"\\textbf{{{text}}}" if cell.strong and text else text
    return f"{text} {{\\footnotesize {_latex(cell.detail)}}}" if cell.detail else text
