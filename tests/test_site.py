"""The tools of the site: docstrings to Markdown, formulas to MathML, members, options."""

import textwrap

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("griffe")

from mkdocs.exceptions import PluginError
from tools import site_docstrings, site_hooks

LINKS = {"shape": "polymode.core.shape", "anchor": "polymode.core.anchor"}


def markdown(text):
    return site_docstrings.to_markdown(textwrap.dedent(text).strip(), LINKS)


def test_directive_becomes_a_block_between_dollars():
    text = r"""
    Return it.

    .. math:: t = q, \qquad
        s^2 = 1

    with more.
    """
    assert markdown(text) == "Return it.\n\n$$\nt = q, \\qquad\ns^2 = 1\n$$\n\nwith more."


def test_directive_with_its_formula_below_loses_empty_lines_and_keeps_its_indent():
    text = "Notes\n-----\n    .. math::\n\n        a\n        b\n\n    End."
    assert "    $$\n    a\n    b\n    $$\n\n    End." in site_docstrings.to_markdown(text, {})


def test_role_becomes_an_inline_formula_over_line_ends():
    assert markdown("The :math:`a\n    + b` here.") == "The $a + b$ here."


def test_simple_table_becomes_a_table_with_pipes():
    text = """
    ===== ==========
    name  what
    ===== ==========
    `a`   ``|u|`` / 2
    bb
    ===== ==========
    """
    rows = ["| name | what |", "| --- | --- |", "| `a` | ``|u|`` / 2 |", "| bb |  |"]
    assert markdown(text) == "\n".join(rows)


def test_references_become_a_list_with_links_to_preprints():
    text = """
    References
    ----------
    .. [1] Somebody, "Title",
       ICLR 2026, arXiv
       2510.20817, eq. 2.
    .. [2] Another.
    """
    first, second = markdown(text).split("\n")[2:]
    link = "[arXiv 2510.20817](https://arxiv.org/abs/2510.20817)"
    assert first == f'1. Somebody, "Title", ICLR 2026, {link}, eq. 2.'
    assert second == "2. Another."


def test_see_also_becomes_a_list_of_links():
    text = """
    See Also
    --------
    shape : What it
        does.
    other : No link.

    Notes
    -----
    End.
    """
    assert markdown(text).split("\n")[2:4] == [
        "- [`shape`][polymode.core.shape]: What it does.",
        "- `other`: No link.",
    ]


def test_names_become_links_and_code_and_examples_do_not():
    text = "See `anchor`, ``anchor`` and `beta`.\n\n>>> print('`anchor`')\n`anchor`"
    expected = (
        "See [`anchor`][polymode.core.anchor], ``anchor`` and `beta`.\n\n"
        ">>> print('`anchor`')\n`anchor`"
    )
    assert markdown(text) == expected


def test_types_are_text():
    assert markdown("x : array, shape (..., n)\n    It.") == "x : array of shape (..., n)\n    It."
    assert markdown("x : array like `y`\n    It.") == "x : array like y\n    It."
    assert markdown('x : {"a", "b"}\n    It.') == 'x : one of "a", "b"\n    It.'


@pytest.mark.parametrize(
    ("tex", "part"),
    [
        (r"\frac{a}{b}", "<mfrac>"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "<mtable"),
        (r"\begin{cases} a & b \\ c & d \end{cases}", "<mtable>"),
        (r"\sum_i p_i", "<munder>"),
        (r"\log p", '<mi>log</mi><mspace width="0.167em" />'),
        (r"\{0, 1\}", "&#x0007B;"),
    ],
)
def test_formulas_are_converted(tex, part):
    assert part in site_hooks.to_mathml(tex, display="block")


@pytest.mark.parametrize("tex", [r"\nosuchcommand", r"a & b"])
def test_formula_that_is_not_known_stops_the_build(tex):
    with pytest.raises(PluginError, match="formula"):
        site_hooks.to_mathml(tex, display="inline")


def test_formulas_of_a_page_are_replaced_and_code_is_not():
    page = (
        r'<span class="arithmatex">\(a &lt; b\)</span> <code>\(a\)</code>'
        r'<div class="arithmatex">\[c\]</div>'
    )
    out = site_hooks.on_page_content(page)
    assert out.count("<math") == 2
    assert "&#x0003C;" in out
    assert r"<code>\(a\)</code>" in out


def test_parameters_with_one_description_are_listed_together():
    def item(name, text):
        return f"{site_hooks.ITEM_START}\n <b><code>{name}</code></b>\n {text}</li>\n"

    page = f"<ul>{item('a', 'x')}{item('b', 'x')}{item('c', 'y')}</ul>"
    out = site_hooks.on_page_content(page)
    assert out.count("<li") == 2
    assert "<b><code>a</code></b>, <b><code>b</code></b>" in out


def test_every_public_name_is_on_a_page():
    assert not site_hooks.undocumented()


def test_name_in_a_module_without_a_page_is_found(monkeypatch, tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "some.md").write_text("<!-- members polymode.core: targets -->\n")
    monkeypatch.setattr(site_hooks, "DOCS", tmp_path)
    missing = site_hooks.undocumented()
    assert "polymode.core.anchor" in missing
    assert "polymode.language.MARATrainer" in missing
    assert "polymode.optimal_policy" not in missing


def test_module_without_public_names_stops_the_build():
    with pytest.raises(PluginError, match=r"polymode\.core has no public name in nowhere"):
        site_hooks.on_page_markdown("<!-- members polymode.core: nowhere -->")


def test_options_of_the_command_line_are_listed():
    text = site_hooks.on_page_markdown("<!-- commands -->")
    assert "## polymode demo" in text
    assert "| `--seed` | `0` | Seed of sampling and initialisation. |" in text


def test_folders_of_the_navigation_are_filled_with_what_is_not_listed(monkeypatch, tmp_path):
    (tmp_path / "how-to").mkdir()
    for name in ("b", "a", "listed"):
        (tmp_path / "how-to" / f"{name}.md").touch()
    monkeypatch.setattr(site_hooks, "DOCS", tmp_path)
    filled = site_hooks._filled({"How-to": ["how-to/listed.md", "how-to/"]}, {"how-to/listed.md"})
    assert filled == {"How-to": ["how-to/listed.md", "how-to/a.md", "how-to/b.md"]}
