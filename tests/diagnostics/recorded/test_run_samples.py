"""Samples of runs, as the programs that wrote them left them."""

import json

import numpy as np
import pytest

from polymode.diagnostics import Limits, SampleOptions, read_samples
from polymode.errors import InputError
from tests.diagnostics.recorded.made import as_rows, write_json
from tests.diagnostics.test_reinvent_runs import table, written

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def test_training_runs_of_ours_have_rewards_reference_and_modes(trl_home):
    with pytest.raises(InputError, match=r"draws of the policy need.*--drawn-from reference"):
        read_samples(trl_home / "ours")  # GRPO does not score the policy before it is rewarded
    samples = read_samples(trl_home / "ours", SampleOptions(last=2, drawn_from="reference"))
    tables = [
        pq.read_table(file).to_pylist()
        for file in sorted((trl_home / "ours" / "completions").glob("*.parquet"))
    ]
    rows = [row for rows in tables[-2:] for row in rows]
    assert samples.rewards.tolist() == [row["raw_reward"] for row in rows]
    assert samples.ref_log_probs.tolist() == [row["ref_log_prob"] for row in rows]
    assert samples.log_probs is None
    assert samples.steps.tolist() == [row["step"] for row in rows]
    names = [None if m < 0 else samples.mode_names[m] for m in samples.modes.tolist()]
    assert names == [row["mode"] for row in rows]
    assert samples.notes[:2] == ("completions of steps 2 to 3", "the reward is raw_reward")


def test_training_runs_of_trl_lack_the_reference(trl_home):
    with pytest.raises(InputError, match=r"no column 'ref_log_prob' .or add it: `polymode score"):
        read_samples(trl_home / "plain")


def test_one_table_of_trl_is_read_as_its_run_is(trl_home, tmp_path):
    """Rewards stand under the names of their functions, and are added up."""
    table = pq.read_table(trl_home / "plain" / "completions" / "completions_00003.parquet")
    n = table.num_rows
    for name, value in (("bonus", 0.25), ("ref_log_prob", -2.0), ("log_prob", -1.0)):
        table = table.append_column(name, [[value] * n])
    table = table.append_column("n_tokens", [[3] * n])  # a number, and no reward
    pq.write_table(table, tmp_path / "completions_00003.parquet")
    read = read_samples(tmp_path / "completions_00003.parquet")
    first = table.column("reward").to_pylist()
    assert read.rewards.tolist() == [value + 0.25 for value in first]
    assert read.drawn_from == "policy"
    assert "the reward is the sum of reward and bonus" in read.notes
    own = read_samples(
        tmp_path / "completions_00003.parquet", SampleOptions(columns={"reward": "bonus"})
    )
    assert set(own.rewards.tolist()) == {0.25}
    assert not any(note.startswith("the reward is") for note in own.notes)


def test_tables_of_trl_that_unpack_to_too_much_are_refused(tmp_path):
    home = tmp_path / "completions"
    home.mkdir()
    columns = {
        "step": [1] * 1000,
        "prompt": ["p"] * 1000,
        "completion": ["x" * 5000] * 1000,
        "advantage": [0.0] * 1000,
        "right": [1.0] * 1000,
    }
    file = home / "completions_00001.parquet"
    pq.write_table(pa.table(columns), file, use_dictionary=False, compression="zstd")
    assert file.stat().st_size < 100_000
    for place in (file, tmp_path):
        with pytest.raises(InputError, match=r"unpacks to .* MiB.*more than"):
            read_samples(place, SampleOptions(limits=Limits(n_bytes=2**20)))


def test_a_run_of_trl_without_tables_says_who_writes_them(trl_home):
    with pytest.raises(InputError, match=r"no table of completions: .*RLOOTrainer .* does not"):
        read_samples(trl_home / "rloo")


