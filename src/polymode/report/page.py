"""One self-contained HTML page: no network, no build step, one look."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from polymode.errors import MissingExtraError
from polymode.report.blocks import Block, Plot, Section, Widget
from polymode.report.text import script_json, shown

__all__ = ["page"]

_RUN_COLOURS = 8  # as many as page.css has


def page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    verdict: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return a page as one HTML document that loads nothing.

    Parameters
    ----------
    title : str
        Its heading.
    sections : sequence of Section
        What it shows, in order.
    subtitle : str
        A line under the heading.
    verdict : sequence of str
        What a reader should take away, before everything else.
    facts : mapping of str to str, or None
        Shown at the foot: versions, settings.

    Returns
    -------
    str
        To be written as UTF-8. All text is escaped; a content security policy names the page's own
        scripts by their hashes, so that nothing else runs even if an escape were missing.

    Raises
    ------
    MissingExtraError
        Without jinja2.

    Notes
    -----
    plotly.js (1.2 MB) is part of the page where it has a plot, once.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError("jinja2", "app") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("polymode.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    blocks = [block for section in sections for block in section.blocks]
    scripts = _scripts(blocks)
    text = environment.get_template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        sections=sections,
        facts=facts or {},
        css=_safe(_asset("page.css")),
        scripts=[_safe(script) for script in scripts],
        policy=_policy(scripts),
        data={name: _safe(script_json(value)) for name, value in _data(blocks).items()},
        n_colours=_RUN_COLOURS,
    )
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _scripts(blocks: Sequence[Block]) -> list[str]:
    """Return the scripts that a page of these blocks needs, in order."""
    plots = ["plotly-basic.min.js"] if any(isinstance(block, Plot) for block in blocks) else []
    widgets = [f"{block.name}.js" for block in blocks if isinstance(block, Widget)]
    return [_asset(name) for name in (*plots, "page.js", *widgets)]


def _data(blocks: Sequence[Block]) -> dict[str, Any]:
    """Return what the scripts read, by the name of its element."""
    plots = {
        block.name: {"traces": list(block.traces), "layout": dict(block.layout)}
        for block in blocks
        if isinstance(block, Plot)
    }
    widgets = [block.data for block in blocks if isinstance(block, Widget)]
    return {"plots": plots} | {name: value for data in widgets for name, value in data.items()}


@cache
def _asset(name: str) -> str:
    """Return a file of the package's folder `static`."""
    return (resources.files("polymode.report") / "static" / name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    """Mark text of our own, or text that is escaped already, as no longer to be escaped."""
    from markupsafe import Markup

    return Markup(text)


def _policy(scripts: Sequence[str]) -> str:
    """Return the content security policy: our own scripts, inline styles, and nothing else."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
