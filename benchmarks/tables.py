"""Write the tables of README and docs from kept results: `python benchmarks/tables.py [--check]`.

A table stands between `<!-- table NAME … -->` and `<!-- end -->`, where each NAME is a results file
without `.json`. Nobody types its numbers; `--check` fails when a page and its files disagree.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BLOCK = re.compile(r"(<!-- table ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Rewrite every page, or say which ones are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if outdated")
    options = parser.parse_args()
    outdated = [
        page for page in pages() if render(page.read_text("utf-8")) != page.read_text("utf-8")
    ]
    for page in outdated:
        if options.check:
            print(f"{page.relative_to(ROOT)}: run `python benchmarks/tables.py`", file=sys.stderr)
        else:
            page.write_text(render(page.read_text("utf-8")), "utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    return 1 if options.check and outdated else 0


def pages() -> list[Path]:
    """README, every page of docs, and the cards of the models that ship."""
    cards = sorted((ROOT / "src").rglob("card.md"))
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *cards]


def render(text: str) -> str:
    """Return the page with every table made anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{table(m[2].split())}\n{m[3]}", text)


def table(names: Sequence[str]) -> str:
    """Return the Markdown table of one or more results files of a kind."""
    results = [load(name) for name in names]
    return "\n".join(KINDS[results[0]["script"]](results))


def load(name: str) -> dict[str, Any]:
    """Read one results file, wherever it lies."""
    (path,) = HERE.glob(f"*/results/{name}.json")
    return json.loads(path.read_text("utf-8"))


