"""Whole runs: what they leave, how they end, and that a killed one goes on as if unharmed."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from polymode.chemistry import check_config, load_model, log_likelihood, read_config
from polymode.chemistry.learner.config_files import to_toml
from polymode.chemistry.learner.run import ChemistryRun
from polymode.errors import InputError
from tests.chemistry.learner.tiny import small_molecules

MODES = {
    "target": {"threshold": 0.6, "pressure": {"kind": "visits"}},
    "modes": {"kind": "cluster"},
    "replay": {"kind": "modes", "n": 8, "augmentation_rounds": 1},
}
REINVENT = {
    "learner": {"objective": "reinvent", "unique": True, "likelihood_penalty": 100.0},
    "target": {"name": "anchored", "threshold": 0.6},
    "modes": {"kind": "none"},
    "replay": {"kind": "top", "n": 4, "size": 10, "weights": "reward"},
    "filter": {"kind": "similarity", "bucket_size": 3},
}
OTHERS = {
    "learner": {"objective": "policy_gradient", "max_gradient_norm": 1.0},
    "target": {"name": "inverse_probability", "threshold": 0.6},
    "modes": {"kind": "murcko"},
    "replay": {"kind": "none"},
    "filter": {"kind": "same_smiles"},
}


def content(prior_file, sections=MODES, **run):
    return {
        "prior": {"model": str(prior_file)},
        "oracle": {"components": [{"type": "qed"}, {"type": "mw", "weight": 0}], "budget": 5000},
        **sections,
        "learner": {"batch_size": 16, **sections.get("learner", {})},
        "run": {"steps": 5, "checkpoint_every": 2, "tensorboard": False, **run},
    }


def started(prior_file, directory, sections=MODES, **run):
    torch.set_num_threads(1)
    return ChemistryRun(check_config(content(prior_file, sections, **run)), directory)


def table(directory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = sorted((directory / "molecules").glob("*.parquet"))
    return pa.concat_tables([pq.read_table(part) for part in parts]).to_pandas()


def metrics(directory):
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


RUNS = {"modes": MODES, "reinvent": REINVENT, "others": OTHERS}


@pytest.fixture(scope="module")
def killed_runs(prior_file, tmp_path_factory):
    """Runs that were killed behind their third step, by name."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.chemistry.learner.killed_run", "3"]
    for name, sections in RUNS.items():
        (folder / f"{name}.toml").write_text(to_toml(content(prior_file, sections)))
        command += [str(folder / f"{name}.toml"), str(folder / name)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.split() == [str(-signal.SIGKILL)] * len(RUNS)
    return {name: folder / name for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_resumed_is_uninterrupted_bit_for_bit(name, killed_runs, prior_file, tmp_path):
    whole, killed = tmp_path / "whole", killed_runs[name]
    assert len(metrics(killed)) == 3  # one step was lost, as the last checkpoint is that of step 2
    started(prior_file, whole, RUNS[name]).train()
    ChemistryRun(read_config(killed / "config.toml"), killed, resume=True).train()
    first, second = (load_model(path / "model.safetensors") for path in (whole, killed))
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name]), name
    assert metrics(whole) == metrics(killed)
    assert table(whole).equals(table(killed))
    results = [json.loads((path / "result.json").read_text()) for path in (whole, killed)]
    assert results[0] | {"seconds": 0} == results[1] | {"seconds": 0}


def test_table_says_what_happened(prior_file, tmp_path):
    pressure = {"kind": "visits", "near_misses": False}
    sections = {**MODES, "target": {"threshold": 0.6, "pressure": pressure}}
    started(prior_file, tmp_path / "run", sections, steps=3).train()
    rows = table(tmp_path / "run")
    assert list(rows.columns) == [
        *("step", "smiles", "canonical", "reward", "ref_log_prob", "log_prob", "n_tokens"),
        *("valid", "new", "n_calls", "mode", "status", "shaped_reward"),
        *("raw/qed", "raw/mw", "score/qed", "score/mw"),
    ]
    assert rows["step"].tolist() == [1] * 16 + [2] * 16 + [3] * 16
    prior = load_model(prior_file)
    with torch.no_grad():
        log_q = log_likelihood(prior, rows["smiles"].tolist()).numpy()
    np.testing.assert_allclose(rows["ref_log_prob"], log_q, atol=1e-4)
    # The first batch was drawn from the prior itself.
    np.testing.assert_allclose(rows["log_prob"][:16], log_q[:16], atol=1e-4)
    assert not np.allclose(rows["log_prob"][16:], log_q[16:], atol=1e-4)
    assert rows["n_calls"].tolist() == np.cumsum(rows["new"]).tolist()
    valid = rows[rows["valid"]]
    assert valid[~valid["canonical"].duplicated()]["new"].all()
    hits = rows["reward"] >= 0.6
    assert hits.any()
    assert rows["mode"].notna().tolist() == hits.tolist()
    below = rows[~hits]
    assert below["shaped_reward"].tolist() == below["reward"].tolist()


def test_what_is_read_of_a_run_is_what_it_said_itself(prior_file, tmp_path):
    """The reader's hits, circles, scaffolds and modes against the run's own figures."""
    pytest.importorskip("rdkit")
    from polymode.diagnostics.chemistry import molecule_findings, read_molecule_run

    started(prior_file, tmp_path / "run").train()
    run = read_molecule_run(tmp_path / "run")
    found = molecule_findings(run)
    last = metrics(tmp_path / "run")[-1]
    assert len(run.calls) == last["n_calls"]
    assert len(found.hits) == last["hits/total"] > 10
    assert found.n_circles == last["hits/circles"]
    assert len(found.scaffolds) == last["hits/scaffolds"]
    assert len(found.clusters) == last["target/modes"]
    assert found.clustered_by.startswith("cluster modes of the run")
    assert run.calls.rewards.max() == last["reward/best"]
    assert sum(run.statuses.values()) == last["n_samples"] == 5 * 16
    assert list(run.raw) == list(run.scores) == ["qed", "mw"]
    assert run.result["stopped"] == "steps"


