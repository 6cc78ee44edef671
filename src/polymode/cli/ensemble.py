"""`polymode ensemble`: write the model that lies between two checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from polymode.errors import MissingExtraError

HELP = (
    "Write the model between two checkpoints: (1 - w) FIRST + w SECOND, weight by weight.\n\n"
    "FIRST and SECOND are directories with safetensors, sharded or not, or LoRA adapters: an "
    "adapter beside its base, or two of one base, stay adapters and are exact. Configuration and "
    "tokenizer are those of FIRST. Runs on the CPU, one tensor at a time."
)


def ensemble(
    first: Annotated[str, typer.Argument(help="Checkpoint, such as the reference.")],
    second: Annotated[str, typer.Argument(help="Checkpoint, such as the trained model.")],
    out: Annotated[Path, typer.Option(help="New directory for the model.")],
    weight: Annotated[float, typer.Option(help="Share of SECOND, in [0, 1].")] = 0.5,
) -> None:
    """Interpolate and say what was written."""
    try:
        from polymode.language.ensembling import interpolate_checkpoints
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "a package", "language") from error
    made = interpolate_checkpoints(first, second, out, weight=weight)
    typer.echo(f"wrote {out}: {made['kind']}, {made['n_tensors']} tensors, weight {weight:g}")