def demo_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per seed, or per task: what was promised and what came."""
    lines = [
        "| task, seed | | frac valid | entropy / maximum | effective answers | TV to promise |",
        "|---|---|---|---|---|---|",
    ]
    for result in (r for file in files for r in file["results"]):
        label = f"{result['settings']['task']}, {result['settings']['seed']}"
        rows = [("base", result["base"]["exact"], None)]
        for name, run in result["runs"].items():
            rows.append((f"{name}, promised", run["promised"], None))
            distance = run["total_variation_to_promise"]
            rows.append((f"**{name}, measured**", run["measured"]["exact"], distance))
        for number, (name, d, distance) in enumerate(rows):
            tv = "" if distance is None else f"{distance:.3f}"
            lines.append(
                f"| {label if number == 0 else ''} | {name} | {d['frac_valid']:.3f} | "
                f"{d['frac_of_max_entropy']:.3f} | {d['effective_answers']:.2f} | {tv} |"
            )
    return lines


def picking_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per task, beta and method: what was measured, over seeds, and what was promised."""
    (file,) = files
    cells: dict[tuple[str, float, str], list[Mapping[str, Any]]] = {}
    order = list(file["settings"]["methods"])
    for run in file["runs"]:
        cells.setdefault((run["task"], run["beta"], run["method"]), []).append(run)
    lines = [
        "| task, beta | method | seeds | valid | entropy / maximum | promised | TV to promise |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, beta, method in sorted(cells, key=lambda key: (*key[:2], order.index(key[2]))):
        runs = cells[task, beta, method]
        promised = runs[0]["promised"]
        distances = [run["total_variation_to_promise"] for run in runs if promised]
        lines.append(
            f"| {task}, {beta:g} | {method} | {len(runs)} | "
            f"{over_seeds([run['measured']['frac_valid'] for run in runs])} | "
            f"{over_seeds([run['measured']['frac_of_max_entropy'] or 0.0 for run in runs])} | "
            f"{'' if promised is None else format(promised['frac_of_max_entropy'], '.3f')} | "
            f"{over_seeds(distances)} |"
        )
    return lines


def countdown_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per method: means on held-out prompts, and paired differences to plain RLOO."""
    (file,) = files
    names = list(file["summary"][0]["figures"])
    titles = [name.replace("_at_", "@").replace("_", " ") for name in names]
    lines = [
        f"| method | seeds | {' | '.join(f'{title} | minus plain' for title in titles)} |",
        "|---|---|" + "---|---|" * len(names),
    ]
    for row in file["summary"]:
        cells: list[str] = []
        for found in (row["figures"][name] for name in names):
            gap = found.get("minus_plain")
            cells.append(f"{found['mean']:.3f}")
            cells.append("" if gap is None else f"{gap:+.3f} ± {found['standard_error']:.3f}")
        lines.append(f"| {row['method']} | {len(row['seeds'])} | {' | '.join(cells)} |")
    return lines


def over_seeds(values: Sequence[float]) -> str:
    """Return a mean with its range, or the single value."""
    if not values:
        return ""
    mean = sum(values) / len(values)
    return f"{mean:.3f}" + (f" [{min(values):.3f}, {max(values):.3f}]" if len(values) > 1 else "")


def shared_prompt_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ratios of step times, side by side in one process."""
    lines = [
        "| part of a step | row by row, median s | shared, median s | ratio, median [min, max] |",
        "|---|---|---|---|",
    ]
    for row in files[0]["rows"]:
        low, middle, high = (row["ratio"][key] for key in ("min", "median", "max"))
        lines.append(
            f"| {row['part']} | {row['row_by_row']:.2f} | {row['shared']:.2f} | "
            f"{middle:.1f} [{low:.1f}, {high:.1f}] |"
        )
    return lines


def hook_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Step times beside TRL's own, and the share that the hook itself measures."""
    lines = [
        "| completions per step | | s per step, median | over TRL's, median [min, max] "
        "| of it in the hook, median [min, max] |",
        "|---|---|---|---|---|",
    ]
    for row in files[0]["rows"]:
        share = row["frac_in_hook"]
        lines.append(
            f"| {row['group_size']} | {row['side']} | {row['median_seconds']:.2f} | "
            f"{spread(row['ratio'], '.2f')} | {'' if share is None else spread(share, '.2%')} |"
        )
    return lines


def plateau_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per objective of Figure 5: how far the trained policy is from its optimum."""
    panels = files[0]["panels"]
    steps = [row["n_steps"] for row in panels[0]["trained"]]
    lines = [
        "| beta | objective | " + " | ".join(f"after {n:,} steps" for n in steps) + " |",
        "|---|---|" + "---|" * len(steps),
    ]
    for panel in panels:
        kl = panel["divergence"].replace("_kl", " KL")
        distances = [row["total_variation"] for row in panel["trained"]]
        cells = [f"{tv['mean']:.3f} [{tv['min']:.3f}, {tv['max']:.3f}]" for tv in distances]
        lines.append(f"| {panel['beta']:g} | {kl}, {panel['method']} | {' | '.join(cells)} |")
    return lines


def anchoring_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time per sample at every size, and the ratio to one sort of the labels at 10^6 samples."""
    rows = files[0]["rows"]
    sizes = sorted({row["samples"] for row in rows})
    per_sample = {(row["part"], row["samples"]): row["ns_per_sample"] for row in rows}
    reference = min(sizes, key=lambda n: abs(n - 10**6))
    power = {n: f"10^{len(str(n)) - 1}" for n in sizes}
    heads = " | ".join(f"{power[n]}, ns" for n in sizes)
    lines = [
        f"| for each sample of | {heads} | over `np.sort` at {power[reference]}, "
        "median [min, max] |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for row in (row for row in rows if row["samples"] == reference):
        low, middle, high = (row["ratio"][key] for key in ("min", "median", "max"))
        cells = " | ".join(f"{per_sample[row['part'], n]:.0f}" for n in sizes)
        lines.append(f"| {row['part']} | {cells} | {middle:.1f} [{low:.1f}, {high:.1f}] |")
    return lines


def target_speed_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Three tables: groups beside a loop, one group beside log_softmax, and growth with size."""
    (result,) = files
    lines = [
        "| 100,000 groups of 16 | brentq loop, s | rows, s | times as fast, median [min, max] "
        "| labels, s | times as fast |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["groups"]:
        cells = []
        for side in ("rows", "labels"):
            cells += [f"{row['seconds'][side]:.3f}", spread(row["ratio"][side], ".0f")]
        lines.append(f"| `{row['divergence']}` | {row['loop_seconds']:.1f} | {' | '.join(cells)} |")
    lines += [
        "",
        "| one group of 10^7 outcomes | over `log_softmax`, median [min, max] "
        "| peak memory, arrays |",
        "|---|---|---|",
    ]
    for row in result["one_group"]:
        memory = row["peak_arrays"]["polymode"]
        lines.append(
            f"| `{row['divergence']}` | {spread(row['ratio'], '.1f')} | {memory:.1f} "
            f"(`log_softmax`: {row['peak_arrays']['log_softmax']:.1f}) |"
        )
    sizes = sorted({row["samples"] for row in result["sizes"]})
    heads = " | ".join(f"10^{len(str(n)) - 1}" for n in sizes)
    lines += ["", f"| ns per sample, ragged groups | {heads} |", "|---|" + "---|" * len(sizes)]
    for name in dict.fromkeys(row["divergence"] for row in result["sizes"]):
        own = {r["samples"]: r["ns_per_sample"] for r in result["sizes"] if r["divergence"] == name}
        cells = " | ".join(f"{own[n]['median']:.0f}" for n in sizes)
        lines.append(f"| `{name}` | {cells} |")
    return lines


def spread(values: Mapping[str, float], form: str) -> str:
    """Write a median with its range."""
    low, middle, high = (format(values[key], form) for key in ("min", "median", "max"))
    return f"{middle} [{low}, {high}]"


def accuracy_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Errors of polymode and failures of the alternatives, one row for each divergence."""
    (file,) = files
    lines = [
        "| divergence | hard cases | max error of log t | max error of the sum | polymode fails | "
        "scipy fails | convex solver fails, moderate cases |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in file["rows"]:
        failed = row["frac_failed"]
        scipy = [f"{x:.1%} (`{name.split('.')[-1]}`)" for name, x in failed.items() if "." in name]
        worst, solver = row["max_error_of_log_t"], row["convex_solver"]
        error = "infinite" if worst is None else f"{worst:.0e}"
        lines.append(
            f"| `{row['divergence']}` | {row['n_cases']} | {error} | "
            f"{row['max_error_of_the_sum']:.0e} | {failed['polymode']:.1%} | {', '.join(scipy)} | "
            f"{solver['frac_failed']:.1%} |"
        )
    return lines


def metric_speed_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds of each metric, and of the loop that one would write, where there is one."""
    (file,) = files
    prompts, completions = (file["workload"][key] for key in ("prompts", "completions"))
    lines = [
        f"| {prompts:,} prompts, {completions} completions each | seconds, median [min, max] "
        "| loop of the papers, seconds |",
        "|---|---|---|",
    ]
    for row in file["rows"]:
        loop = "" if row["loop"] is None else spread(row["loop"], ".1f")
        lines.append(f"| {row['part']} | {spread(row['polymode'], '.2f')} | {loop} |")
    return lines


def molecule_speed_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds of each metric, and of what one would write with RDKit."""
    (file,) = files
    lines = [
        "| one thread | seconds, median [min, max] | with RDKit | seconds | times as fast |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['part']} | {spread(row['polymode'], '.2f')} | {row['other_is']} | "
        f"{spread(row['other'], '.2f')} | {spread(row['ratio'], '.1f')} |"
        for row in file["rows"]
    ]
    return lines


def speed_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Molecules a second of each side, and how many times as fast it is as the last one."""
    (file,) = files
    lines = [
        "| side | molecules per second of the processor, median [min, max] "
        "| of the clock | times as fast, processor | clock |",
        "|---|---|---|---|---|",
    ]
    for name, row in file["rows"].items():
        kinds = ("processor", "clock")
        cells = [spread(row[f"per_second_of_{kind}"], ",.0f") for kind in kinds]
        cells += [spread(row[f"times_as_fast_{kind}"], ".1f") for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def smiles_model_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Strings a second of the processor, and how many times as fast as the plain loop."""
    (file,) = files
    lines = [
        "| one thread | side | strings per second of the processor, median [min, max] "
        "| times as fast |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['part']} | {row['side']} | {spread(row['per_second_of_processor'], ',.0f')} | "
        f"{spread(row['times_as_fast_processor'], '.2f')} |"
        for row in file["rows"]
    ]
    return lines


def oracle_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Two tables: what an oracle costs beside its components, and how busy processes are."""
    (file,) = files
    lines = [
        "| a component that costs nothing | molecules per second of the processor of this process, "
        "median [min, max] |",
        "|---|---|",
    ]
    lines += [
        f"| {row['side']} | {spread(row['per_second_of_processor'], ',.0f')} |"
        for row in file["overhead"]
    ]
    lines += [
        "",
        "| a molecule takes | oracle alone: two processes busy, median [min, max] "
        "| in a run | seconds per step |",
        "|---|---|---|---|",
    ]
    rows = {(row["milliseconds"], row["part"]): row for row in file["utilisation"]}
    for ms in dict.fromkeys(row["milliseconds"] for row in file["utilisation"]):
        alone, run = rows[ms, "oracle alone"], rows[ms, "run"]
        lines.append(
            f"| {ms} ms | {spread(alone['utilisation'], '.0%')} | "
            f"{spread(run['utilisation'], '.0%')} | {spread(run['seconds_per_step'], '.1f')} |"
        )
    return lines


def chemistry_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per task and method: diverse hits and what they cost, mean and deviation of seeds."""
    (file,) = files
    own = ("diverse_hits", "yield", "ob100", "circles_075", "scaffolds", "frac_repeats")
    lines = [
        "| task | method | seeds | diverse hits | Yield | OB100 | #Circles .75 | scaffolds "
        "| repeats | AUC top-10 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in file["lines"]:
        cells = [chemistry_cell(row, name) for name in (*own, "auc_top10")]
        head = f"| {row['task']} | {row['method']} | {row['n_seeds']} |"
        lines.append(f"{head} {' | '.join(cells)} |")
    return lines


def chemistry_cell(row: Mapping[str, Any], name: str) -> str:
    """Return a figure over seeds: a share with digits, and how many seeds have it if not all."""
    cell = row["cells"][name]
    if cell["mean"] is None:
        return "none"
    digits = 2 if name.startswith("frac") else 3 if name.startswith("auc") else 0
    text = f"{cell['mean']:.{digits}f}"
    if cell["spread"] is not None:
        text += f" ± {cell['spread']:.{digits}f}"
    few = cell["n_reached"] < row["n_seeds"]
    return f"{text} ({cell['n_reached']} of {row['n_seeds']})" if few else text


def sample_reading_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds and memory of reading recorded samples, each way in a process of its own."""
    (file,) = files
    ways = list(dict.fromkeys(row["way"] for row in file["rows"]))
    lines = [
        f"| {file['workload']['rows']:,} rows | size, MiB | "
        + " | ".join(f"{way}: seconds, peak MiB" for way in ways)
        + " |",
        "|---|---|" + "---|" * len(ways),
    ]
    for name in dict.fromkeys(row["file"] for row in file["rows"]):
        rows = [row for row in file["rows"] if row["file"] == name]
        cells = [f"{row['seconds']:.0f}, {row['peak_mib']:,.0f}" for row in rows]
        kind = name[name.index(".") :]
        lines.append(f"| `{kind}` | {rows[0]['file_mib']:,.0f} | {' | '.join(cells)} |")
    return lines


def prior_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a prior writes, and what it says of strings that it has not seen."""
    lines = ["| figure | |", "|---|---|"]
    for found in files:
        last = found["stages"][-1]
        end = last["curve"][-1]
        n_drawn, n_held_out = f"{end['n_samples']:,}", f"{last['settings']['n_held_out']:,}"
        passes = " + ".join(f"{stage['curve'][-1]['epoch']:.0f}" for stage in found["stages"])
        lines += [
            f"| valid, of {n_drawn} | {end['frac_valid']:.1%} |",
            f"| unique | {end['frac_unique']:.2%} |",
            f"| novel | {end['frac_novel']:.2%} |",
            f"| -log p of {n_held_out} strings held out | {end['held_out_nll']:.2f} nats, "
            f"{end['held_out_nll_per_token']:.3f} a token |",
            f"| passes over {last['n_train']:,} strings | {passes} |",
            f"| size | {found['n_bytes'] / 1e6:.1f} MB |",
        ]
    return lines


DESCENDED = {
    ("reverse_kl", "sequence"): "reverse KL of sequences",
    ("reverse_kl", "token"): "reverse KL of tokens",
    ("forward_kl", "token"): "forward KL of tokens",
    ("biased", "sequence"): "no KL: biased",
    ("biased", "token"): "no KL: biased",
    ("none", None): "nothing",
}
SCALES = {"none": "", "group_std": "group", "batch_std": "batch"}
HOSTS = {
    **{"trl:grpo": "TRL, GRPO", "trl:rloo": "TRL, RLOO", "verl": "verl", "openrlhf": "OpenRLHF"},
    **{"nemo_rl": "NeMo-RL", "skyrl": "SkyRL", "slime": "slime"},
}


def recipe_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many descend what; then for each recipe what it descends, how strongly, what is found."""
    rows = files[0]["rows"]
    kinds = [DESCENDED[row["divergence"], row["level"]] for row in rows]
    exact = [kind for kind, row in zip(kinds, rows, strict=True) if row["anchoring_is_exact"]]
    counts = [
        f"| {kind} | {kinds.count(kind)} | {exact.count(kind)} |"
        for kind in dict.fromkeys(DESCENDED.values())
    ]
    low, high = (f"{rate:g}" for rate in files[0]["rates"])
    lines = [
        "| the KL descends | recipes | of these, anchoring would be exact in |",
        "|---|---|---|",
        *counts,
        f"| all | {len(rows)} | {len(exact)} |",
        "",
        "| framework | recipe | KL descended | beta | beta beside a reward gap of 1, "
        f"success rate {low} | {high} | divides by deviation of | anchoring exact "
        "| errors and warnings | loss was run |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        strengths = [row["beta_eff"][rate] for rate in (low, high)]
        shown = ["varies" if b is None else f"{b:.3g}" for b in strengths]
        if row["divergence"] == "none":
            shown = ["", ""]
        codes = [*row["codes"]["error"], *row["codes"]["warning"]]
        lines.append(
            f"| {HOSTS[row['framework']]} {row['version']} | [{row['name']}]({row['source']}) | "
            f"{DESCENDED[row['divergence'], row['level']]} | {row['beta']:g} | {shown[0]} | "
            f"{shown[1]} | {SCALES[row['scale']]} | "
            f"{'yes' if row['anchoring_is_exact'] else 'no'} | {', '.join(codes)} | "
            f"{'no' if row['evidence'] == 'read' else 'yes'} |"
        )
    return lines


def truth_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Coverage and verdicts where the truth is known: all together, by factor, by quantity."""
    (file,) = files
    lines = [
        "| | cases | verdict given | right when given | intervals of some width | hold | exact |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in (("overall", "over all prompts"), ("of_prompts", "of single prompts")):
        told, found = file["verdicts"][name], file[name]["all"]
        wide = found["in"] + found["below"] + found["above"]
        lines.append(
            f"| {title} | {told['n']:,} | {told['n_told']:,} | {told['frac_right']:.1%} | "
            f"{wide:,} | {found['coverage']:.1%} | {found['exact']:,} |"
        )
    head = "given | right | intervals hold"
    lines += ["", f"| | over all prompts: {head} | single prompts: {head} |", f"|---|{'---|' * 6}"]
    for factor, rows in file["by_factor"].items():
        for row in rows:
            cells = [truth_cells(row[name]) for name in ("overall", "of_prompts")]
            value = "none" if row["value"] is None else row["value"]
            lines.append(f"| {factor.replace('_', ' ')} {value} | {' | '.join(cells)} |")
    if "changes" in file:
        lines += ["", "| change | cases | told | intervals of some width | hold | exact |"]
        lines.append("|---|---|---|---|---|---|")
    for change, found in file.get("changes", {}).items():
        all_of = found["all"]
        wide = all_of["in"] + all_of["below"] + all_of["above"]
        lines.append(
            f"| {change} | {found['n']:,} | {found['n_told']:,} | {wide:,} | "
            f"{percent(all_of['coverage'])} | {all_of['exact']:,} |"
        )
    lines += ["", "| quantity | over all prompts | single prompts |", "|---|---|---|"]
    both = [file[name]["by_quantity"] for name in ("overall", "of_prompts")]
    for quantity in both[0]:
        cells = [percent(table[quantity]["coverage"]) for table in both]
        lines.append(f"| {quantity.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def truth_cells(row: Mapping[str, Any]) -> str:
    """Return how many verdicts were given, how many right, and how many intervals held."""
    return f"{row['n_told']:,} of {row['n']:,} | " + " | ".join(
        percent(row[name]) for name in ("frac_right", "coverage")
    )


def percent(value: float | None) -> str:
    """Return a share, nothing where there is none."""
    return "" if value is None else f"{value:.1%}"


def bootstrap_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Coverage and width of each way to an interval, by what it is about."""
    (file,) = files
    ways = list(dict.fromkeys(row["way"] for row in file["rows"]))
    lines = [
        f"| intervals about | modes are | cases | {' | '.join(f'{way}: hold' for way in ways)} |",
        f"|---|---|---|{'---|' * len(ways)}",
    ]
    for about, modes in dict.fromkeys((row["about"], row["modes"]) for row in file["rows"]):
        rows = [row for row in file["rows"] if (row["about"], row["modes"]) == (about, modes)]
        cells = " | ".join(percent(row["coverage"]) for row in rows)
        lines.append(f"| {about} | {modes} | {rows[0]['n_cases']} | {cells} |")
    return lines


def prediction_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a diagnosis of the base model says, the exact optimum, and what training ended in."""
    (file,) = files
    lines = [
        "| task | | good, diagnosed | exact | after training | answers, diagnosed | exact "
        "| after training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in file["rows"]:
        for method, found in row["predicted"].items():
            cells: list[str] = []
            for figure, form in (("mass_good", ".3f"), ("effective_modes_good", ".2f")):
                value, low, high = (format(x, form) for x in found[figure])
                runs = [run[figure] for run in row["measured"] if run["method"] == method]
                cells += [f"{value} [{low}, {high}]", format(row["exact"][method][figure], form)]
                cells.append(", ".join(format(x, form) for x in runs))
            lines.append(f"| {row['task']} | {method} | {' | '.join(cells)} |")
    return lines


def diagnosis_speed_rows(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds and memory of a diagnosis, each size in a process of its own."""
    (file,) = files
    lines = [
        "| samples | prompts | modes are | seconds of one core | for each 10^6 samples "
        "| memory beside the samples, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in file["rows"]:
        each = 1e6 * row["seconds"] / row["samples"]
        what = "outputs" if row["kind"] == "outputs" else "of several outputs"
        lines.append(
            f"| {row['samples']:,} | {row['prompts']:,} | {what} | {row['seconds']:.1f} | "
            f"{each:.1f} | {row['peak_mib']:,.0f} |"
        )
    return lines


KINDS: dict[str, Callable[[Sequence[Mapping[str, Any]]], list[str]]] = {
    "benchmarks/accuracy/targets.py": accuracy_rows,
    "benchmarks/science/audit_recipes.py": recipe_rows,
    "benchmarks/science/chemistry/diverse_hits.py": chemistry_rows,
    "benchmarks/science/chemistry/pmo.py": chemistry_rows,
    "benchmarks/science/chemistry/prior.py": prior_rows,
    "benchmarks/science/chemistry/proxy.py": chemistry_rows,
    "benchmarks/science/demo.py": demo_rows,
    "benchmarks/science/diagnose.py": truth_rows,
    "benchmarks/science/diagnose_bootstrap.py": bootstrap_rows,
    "benchmarks/science/diagnose_demo.py": prediction_rows,
    "benchmarks/science/language/countdown.py": countdown_rows,
    "benchmarks/science/language/picking.py": picking_rows,
    "benchmarks/speed/anchoring.py": anchoring_rows,
    "benchmarks/speed/metrics.py": metric_speed_rows,
    "benchmarks/speed/molecules.py": molecule_speed_rows,
    "benchmarks/speed/diagnose.py": diagnosis_speed_rows,
    "benchmarks/speed/hook.py": hook_rows,
    "benchmarks/speed/chemistry_run.py": speed_rows,
    "benchmarks/speed/oracles.py": oracle_rows,
    "benchmarks/speed/reinvent.py": speed_rows,
    "benchmarks/speed/smiles_models.py": smiles_model_rows,
    "benchmarks/speed/recorded_samples.py": sample_reading_rows,
    "benchmarks/speed/shared_prompts.py": shared_prompt_rows,
    "benchmarks/speed/targets.py": target_speed_rows,
    "polymode paper figures": plateau_rows,
}

if __name__ == "__main__":
    sys.exit(main())
