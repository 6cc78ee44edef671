"""Which column is which: what is mapped, what is assumed and said, what is missing."""

import numpy as np
import pytest

from polymode.diagnostics import SampleOptions, parse_columns, read_samples
from polymode.errors import InputError, MissingExtraError
from tests.diagnostics.recorded.made import ROWS, as_rows, write_csv

GOOD = ROWS[0]


def read(rows, mapping="", **options):
    return read_samples(rows, SampleOptions(columns=parse_columns(mapping), **options))


def test_names_are_mapped():
    rows = [
        {"q": r["prompt"], "a": r["output"], "s": r["reward"], "nll": -r["ref_log_prob"]}
        for r in ROWS
    ]
    samples = read(rows, "prompt=q,output=a, reward = s ,ref_log_prob=-nll")
    assert as_rows(samples) == ROWS


def test_sums_and_keys_of_several_columns():
    rows = [
        {**GOOD, "task": task, "key": key, "x": 1.0, "y": y}
        for task, key, y in (("t", 1, 2), ("t", 2, 3), ("u", 1, 4), ("t", 1, None))
    ]
    samples = read(rows, "group=task+key,reward=x+y", bad_rows="drop")
    assert samples.rewards.tolist() == [3.0, 4.0, 5.0]
    assert samples.prompt.tolist() == [0, 1, 2]
    assert list(samples.prompt_texts) == ["roll"] * 3
    assert [bad.reason for bad in samples.bad_rows] == ["reward is missing"]
    assert read(rows[:1], "reward=x+-y").rewards.tolist() == [-1.0]


def test_a_name_that_is_there_wins_over_an_expression():
    rows = [{**GOOD, "a+b": 7.0, "-a": 8.0, "a": 1.0, "b": 1.0}]
    assert read(rows, "reward=a+b").rewards.tolist() == [7.0]
    assert read(rows, "reward=-a").rewards.tolist() == [8.0]


def test_groups_tell_prompts_apart_and_conflicts_are_said():
    rows = [{**GOOD, "group": 1}, {**GOOD, "group": 2}, {**GOOD, "group": 1, "prompt": "other"}]
    samples = read(rows)
    assert samples.prompt.tolist() == [0, 1, 0]
    assert list(samples.prompt_texts) == ["roll", "roll"]
    assert "1 rows have another prompt than the first row of their group" in samples.notes
    rows = [{k: v for k, v in row.items() if k != "prompt"} for row in rows]
    assert list(read(rows).prompt_texts) == ["1", "2"]
    assert list(read(rows, "prompt=@all").prompt_texts) == ["all", "all"]


def test_everything_that_is_missing_is_one_error():
    rows = [{"prompd": "p", "output": "o", "Ref-Log-Prob": -1.0}]
    with pytest.raises(InputError) as caught:
        read(rows, "step=epoch,output=-output")
    for text in (
        "no column 'prompt'; did you mean 'prompd'?",
        "where all rows have one prompt: prompt=@all",
        "no column 'reward'",
        "no column 'ref_log_prob'; did you mean 'Ref-Log-Prob'? (or add it: `polymode score "
        "SAMPLES --model REFERENCE`)",
        "step=epoch: no column 'epoch'",
        "output=-output: only log_prob, ref_log_prob, reward can be negated",
        "columns there: prompd, output, Ref-Log-Prob",
    ):
        assert text in str(caught.value)


def test_a_mapping_is_checked_before_anything_is_read():
    with pytest.raises(InputError, match=r"'rewrad' is no column .*; did you mean 'reward'"):
        parse_columns("rewrad=x")
    with pytest.raises(InputError, match="got 'reward'; columns must be OURS=THEIRS, got '=x'"):
        parse_columns("reward,=x")
    with pytest.raises(InputError, match="'logprob' is no column"):
        SampleOptions(columns={"logprob": "x"})
    with pytest.raises(InputError, match="only prompt and group can be the same in every row"):
        read(ROWS, "reward=@1")
    with pytest.raises(InputError, match="can have several columns"):
        read(ROWS, "output=prompt+output")


def test_who_drew_the_rows_is_assumed_and_said():
    samples = read(ROWS)
    assert samples.drawn_from == "reference"
    assert any("no log_prob: rows are taken as draws of the reference" in n for n in samples.notes)
    rows = [{**row, "log_prob": -0.5} for row in ROWS]
    samples = read(rows)
    assert samples.drawn_from == "policy"
    assert any("taken as draws of the policy" in note for note in samples.notes)
    samples = read(rows, drawn_from="reference")
    assert (samples.drawn_from, samples.log_probs.tolist()) == ("reference", [-0.5] * 4)
    assert not any("taken as draws" in note for note in samples.notes)
    with pytest.raises(InputError, match="draws of the policy need its log-probabilities"):
        read(ROWS, drawn_from="policy")


def test_the_policy_that_drew_draws_of_the_reference_is_the_reference():
    rows = [{k.replace("ref_", ""): v for k, v in row.items()} for row in ROWS]
    samples = read(rows, drawn_from="reference")
    assert samples.ref_log_probs.tolist() == [-1.5, -2.0, -0.25, -1.5]
    assert samples.log_probs is None
    assert "the reference drew the rows, hence log_prob is ref_log_prob" in samples.notes
    with pytest.raises(InputError, match="no column 'ref_log_prob'"):
        read(rows)


def first_letter(text):
    return text[0]


