"""Arithmetic over given numbers: read safely, compared up to order and brackets, enumerated.

Two expressions are the same if the laws of commutativity and associativity of + and * turn one into
the other, where ``a - b`` is ``a + (-b)`` and ``a / b`` is ``a * (1 / b)``: so ``a - b - c`` is
``a - (b + c)``, but ``a * (b + c)`` is not ``a * b + a * c``.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from polymode.errors import ArgumentError

Operation = Literal["+", "-", "*", "/"]
OPERATIONS: tuple[Operation, ...] = ("+", "-", "*", "/")
MAX_NUMBERS = 5
"""More numbers have too many expressions to list."""

_LONGEST = 200
_ALLOWED = re.compile(r"[0-9+\-*/() ]+")
_SIGNS = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-"})  # × ÷ −
_OPERATION_OF: dict[type[ast.operator], Operation] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}

_APPLY: dict[Operation, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True, eq=False)
class Expression:
    """A number, or a sum or product of at least two signed parts, none of its own kind."""

    kind: Literal["number", "sum", "product"]
    value: Fraction
    numbers: tuple[int, ...]
    """The numbers in it, sorted."""
    parts: tuple[tuple[int, "Expression"], ...] = ()
    """Sign (of a sum) or exponent (of a product), 1 or -1, and what it belongs to."""

    @cached_property
    def key(self) -> str:
        """Canonical text: equal for expressions that are the same."""
        if self.kind == "number":
            return str(self.numbers[0])
        plus, minus = ("+", "-") if self.kind == "sum" else ("*", "/")
        brackets = self.kind == "product"
        texts = [
            (power, f"({part.key})" if brackets and part.kind == "sum" else part.key)
            for power, part in self.parts
        ]
        first = plus.join(sorted(text for power, text in texts if power > 0))
        return first + "".join(minus + text for text in sorted(t for p, t in texts if p < 0))


def number(value: int) -> Expression:
    """Return the expression that is one number."""
    return Expression("number", Fraction(value), (value,))


def combined(operation: Operation, left: Expression, right: Expression) -> Expression | None:
    """Return ``left operation right``, None where that divides by zero."""
    value = right.value
    if operation == "/" and value == 0:
        return None
    kind = "sum" if operation in "+-" else "product"
    sign = -1 if operation in "-/" else 1
    parts = _parts(left, kind) + tuple((sign * power, part) for power, part in _parts(right, kind))
    numbers = tuple(sorted(left.numbers + right.numbers))
    return Expression(kind, _APPLY[operation](left.value, value), numbers, parts)


def _parts(expression: Expression, kind: str) -> tuple[tuple[int, Expression], ...]:
    """Return an expression as parts of a sum or product."""
    return expression.parts if expression.kind == kind else ((1, expression),)


def parsed(text: str) -> Expression | None:
    """Return the expression that a text writes, None if it writes none.

    Only whole numbers, ``+ - * /`` (also as ``× ÷ −``), brackets and spaces; up to 200 characters.
    No signs before a number, no powers, nothing is evaluated but the four operations.
    """
    text = text.translate(_SIGNS).strip()
    if len(text) > _LONGEST or not _ALLOWED.fullmatch(text):
        return None
    try:
        return _built(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _built(node: ast.expr) -> Expression | None:
    """Return the expression of a syntax tree, None where the tree has anything else in it."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return number(node.value)
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATION_OF:
        return None
    left, right = _built(node.left), _built(node.right)
    if left is None or right is None:
        return None
    return combined(_OPERATION_OF[type(node.op)], left, right)


def expressions(numbers: Sequence[int]) -> dict[str, Expression]:
    """Return every expression over some of the numbers, each used at most once, by its key.

    Raises
    ------
    ArgumentError
        If there are more than `MAX_NUMBERS`.
    """
    if len(numbers) > MAX_NUMBERS:
        raise ArgumentError(f"numbers must be at most {MAX_NUMBERS} to be listed, got {numbers!r}")
    by_subset: dict[int, dict[str, Expression]] = {}
    for subset in range(1, 2 ** len(numbers)):
        chosen = [value for i, value in enumerate(numbers) if subset >> i & 1]
        if len(chosen) == 1:
            by_subset[subset] = {str(chosen[0]): number(chosen[0])}
            continue
        found: dict[str, Expression] = {}
        for half in _proper_subsets(subset):
            lefts, rights = by_subset[half].values(), by_subset[subset ^ half].values()
            for each in _joined(lefts, rights, ordered=half > subset ^ half):
                found.setdefault(each.key, each)
        by_subset[subset] = found
    return {key: each for found in by_subset.values() for key, each in found.items()}


def _proper_subsets(subset: int) -> Iterator[int]:
    """Yield the subsets of a bit set but for itself and the empty one."""
    part = (subset - 1) & subset
    while part:
        yield part
        part = (part - 1) & subset


def _joined(
    lefts: Iterable[Expression], rights: Iterable[Expression], *, ordered: bool
) -> Iterator[Expression]:
    """Yield every operation of one on the other; + and * only in one order."""
    operations = OPERATIONS if ordered else ("-", "/")
    for left in lefts:
        for right in rights:
            for operation in operations:
                if (result := combined(operation, left, right)) is not None:
                    yield result
