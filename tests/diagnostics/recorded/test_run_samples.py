"""Samples of runs, as the programs that wrote them left them."""

import json

import numpy as np
import pytest

from polymode.diagnostics import SampleOptions, read_samples
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
    assert samples.notes[0] == "completions of steps 2 to 3, 2 tables"


def test_training_runs_of_trl_lack_the_reference(trl_home):
    with pytest.raises(InputError, match=r"no column 'ref_log_prob' .or add it: `polymode score`"):
        read_samples(trl_home / "plain")


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
