"""The package itself: light to import, explicit in its names."""

import subprocess
import sys
import time

import pytest

import polymode

HEAVY = ("jax", "matplotlib", "numpy", "rich", "scipy", "torch", "transformers", "trl", "typer")


def run(code):
    """Run code in a fresh interpreter and return what it prints."""
    command = (sys.executable, "-c", code)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def seconds(code):
    """Fastest of five fresh interpreters: the least disturbed by what else the machine does."""

    def once():
        start = time.perf_counter()
        run(code)
        return time.perf_counter() - start

    return min(once() for _ in range(5))


def test_import_loads_nothing_heavy():
    loaded = run(f"import sys, polymode; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_the_core_loads_no_framework():
    code = "import sys, polymode; polymode.anchor; polymode.optimal_policy; import polymode.metrics"
    heavy = tuple(name for name in HEAVY if name != "numpy")
    assert run(f"{code}; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_import_takes_less_than_0_3_seconds():
    assert seconds("import polymode") - seconds("pass") < 0.3


@pytest.mark.parametrize("name", sorted(set(polymode.__all__) - {"__version__"}))
def test_public_names_are_there(name):
    named = polymode._ELSEWHERE.get(name, "").partition(":")[2] or name
    assert getattr(polymode, name).__name__ == named
    assert name in dir(polymode)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'polymode' has no attribute 'anker'"):
        _ = polymode.anker


def test_version_is_that_of_the_installed_package():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        expected = metadata.version("polymode")
    except metadata.PackageNotFoundError:
        pytest.skip("polymode runs from its sources, without metadata")
    assert polymode.__version__ == expected


WITHOUT_TRL = "import sys; sys.modules['trl'] = None\n"


def test_a_missing_extra_is_asked_for_by_name():
    code = (
        f"{WITHOUT_TRL}import polymode.language\n"
        "try: polymode.language.MARATrainer\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    expected = "MissingExtraError needs trl: `pip install 'polymode[language]'`"
    assert run(code).splitlines()[-1] == expected


def test_the_command_line_asks_for_a_missing_extra_in_one_line(tmp_path):
    code = f"{WITHOUT_TRL}sys.argv = ['polymode', 'demo']\nfrom polymode.cli import main; main()"
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "polymode: needs trl: `pip install 'polymode[all]'`"
