"""Runs on molecules as their directories tell them: what is read, and what it is found to say."""

import json
import math

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("rdkit")

from polymode.diagnostics import ComparisonSettings, ReadOptions, compare_runs, read_runs
from polymode.diagnostics.chemistry import molecule_findings, read_molecule_run
from polymode.diagnostics.results import comparison_dict
from polymode.errors import InputError
from polymode.report.comparison import comparison_page, found_table
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


def test_a_run_to_compare_by_hand(tmp_path):
    """The last two of five steps drew molecules 3 and 4 twice each, and an invalid string each."""
    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5)
    (run,) = read_runs([str(path)], ReadOptions(last=2))
    assert (run.name, run.kind) == ("run", "chemistry")
    assert run.outcome.keys == ("molecules",)
    assert run.outcome.completions == ("CCCCCC", "CCCCCC", "C1CC", "C1CC")
    assert run.outcome.rewards.tolist() == [0.2, 0.2, 0.0, 0.0]
    assert run.outcome.modes == ("CCCCCC", "CCCCCC", None, None)
    assert run.outcome.log_ratios.tolist() == [2.5] * 4
    assert "2 of 6 samples without a reward left out" in run.notes
    assert (run.found.threshold, run.found.n_calls, run.found.n_hits) == (0.5, 5, 3)
    assert (run.found.n_circles, run.found.n_scaffolds, run.found.best) == (2, 2, 0.9)
    assert run.found.burden[1] == 1
    assert math.isnan(run.found.burden[10])
    curves = {curve.quantity: curve for curve in run.curves}
    log = read_molecule_run(path).metrics
    assert curves["hits"].steps == tuple(log["n_calls"].astype(int))
    assert curves["hits"].values == tuple(log["hits/total"])


def test_modes_of_a_comparison_are_those_that_are_asked_for(tmp_path):
    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5)
    (run,) = read_runs([str(path)], ReadOptions(mode_key="murcko", last=5))
    assert set(run.outcome.modes) == {"c1ccccc1", "C1CCNCC1", "", None}
    assert not any("--mode-key" in note for note in run.notes)


def test_what_was_drawn_beyond_the_budget_does_not_count(tmp_path):
    import pyarrow.parquet as pq

    path = made_run(tmp_path / "run", names=NAMES, rewards=REWARDS, n_steps=5)
    for part in (path / "molecules").glob("*.parquet"):
        table = pq.read_table(part)
        status = [
            "over_budget" if name == "CCCCCC" else "ok" for name in table["smiles"].to_pylist()
        ]
        column = table.schema.get_field_index("status")
        pq.write_table(table.set_column(column, "status", [status]), part)
    (run,) = read_runs([str(path)], ReadOptions(last=2))
    assert run.outcome.completions == ("C1CC", "C1CC")


def test_runs_on_molecules_share_their_threshold_and_have_a_table(tmp_path):
    for name, rewards in (("one", REWARDS), ("two", (0.1, 0.9, 0.1, 0.1, 0.1))):
        made_run(tmp_path / name, names=NAMES, rewards=rewards, n_steps=5)
    runs = read_runs([str(tmp_path / "one"), str(tmp_path / "two")])
    found = compare_runs(runs, ComparisonSettings(n_rounds=20))
    assert found.settings.threshold == 0.5
    table = found_table(found)
    assert [cell.text for cell in table.rows[0]][:5] == ["one", "3", "2", "2", "1"]
    assert [cell.text for cell in table.rows[1]][:6] == ["two", "1", "1", "1", "2", "-"]
    page = comparison_page(found)
    assert "Molecules found" in page
    assert "oracle calls" in page
    assert comparison_dict(found)["runs"][1]["found"]["n_hits"] == 1
    assert comparison_dict(found)["runs"][1]["found"]["burden"]["10"] is None
    (note,) = (
        note
        for note in compare_runs(runs, ComparisonSettings(threshold=0.8, n_rounds=20)).notes
        if "counted hits" in note
    )
    assert "from 0.5 on" in note
    assert "threshold of 0.8" in note


def test_runs_that_differ_in_calls_or_threshold_say_so(tmp_path):
    made_run(tmp_path / "one", names=NAMES, rewards=REWARDS, n_steps=5)
    short = {"names": NAMES[:3], "rewards": REWARDS[:3], "threshold": 0.65}
    made_run(tmp_path / "two", n_steps=3, **short)
    runs = read_runs([str(tmp_path / "one"), str(tmp_path / "two")])
    found = compare_runs(runs, ComparisonSettings(n_rounds=20))
    assert found.settings.threshold == 1.0
    text = " ".join(found.notes)
    assert "count hits from different rewards on: 0.5, 0.65" in text
    assert "differ in their oracle calls" in text


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
