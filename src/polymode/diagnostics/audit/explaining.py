"""What a code means: its section of the page of findings, which is shipped with the package."""

import re
from pathlib import Path

from polymode.core.checks import did_you_mean
from polymode.diagnostics.audit.rules import RULES
from polymode.errors import ArgumentError

__all__ = ["explanation"]

_PAGE = "audit-findings.md"
_HOMES = (
    Path(__file__).with_name(_PAGE),  # in a wheel, where pyproject.toml puts it
    Path(__file__).parents[4] / "docs" / "reference" / _PAGE,  # in a checkout
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def explanation(code: str) -> str:
    """Return what the page of findings says about a code.

    Parameters
    ----------
    code : str
        Such as "PM201"; case does not count.

    Returns
    -------
    str
        Its title, and what it is, what it does to the target, how to see and how to mend it. In
        Markdown, without links.

    Raises
    ------
    ArgumentError
        If there is no such code.

    Examples
    --------
    >>> print(explanation("PM102").splitlines()[0])
    PM102: The KL has no gradient
    """
    wanted = code.upper()
    if wanted not in RULES:
        raise ArgumentError(
            f"code must be one of a finding, got {code!r}{did_you_mean(wanted, RULES)}"
        )
    page = next(home for home in _HOMES if home.exists()).read_text(encoding="utf-8")
    section = page.split(f"### {wanted}: ")[1].split("\n### ")[0].split("\n## ")[0]
    title, _, text = section.partition("\n")
    unlinked = _LINK.sub(r"\1", text).strip()
    return f"{wanted}: {title.split(' {#')[0]}\n\n{unlinked}"
