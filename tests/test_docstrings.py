"""Every public object of the rooms below language has a docstring that numpydoc accepts.

numpydoc checks live objects here, not files: only so does it see the parameters of dataclasses. The
checks are those of pyproject.toml.
"""

import importlib
import inspect
import pkgutil
import tomllib
from pathlib import Path

import pytest
from numpydoc.validate import ERROR_MSGS, validate

import polymode.core
import polymode.diagnostics
import polymode.metrics
import polymode.report

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
SETTINGS = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["numpydoc_validation"]
CHECKS = set(ERROR_MSGS) - set(SETTINGS["checks"])


def documented_objects():
    """Dotted names of the public functions, classes and methods of these rooms."""
    for package in (polymode.core, polymode.metrics, polymode.diagnostics, polymode.report):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for name in module.__all__:
                thing = getattr(module, name)
                if not callable(thing) or getattr(thing, "__module__", None) != found.name:
                    continue  # a constant, or a name that another module owns
                yield f"{found.name}.{name}"
                if inspect.isclass(thing):
                    # What overrides a method has the sections of the method that it overrides.
                    bases = {key for base in thing.__mro__[1:] for key in vars(base)}
                    methods = (k for k in vars(thing) if not k.startswith("_") and k not in bases)
                    yield from (
                        f"{found.name}.{name}.{key}"
                        for key in methods
                        if inspect.isroutine(getattr(thing, key))
                    )


@pytest.mark.parametrize("name", sorted(documented_objects()))
def test_docstring_is_valid(name):
    problems = [f"{code}: {text}" for code, text in validate(name)["errors"] if code in CHECKS]
    assert not problems
