"""What is scored, with which model, and where it goes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from polymode.core import checks
from polymode.diagnostics.runs.trl import table_files
from polymode.errors import InputError
from polymode.language.dtypes import WEIGHTS, Weights
from polymode.language.scoring.files import SUFFIXES, format_of

__all__ = ["ScoreSettings"]


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Settings of `score_samples`.

    Parameters
    ----------
    samples : Path
        JSON Lines, CSV, TSV or Parquet with `prompt` and `output` (or `completion`), or the
        directory of a TRL run with tables of completions.
    model : str
        The embedded model, a directory (a LoRA adapter too), or a hub id.
    adapter : str or None
        A LoRA adapter to put on `model`.
    reference_of_adapter : bool
        Whether to score with the model that the adapter `model` was made for, without the adapter.
    output : Path or None
        Where the scored samples go, in the format of `samples`; None puts ``.scored`` before the
        suffix; of a run, ``completions.scored.parquet`` in its directory.
    columns : mapping of str to str
        Names of `prompt`, `output` and `finished` in the file, where they are others.
    column : {"ref_log_prob", "log_prob"}
        What the column is called that is added: of the reference, or of the policy.
    chat : bool
        Whether a prompt that is a text is a user's message rather than the text to continue.
    end : {"auto", "always", "never"}
        Whether the end of the output is part of it: ``auto`` adds the token that ends a text unless
        a column `finished` says that the output was cut off.
    batch_tokens : int
        Tokens of a forward pass, padding included.
    dtype : {"auto", "checkpoint", "float32", "bfloat16"}
        Of the weights: "checkpoint" is the type that they are kept in, "auto" the same, but float32
        on processors without units for bfloat16.
    last : int
        Of a run, the last this many tables are scored.
    overwrite : bool
        Whether `output` and a column of this name are replaced.

    Raises
    ------
    ArgumentError
        If a value is none of these; lists all.
    InputError
        If the file is not there, or of no known format.
    """

    samples: Path
    model: str
    adapter: str | None = None
    reference_of_adapter: bool = False
    output: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    column: Literal["ref_log_prob", "log_prob"] = "ref_log_prob"
    chat: bool = False
    end: Literal["auto", "always", "never"] = "auto"
    batch_tokens: int = 2048
    dtype: Weights = "auto"
    last: int = 10
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        checks.require(
            checks.known("column", self.column, ("ref_log_prob", "log_prob")),
            checks.known("end", self.end, ("auto", "always", "never")),
            checks.known("dtype", self.dtype, WEIGHTS),
            checks.whole(batch_tokens=self.batch_tokens, last=self.last),
        )
        problems = [
            f"columns must be of prompt, output and finished, got {name!r}"
            for name in self.columns
            if name not in ("prompt", "output", "finished")
        ]
        if self.adapter is not None and self.reference_of_adapter:
            problems.append("choose one of --adapter and --reference-of-adapter")
        if self.samples.is_dir():
            problems += self._run_problems()
        elif not self.samples.is_file():
            problems.append(f"{self.samples} is not there: name a file of samples, or a run of TRL")
        elif format_of(self.samples) is None:
            problems.append(f"{self.samples} must end in {', '.join(SUFFIXES)} (or these with .gz)")
        elif format_of(self.samples) != format_of(self.target) or self._packed():
            problems.append(f"output must have the format of {self.samples}, got {self.target}")
        if self.target.resolve() == self.samples.resolve():
            problems.append("output must be another file than the samples")
        if problems:
            raise InputError("; ".join(problems))

    @property
    def target(self) -> Path:
        """Where the scored samples go.

        Returns
        -------
        Path
            `output`, or its default.
        """
        if self.output is not None:
            return self.output
        if self.samples.is_dir():
            return self.samples / "completions.scored.parquet"
        name = self.samples.name
        packed = ".gz" if name.lower().endswith(".gz") else ""
        stem = Path(name.removesuffix(packed) if packed else name)
        return self.samples.with_name(f"{stem.stem}.scored{stem.suffix}{packed}")

    def _run_problems(self) -> Iterator[str]:
        """Check that a directory is a run, and that its samples go into Parquet."""
        if not table_files(self.samples):
            yield (
                f"{self.samples} has no table of completions: name a file of samples, or a run of "
                "TRL that had log_completions=True"
            )
        if self.target.suffix != ".parquet":
            yield f"output must be Parquet, as the tables of a run are, got {self.target}"

    def _packed(self) -> bool:
        """Return whether the output is packed in a way that is not written here."""
        return self.target.suffix.lower() in (".zst", ".zstd")
