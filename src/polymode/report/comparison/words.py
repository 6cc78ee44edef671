"""How figures and p-values of a comparison are written."""

from polymode.diagnostics.figures import FIGURES

__all__ = ["figure_words", "p_words"]


def p_words(p: float) -> str:
    """Return a p-value as one writes it.

    Parameters
    ----------
    p : float
        In [0, 1].

    Returns
    -------
    str
        With an upper bound where it is small.
    """
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def figure_words(name: str, k: int | None) -> str:
    """Return what a figure is called.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    k : int or None
        The k of pass@k.

    Returns
    -------
    str
        Its label.
    """
    return f"pass@{k}" if name == "pass_k" and k is not None else FIGURES[name].label
