"""Options and their defaults out of a framework's own files, which are parsed and never run.

Arguments of argparse and fields of dataclasses are read from the syntax tree, YAML by the safe
loader; a default that is no constant becomes None. `tools/host_defaults.py` writes the bundled
tables with it, and an installed framework is read in the same way.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polymode.diagnostics.audit.settings import flatten

__all__ = ["EXTRACTORS", "Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a framework.

    Parameters
    ----------
    defaults : mapping of str to object
        Dotted keys, or flags without their dashes, to defaults.
    switches : tuple of str
        Flags that take no value.
    several : tuple of str
        Flags that take several values.
    """

    defaults: Mapping[str, Any]
    switches: tuple[str, ...] = ()
    several: tuple[str, ...] = field(default=())


def _from_yaml(text: str) -> Options:
    """Return the leaves of a YAML file; interpolations stay as they are written."""
    from ruamel.yaml import YAML

    loaded: Any = YAML(typ="safe").load(text)
    leaves = flatten(loaded if isinstance(loaded, Mapping) else {})
    return Options({k: _finite(v) for k, v in leaves.items() if not k.endswith("_target_")})


def _finite(value: Any) -> Any:
    """Return the value, or None for an infinity, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _from_argparse(text: str) -> Options:
    """Return the flags that a parser adds."""
    defaults: dict[str, Any] = {}
    switches: set[str] = set()
    several: set[str] = set()
    for call, names in _argument_calls(ast.parse(text), {}):
        given = {k.arg: k.value for k in call.keywords if k.arg}
        action = _constant(given.get("action"), names)
        both = "BooleanOptionalAction" in ast.dump(given.get("action", ast.Constant(None)))
        switch = both or action in ("store_true", "store_false")
        for flag in _flags(call, names):
            switches |= ({flag, f"no-{flag}"} if both else {flag}) if switch else set()
            several |= {flag} if "nargs" in given else set()
            value = (None if both else False) if switch else _constant(given.get("default"), names)
            defaults[flag] = _finite(value)
    return Options(defaults, tuple(sorted(switches)), tuple(sorted(several)))


def _argument_calls(
    node: ast.AST, names: Mapping[str, Any]
) -> Iterator[tuple[ast.Call, Mapping[str, Any]]]:
    """Yield the calls that add an argument, with the loop variables that they may read."""
    if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
        values = _constant(node.iter, names)
        for value in values if isinstance(values, (list, tuple)) else ():
            for part in node.body:
                yield from _argument_calls(part, {**names, node.target.id: value})
        return
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("add_argument", "reset_arg"):
            yield node, names
    for child in ast.iter_child_nodes(node):
        yield from _argument_calls(child, names)


def _flags(call: ast.Call, names: Mapping[str, Any]) -> list[str]:
    """Return the long flags of one argument, without dashes."""
    texts = [_constant(argument, names) for argument in call.args]
    return [t.removeprefix("--") for t in texts if isinstance(t, str) and t.startswith("--")]


def _from_dataclasses(text: str) -> Options:
    """Return the leaves of the nested dataclass ``SkyRLTrainConfig``."""
    classes = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}
    return Options(dict(_fields(classes, "SkyRLTrainConfig", "", {})))


def _fields(
    classes: Mapping[str, ast.ClassDef], name: str, prefix: str, given: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a class and of those that it holds."""
    for item in classes[name].body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        key = f"{prefix}{item.target.id}"
        words = [part.id for part in ast.walk(item.annotation) if isinstance(part, ast.Name)]
        inner = next((word for word in words if word in classes), None)
        if inner:
            yield from _fields(classes, inner, f"{key}.", _factory_arguments(item.value))
        else:
            yield key, _finite(given.get(item.target.id, _field_default(item.value)))


def _factory_arguments(value: ast.AST | None) -> dict[str, Any]:
    """Return the keywords that a factory hands to the class that it makes."""
    calls = [n for n in ast.walk(value or ast.Constant(None)) if isinstance(n, ast.Call)]
    own = [call for call in calls if getattr(call.func, "id", "").endswith("Config")]
    return {k.arg: _constant(k.value, {}) for call in own for k in call.keywords if k.arg}


def _field_default(value: ast.AST | None) -> Any:
    """Return the constant default of a field, through ``field(default=…)`` and simple factories."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "field":
        given = {k.arg: k.value for k in value.keywords}
        factory = given.get("default_factory")
        inner = factory.body if isinstance(factory, ast.Lambda) else None
        return _constant(given.get("default", inner), {})
    return _constant(value, {})


_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Div: operator.truediv,
    ast.Eq: operator.eq,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.Sub: operator.sub,
    ast.USub: operator.neg,
}


def _constant(node: ast.AST | None, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression of constants and known names, or None."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return names.get(name)
        case ast.List(parts) | ast.Tuple(parts):
            return [_constant(part, names) for part in parts]
        case ast.JoinedStr(parts):
            texts = [_constant(getattr(part, "value", None), names) for part in _parts(parts)]
            return "".join(map(str, texts))
        case ast.UnaryOp(op, x):
            return _apply(op, _constant(x, names))
        case ast.BinOp(x, op, y) | ast.Compare(x, [op], [y]):
            return _apply(op, _constant(x, names), _constant(y, names))
        case ast.IfExp(test, x, y):
            return _constant(x if _constant(test, names) else y, names)
        case ast.Call(ast.Name("int" | "float" as kind), [x]):
            return (int if kind == "int" else float)(_constant(x, names))
        case _:
            return None


def _parts(parts: list[ast.expr]) -> list[ast.AST]:
    """Return the parts of a formatted string, each with its expression as `value`."""
    return [ast.Expr(part) if isinstance(part, ast.Constant) else part for part in parts]


def _apply(op: ast.AST, *values: Any) -> Any:
    """Return an operation on constants, or None where one is not known."""
    known = _OPERATORS.get(type(op))
    return None if known is None or None in values else known(*values)


EXTRACTORS: Mapping[str, Callable[[str], Options]] = {
    "verl": _from_yaml,
    "nemo_rl": _from_yaml,
    "openrlhf": _from_argparse,
    "slime": _from_argparse,
    "skyrl": _from_dataclasses,
}
"""From the text of a framework's file to its options."""
