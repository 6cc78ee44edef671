"""What "auto" becomes, and that a run goes on in what it began in."""

import json
from types import SimpleNamespace

import pytest
import torch

from polymode.errors import InputError
from polymode.language import demo, dtypes, evaluation, training
from polymode.language.demo_run import DemoSettings
from polymode.language.dtypes import kept_dtype, sampling_dtype, settled, torch_dtype
from polymode.language.evaluation_settings import EvaluationSettings
from polymode.language.loading import load_model
from polymode.language.recipe import check_recipe
from polymode.language.scoring import run as scoring
from polymode.language.scoring.settings import ScoreSettings
from polymode.language.training import train_language

SILENT = SimpleNamespace(stage=lambda text: None, progress=lambda *_: None)


def machine(monkeypatch, dtype):
    """Pretend that the processor multiplies fast in a type."""
    for module in (demo, training, dtypes):
        monkeypatch.setattr(module, "fast_dtype", lambda *_: dtype)


def recipe(model, *, steps, **section):
    return check_recipe(
        {
            "model": {"name": model, "lora_rank": 2, **section},
            "data": {"source": "one-or-two", "size": 8},
            "method": {"name": "plain", "beta": 0.2},
            "trainer": {
                "max_steps": steps,
                "num_generations": 2,
                "per_device_train_batch_size": 2,
                "max_completion_length": 4,
                "save_steps": 1,
                "gradient_checkpointing": False,
                "disable_tqdm": True,
            },
        }
    )


def test_auto_is_what_was_kept_then_the_default():
    assert settled("bfloat16", "float32", lambda: "float32") == "bfloat16"
    assert settled("auto", "bfloat16", lambda: "float32") == "bfloat16"
    assert settled("auto", None, lambda: "float32") == "float32"
    assert settled("auto", "auto", lambda: "float32") == "float32"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 1}', '{"model": {"dtype": 2}}'])
def test_a_damaged_file_keeps_no_dtype(text, tmp_path):
    assert kept_dtype(tmp_path, "model", "dtype") is None
    (tmp_path / "settings.json").write_text(text)
    assert kept_dtype(tmp_path, "model", "dtype") is None


@pytest.mark.parametrize(("cuda", "fast", "expected"), [(False, "float32", "float32")] + [
    (cuda, fast, "checkpoint")
    for cuda, fast in ((False, "bfloat16"), (True, "bfloat16"), (True, "float32"))
])  # fmt: skip
def test_only_slow_processors_leave_the_type_of_a_checkpoint(cuda, fast, expected, monkeypatch):
    machine(monkeypatch, fast)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert sampling_dtype() == expected


def test_names_become_types():
    assert torch_dtype("bfloat16") is torch.bfloat16
    assert torch_dtype("checkpoint") == "auto"  # as transformers calls it


def test_a_training_says_what_it_computes_in_and_goes_on_in_it(tiny_model, tmp_path, monkeypatch):
    out, seen = tmp_path / "run", []

    def load(name, *, dtype):
        seen.append(dtype)
        return load_model(name, dtype=dtype)

    monkeypatch.setattr(training, "load_model", load)
    machine(monkeypatch, "bfloat16")
    assert train_language(recipe(tiny_model, steps=1), out)["dtype"] == "bfloat16"
    assert "dtype: bfloat16" in (out / "recipe.yaml").read_text()
    assert kept_dtype(out, "model", "dtype") == "bfloat16"
    machine(monkeypatch, "float32")  # the run is taken to another machine
    result = train_language(recipe(tiny_model, steps=2), out, resume=True)
    assert result["dtype"] == "bfloat16"
    assert result["resumed_from"] == "checkpoint-1"
    assert seen == [torch.bfloat16, torch.bfloat16]
    with pytest.raises(InputError, match="started with other settings: model was"):
        train_language(recipe(tiny_model, steps=2, dtype="float32"), out, resume=True)


