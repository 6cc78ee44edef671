"""Every exception and warning that polymode raises on purpose.

Each class also inherits the built-in that fits, so ``except PolymodeError`` and
``except ValueError`` both work. A message says what must hold and what was given
(``beta must be a finite number > 0, got -1``), then how to mend it where we know. An error that
can have several causes lists all of them, so that one run is enough to find everything.
"""

from collections.abc import Sequence

__all__ = [
    "ArgumentError",
    "ConfigError",
    "InputError",
    "MissingExtraError",
    "PolymodeError",
    "PolymodeWarning",
    "RewardError",
    "ShapeError",
    "TooFewSamplesWarning",
    "UnsupportedOptionError",
]


class PolymodeError(Exception):
    """Root of the tree: ``except PolymodeError`` catches all of it."""


class _ProblemsError(PolymodeError):
    """Carries every problem that was found: one reads as a line, several as a list."""

    owner: str = ""
    """Whose problems these are: a config or a trainer; empty for the arguments of a function."""

    problems: tuple[str, ...] = ()
    """One line for each problem, in the order in which they were found."""

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.owner}: {self.problems[0]}" if self.owner else self.problems[0]
        head = f"{len(self.problems)} problems:"
        return "\n  - ".join([f"{self.owner} has {head}" if self.owner else head, *self.problems])


def _lines(problems: str | Sequence[str]) -> tuple[str, ...]:
    """Return the problems as a tuple; a plain string is one problem, not a sequence of letters."""
    return (problems,) if isinstance(problems, str) else tuple(problems)


class ArgumentError(_ProblemsError, ValueError):
    """One or more arguments of a function are not what they must be.

    Parameters
    ----------
    problems : str or sequence of str
        One line for each problem: ``<name> must <hold>, got <repr>``.

    Examples
    --------
    >>> print(ArgumentError("beta must be a finite number > 0, got 0"))
    beta must be a finite number > 0, got 0
    >>> print(ArgumentError(["beta must be …, got 0", "groups must be …, got dtype float64"]))
    2 problems:
      - beta must be …, got 0
      - groups must be …, got dtype float64
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = _lines(problems)
        super().__init__(self.problems)  # the arguments of this constructor: errors must pickle


class ShapeError(ArgumentError):
    """Arrays do not fit together, and nothing else is wrong; names the arguments and shapes."""


class _OwnedProblemsError(_ProblemsError):
    """Problems of one named thing."""

    def __init__(self, owner: str, problems: str | Sequence[str]) -> None:
        self.owner = owner
        self.problems = _lines(problems)
        super().__init__(owner, self.problems)


class ConfigError(_OwnedProblemsError, ValueError):
    """A config object is not usable.

    Parameters
    ----------
    owner : str
        Name of the config class or file.
    problems : str or sequence of str
        One line for each problem.

    Examples
    --------
    >>> print(ConfigError("MARAConfig", "unknown key 'treshold'; did you mean 'threshold'?"))
    MARAConfig: unknown key 'treshold'; did you mean 'threshold'?
    """


class UnsupportedOptionError(_OwnedProblemsError, NotImplementedError):
    """A host library is set to do something under which our result would be silently wrong.

    Parameters
    ----------
    owner : str
        Name of the trainer, config or function that refuses.
    problems : str or sequence of str
        One line for each refused setting, with the remedy.
    """


class MissingExtraError(PolymodeError, ImportError):
    """A package that one of our extras brings is needed and not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of polymode that brings it.

    Examples
    --------
    >>> print(MissingExtraError("torch", "language"))
    needs torch: `pip install 'polymode[language]'`
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(package, extra)
        self.name = package  # where ImportError itself keeps the name of the missing module

    def __str__(self) -> str:
        return f"needs {self.package}: `pip install 'polymode[{self.extra}]'`"


class InputError(PolymodeError, ValueError):
    """A file or a command-line argument of the user is not usable: one line, with the remedy."""


class RewardError(PolymodeError, RuntimeError):
    """A reward function failed on too many completions to go on training: what, and the remedy."""


class PolymodeWarning(UserWarning):
    """Category of every warning that polymode emits."""


class TooFewSamplesWarning(PolymodeWarning):
    """There was too little to tell how sure a number is: its standard error is NaN, never 0."""
