"""Training runs of TRL, as TRL writes them."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("trl")
pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq

from polymode.diagnostics import ReadOptions, compare_runs, read_runs
from polymode.errors import InputError, PolymodeError
from tests.language.runs import N_GENERATIONS, PROMPTS


def read(*paths, **options):
    return read_runs([str(path) for path in paths], ReadOptions(**options))


@pytest.fixture
def copy(trl_home, tmp_path):
    """A plain run that a test may spoil."""
    return shutil.copytree(trl_home / "plain", tmp_path / "plain")


def rewrite(home, step, **columns):
    """Change, add or (None) remove columns of one table."""
    file = home / "completions" / f"completions_{step:05d}.parquet"
    table = pq.read_table(file).to_pydict()
    table.update(columns)
    table = {name: column for name, column in table.items() if column is not None}
    pq.write_table(pa.table(table), file)
    return file


def test_a_run_has_samples_and_curves(trl_home):
    (run,) = read(trl_home / "plain")
    assert (run.name, run.kind) == ("plain", "trl")
    assert set(run.outcome.keys) == set(PROMPTS)
    assert len(run.outcome.rewards) == 3 * N_GENERATIONS * len(PROMPTS)
    assert set(run.outcome.rewards.tolist()) <= {0.0, 1.0}
    curves = {curve.quantity: curve for curve in run.curves}
    assert curves["reward"].steps == curves["effective_modes"].steps == (1, 2, 3)
    assert curves["kl"].steps == (1, 2, 3)


def test_rewards_are_those_before_anchoring(trl_home):
    """Ours has a column `mara` beside the reward; it counts neither in samples nor in curves."""
    (run,) = read(trl_home / "ours")
    assert set(run.outcome.rewards.tolist()) <= {0.0, 1.0}
    files = sorted((trl_home / "ours" / "completions").glob("*.parquet"))
    tables = [pq.read_table(file).to_pydict() for file in files]
    assert any(value for table in tables for value in table["mara"])
    (reward,) = (curve for curve in run.curves if curve.quantity == "reward")
    assert reward.values == pytest.approx([np.mean(table["reward"]) for table in tables])


def test_rloo_has_curves_only_and_says_why(trl_home):
    """TRL's RLOOTrainer prints completions and writes no table (1.16)."""
    assert not list((trl_home / "rloo").rglob("*.parquet"))
    (run,) = read(trl_home / "rloo")
    assert run.outcome is None
    assert {curve.quantity for curve in run.curves} == {"reward", "kl"}
    assert "RLOOTrainer" in run.notes[0]


def test_the_last_tables_are_the_outcome(trl_home):
    (run,) = read(trl_home / "plain", last=1)
    assert len(run.outcome.rewards) == N_GENERATIONS * len(PROMPTS)
    assert run.notes[0] == "figures are those of step 3 (--last)"
    (two,) = read(trl_home / "plain", last=2)
    assert two.notes[0] == "figures are those of 2 tables of steps 2 to 3 (--last)"


def test_a_mode_key_joins_completions(trl_home):
    (whole,) = read(trl_home / "plain")
    (digits,) = read(trl_home / "plain", mode_key=r"regex:(\d)")
    assert set(digits.outcome.modes) <= {None, *"0123456789"}
    assert len(set(digits.outcome.modes)) < len(set(whole.outcome.modes))
    assert any("--mode-key" in note for note in whole.notes)
    assert not any("--mode-key" in note for note in digits.notes)


