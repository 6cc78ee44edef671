"""The completions of a run as Parquet files, one for each logging step, whatever the trainer.

TRL's GRPO trainer writes them by itself where `log_completions` is set, its RLOO trainer does not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from polymode.files import whole_file


def write_completions(logs: Mapping[str, Any], output_dir: str, step: int) -> None:
    """Write the completions that a trainer holds, unless the file is there.

    Parameters
    ----------
    logs : mapping
        TRL's `_logs`: prompts, completions, rewards by function, extra columns, advantages.
    output_dir : str
        The run's directory; files go into `completions/`.
    step : int
        The step that names the file.
    """
    path = Path(output_dir) / "completions" / f"completions_{step:05d}.parquet"
    if path.exists() or not logs["prompt"]:
        return
    table = pd.DataFrame(
        {
            "step": [step] * len(logs["prompt"]),
            "prompt": list(logs["prompt"]),
            "completion": list(logs["completion"]),
            **{name: list(column) for name, column in logs["rewards"].items()},
            **{name: list(column) for name, column in logs["extra"].items()},
            "advantage": list(logs["advantages"]),
        }
    )
    with whole_file(path) as scratch:
        table.to_parquet(scratch)
