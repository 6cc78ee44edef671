"""Functions that a user names by a dotted path: mode keys, rewards."""

import importlib
from collections.abc import Callable
from typing import Any

from polymode.errors import ArgumentError

__all__ = ["function_at"]


def function_at(path: str, *, name: str) -> Callable[..., Any]:
    """Return the function at a dotted path.

    Parameters
    ----------
    path : str
        ``package.module:function`` or ``package.module.function``. The module is imported, which
        runs its code.
    name : str
        What the path is for; the error begins with it.

    Returns
    -------
    callable
        The function, or any other object there that can be called.

    Raises
    ------
    ArgumentError
        If the path has no module, the module cannot be imported, or there is no such function.

    Examples
    --------
    >>> function_at("math:sqrt", name="rewards")(4)
    2.0
    """
    module_name, _, attribute = path.rpartition(":" if ":" in path else ".")
    if not module_name or not attribute or not all(map(str.isidentifier, module_name.split("."))):
        raise ArgumentError(f"{name} must be a path like package.module:function, got {path!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs code of the user's, which may raise anything
        raise ArgumentError(
            f"{name} must be importable, got {path!r}: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ArgumentError(
            f"{name} must be a function of module {module_name}, got {path!r}, which "
            f"{'is not callable' if hasattr(module, attribute) else 'is not there'}"
        )
    return function
