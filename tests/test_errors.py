"""Errors: their classes, their messages, and that they survive a trip between processes."""

import pickle

import pytest

from polymode import errors
from polymode.errors import (
    ArgumentError,
    ConfigError,
    InputError,
    MissingExtraError,
    PolymodeError,
    PolymodeWarning,
    RewardError,
    ShapeError,
    UnsupportedOptionError,
)

EXAMPLES = [
    (ArgumentError(["a must be b, got c", "d must be e, got f"]), ValueError),
    (ShapeError("x must have shape (2,), got (3,)"), ValueError),
    (ConfigError("MARAConfig", ["beta must be > 0, got 0"]), ValueError),
    (UnsupportedOptionError("MARATrainer", ["one", "two"]), NotImplementedError),
    (MissingExtraError("torch", "language"), ImportError),
    (RewardError("reward 'f' could not score 25% of the last 100 completions"), RuntimeError),
    (InputError("samples.csv has no column 'reward'; name it with --reward"), ValueError),
]


@pytest.mark.parametrize(("error", "builtin"), EXAMPLES, ids=lambda x: type(x).__name__)
def test_both_styles_of_except_work(error, builtin):
    assert isinstance(error, PolymodeError)
    assert isinstance(error, builtin)


@pytest.mark.parametrize(("error", "builtin"), EXAMPLES, ids=lambda x: type(x).__name__)
def test_errors_pickle(error, builtin):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_one_problem_is_one_line_and_several_are_a_list():
    assert str(ArgumentError(["one"])) == str(ArgumentError("one")) == "one"
    assert str(ArgumentError(["one", "two"])) == "2 problems:\n  - one\n  - two"
    assert str(ConfigError("MARAConfig", ["one"])) == "MARAConfig: one"
    assert (
        str(UnsupportedOptionError("MARATrainer", ("one", "two")))
        == "MARATrainer has 2 problems:\n  - one\n  - two"
    )


def test_problems_and_owner_are_kept():
    assert ArgumentError("one").problems == ("one",)
    error = ConfigError("MARAConfig", ["one", "two"])
    assert (error.owner, error.problems) == ("MARAConfig", ("one", "two"))


def test_missing_extra_says_what_to_install():
    error = MissingExtraError("torch", "language")
    assert str(error) == "needs torch: `pip install 'polymode[language]'`"
    assert (error.name, error.package, error.extra) == ("torch", "torch", "language")


def test_every_class_is_exported():
    assert issubclass(PolymodeWarning, UserWarning)
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    public = {name for name in classes if not name.startswith("_") and name != "Sequence"}
    assert public == set(errors.__all__)
