"""From our docstrings, which are numpydoc with reStructuredText, to the Markdown of the site.

A griffe extension, used by mkdocstrings. It turns formulas, simple tables, references and "See
Also" into Markdown, and names of public objects in backticks into links; everything else of a
docstring is the same in both languages.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import griffe

PACKAGES = ("language", "metrics", "core.shaping", "core", "errors")
MATH = re.compile(
    r"^(?P<indent> *)\.\. math::[ ]*(?P<first>[^\n]*)\n"
    r"(?P<rest>(?:(?P=indent)[ ]+[^\n]*\n|[ ]*\n)*)",
    re.MULTILINE,
)
TABLE = re.compile(
    r"^(?P<rule>(?P<indent> *)=+(?: +=+)+)\n(?P<head>[^\n]+)\n(?P=rule)\n"
    r"(?P<body>(?:[^\n]+\n)+?)(?P=rule)$",
    re.MULTILINE,
)
REFERENCE = re.compile(r"^\.\. \[(\d+)\] ((?:[^\n]+\n)(?:   [^\n]+\n)*)", re.MULTILINE)
SEE_ALSO = re.compile(r"^(See Also\n-+\n)(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
CHOICE = re.compile(r"^(\w+ : )\{([^}]+)\}", re.MULTILINE)
TYPE = re.compile(r"^\w[\w, ]* : [^\n]+$", re.MULTILINE)
ROLE = re.compile(r":math:`([^`]+)`")
NAME = re.compile(r"(?<![`\w:\[])`([A-Za-z_][\w.]*)`(?![`\w])")
ARXIV = re.compile(r"arXiv\s+(\d{4}\.\d{5})")


class MarkdownDocstrings(griffe.Extension):
    """Rewrite every docstring of a package before mkdocstrings parses it."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstrings of all objects."""
        links = public_paths(pkg)
        for thing in _objects(pkg):
            if thing.docstring:
                own = {parameter.name for parameter in getattr(thing, "parameters", ())}
                known = {name: path for name, path in links.items() if name not in own}
                thing.docstring.value = to_markdown(thing.docstring.value, known)


def public_paths(package: Any) -> dict[str, str]:
    """Return the path under which the site knows each public name."""
    paths: dict[str, str] = {}
    for name in PACKAGES:
        module = package[name]
        paths |= {str(export): f"{module.path}.{export}" for export in module.exports or ()}
    return paths


def _objects(owner: Any) -> Iterator[Any]:
    """Yield an object and all that are defined in it."""
    yield owner
    for member in owner.members.values():
        if not member.is_alias:
            yield from _objects(member)


def to_markdown(text: str, links: Mapping[str, str]) -> str:
    """Return a docstring as Markdown; `links` has the paths of names that become links."""
    text = MATH.sub(_math, f"{text}\n")
    text = text.replace("array, shape (", "array of shape (")  # else a call within a tuple
    text = CHOICE.sub(r"\1one of \2", text)  # else a set, with its first entry as the default
    text = TABLE.sub(_table, text)
    text = SEE_ALSO.sub(lambda m: m[1] + _list_of_names(m[2]), text)
    text = TYPE.sub(lambda m: m[0].replace("`", ""), text)  # types are set as code already
    text = REFERENCE.sub(_reference, text)
    blocks = text.rstrip().split("\n\n")
    return "\n\n".join(_inline(block, links) for block in blocks)


def _inline(block: str, links: Mapping[str, str]) -> str:
    """Replace roles and names in a paragraph; examples stay as they are."""
    if block.lstrip().startswith(">>>"):
        return block
    block = ROLE.sub(lambda m: f"${' '.join(m[1].split())}$", block)
    return NAME.sub(lambda m: f"[{m[0]}][{links[m[1]]}]" if m[1] in links else m[0], block)


def _math(match: re.Match[str]) -> str:
    """Return a directive as a block between dollars."""
    indent = match["indent"]
    lines = [line.strip() for line in (match["first"], *match["rest"].split("\n"))]
    body = "\n".join(f"{indent}{line}" for line in lines if line)
    return f"{indent}$$\n{body}\n{indent}$$\n\n"


def _table(match: re.Match[str]) -> str:
    """Return a simple table with pipes; its columns are where the rule has them."""
    rule, indent = match["rule"], match["indent"]
    spans = [found.span() for found in re.finditer("=+", rule)]
    spans[-1] = (spans[-1][0], None)
    rows = [match["head"], *match["body"].rstrip("\n").split("\n")]
    cells = [[row[start:end].strip() for start, end in spans] for row in rows]
    cells.insert(1, ["---"] * len(spans))
    return "\n".join(f"{indent}| {' | '.join(row)} |" for row in cells)


def _list_of_names(text: str) -> str:
    """Return the lines ``name : what it is`` as a list."""
    entries = re.split(r"\n(?=\S)", text.strip())
    pairs = (" ".join(entry.split()).partition(" : ") for entry in entries)
    return "\n".join(f"- `{name}`: {what}" if what else f"- `{name}`" for name, _, what in pairs)


def _reference(match: re.Match[str]) -> str:
    """Return a reference as an item of a numbered list, its preprint as a link."""
    text = ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", " ".join(match[2].split()))
    return f"{match[1]}. {text}\n"
