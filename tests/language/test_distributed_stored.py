"""Two processes replay stored responses as one does."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.language import store_responses
from tests.language.runs import PROMPTS
from tests.language.test_distributed import launch

WORKER = Path(__file__).with_name("stored_worker.py")
pytestmark = pytest.mark.slow  # every launch imports TRL anew, once for each process


def assert_alike(tmp_path, kind, adapter):
    # Each file is named after the number of processes that the worker itself has seen.
    one, two = (
        torch.load(tmp_path / f"{kind}-{adapter}-{n}.pt", weights_only=True) for n in (1, 2)
    )
    assert one["modes"] == two["modes"]
    for name in ("raw_rewards", "good", "anchor"):
        assert torch.equal(one[name], two[name]), name
    # The second step follows an update, whose gradient was summed in another order.
    for name in ("rewards", "ref_log_probs"):
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-5)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(weight, two["weights"][name], rtol=1e-3, atol=1e-4, msg=name)
    for row, other in zip(one["log"], two["log"], strict=True):
        for key in ("reward", "mara/bonus_mean", "mara/bonus_max", "mara/modes_per_group"):
            assert other[key] == pytest.approx(row[key], rel=1e-4), key
    return one["log"], two["log"]


def store_for(model_dir, path):
    """Store four responses to each prompt; the first prompt is solved."""
    parts = (cls.from_pretrained(model_dir) for cls in (AutoModelForCausalLM, AutoTokenizer))

    def reward(prompts, **_):
        return [float(prompt == PROMPTS[0]) for prompt in prompts]

    dataset = Dataset.from_dict({"prompt": list(PROMPTS)})
    store_responses(*parts, dataset, reward, path=path, n=4, max_new_tokens=4, progress=False)
    return str(path)


DPH = {"dph_divergence": "jensen_shannon", "dph_eta": 1.0, "for_all_ranks": {"dph_batch": 4}}
# Three groups on two ranks: the rows of a group, and what is dealt to them, lie on both.
REFERENCE = {"regulariser": "forward_kl", "forward_kl_samples": "reference"}
# Kept in the first step, replayed in the second; modes and hence kept completions on both ranks.
REPLAY = {"replay_size": 2}


@pytest.mark.parametrize(
    ("kind", "adapter", "settings", "name"),
    [
        ("rloo", "full", DPH, "dph/divergence"),
        ("grpo", "lora", DPH, "dph/divergence"),
        ("rloo", "full", REFERENCE, "regulariser/cross_entropy"),
        ("rloo", "full", REPLAY, "replay/mass"),
    ],
)
def test_two_processes_replay_as_one_does(kind, adapter, settings, name, tiny_model, tmp_path):
    """A second forward pass through DDP before the backward one, with gradient checkpointing."""
    settings = {**settings, "gradient_checkpointing": True}
    if settings.keys() & {"dph_divergence", "forward_kl_samples"}:
        settings["stored_responses"] = store_for(tiny_model, tmp_path / "stored.jsonl")
    for n_processes in (1, 2):
        arguments = (tiny_model, tmp_path, kind, adapter, json.dumps(settings))
        launch(n_processes, *arguments, worker=WORKER)
    one, two = assert_alike(tmp_path, kind, adapter)
    assert one[1][name] > 0  # not the 0 of a term without effect
    if name != "dph/divergence":  # which is per token, hence another mean over ranks
        assert two[1][name] == pytest.approx(one[1][name], rel=1e-3)