def test_modes_and_log_probabilities_of_the_table_are_used(copy):
    n = N_GENERATIONS * len(PROMPTS)
    modes = ["even", None] * (n // 2)
    rewrite(copy, 3, mode=modes, log_prob=[-1.0] * n, ref_log_prob=[-3.0] * n)
    (run,) = read(copy, last=1)
    assert set(run.outcome.modes) == {"even", None}
    assert run.outcome.log_ratios.tolist() == [2.0] * n
    assert compare_runs([run]).runs[0].figures["kl"].value == pytest.approx(2.0)


def test_other_numbers_are_no_rewards(copy):
    """Reward functions may log extra columns; the trainer's log knows which are rewards."""
    n = N_GENERATIONS * len(PROMPTS)
    rewrite(copy, 3, length=[99] * n)
    (run,) = read(copy, last=1)
    assert run.outcome.rewards.max() <= 1
    shutil.rmtree(copy / "checkpoint-2")
    shutil.rmtree(copy / "checkpoint-3", ignore_errors=True)
    (blind,) = read(copy, last=1, rewards=("reward",))
    assert blind.outcome.rewards.tolist() == run.outcome.rewards.tolist()
    (both,) = read(copy, last=1)
    assert both.outcome.rewards.min() >= 99


def test_an_unknown_reward_is_told(trl_home):
    with pytest.raises(InputError, match="no reward 'rewrad', only reward"):
        read(trl_home / "plain", rewards=("rewrad",))


def test_the_same_completions_logged_twice_count_once(copy):
    table = pq.read_table(copy / "completions" / "completions_00003.parquet").to_pydict()
    table["step"] = [4] * len(table["step"])
    pq.write_table(pa.table(table), copy / "completions" / "completions_00004.parquet")
    (run,) = read(copy)
    assert len(run.outcome.rewards) == 3 * N_GENERATIONS * len(PROMPTS)


def test_samples_without_a_reward_are_left_out(copy):
    n = N_GENERATIONS * len(PROMPTS)
    rewrite(copy, 3, reward=[None, *[1.0] * (n - 1)])
    (run,) = read(copy, last=1)
    assert len(run.outcome.rewards) == n - 1
    assert f"1 of {n} samples without a reward left out" in run.notes
    rewrite(copy, 3, reward=[float("nan")] * n)
    with pytest.raises(InputError, match="no completion with a reward"):
        read(copy, last=1)


def test_conversations_are_read_as_text(copy):
    n = N_GENERATIONS * len(PROMPTS)
    prompt = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}]
    rewrite(copy, 3, prompt=[prompt] * n, completion=[[{"role": "assistant", "content": "x"}]] * n)
    (run,) = read(copy, last=1)
    assert run.outcome.texts == ("system: be short\nuser: hi",)
    assert set(run.outcome.completions) == {"x"}


def test_a_single_table_or_state_will_do(trl_home):
    home = trl_home / "plain"
    (table,) = read(home / "completions" / "completions_00002.parquet")
    assert len(table.outcome.rewards) == N_GENERATIONS * len(PROMPTS)
    (state,) = read(home / "checkpoint-2" / "trainer_state.json")
    assert state.outcome is None
    (reward,) = (curve for curve in state.curves if curve.quantity == "reward")
    assert reward.steps == (1, 2)


def test_a_truncated_table_is_told(copy):
    file = copy / "completions" / "completions_00003.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"completions_00003.parquet cannot be read .*remove it"):
        read(copy)


def test_an_empty_table_is_told(copy):
    empty = {key: [] for key in ("step", "prompt", "completion", "reward", "advantage")}
    pq.write_table(pa.table(empty), copy / "completions" / "completions_00003.parquet")
    with pytest.raises(InputError, match="is empty"):
        read(copy)


def test_tables_of_something_else_are_told(copy):
    rewrite(copy, 3, completion=None, prompt=None)
    with pytest.raises(InputError, match="must have prompt, completion"):
        read(copy)
    rewrite(copy, 3, prompt=["a"] * 18, completion=["b"] * 18, reward=None)
    with pytest.raises(InputError, match="no column of rewards"):
        read(copy)


def test_a_broken_state_is_told(copy):
    state = copy / "checkpoint-2" / "trainer_state.json"
    state.write_text(state.read_text()[:50])
    shutil.rmtree(copy / "checkpoint-3", ignore_errors=True)
    with pytest.raises(InputError, match="is not the state of a trainer"):
        read(copy)
    state.write_text(json.dumps([]))
    with pytest.raises(PolymodeError, match="is not the state of a trainer"):
        read(copy)
