"""Directories of runs on molecules made by hand, without a model: files as a run leaves them."""

import json

import numpy as np

RINGS = ("c1ccccc1", "c1ccncc1", "C1CCNCC1", "c1ccc2ccccc2c1", "C1CCOC1", "c1ccsc1", "C1CC1")
HEADS = ("CC", "CCO", "N#C", "FC", "ClC", "CS(=O)(=O)", "O=C(O)", "NC(=O)", "C=C", "COC", "BrC")

CONFIG = """
[prior]
model = {prior}
[learner]
objective = "log_variance"
sigma = 60.0
[target]
name = "anchored_modes"
threshold = {threshold}
[modes]
kind = "{kind}"
distance = 0.7
[alert]
window = 20
repeats = 0.8
effective_scaffolds = 4.0
[oracle]
budget = {budget}
[[oracle.components]]
type = "qed"
name = {component}
"""


def molecules():
    """Some 77 molecules with seven scaffolds, as canonical SMILES."""
    from polymode.metrics.molecules import distinct_molecules

    return distinct_molecules([head + ring for head in HEADS for ring in RINGS])


def rows_of(names, rewards, *, n_steps, component):
    """Every molecule once and then again, and an invalid string at the end of each step."""
    n = len(names)
    step = np.sort(np.arange(n) % n_steps) + 1
    table = {
        "step": np.concatenate([step, step, np.arange(1, n_steps + 1)]),
        "smiles": [*names, *names, *["C1CC"] * n_steps],
        "canonical": [*names, *names, *[None] * n_steps],
        "reward": np.concatenate([rewards, rewards, np.zeros(n_steps)]),
        "log_prob": np.full(2 * n + n_steps, -20.0),
        "ref_log_prob": np.full(2 * n + n_steps, -22.5),
        "valid": np.arange(2 * n + n_steps) < 2 * n,
        "new": np.arange(2 * n + n_steps) < n,
        "status": [*["ok"] * (2 * n), *["invalid"] * n_steps],
        f"raw/{component}": np.concatenate([rewards, rewards, np.full(n_steps, np.nan)]),
        f"score/{component}": np.concatenate([rewards**2, rewards**2, np.full(n_steps, np.nan)]),
    }
    order = np.argsort(table["step"], kind="stable")
    return {
        name: [column[row] for row in order] if isinstance(column, list) else column[order]
        for name, column in table.items()
    }


def made_run(
    path,
    *,
    names=None,
    rewards=None,
    threshold=0.5,
    n_steps=12,
    kind="none",
    component="qed",
    prior="zinc250k",
    budget=100,
    alerts=(),
    result=True,
    losses=(),
    kept=None,
    modes=None,
):
    """Write a run; molecules are kept up to step `kept`, as a killed run leaves them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = molecules() if names is None else names
    rewards = np.linspace(0, 1, len(names)) if rewards is None else np.asarray(rewards, float)
    (path / "molecules").mkdir(parents=True)
    content = {"prior": json.dumps(prior), "component": json.dumps(component), "kind": kind}
    (path / "config.toml").write_text(CONFIG.format(threshold=threshold, budget=budget, **content))
    table = rows_of(list(names), rewards, n_steps=n_steps, component=component)
    table["mode"] = [
        None if name is None or not reward >= threshold else (modes or {}).get(name, "0")
        for name, reward in zip(table["canonical"], table["reward"], strict=True)
    ]
    whole = pa.table(table)
    step = table["step"]
    there = step <= (n_steps if kept is None else kept)
    for first, last in ((1, n_steps // 2), (n_steps // 2 + 1, n_steps)):
        part = whole.filter(pa.array(there & (step >= first) & (step <= last)))
        if len(part):
            pq.write_table(part, path / "molecules" / f"molecules_{last:06d}.parquet")
    (path / "metrics.jsonl").write_text("".join(metrics_of(table, threshold, n_steps)))
    if alerts:
        lines = [json.dumps({"step": step, "alert": text}) + "\n" for step, text in alerts]
        (path / "alerts.jsonl").write_text("".join(lines))
    if result:
        oracle = {"ok": 10, "calls": len(names), f"{component}/timed_out": len(losses)}
        text = {"stopped": "steps", "steps": n_steps, "losses": list(losses), "oracle": oracle}
        (path / "result.json").write_text(json.dumps(text))
    return path


def metrics_of(table, threshold, n_steps):
    """Lines of the log; modes are known from the second step on, as in a run."""
    new, reward, step = (np.asarray(table[name]) for name in ("new", "reward", "step"))
    for at in range(1, n_steps + 1):
        before = new & (step <= at)
        hits = int((reward[before] >= threshold).sum())
        row = {
            "step": at,
            "n_calls": int(before.sum()),
            "n_samples": int((step <= at).sum()),
            "reward/mean": float(reward[step == at].mean()),
            "reward/best": float(reward[before].max()),
            "samples/frac_valid": 0.9,
            "samples/frac_hits": hits / 100,
            "samples/frac_repeats": 0.5,
            "hits/total": hits,
            "hits/scaffolds": min(hits, 7),
            "hits/circles": min(hits, 5),
            "hits/ref_log_prob_spread": None if not hits else 3.0,
            "diversity/effective_scaffolds": 6.5,
            "kl/to_prior": 0.1 * at,
            "seconds": 0.5,
        }
        if at > 1:
            row |= {
                "target/modes": at,
                "target/effective_modes_promised": 0.8 * at,
                "target/effective_modes_measured": 0.5 * at,
                "target/mode_distance": 0.25,
                "target/frac_modes_used_up": 0.1,
            }
        yield json.dumps(row) + "\n"