def test_evaluations_have_samples_of_a_model(tmp_path):
    rows = [
        {
            "model": model,
            "task": "t",
            "prompt_id": str(i),
            "prompt": "same text",
            "completion": "x",
            "reward": 1.0 if model == "a/b" else None,
            "mode": "x",
            "n_tokens": 2,
            "log_prob": -1.0 - i,
            "finished": True,
        }
        for model in ("a/b", "c")
        for i in range(2)
    ]
    write_json(tmp_path / "samples.jsonl", rows)
    (tmp_path / "evaluation.json").write_text("{}")
    (tmp_path / "settings.json").write_text(json.dumps({"models": ["a/b", "c"]}))
    with pytest.raises(InputError, match="has several models: choose one with --model: a/b, c"):
        read_samples(tmp_path)
    options = SampleOptions(model="a/b", drawn_from="reference")
    samples = read_samples(tmp_path / "samples.jsonl", options)
    assert as_rows(samples) == as_rows(read_samples(tmp_path, options))
    assert samples.ref_log_probs.tolist() == [-1.0, -2.0]
    assert samples.n_prompts == 2
    assert samples.notes[0] == "samples of a/b; log_prob is its own"
    with pytest.raises(InputError, match=r"reward is missing: 2 \(line 3; line 4\)"):
        read_samples(tmp_path, SampleOptions(model="c", drawn_from="reference"))
    with pytest.raises(InputError, match=r"no samples of 'd', only of a/b, c"):
        read_samples(tmp_path, SampleOptions(model="d"))
    (tmp_path / "settings.json").write_text(json.dumps({"models": ["a/b"]}))
    assert read_samples(tmp_path, SampleOptions(drawn_from="reference")).n_samples == 2
    (tmp_path / "settings.json").write_text("?")
    with pytest.raises(InputError, match="does not say which models were evaluated"):
        read_samples(tmp_path)


def test_chemistry_runs_have_molecules(tmp_path):
    (tmp_path / "molecules").mkdir()
    for step in range(1, 4):
        rows = [
            {
                "step": step,
                "smiles": smiles,
                "canonical": None,
                "reward": reward,
                "ref_log_prob": -20.0,
                "log_prob": -10.0 - step,
                "n_tokens": len(smiles),
                "valid": True,
                "mode": "c1ccccc1" if reward else None,
                "raw/qed": reward,
            }
            for smiles, reward in (("c1ccccc1C", 1.0), ("CC", 0.0))
        ]
        pq.write_table(
            pa.Table.from_pylist(rows), tmp_path / "molecules" / f"molecules_{step:06d}.parquet"
        )
    samples = read_samples(tmp_path, SampleOptions(last=2))
    assert list(samples.prompt_texts) == ["molecules"]
    assert samples.steps.tolist() == [2, 2, 3, 3]
    assert samples.modes.tolist() == [0, -1, 0, -1]
    assert samples.log_probs.tolist() == [-12.0, -12.0, -13.0, -13.0]
    assert list(samples.output_texts) == ["c1ccccc1C", "CC"]


def test_molecules_beyond_the_budget_are_left_out_and_told(tmp_path):
    """The oracle was not asked about them: they have no reward. A failure is another matter."""
    (tmp_path / "molecules").mkdir()
    known = {"step": 1, "ref_log_prob": -20.0, "log_prob": -11.0}
    rows = [
        {**known, "smiles": "C", "reward": 1.0, "status": "ok"},
        {**known, "smiles": "CC", "reward": None, "status": "over_budget"},
        {**known, "smiles": "CCC", "reward": 0.5, "status": "ok"},
    ]
    file = tmp_path / "molecules" / "molecules_000001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    samples = read_samples(tmp_path)
    assert samples.rewards.tolist() == [1.0, 0.5]
    assert "1 molecules drawn when the oracle's budget was spent are left out" in samples.notes
    rows[2] |= {"reward": np.nan, "status": "failed"}
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(InputError, match=r"reward is NaN: 1 \(row 3: nan\)"):
        read_samples(tmp_path)


def test_tables_of_reinvent_have_molecules_and_modes(tmp_path):
    pytest.importorskip("rdkit")
    smiles = ("OCC", "CCO", "c1ccccc1CC", "C1")
    lines = [
        written(30.0 + i, 40.0, 0.5, name, int(name != "C1"), step)
        for step in (1, 2)
        for i, name in enumerate(smiles)
    ]
    path = table(tmp_path / "stage1_1.csv", *lines)
    samples = read_samples(path, SampleOptions(last=1))
    assert samples.drawn_from == "policy"
    assert samples.ref_log_probs.tolist() == [-40.0] * 4
    assert samples.log_probs.tolist() == [-30.0, -31.0, -32.0, -33.0]
    names = [None if m < 0 else samples.mode_names[m] for m in samples.modes.tolist()]
    assert names == ["CCO", "CCO", "CCc1ccccc1", None]
    assert "modes are those of canonical (--mode-key says otherwise)" in samples.notes
    assert any("beta = 1 / sigma = 0.007812" in note for note in samples.notes)
    scaffolds = read_samples(path, SampleOptions(mode="murcko"))
    assert np.isin("c1ccccc1", list(scaffolds.mode_names))
    assert scaffolds.n_samples == 8


def test_demos_and_runs_without_tables_say_what_to_do(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(InputError, match="draw samples of its models with `polymode evaluate`"):
        read_samples(tmp_path)
    (tmp_path / "completions").mkdir()
    with pytest.raises(InputError, match="has no table of completions"):
        read_samples(tmp_path)
