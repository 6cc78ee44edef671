"""What counts as the same answer: functions from the text of a completion to its mode.

A mode function returns a key, equal for completions that give the same answer, or None where a text
gives none. `mode_function` makes one from the short text that configurations and the command line
take.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from decimal import Context, Decimal

from polymode.core import checks
from polymode.errors import ArgumentError
from polymode.metrics.dotted import function_at

__all__ = ["MODE_FUNCTIONS", "ModeFunction", "mode_function"]

ModeFunction = Callable[[str], Hashable | None]
"""From the text of a completion to the key of its mode; None where it has no answer."""

_NUMBER = re.compile(
    r"(?:(?<![\w)\].])[-+\u2212])?"  # a sign, unless it stands between two numbers
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)"
    r"(?:[eE][-+]?\d{1,3}(?!\d))?"
)


def mode_function(spec: str) -> ModeFunction:
    """Return the mode function that a short text describes.

    Parameters
    ----------
    spec : str
        One of

        - ``exact``: the text without the white space around it;
        - ``last_number``: the last number of the text in its shortest decimal form, so that
          ``1,000`` and ``1000.0`` are the same mode; None without a number;
        - ``xml_tag:answer``: what stands in the last complete ``<answer>…</answer>``, without the
          white space around it; None without one;
        - ``regex:PATTERN``: the first group of the first match of a Python regular expression, or
          the whole match where it has no group; None without a match;
        - ``canonical``, ``murcko`` or ``generic``, for SMILES: the canonical SMILES of a molecule,
          its Murcko scaffold, or the shape of that (`polymode.metrics.molecules.structural_mode`);
          None where RDKit cannot read it;
        - ``tanimoto`` or ``tanimoto:0.7``, for SMILES: the first molecule that came within this
          Tanimoto distance, which is then the mode of all that follow
          (`polymode.metrics.molecules.SphereExclusion`). Each call makes clusters of its own;
        - ``package.module:function`` or ``package.module.function``: a function of your own that
          takes the text. Its module is imported.

    Returns
    -------
    callable
        From a text to a key, or None where the text gives no answer.

    Raises
    ------
    ArgumentError
        If the text describes none of these, or the function is not there.
    MissingExtraError
        If a mode of SMILES is asked for without RDKit.

    Notes
    -----
    Numbers are written as in English: a comma groups three digits, a point begins the fraction. A
    fraction such as 1/2 is two numbers.

    Examples
    --------
    >>> last_number = mode_function("last_number")
    >>> last_number("So 12 + 988 = 1,000."), last_number("1000.0"), last_number("no idea")
    ('1000', '1000', None)
    >>> mode_function("xml_tag:answer")("One of two. <answer> B </answer>")
    'B'
    """
    head, colon, argument = spec.partition(":")
    if head in MODE_FUNCTIONS:
        return MODE_FUNCTIONS[head](argument if colon else None)
    if "." not in spec and not colon:
        raise ArgumentError(_unknown(spec, head))
    try:
        return function_at(spec, name="mode key")
    except ArgumentError as error:
        if "." in head or not (hint := checks.did_you_mean(head, MODE_FUNCTIONS)):
            raise
        raise ArgumentError(str(error) + hint) from error


def _unknown(spec: str, head: str) -> str:
    """Say what a spec may be."""
    return (
        "mode key must be exact, last_number, xml_tag:TAG, regex:PATTERN, for SMILES canonical, "
        "murcko, generic or tanimoto:DISTANCE, or the path of a function "
        f"(package.module:function), got {spec!r}{checks.did_you_mean(head, MODE_FUNCTIONS)}"
    )


def _without_argument(name: str, function: ModeFunction) -> Callable[[str | None], ModeFunction]:
    """Return the maker of a mode function that has no parameter."""

    def make(argument: str | None) -> ModeFunction:
        if argument is not None:
            raise ArgumentError(f"mode key {name} takes nothing after it, got ':{argument}'")
        return function

    return make


def _exact(text: str) -> str:
    """Return the text without the white space around it."""
    return text.strip()


def _last_number(text: str) -> str | None:
    """Return the last number in its shortest decimal form."""
    number = None
    for found in _NUMBER.finditer(text):
        number = found[0]
    if number is None:
        return None
    value = Decimal(number.replace(",", "").replace("\u2212", "-"))
    if value == 0:
        return "0"  # -0 is no other answer
    return format(value.normalize(Context(prec=len(number))), "f")  # as many digits as it has


def _xml_tag(argument: str | None) -> ModeFunction:
    """Return the function that finds what stands in the last tag of a name."""
    if not argument or not re.fullmatch(r"[\w.-]+", argument):
        raise ArgumentError(
            f"mode key xml_tag needs a name, as in xml_tag:answer, got {argument!r}"
        )

    def content(text: str) -> str | None:
        before, closed, _ = text.rpartition(f"</{argument}>")
        _, opened, inside = before.rpartition(f"<{argument}>")
        return inside.strip() if opened and closed else None

    return content


def _regex(argument: str | None) -> ModeFunction:
    """Return the function that searches for a pattern."""
    if not argument:
        raise ArgumentError(r"mode key regex needs a pattern, as in regex:(\d+) km, got none")
    try:
        pattern = re.compile(argument)
    except re.error as error:
        raise ArgumentError(
            f"mode key regex must be a regular expression, got {argument!r}: {error}"
        ) from error

    def first(text: str) -> str | None:
        match = pattern.search(text)
        return match[1 if pattern.groups else 0] if match else None

    return first


def _structure(kind: str) -> Callable[[str | None], ModeFunction]:
    """Return the maker of a mode function of SMILES; RDKit loads when it is made."""

    def make(argument: str | None) -> ModeFunction:
        from polymode.metrics.molecules import structural_mode

        return _without_argument(kind, structural_mode(kind))(argument)

    return make


def _tanimoto(argument: str | None) -> ModeFunction:
    """Return the function that finds the centroid of a SMILES among those of earlier calls."""
    from polymode.metrics.molecules import SphereExclusion
    from polymode.metrics.molecules.toolkit import rdkit

    rdkit("Chem")
    try:
        clusters = SphereExclusion() if argument is None else SphereExclusion(float(argument))
    except ValueError as error:
        raise ArgumentError(
            f"mode key tanimoto takes a distance in [0, 1], as in tanimoto:0.7, got {argument!r}"
        ) from error

    def centroid(smiles: str) -> str | None:
        (found,) = clusters.assign([smiles]).tolist()
        return clusters.centroids[found] if found >= 0 else None

    return centroid


MODE_FUNCTIONS: Mapping[str, Callable[[str | None], ModeFunction]] = {
    "exact": _without_argument("exact", _exact),
    "last_number": _without_argument("last_number", _last_number),
    "xml_tag": _xml_tag,
    "regex": _regex,
    "canonical": _structure("canonical"),
    "murcko": _structure("murcko"),
    "generic": _structure("generic"),
    "tanimoto": _tanimoto,
}
"""The built-in mode functions: name -> what makes one from the text after the colon, if any."""
