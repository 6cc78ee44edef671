"""`polymode diagnose`: which distribution an objective asks for, from recorded samples."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from polymode.cli.runs import check_outputs, page_facts
from polymode.files import write_json, write_text

if TYPE_CHECKING:
    from polymode.diagnosis import Diagnosis

HELP = (
    "Tell which distribution an objective asks for, whether it is collapsed, and why.\n\n"
    "SAMPLES is a table with `prompt`, `output`, `reward` and `ref_log_prob` (the sum over the "
    "output's tokens, in nats; `polymode score` adds it), and if known `log_prob` of the policy, "
    "`mode`, `n_tokens`: JSON Lines, CSV or Parquet, a folder of `datasets`, a run of TRL or of "
    "polymode, REINVENT's CSV; packed or not; `-` is standard input. No model is needed, nothing "
    "is trained.\n\n"
    "Prints the verdict first. --html writes a page with every prompt, --json all numbers. For "
    "example:\n\n"
    "polymode diagnose samples.jsonl --beta 0.001 --threshold 0.8 --html report.html\n\n"
    "polymode diagnose molecules.csv --beta 0.1 --threshold 0.5 --columns prompt=@all,output=SMILES"
)


def diagnose(
    samples: Annotated[
        str, typer.Argument(help="File, folder or run; `-` reads stdin.", show_default=False)
    ],
    beta: Annotated[
        float,
        typer.Option(help="Strength of the KL, reward units per nat.", show_default=False),
    ],
    threshold: Annotated[
        float, typer.Option(help="Rewards at or above it are good.", show_default=False)
    ],
    divergence: Annotated[
        str, typer.Option(help="What regularises: reverse_kl (GRPO, RLOO, PPO), forward_kl, …")
    ] = "reverse_kl",
    mode_key: Annotated[
        str | None,
        typer.Option(
            help="What is the same answer: a column, exact, last_number, xml_tag:TAG, "
            "regex:PATTERN or package.module:function. Default: the column `mode`, else every "
            "distinct output is a mode of its own."
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Names in the file: reward=score,ref_log_prob=-nll,prompt=@all.")
    ] = "",
    drawn_from: Annotated[
        Literal["reference", "policy"] | None,
        typer.Option(help="Who drew the rows. Default: the policy where `log_prob` is known."),
    ] = None,
    bad_rows: Annotated[
        Literal["refuse", "drop"],
        typer.Option(help="Rows that cannot be used: stop and name them, or count and go on."),
    ] = "refuse",
    keep_characters: Annotated[
        int | None,
        typer.Option(
            help="Keep only the first N characters of each output, for files larger than memory; "
            "modes are made from the whole. Default: all."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page here: one file, opens offline.")
    ] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write all numbers here; `-` prints them instead of the page."),
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    bootstrap: Annotated[int, typer.Option(help="Bootstrap rounds.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Whose samples, of an evaluation of several models.")
    ] = None,
    last: Annotated[
        int, typer.Option(help="Samples of a training run are those of its last N tables.")
    ] = 10,
    reward: Annotated[
        list[str] | None,
        typer.Option(help="Reward column of TRL's tables that counts; repeat. Default: all."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of --html and --json.")
    ] = False,
) -> None:
    """Read, diagnose, print."""
    sys.path.insert(0, "")  # mode functions of the user's, in the directory where they stand
    check_outputs({"--html": html}, as_json, overwrite=overwrite)
    from polymode.diagnosis import diagnose as diagnose_samples
    from polymode.diagnostics.diagnosis import DiagnosisSettings
    from polymode.diagnostics.recorded import SampleOptions, parse_columns, read_samples

    DiagnosisSettings(  # refuses what cannot be, before a long file is read
        beta=beta,
        threshold=threshold,
        divergence=divergence,
        level=level,
        n_rounds=bootstrap,
        seed=seed,
    )
    options = SampleOptions(
        columns=parse_columns(columns),
        drawn_from=drawn_from,
        mode=mode_key,
        bad_rows=bad_rows,
        model=model,
        last=last,
        reward_columns=tuple(reward or ()),
        keep_characters=keep_characters,
    )
    waiting = Console(stderr=True)
    with waiting.status(f"reading {samples}") as status:
        read = read_samples(samples, options)
        status.update(f"diagnosing {read.n_samples:,} samples of {read.n_prompts:,} prompts")
        found = diagnose_samples(
            read,
            beta=beta,
            threshold=threshold,
            divergence=divergence,
            level=level,
            n_rounds=bootstrap,
            seed=seed,
        )
        status.update("writing")
        written = _write(found, html, as_json)
    if str(as_json) == "-":
        print(found.to_json())
    else:
        from polymode.cli.diagnosis_screen import show

        show(found, Console())
    for path in written:
        typer.echo(f"wrote {path}", err=str(as_json) == "-")


def _write(found: "Diagnosis", html: Path | None, as_json: Path | None) -> list[Path]:
    """Write the page and the numbers; files that are not complete are never left behind."""
    written: list[Path] = []
    if html is not None:
        written.append(write_text(html, found.to_html(facts=page_facts())))
    if as_json is not None and str(as_json) != "-":
        written.append(write_json(as_json, found.to_dict(), indent=None))
    return written
