"""Evaluations end to end on a tiny model: samples, metrics, and runs that were killed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polymode import metrics
from polymode.errors import ConfigError, InputError
from polymode.language import evaluation
from polymode.language.evaluation import evaluate
from polymode.language.evaluation_settings import EvaluationSettings
from polymode.language.measures import RANGES
from polymode.language.sample_file import FIELDS, append_rows, batch_sizes, read_whole_batches

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "evaluate.md"


class Silent:
    """A front end that keeps what it is told."""

    def __init__(self):
        self.stages, self.steps = [], []

    def stage(self, text):
        self.stages.append(text)

    def progress(self, model, task, done, total):
        self.steps.append((task, done, total))


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "letters.jsonl"
    rows = [
        {"prompt": "a", "answers": ["b", "c"]},
        {"prompt": [{"role": "user", "content": "Pick."}], "answers": ["x"], "id": "chat"},
        {"prompt": "z", "answers": []},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture
def settings(tiny_model, prompts):
    return EvaluationSettings(
        models=(tiny_model,),
        prompts=prompts,
        samples=10,
        batch_size=4,
        max_new_tokens=6,
        mode_key="regex:[a-z]",
        embedder=tiny_model,  # any encoder will do
    )


def lines(out):
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


def test_samples_and_metrics_of_a_file_of_prompts(settings, tmp_path):
    screen = Silent()
    result = evaluate(settings, tmp_path / "run", screen)
    rows = lines(tmp_path / "run")
    assert len(rows) == 30
    assert set(rows[0]) == set(FIELDS)
    assert [row["prompt_id"] for row in rows[::10]] == ["1", "chat", "3"]
    assert rows[10]["prompt"] == "u:Pick.\na:"
    for row in rows:
        found = re.search("[a-z]", row["completion"])
        assert row["mode"] == (found[0] if found else None)
        good = {"1": ["b", "c"], "chat": ["x"], "3": []}[row["prompt_id"]]
        assert row["reward"] == float(row["mode"] in good)
    assert screen.steps[0] == ("letters", 0, 30)
    assert screen.steps[-1] == ("letters", 30, 30)

    kept = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert kept == json.loads(json.dumps(result))
    assert kept["schema_version"] == 1
    assert kept["settings"]["seed"] == 0
    assert {"torch", "numpy", "python", "polymode"} <= set(kept["environment"])
    (found,) = kept["results"]
    assert (found["resampled"], found["n_prompts"], found["n_samples"]) == ("prompts", 3, 10)
    assert found["skipped"] == {}
    own = {name: each["per_prompt"] for name, each in found["metrics"].items()}
    groups = np.repeat(np.arange(3), 10)
    texts, modes = [row["completion"] for row in rows], [row["mode"] for row in rows]
    rewards = np.array([row["reward"] for row in rows])
    np.testing.assert_allclose(own["reward"], rewards.reshape(3, 10).mean(1))
    np.testing.assert_allclose(own["max_at_4"], metrics.max_at_k(rewards, k=4, groups=groups))
    np.testing.assert_allclose(own["pass_at_4"], own["max_at_4"])  # rewards are 0 and 1
    np.testing.assert_allclose(own["n_modes"], metrics.n_modes(modes, groups=groups))
    ead = metrics.expectation_adjusted_distinct(texts, groups=groups)
    np.testing.assert_allclose(np.array(own["ead"], dtype=float), ead)
    assert own["answer_coverage"][2] is None  # no answer is known there
    assert found["metrics"]["answer_coverage"]["n"] == 2
    for name, each in found["metrics"].items():
        numbers = np.array(each["per_prompt"], dtype=float)
        assert each["value"] == pytest.approx(np.nanmean(numbers)), name
        assert each["low"] <= each["value"] <= each["high"], name
    sizes = {"1", "2", "4", "8", "10"}
    assert {name.rpartition("_")[2] for name in own if name.startswith("pass_at")} == sizes


@pytest.mark.parametrize("n_kept", [0, 3, 4, 9, 10, 17, 29])
def test_a_killed_evaluation_goes_on_to_the_same_samples(settings, tmp_path, n_kept):
    whole = evaluate(settings, tmp_path / "whole", Silent())
    text = (tmp_path / "whole" / "samples.jsonl").read_text()
    out = tmp_path / "killed"
    out.mkdir()
    (out / "settings.json").write_text((tmp_path / "whole" / "settings.json").read_text())
    kept = text.splitlines(keepends=True)
    (out / "samples.jsonl").write_text("".join(kept[:n_kept]) + kept[n_kept][:40])  # cut off
    resumed = evaluate(settings, out, Silent(), resume=True)
    assert (out / "samples.jsonl").read_text() == text
    assert resumed["results"] == whole["results"]


def test_a_finished_evaluation_is_measured_again_without_its_model(settings, tmp_path, monkeypatch):
    first = evaluate(settings, tmp_path / "run", Silent())
    monkeypatch.setattr(evaluation, "load_engine", None)
    again = evaluate(settings, tmp_path / "run", Silent(), resume=True)
    assert again["results"] == first["results"]


def test_seed_batch_size_temperature_and_length_decide_the_samples(settings, tmp_path):
    def texts(name, **changes):
        evaluate(replace(settings, embedder="none", **changes), tmp_path / name, Silent())
        return [row["completion"] for row in lines(tmp_path / name)]

    base = texts("base")
    assert texts("again") == base
    for number, change in enumerate(
        [{"seed": 1}, {"batch_size": 5}, {"temperature": 0.3}, {"max_new_tokens": 2}]
    ):
        assert texts(f"other-{number}", **change) != base


def test_threshold_vocabulary_and_cosine_decide_the_metrics(settings, tmp_path):
    settings = replace(settings, dtype="float32")  # as a run keeps it: never "auto"
    first = evaluate(settings, tmp_path / "run", Silent())["results"][0]["metrics"]

    def after(**changes):
        new = replace(settings, **changes)
        (tmp_path / "run" / "settings.json").write_text(json.dumps(evaluation.asdict(new)))
        found = evaluate(new, tmp_path / "run", Silent(), resume=True)
        return found["results"][0]["metrics"]

    assert after(threshold=0.0)["pass_at_1"]["value"] == 1.0
    assert after(vocabulary_size=3)["ead"]["value"] > first["ead"]["value"]
    assert after(cluster_cosine=-1.0)["distinct_clusters"]["value"] == 1.0


def test_one_prompt_is_resampled_over_its_samples(tiny_model, tmp_path):
    settings = EvaluationSettings(
        models=(tiny_model,), tasks=("die",), samples=12, max_new_tokens=3, embedder="none"
    )
    (found,) = evaluate(settings, tmp_path / "run", Silent())["results"]
    assert found["resampled"] == "samples"
    assert set(found["skipped"]) == {"semantic_diversity", "vendi_score", "distinct_clusters"}
    n_tokens = [row["n_tokens"] for row in lines(tmp_path / "run")]
    error = np.std(n_tokens, ddof=1) / np.sqrt(12)  # the jackknife of a mean
    assert found["metrics"]["n_tokens"]["standard_error"] == pytest.approx(error)
    assert found["metrics"]["n_tokens"]["n"] == 12
    for name, each in found["metrics"].items():
        low, high = RANGES[re.sub(r"(?<=_at)_\d+$", "", name)]
        assert each["low"] is None or low <= each["low"] <= each["high"] <= high
    # all 12 at once: nothing is left to tell how sure that is
    assert found["metrics"]["pass_at_12"]["standard_error"] is None


def test_what_has_no_reward_and_no_embedder_is_left_out_with_a_reason(
    settings, tmp_path, monkeypatch
):
    path = tmp_path / "open.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')

    def missing(name):
        raise InputError("nowhere to be had; `pip install …` works")

    monkeypatch.setattr(evaluation, "Embedder", missing)
    plain = replace(settings, prompts=str(path), embedder=None)
    (found,) = evaluate(plain, tmp_path / "run", Silent())["results"]
    assert found["skipped"]["vendi_score"] == "nowhere to be had; `pip install …` works"
    assert found["skipped"]["reward"] == "no known answers, and no --rewards"
    assert "answer_coverage" in found["skipped"]
    assert not {"reward", "pass_at_1", "vendi_score", "answer_coverage"} & set(found["metrics"])
    with pytest.raises(InputError, match="nowhere to be had"):  # asked for by name
        evaluate(replace(plain, embedder="some/encoder"), tmp_path / "other", Silent())


def test_every_metric_is_in_the_table_of_the_page(settings, tmp_path):
    (found,) = evaluate(settings, tmp_path / "run", Silent())["results"]
    families = {re.sub(r"(?<=_at)_\d+$", "", name) for name in found["metrics"]}
    assert families == set(RANGES)
    table = "\n".join(line for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    for name in RANGES:
        assert f"`{name}`" in table or f"`{name}_k`" in table, name


def test_all_bad_settings_at_once():
    with pytest.raises(ConfigError) as caught:
        EvaluationSettings(
            models=("a", "a"),
            tasks=("dice",),
            samples=0,
            temperature=0.0,
            threshold=float("nan"),
            cluster_cosine=2.0,
            engine="x",
            dtype="float8",
            mode_key="exakt",
            rewards="nowhere:f",
            seed=-1,
        )
    for text in (
        "models must be at least one, each named once",
        "task must be one of die, one-or-two, season, colour, countdown, reasoning_gym:NAME, got "
        "'dice'; did you mean 'die'?",
        "samples must be >= 1, got 0",
        "seed must be >= 0",
        "temperature must be a finite number > 0, got 0.0",
        "threshold must be a finite number, got nan",
        "cluster_cosine must be in [-1, 1], got 2.0",
        "dtype must be one of auto, checkpoint, float32, bfloat16, got 'float8'",
        "engine must be one of transformers, vllm",
        "did you mean 'exact'?",
        "rewards must be importable, got 'nowhere:f'",
    ):
        assert text in str(caught.value)
    with pytest.raises(ConfigError, match="nothing to evaluate on"):
        EvaluationSettings(models=("a",))
    with pytest.raises(ConfigError, match=r"tasks must have different names.*die, die"):
        EvaluationSettings(models=("a",), tasks=("die",), prompts="x/die.jsonl")


def test_directories_are_not_overwritten(settings, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        evaluate(settings, tmp_path / "run", Silent(), resume=True)
    evaluate(settings, tmp_path / "run", Silent())
    with pytest.raises(InputError, match="holds a run: --resume continues it"):
        evaluate(settings, tmp_path / "run", Silent())
    with pytest.raises(InputError, match="other settings: seed was 0, now 5"):
        evaluate(replace(settings, seed=5), tmp_path / "run", Silent(), resume=True)


def row(prompt="p", **changes):
    return {**dict.fromkeys(FIELDS, 0), "model": "m", "task": "t", "prompt_id": prompt, **changes}


def test_batches_of_a_prompt():
    assert batch_sizes(10, 4) == [4, 4, 2]
    assert batch_sizes(8, 4) == [4, 4]
    assert batch_sizes(3, 4) == [3]


def test_only_whole_batches_are_kept(tmp_path):
    path = tmp_path / "samples.jsonl"
    assert read_whole_batches(path, [2, 2, 1]) == {}
    append_rows(path, [row(n_tokens=i) for i in range(3)])
    append_rows(path, [row("q", n_tokens=i) for i in range(5)])
    found = read_whole_batches(path, [2, 2, 1])
    assert {key[2]: len(own) for key, own in found.items()} == {"p": 2, "q": 5}
    assert len(path.read_text().splitlines()) == 7
    assert read_whole_batches(path, [2, 2, 1]) == found


def test_damage_before_the_end_is_reported(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text("{\n" + json.dumps(row()) + "\n")
    with pytest.raises(InputError, match="damaged in line 1: start a new run"):
        read_whole_batches(path, [1])
    path.unlink()
    append_rows(path, [row()] * 3)
    with pytest.raises(InputError, match="too many samples"):
        read_whole_batches(path, [2])