def test_budget_ends_a_run_and_is_never_exceeded(prior_file, tmp_path):
    config = check_config(
        content(prior_file, steps=None)
        | {
            "oracle": {"components": [{"type": "qed"}], "budget": 20},
        }
    )
    result = ChemistryRun(config, tmp_path / "run").train()
    assert result["stopped"] == "budget"
    assert table(tmp_path / "run")["new"].sum() == 20
    rows = table(tmp_path / "run")
    over = (rows["status"] == "over_budget") & (rows["step"] == rows["step"].max())
    assert over.any()
    last = rows[(rows["step"] == rows["step"].max()) & rows["valid"] & ~over]
    # What the budget did not reach is no repeat.
    assert metrics(tmp_path / "run")[-1]["samples/frac_repeats"] == (~last["new"]).mean()


def test_a_run_that_only_repeats_itself_ends(tmp_path):
    """The language has 72 molecules, in 120 strings: a budget of 100 is never spent."""
    from polymode.chemistry.oracles import Component, Oracle
    from tests.chemistry.learner.toy import TabularModel, measure

    sections = {
        "oracle": {"components": [{"type": "qed"}], "budget": 100},
        "learner": {"batch_size": 40},
        "run": {"strings_per_call": 2.0, "tensorboard": False},
    }

    def ended(name, **run):
        config = check_config({**sections, "run": {**sections["run"], **run}})
        oracle = Oracle([Component("toy", measure)], budget=100)
        return ChemistryRun(config, tmp_path / name, prior=TabularModel(), oracle=oracle).train()

    result = ended("run")
    assert (result["stopped"], result["steps"]) == ("strings", 5)
    assert result["figures"]["n_samples"] == 200
    without = ended("on", strings_per_call=math.inf, steps=8)
    assert (without["stopped"], without["steps"]) == ("steps", 8)


def test_collapse_is_told_and_ends_the_run_if_asked(prior_file, tmp_path):
    # Every step has fewer than a million effective scaffolds.
    alert = {"window": 2, "effective_scaffolds": 1e6, "stop": True}
    config = check_config({**content(prior_file), "alert": alert})
    result = ChemistryRun(config, tmp_path / "run").train()
    assert (result["stopped"], result["steps"]) == ("collapse", 2)
    (line,) = (tmp_path / "run" / "alerts.jsonl").read_text().splitlines()
    assert "effective_scaffolds was" in json.loads(line)["alert"]
    config = check_config({**content(prior_file), "alert": {**alert, "stop": False}})
    assert ChemistryRun(config, tmp_path / "on").train()["stopped"] == "steps"


def test_old_checkpoints_go(prior_file, tmp_path):
    started(prior_file, tmp_path / "run", keep_checkpoints=1).train()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_000005"]


def test_a_slow_oracle_gets_checkpoints_by_the_clock(prior_file, tmp_path):
    run = started(
        prior_file, tmp_path / "run", steps=3, checkpoint_every=100, checkpoint_seconds=1e-9
    )
    run.train()
    assert len(list((tmp_path / "run" / "molecules").iterdir())) == 3


def test_figures_go_to_tensorboard(prior_file, tmp_path):
    started(prior_file, tmp_path / "run", steps=1, tensorboard=True).train()
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_what_gives_no_reward_costs_only_itself(prior_file, tmp_path):
    from polymode.chemistry.oracles import Component, Oracle

    def half(mols):
        return np.array([np.nan if mol.GetNumAtoms() % 2 else 1.0 for mol in mols])

    config = check_config(content(prior_file, steps=2))
    oracle = Oracle([Component("half", half)])
    ChemistryRun(config, tmp_path / "run", oracle=oracle).train()
    rows = table(tmp_path / "run")
    failed = rows["status"] == "failed"
    assert 0 < failed.sum() < len(rows)
    assert rows["shaped_reward"].isna().tolist() == failed.tolist()
    assert metrics(tmp_path / "run")[0]["samples/frac_lost"] == failed[:16].mean()


def test_cut_strings_are_not_learned_from(prior_file, tmp_path):
    longest = max(map(len, small_molecules()))
    sections = {**MODES, "learner": {"max_length": 6}}
    assert longest > 6
    started(prior_file, tmp_path / "run", sections, steps=1).train()
    rows = table(tmp_path / "run")
    cut = rows["status"] == "truncated"
    assert cut.sum() > 0
    assert rows["shaped_reward"][cut].isna().all()
    assert metrics(tmp_path / "run")[0]["samples/frac_cut"] == cut.mean()


def test_messages(prior_file, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        ChemistryRun(check_config(content(prior_file)), tmp_path / "new", resume=True)
    started(prior_file, tmp_path / "run", steps=1).train()
    with pytest.raises(InputError, match="holds a run already: go on with it with --resume"):
        started(prior_file, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step_000001" / "state.json").write_text("{")
    with pytest.raises(InputError, match="step_000001 cannot be read"):
        ChemistryRun(check_config(content(prior_file)), tmp_path / "run", resume=True)


def test_processes_of_the_oracle_change_nothing(prior_file, tmp_path):
    tables = []
    for workers in (0, 2):
        config = content(prior_file, steps=2)
        config["oracle"] = {**config["oracle"], "workers": workers}
        ChemistryRun(check_config(config), tmp_path / str(workers)).train()
        tables.append(table(tmp_path / str(workers)))
    assert tables[0].equals(tables[1])
