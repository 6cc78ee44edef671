"""README and docs: the code runs, tables come from kept results, links lead somewhere."""

import doctest
import html
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import polymode.chemistry
import polymode.chemistry.oracles
import polymode.core.shaping
import polymode.diagnostics
import polymode.diagnostics.chemistry
import polymode.language
import polymode.metrics
import polymode.metrics.molecules
import polymode.report.chemistry
import polymode.report.comparison
import polymode.report.diagnosis

ROOT = Path(__file__).resolve().parent.parent
SITE = ["mkdocs", "build", "--strict", "--quiet"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


SESSION = re.compile(r"^```(?:python|pycon)\n(>>> .*?)^```$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(
    r"<(?:script|img|iframe|source|audio|video)[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
)
SHEET = re.compile(
    r"<link(?=[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*href=[\"']?(?:https?:)?//[^>]*>"
)


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_tables_are_those_of_the_kept_results():
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if SESSION.search(page.read_text(encoding="utf-8"))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_sessions_on_a_page_give_what_is_printed(page):
    """All blocks of a page are one session."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(SESSION.findall(text))
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    session = doctest.DocTestParser().get_doctest(blocks, {}, page.name, str(page), 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(session, out=report.append)
    assert len(session.examples) == len(re.findall(r"^>>> ", text, re.MULTILINE))
    assert not runner.failures, "".join(report)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", *SITE, "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_site_is_complete_and_loads_nothing_from_the_network(site):
    pages = {path.relative_to(site): path.read_text("utf-8") for path in site.rglob("*.html")}
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    loads = [
        found for text in pages.values() for each in (SOURCE, SHEET) for found in each.findall(text)
    ]
    assert not loads
    assert not [
        path
        for path in site.rglob("*.css")
        if re.search(r"url\([\"']?(https?:)?//", path.read_text("utf-8"))
    ]


def test_site_has_formulas_and_no_markup_left_over(site):
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        prose = html.unescape(re.sub(r"<(pre|code)\b.*?</\1>", "", text, flags=re.DOTALL))
        for left in (
            ":math:",
            ".. math",
            ".. [",
            "=====",
            "arithmatex",
            "$$",
            "<!-- members",
            "``",
        ):
            assert left not in prose, f"{path.name} shows {left}"
    assert "<mfrac>" in (site / "concepts" / "five-results.html").read_text("utf-8")
    assert "<mtable>" in (site / "reference" / "shapers.html").read_text("utf-8")


def test_site_has_every_public_name(site):
    """`objects.inv` is the site's own list of what it documents, under every path it has."""
    listing = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    documented = {line.split(" ", 1)[0] for line in listing.splitlines()}
    wanted = {
        f"{package.__name__}.{name}"
        for package in (
            polymode,
            polymode.core,
            polymode.core.shaping,
            polymode.metrics,
            polymode.metrics.molecules,
            polymode.diagnostics,
            polymode.diagnostics.chemistry,
            polymode.report,
            polymode.report.chemistry,
            polymode.report.comparison,
            polymode.report.diagnosis,
            polymode.language,
            polymode.chemistry,
            polymode.chemistry.oracles,
        )
        for name in package.__all__
        if name != "__version__"
    }
    assert not wanted - documented


def test_readme_shows_code_early_and_its_example_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("```python")
    assert start < 25
    assert lines.index("```", start) - start <= 16


@pytest.mark.slow
def test_readme_example_trains(tmp_path, monkeypatch):
    """The block as printed, but for the model (tiny here) and the length and device of the run."""
    pytest.importorskip("trl")
    from tests.language.tiny import save_tiny_model

    (code,) = python_blocks(ROOT / "README.md")
    tiny = str(save_tiny_model(tmp_path / "tiny"))
    settings = (
        'output_dir="out", use_cpu=True, bf16=False, max_steps=2, max_completion_length=4, '
        'report_to="none"'
    )
    for printed, ours in {'"Qwen/Qwen3-0.6B"': repr(tiny), 'output_dir="out"': settings}.items():
        assert code.count(printed) == 1
        code = code.replace(printed, ours)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    trainer = names["trainer"]
    assert trainer.state.global_step == 2
    assert trainer.last_batch is not None
    assert set(trainer.last_batch.raw_rewards.tolist()) <= {0.0, 1.0}
