"""Write a table of a framework's options and defaults: ``python tools/host_defaults.py --help``.

    python tools/host_defaults.py verl 0.9.1 SITE/verl/trainer/config/_generated_ppo_trainer.yaml
    python tools/host_defaults.py openrlhf 0.11.2 SITE/openrlhf/cli/train_ppo_ray.py
    python tools/host_defaults.py skyrl 0.3.0 SITE/skyrl/train/config/config.py
    python tools/host_defaults.py slime 0.3.1 CHECKOUT/slime/utils/arguments.py
    python tools/host_defaults.py nemo_rl 0.7.0 CHECKOUT/examples/configs/grpo_math_1B.yaml

`polymode audit` reads these tables where a framework is not installed. Sources are parsed, never
run: arguments of argparse and fields of dataclasses from the syntax tree, YAML by the safe loader.
A default that is no literal is kept as None. Needs ruamel.yaml and the standard library.
"""

import argparse
import ast
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TABLES = Path("src/polymode/diagnostics/audit/frameworks/defaults")


def main() -> int:
    """Parse one source and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("framework", choices=sorted(READERS))
    parser.add_argument("version")
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / TABLES)
    options = parser.parse_args()
    table = READERS[options.framework](options.source.read_text(encoding="utf-8"))
    kept = {"framework": options.framework, "version": options.version, **table}
    path = options.out / f"{options.framework}.json"
    path.write_text(compact(kept), encoding="utf-8")
    print(f"wrote {path}: {len(table['defaults'])} options")
    return 0


def compact(table: Mapping[str, Any]) -> str:
    """Return the table as JSON with one line for each option."""
    parts: list[str] = []
    for key, value in table.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            rows = [f"  {json.dumps(k)}: {json.dumps(finite(v))}" for k, v in sorted(value.items())]
            text = "{\n" + ",\n".join(rows) + "\n}"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def finite(value: Any) -> Any:
    """Return the value, or None for an infinity, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_yaml(text: str) -> dict[str, Any]:
    """Return the leaves of a YAML file by dotted key; interpolations stay as they are written."""
    return {"defaults": dict(leaves(YAML(typ="safe").load(text)))}


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key of every value that is no mapping, or an empty one."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif not prefix.endswith("_target_"):
        yield prefix, node


def from_argparse(text: str) -> dict[str, Any]:
    """Return the options of a parser by flag, without dashes.

    ``switches`` are flags without a value, whatever they set: the user gives them or does not.
    ``several`` take more than one value.
    """
    defaults: dict[str, Any] = {}
    switches: list[str] = []
    several: list[str] = []
    for call, names in argument_calls(ast.parse(text), {}):
        given = {k.arg: k.value for k in call.keywords if k.arg}
        action = literal(given.get("action"), names)
        both = "BooleanOptionalAction" in ast.dump(given.get("action", ast.Constant(None)))
        for flag in flags(call, names):
            if action in ("store_true", "store_false") or both:
                switches += [flag, f"no-{flag}"] if both else [flag]
                defaults[flag] = None if both else False
            else:
                defaults[flag] = literal(given.get("default"), names)
            if "nargs" in given:
                several.append(flag)
    return {"defaults": defaults, "switches": sorted(set(switches)), "several": sorted(several)}


def argument_calls(
    node: ast.AST, names: Mapping[str, Any]
) -> Iterator[tuple[ast.Call, Mapping[str, Any]]]:
    """Yield the calls that add an argument, with the loop variables that they may read."""
    if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
        for value in literal(node.iter, names) or ():
            for part in node.body:
                yield from argument_calls(part, {**names, node.target.id: value})
        return
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("add_argument", "reset_arg"):
            yield node, names
    for child in ast.iter_child_nodes(node):
        yield from argument_calls(child, names)


def flags(call: ast.Call, names: Mapping[str, Any]) -> list[str]:
    """Return the long flags of one argument, without dashes."""
    texts = [literal(argument, names) for argument in call.args]
    return [t.removeprefix("--") for t in texts if isinstance(t, str) and t.startswith("--")]


def literal(node: ast.AST | None, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression of constants and known names, or None."""
    if node is None:
        return None
    try:
        code = compile(ast.Expression(constant(node, names)), "<default>", "eval")
        return eval(code, {"__builtins__": {}, "int": int, "float": float})
    except (ValueError, TypeError, NameError):
        return None


def constant(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """Return the expression with known names replaced; anything that could act is refused."""
    allowed = (
        *(ast.Constant, ast.List, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Compare, ast.IfExp),
        *(
            ast.JoinedStr,
            ast.FormattedValue,
            ast.operator,
            ast.unaryop,
            ast.cmpop,
            ast.expr_context,
        ),
    )
    for child in ast.walk(node):
        plain = isinstance(child, allowed)
        known = isinstance(child, ast.Name) and (child.id in names or child.id in ("int", "float"))
        number = isinstance(child, ast.Call) and getattr(child.func, "id", "") in ("int", "float")
        if not (plain or known or number):
            raise ValueError(ast.dump(child))

    class Known(ast.NodeTransformer):
        """Puts values for names."""

        def visit_Name(self, name: ast.Name) -> ast.AST:
            """Replace a loop variable."""
            return (
                ast.copy_location(ast.Constant(names[name.id]), name) if name.id in names else name
            )

    return ast.fix_missing_locations(Known().visit(ast.parse(ast.unparse(node), mode="eval").body))


def from_dataclasses(text: str) -> dict[str, Any]:
    """Return the leaves of the nested dataclass ``SkyRLTrainConfig``, by dotted key."""
    classes = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}
    return {"defaults": dict(class_leaves(classes, "SkyRLTrainConfig", "", {}))}


def class_leaves(
    classes: Mapping[str, ast.ClassDef], name: str, prefix: str, given: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a class and of those that it holds."""
    for item in classes[name].body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        key = f"{prefix}{item.target.id}"
        inner = next((c for c in words(item.annotation) if c in classes), None)
        if inner:
            yield from class_leaves(classes, inner, f"{key}.", arguments(item.value))
        else:
            yield key, given.get(item.target.id, field_default(item.value))


def words(node: ast.AST) -> list[str]:
    """Return the names in an annotation."""
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def arguments(value: ast.AST | None) -> dict[str, Any]:
    """Return the keywords that a factory hands to the class that it makes."""
    calls = [n for n in ast.walk(value or ast.Constant(None)) if isinstance(n, ast.Call)]
    own = [c for c in calls if getattr(c.func, "id", "").endswith("Config")]
    return {k.arg: literal(k.value, {}) for c in own for k in c.keywords if k.arg}


def field_default(value: ast.AST | None) -> Any:
    """Return the literal default of a field, through ``field(default=…)`` and simple factories."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "field":
        given = {k.arg: k.value for k in value.keywords}
        factory = given.get("default_factory")
        inner = factory.body if isinstance(factory, ast.Lambda) else None
        return literal(given.get("default", inner), {})
    return literal(value, {})


READERS = {
    "verl": from_yaml,
    "nemo_rl": from_yaml,
    "openrlhf": from_argparse,
    "slime": from_argparse,
    "skyrl": from_dataclasses,
}


if __name__ == "__main__":
    sys.exit(main())