@pytest.mark.parametrize(("rank", "dtype"), [(0, "float32"), (2, "bfloat16")])
def test_all_weights_are_trained_in_float32_whatever_is_fast(
    rank, dtype, tiny_model, tmp_path, monkeypatch
):
    machine(monkeypatch, "bfloat16")
    found = train_language(recipe(tiny_model, steps=1, lora_rank=rank), tmp_path / "run")
    assert found["dtype"] == dtype


def test_a_demo_goes_on_in_what_it_began_in(tiny_model, tmp_path, monkeypatch):
    out = tmp_path / "run"
    settings = DemoSettings(model=tiny_model, steps=1, group_size=4, n_samples=4)
    seen = []

    def load(name, *, dtype):
        seen.append(dtype)
        return load_model(name, dtype=dtype)

    monkeypatch.setattr(demo, "load_model", load)
    machine(monkeypatch, "bfloat16")
    assert demo.run_demo(settings, out, SILENT)["settings"]["dtype"] == "bfloat16"
    assert seen == [torch.float32, torch.bfloat16, torch.bfloat16]  # to measure, to train twice
    (out / "anchored.json").unlink()
    machine(monkeypatch, "float32")
    result = demo.run_demo(settings, out, SILENT, resume=True)
    assert result["settings"]["dtype"] == "bfloat16"
    assert seen[-1] is torch.bfloat16


@pytest.fixture
def rounded_model(tiny_model, tmp_path):
    """The tiny model with its weights in bfloat16."""
    from polymode.language.loading import load_tokenizer

    load_model(tiny_model, dtype=torch.bfloat16).save_pretrained(tmp_path / "rounded")
    load_tokenizer(tiny_model).save_pretrained(tmp_path / "rounded")
    return str(tmp_path / "rounded")


def test_an_evaluation_goes_on_in_what_it_began_in(rounded_model, tmp_path, monkeypatch):
    out = tmp_path / "run"
    settings = EvaluationSettings(
        models=(rounded_model,), tasks=("die",), samples=2, max_new_tokens=3, embedder="none"
    )
    drawn = {}
    for dtype in ("float32", "bfloat16"):
        machine(monkeypatch, dtype)
        result = evaluation.evaluate(settings, tmp_path / dtype, SILENT)
        drawn[dtype] = (tmp_path / dtype / "samples.jsonl").read_text()
        assert result["settings"]["dtype"] == {"float32": "float32"}.get(dtype, "checkpoint")
    assert drawn["float32"] != drawn["bfloat16"]  # log-probabilities, at the least
    machine(monkeypatch, "float32")
    evaluation.evaluate(settings, out, SILENT)
    (out / "samples.jsonl").unlink()
    machine(monkeypatch, "bfloat16")
    result = evaluation.evaluate(settings, out, SILENT, resume=True)
    assert result["settings"]["dtype"] == "float32"
    assert (out / "samples.jsonl").read_text() == drawn["float32"]


def test_scores_are_all_of_one_type(rounded_model, tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    path.write_text('{"prompt": "ab", "output": "cd"}\n' * 2)
    settings = ScoreSettings(samples=path, model=rounded_model)
    found = {}
    for fast, dtype in (("float32", "float32"), ("bfloat16", "checkpoint")):
        machine(monkeypatch, fast)
        assert scoring.score_samples(settings, SILENT).dtype == dtype
        found[fast] = [json.loads(line) for line in settings.target.read_text().splitlines()]
        settings.target.unlink()
    assert found["float32"] != found["bfloat16"]

    machine(monkeypatch, "float32")
    monkeypatch.setattr(scoring, "_N_ROWS", 1)
    stop = SimpleNamespace(stage=lambda text: None, progress=_stopping(after=1))
    with pytest.raises(KeyboardInterrupt):
        scoring.score_samples(settings, stop)
    machine(monkeypatch, "bfloat16")
    done = scoring.score_samples(settings, SILENT)
    assert (done.n_resumed, done.dtype) == (1, "float32")
    rows = [json.loads(line) for line in settings.target.read_text().splitlines()]
    assert rows == found["float32"]


def _stopping(*, after):
    def progress(done, total):
        if done >= after:
            raise KeyboardInterrupt

    return progress
