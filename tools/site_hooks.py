"""What the site needs beside mkdocs: navigation, members, the command line, and formulas.

Pages may hold two directives, each on a line of its own:

``<!-- members polymode.core: targets, curves -->``
    The documentation of every public name of a package that is at home in these modules, in the
    order of the source. `undocumented` lists the names that no page has: one of them stops the
    build, so a new module needs a page and a new name in an old one needs nothing.
``<!-- commands -->``
    Every verb of the command line with its options, as `--help` has them.

Formulas become MathML here, when the site is built: pages need no script and no network.
"""

import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import griffe
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = (
    "polymode",
    "polymode.core",
    "polymode.core.shaping",
    "polymode.metrics",
    "polymode.diagnostics",
    "polymode.diagnostics.chemistry",
    "polymode.report",
    "polymode.report.chemistry",
    "polymode.report.comparison",
    "polymode.report.diagnosis",
    "polymode.language",
    "polymode.chemistry",
    "polymode.chemistry.oracles",
)
MEMBERS = re.compile(r"^<!-- members ([\w.]+): ([\w, ]+) -->$", re.MULTILINE)
COMMANDS = re.compile(r"^<!-- commands -->$", re.MULTILINE)
FORMULA = re.compile(  # as pymdownx.arithmatex leaves it
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL
)
SPACING = {  # what browsers space otherwise than TeX does
    re.compile(r"(<mi>(?:log|exp|max|min)</mi>)(?!</m|<mo stretchy=.false.>&#x00028;)"): (
        r'\1<mspace width="0.167em" />'
    ),
    re.compile("<mo>&#x0002F;</mo>"): '<mo lspace="0" rspace="0">&#x0002F;</mo>',
    re.compile("<mo>&#x0221E;</mo>"): "<mi>&#x0221E;</mi>",
}
ITEM_START = '<li class="doc-section-item field-body">'
ITEM = re.compile(  # a parameter, as mkdocstrings lists it
    ITEM_START + r"\s*(<b><code>[^<]*</code></b>)((?:(?!<li).)*?)</li>\s*", re.DOTALL
)
ITEMS = re.compile(rf"(?:{ITEM.pattern})+", re.DOTALL)


def on_config(config: Any) -> Any:
    """Fill in the folders of the navigation, and check that the reference is complete."""
    if missing := undocumented():
        raise PluginError(f"no page of docs/reference has: {', '.join(sorted(missing))}")
    listed = set(_leaves(config.nav))
    config.nav = [_filled(entry, listed) for entry in config.nav]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the directives of a page by what they stand for."""
    markdown = MEMBERS.sub(lambda m: _documented(*_named(m)), markdown)
    return COMMANDS.sub(lambda _: command_line(), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Replace the formulas of a page by MathML, and list parameters together that share a text."""
    return FORMULA.sub(_formula, ITEMS.sub(_merged, html))