def fails(text):
    raise KeyError(text)


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        (None, ["6", None, "6", "6.5"]),
        ("mode", ["6", None, "6", "6.5"]),
        ("other", ["a", "b", "a", "a"]),
        ("exact", ["six", "one", "six", "six"]),
        ("regex:(s)", ["s", None, "s", "s"]),
        (first_letter, ["s", "o", "s", "s"]),
        ("tests.diagnostics.recorded.test_columns:first_letter", ["s", "o", "s", "s"]),
    ],
)
def test_modes_are_a_column_or_a_function(mode, names):
    rows = [
        {**row, "mode": key, "other": other}
        for row, key, other in zip(ROWS, (6, None, 6.0, 6.5), "abaa", strict=True)
    ]
    samples = read(rows, mode=mode)
    found = [None if m < 0 else samples.mode_names[m] for m in samples.modes.tolist()]
    assert found == names
    assert any("have no mode: no answer" in n for n in samples.notes) == (None in names)


def test_modes_from_text_files_and_without_any(tmp_path):
    rows = [{**row, "mode": mode} for row, mode in zip(ROWS, ("x", "", "x", "y"), strict=True)]
    samples = read_samples(write_csv(tmp_path / "s.csv", rows))
    assert samples.modes.tolist() == [0, -1, 0, 1]
    samples = read(ROWS)
    assert samples.modes is None
    assert any("every distinct output is a mode of its own" in note for note in samples.notes)


def test_modes_that_cannot_be_had():
    with pytest.raises(InputError, match="mode key failed on the output 'six': KeyError: 'six'"):
        read(ROWS, mode=fails)
    with pytest.raises(InputError, match=r"mode key must be exact.*; nor is it a column .prompt"):
        read(ROWS, mode="nothing")
    rows = [{**GOOD, "mode": ["a"]}, {**GOOD, "mode": "b"}]
    samples = read(rows, bad_rows="drop")
    assert samples.bad_rows[0].reason == "mode is neither text nor a number"

    def lacks(_):
        raise MissingExtraError("rdkit", "chemistry")

    with pytest.raises(MissingExtraError, match=r"polymode\[chemistry\]"):
        read(ROWS, mode=lacks)


def test_messages_become_texts():
    rows = [
        {**GOOD, "prompt": [{"role": "user", "content": "roll"}], "output": {"content": "six"}},
        {**GOOD, "output": [{"role": "assistant", "content": [{"type": "text", "text": "six"}]}]},
    ]
    assert as_rows(read(rows)) == [GOOD, GOOD]


def test_log_probabilities_that_disagree_are_said():
    near = [{**GOOD, "ref_log_prob": x} for x in (-1.5, -1.55, -1.5)]
    assert not any("differ between rows" in note for note in read(near).notes)
    far = [*near, {**GOOD, "ref_log_prob": -2.0}, {**GOOD, "prompt": "other", "ref_log_prob": -9.0}]
    (note,) = (note for note in read(far).notes if "differ between rows" in note)
    assert note.startswith("1 of 2 outputs have")
    assert "by up to 0.5 nats" in note
    assert any("differ between" in note for note in read(near, tolerance=0.01).notes)


def test_outputs_can_be_kept_short():
    rows = [{**GOOD, "output": text} for text in ("a" * 50, "a" * 50 + "b", "a" * 50)]
    samples = read(rows, keep_characters=10, mode="regex:b")
    assert samples.output.tolist() == [0, 1, 0]
    assert list(samples.output_texts) == ["a" * 10] * 2
    assert samples.modes.tolist() == [-1, 0, -1]  # found in whole texts
    assert "outputs are shown up to character 10" in samples.notes


def test_numbers_of_every_kind_are_read():
    pa = pytest.importorskip("pyarrow")
    from decimal import Decimal

    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    for rewards in (
        np.array([1, 0, 1, 0], dtype=np.int8),
        np.array([1, 0, 1, 0], dtype=np.float16),
        np.array([1, 0, 1, 0], dtype=bool),
        [True, 0, 1.0, Decimal(0)],
        [np.float32(1), np.int64(0), np.bool_(True), 0],
    ):
        assert read({**columns, "reward": rewards}).rewards.tolist() == [1.0, 0.0, 1.0, 0.0]
    table = pa.table({**columns, "reward": pa.array([1, 0, None, 0], pa.float16())})
    samples = read(table, bad_rows="drop")
    assert samples.rewards.tolist() == [1.0, 0.0, 0.0]
    assert samples.bad_rows[0].examples == ("row 3",)


def test_a_diagnosis_reads_what_it_is_given():
    """By a column of modes and by a mode key it finds the same as from samples read before."""
    pytest.importorskip("arviz_stats")
    from polymode import diagnose

    rng = np.random.default_rng(0)
    rows = [
        {"prompt": "p", "output": f"{i} {i % 3}", "reward": 1.0, "ref_log_prob": -4.0, "own": i % 3}
        for i in rng.integers(50, size=64).tolist()
    ]
    settings = {"beta": 0.1, "threshold": 0.5, "n_rounds": 20}
    before = diagnose(read(rows, mode="last_number"), **settings)
    mapped = [{**row, "answer": row["output"]} for row in rows]
    reading = SampleOptions(columns={"output": "answer"})
    for found in (
        diagnose(rows, mode="own", **settings),
        diagnose(mapped, mode="last_number", reading=reading, **settings),
    ):
        assert found.verdict == before.verdict
        assert found.samples.n_modes == before.samples.n_modes == 3
