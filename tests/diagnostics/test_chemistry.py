"""Runs on molecules as their directories tell them: what is read, and what it is found to say."""

import json
import math

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("rdkit")

from polymode.diagnostics import read_runs
from polymode.diagnostics.chemistry import molecule_findings, read_molecule_run
from polymode.errors import InputError
from tests.report.made_run import made_run

# Five molecules of three scaffolds; 2 and 3 are far apart, 0 and 1 are near each other.
NAMES = ("Cc1ccccc1", "CCc1ccccc1", "O=C(O)C1CCNCC1", "CCCCCC", "FC1CC1")
REWARDS = (0.6, 0.9, 0.7, 0.2, math.nan)


@pytest.fixture
def run(tmp_path):
    return read_molecule_run(made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5))


def test_calls_are_the_first_draws_in_their_order(run):
    assert run.calls.smiles == NAMES
    np.testing.assert_array_equal(run.calls.rewards, REWARDS)
    assert run.calls.steps.tolist() == [1, 2, 3, 4, 5]
    assert (run.calls.n_samples, run.calls.n_valid) == (15, 10)
    np.testing.assert_array_equal(run.raw["qed"], REWARDS)
    np.testing.assert_array_equal(run.scores["qed"], np.square(REWARDS))
    assert run.statuses == {"ok": 10, "invalid": 5}
    assert run.modes == ("0", "0", "0", None, None)


def test_figures_are_columns_with_nan_where_there_is_none(run):
    assert run.metrics["step"].tolist() == [1, 2, 3, 4, 5]
    assert run.metrics["target/modes"].tolist()[1:] == [2, 3, 4, 5]
    assert math.isnan(run.metrics["target/modes"][0])
    assert run.last("target/mode_distance") == 0.25
    assert math.isnan(run.last("no such figure"))
    assert (run.name, run.n_steps, run.threshold) == ("run", 5, 0.5)
    assert run.notes == ()


def test_findings_by_hand(run):
    """Hits are 0, 1 and 2: two with a benzene ring, at 2/3; entropy of (2/3, 1/3) is .6365."""
    found = molecule_findings(run)
    assert found.hits.tolist() == [0, 1, 2]
    assert found.subject == "hits"
    assert found.burden[1] == 1
    assert all(math.isnan(found.burden[n]) for n in (10, 100))
    assert [(s.smiles, s.members) for s in found.scaffolds] == [
        ("c1ccccc1", (1, 0)),
        ("C1CCNCC1", (2,)),
    ]
    assert [s.share for s in found.scaffolds] == pytest.approx([2 / 3, 1 / 3])
    assert found.effective_scaffolds == pytest.approx(math.exp(0.6365), rel=1e-4)
    # The Tanimoto similarity of toluene and ethylbenzene is 7 of 18 bits: one cluster, one circle.
    assert [cluster.members for cluster in found.clusters] == [(1, 0), (2,)]
    assert found.n_circles == 2
    assert found.clustered_by == "sphere exclusion, Tanimoto distance 0.7"
    assert found.end == "healthy"


def test_clusters_are_the_modes_of_the_run_where_it_has_them(tmp_path):
    modes = {NAMES[0]: "4", NAMES[1]: "2", NAMES[2]: "4"}
    made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5, kind="cluster", modes=modes)
    found = molecule_findings(read_molecule_run(tmp_path / "run"))
    assert [(c.label, c.members) for c in found.clusters] == [("2", (1,)), ("4", (2, 0))]
    assert found.clustered_by == "cluster modes of the run, Tanimoto distance 0.7"


def test_without_a_hit_the_best_molecules_are_looked_at(tmp_path):
    made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5, threshold=0.95)
    found = molecule_findings(read_molecule_run(tmp_path / "run"))
    assert (found.subject, len(found.hits), found.n_circles) == ("best molecules", 0, 0)
    assert [c.members for c in found.clusters] == [(1, 0), (2,), (3,)]  # not what has no reward
    assert found.scaffolds[-1].smiles == ""


@pytest.mark.parametrize(
    ("steps", "end"), [((), "healthy"), ((2, 3), "recovered"), ((4, 5), "collapsed")]
)
def test_how_it_ended_is_told_by_the_last_alert(tmp_path, steps, end):
    alerts = [(step, "frac_repeats was .9") for step in steps]
    made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5, alerts=alerts)
    assert molecule_findings(read_molecule_run(tmp_path / "run")).end == end


def test_a_killed_run_is_read_up_to_its_last_checkpoint(tmp_path):
    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5, kept=2, result=False)
    with (path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 6, "n_ca')  # it died while it wrote
    run = read_molecule_run(path)
    assert (len(run.calls), run.n_steps, run.result) == (2, 5, None)
    assert "molecules are those up to step 2, the last checkpoint" in run.notes[1]
    (path / "molecules" / "molecules_000002.parquet").unlink()
    bare = read_molecule_run(path)
    assert (len(bare.calls), bare.statuses) == (0, {})
    assert molecule_findings(bare).clusters == ()


def test_comparing_leads_to_the_page(tmp_path):
    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5)
    with pytest.raises(InputError, match="a run on molecules, which is not compared yet"):
        read_runs([str(path)])


def test_messages(tmp_path):
    with pytest.raises(InputError, match=r"holds no run .* it has no config.toml"):
        read_molecule_run(tmp_path)
    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5)

    def refused(name, content, match):
        before = (path / name).read_bytes() if (path / name).exists() else None
        (path / name).write_text(content)
        with pytest.raises(InputError, match=match):
            read_molecule_run(path)
        (path / name).unlink() if before is None else (path / name).write_bytes(before)

    refused("config.toml", "[target]\n", "not the config of a run on molecules")
    refused("config.toml", "[", "not the config of a run on molecules")
    refused("metrics.jsonl", "", "has no step yet")
    refused("metrics.jsonl", "{]\n", "metrics.jsonl cannot be read")
    refused("metrics.jsonl", "[1]\n", "object with a step on each line")
    refused("metrics.jsonl", '{"step": 1}\n', "not the log of a run on molecules: no n_calls")
    names = ("step", "n_calls", "n_samples", "hits/total", "seconds", "loss")
    words = json.dumps(dict.fromkeys(names, "much"))
    refused("metrics.jsonl", words + "\n", "else than numbers")
    refused("alerts.jsonl", json.dumps({"step": 1}) + "\n", "else than alerts")
    refused("result.json", "{}", "not the result of a run")
    refused("result.json", "{", "result.json cannot be read")
    refused("molecules/molecules_000002.parquet", "PAR1", "molecules_000002.parquet cannot be read")
