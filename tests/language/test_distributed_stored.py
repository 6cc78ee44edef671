"""Two processes replay stored and kept responses as one does."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.language import store_responses
from tests.language.runs import PROMPTS
from tests.language.stored_worker import JOBS
from tests.language.test_distributed import launch

WORKER = Path(__file__).with_name("stored_worker.py")
pytestmark = pytest.mark.slow  # every launch imports TRL anew, once for each process
TERMS = {
    "dph-rloo": "dph/divergence",
    "dph-grpo-lora": "dph/divergence",
    "cross-entropy": "regulariser/cross_entropy",
    "replay": "replay/mass",
}


def store_for(model_dir, path):
    """Store four responses to each prompt; the first prompt is solved."""
    parts = (cls.from_pretrained(model_dir) for cls in (AutoModelForCausalLM, AutoTokenizer))

    def reward(prompts, **_):
        return [float(prompt == PROMPTS[0]) for prompt in prompts]

    dataset = Dataset.from_dict({"prompt": list(PROMPTS)})
    store_responses(*parts, dataset, reward, path=path, n=4, max_new_tokens=4, progress=False)
    return str(path)


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory):
    """Directory with every job on one process and on two: what costs is the import of TRL."""
    out = tmp_path_factory.mktemp("stored")
    stored = store_for(tiny_model, out / "stored.jsonl")
    for n_processes in (1, 2):
        launch(n_processes, tiny_model, out, stored, *JOBS, worker=WORKER)
    return out


@pytest.mark.parametrize("job", JOBS)
def test_two_processes_replay_as_one_does(job, trained):
    """A second forward pass through DDP before the backward one, with gradient checkpointing."""
    # Each file is named after the number of processes that the worker itself has seen.
    one, two = (torch.load(trained / f"{job}-{n}.pt", weights_only=True) for n in (1, 2))
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
    first, second = (side["log"][1][TERMS[job]] for side in (one, two))
    assert first > 0  # not the 0 of a term without effect
    if TERMS[job] != "dph/divergence":  # which is per token, hence another mean over ranks
        assert second == pytest.approx(first, rel=1e-3)