def _leaves(entry: Any) -> Iterator[str]:
    """Yield the pages and folders of a navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _leaves(inner)


def _filled(entry: Any, listed: set[str]) -> Any:
    """Return a part of the navigation with pages in place of folders."""
    if isinstance(entry, dict):
        return {title: _section(inner, listed) for title, inner in entry.items()}
    return entry


def _section(entries: Any, listed: set[str]) -> Any:
    """Return the pages of a section."""
    if isinstance(entries, str) and not entries.endswith("/"):
        return entries
    filled: list[Any] = []
    for entry in [entries] if isinstance(entries, str) else entries:
        if isinstance(entry, str) and entry.endswith("/"):
            pages = (page.relative_to(DOCS).as_posix() for page in (DOCS / entry).glob("*.md"))
            filled += sorted(page for page in pages if page not in listed)
        else:
            filled.append(_filled(entry, listed))
    return filled


@cache
def package() -> Any:
    """Return polymode as griffe reads it: without importing it, and so without torch."""
    loader = griffe.GriffeLoader(search_paths=[str(ROOT / "src")])
    found = loader.load("polymode")
    loader.resolve_aliases(external=False)
    return found


def homes(package_name: str) -> dict[str, str]:
    """Return the public names of a package, each with the module below it that has the object.

    The order is that of the source.
    """
    owner = (
        package()[package_name.removeprefix("polymode").lstrip(".")]
        if "." in package_name
        else package()
    )
    names = [str(name) for name in owner.exports]
    found = {name: owner[name].canonical_path for name in names if name != "__version__"}
    lines = {name: owner[name].lineno or 0 for name in found}
    below = {
        name: path.removeprefix(f"{package_name}.").split(".")[0] for name, path in found.items()
    }
    order = sorted(found, key=lambda name: (found[name].rpartition(".")[0], lines[name]))
    return {name: below[name] for name in order}


def undocumented() -> set[str]:
    """Return the public names that no page of the reference has."""
    pages = [page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md")]
    directives = [_named(match) for page in pages for match in MEMBERS.finditer(page)]
    objects = {
        package()[f"{name}.{each}".removeprefix("polymode.")].canonical_path
        for name, modules in directives
        for each in _members(name, modules)
    }
    return {
        f"{name}.{each}"
        for name in PACKAGES
        for each in homes(name)
        if package()[f"{name}.{each}".removeprefix("polymode.")].canonical_path not in objects
    }


def _named(match: re.Match[str]) -> tuple[str, list[str]]:
    """Return package and modules of a directive."""
    return match[1], [module.strip() for module in match[2].split(",")]


def _members(package_name: str, modules: Iterable[str]) -> list[str]:
    """Return the public names of a package that are at home in these modules."""
    names = homes(package_name)
    if unknown := set(modules) - set(names.values()):
        raise PluginError(f"{package_name} has no public name in {', '.join(sorted(unknown))}")
    return [name for module in modules for name, home in names.items() if home == module]


def _documented(package_name: str, modules: Iterable[str]) -> str:
    """Return the directives of mkdocstrings for the members of a package."""
    return "\n\n".join(f"::: {package_name}.{name}" for name in _members(package_name, modules))


def command_line() -> str:
    """Return the verbs of the command line as Markdown."""
    from typer.main import get_command

    from polymode.cli import app

    verbs: Any = get_command(app)
    return "\n\n".join(_verb(name, verb) for name, verb in verbs.commands.items())


def _verb(name: str, verb: Any) -> str:
    """Return one verb: what it does, and a table of its options."""
    rows = []
    for option in verb.params:
        flags = ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])
        unset = option.default is None or option.default is False or option.default == ""
        default = "" if unset else f"`{option.default}`"  # 0 is a default, and equals False
        help_text = (getattr(option, "help", None) or "").replace("|", "\\|")
        rows.append(f"| {flags} | {default} | {help_text} |")
    table = "\n".join(["| option | default | what it does |", "|---|---|---|", *rows])
    return f"## polymode {name}\n\n{verb.help}\n\n{table}"


def _merged(match: re.Match[str]) -> str:
    """Return neighbouring parameters as one: docstrings give several names one description."""
    runs: list[tuple[list[str], str]] = []
    for name, text in ITEM.findall(match[0]):
        if runs and runs[-1][1] == text:
            runs[-1][0].append(name)
        else:
            runs.append(([name], text))
    return "".join(f"{ITEM_START}{', '.join(names)}{text}</li>" for names, text in runs)


def _formula(match: re.Match[str]) -> str:
    """Return the MathML of one formula."""
    tex = html.unescape(match[2]).strip()
    block = match[1] == "div"
    mathml = to_mathml(tex, display="block" if block else "inline")
    return f'<div class="formula">{mathml}</div>' if block else mathml


@cache
def to_mathml(tex: str, *, display: str) -> str:
    """Return the MathML of a formula; one with an unknown command stops the build."""
    mathml = convert(tex.replace("aligned}", "align*}"), display=display)
    try:
        text = "".join(ET.fromstring(mathml).itertext())
    except ET.ParseError as error:
        raise PluginError(f"formula is not converted: {tex!r}: {error}") from error
    if "\\" in text:
        raise PluginError(f"formula has a command that is not known: {tex!r}")
    for pattern, replacement in SPACING.items():
        mathml = pattern.sub(replacement, mathml)
    return mathml
