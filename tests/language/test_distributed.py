"""One process, two and four train alike, with prompt groups across the ranks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.language.distributed_worker import JOBS, RESUMED, STEPS

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
WORKER = Path(__file__).with_name("distributed_worker.py")
pytestmark = pytest.mark.slow  # every launch imports TRL anew, once for each process


def launch(n_processes, *arguments, config="cpu_gloo.yaml", worker=WORKER):
    """Run a worker under `accelerate launch` (gloo on the CPU), or alone."""
    command = [sys.executable]
    if n_processes > 1:
        command += ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config)]
        command += ["--num_processes", str(n_processes), "--mixed_precision", "no"]
        command += ["--main_process_port", "0"]
    command += [str(worker), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def launched(n_processes, jobs, model, out, config="cpu_gloo.yaml"):
    """Run jobs one after the other in one launch: what costs is the import of TRL."""
    launch(n_processes, model, out, *jobs, config=config)
    # Each file is named after the number of processes that the worker itself has seen.
    return {job: torch.load(out / f"{job}-{n_processes}.pt", weights_only=True) for job in jobs}


@pytest.fixture(scope="module")
def alone(tiny_model, tmp_path_factory):
    """Every job on one process."""
    return launched(1, list(JOBS), tiny_model, tmp_path_factory.mktemp("alone"))


def assert_same_training(one, many):
    """Equal where nothing is summed over ranks; within rounding elsewhere."""
    assert len(one["batches"]) == len(many["batches"]) == STEPS
    for step, (batch, other) in enumerate(zip(one["batches"], many["batches"], strict=True)):
        assert batch["modes"] == other["modes"], step
        for name in ("raw_rewards", "good", "anchor", "groups"):
            assert torch.equal(batch[name], other[name]), (step, name)
        # From the second step on, the policy's gradient was summed in another order.
        for name in ("rewards", "ref_log_probs", "regularised_log_q"):
            torch.testing.assert_close(batch[name], other[name], rtol=1e-4, atol=1e-5)
    assert one["weights"].keys() == many["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(many["weights"][name], weight, rtol=1e-4, atol=2e-5, msg=name)
    for name, weight in many["unbroken"].items():  # on the same processes, without a break
        torch.testing.assert_close(many["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)
    assert_same_anchors(one["memory"], many["memory"])
    for row, other in zip(one["log"], many["log"], strict=True):
        assert row.keys() == other.keys()
        for key in (key for key in row if key.startswith(("mara/", "target/", "diversity/"))):
            if key != "mara/hook_seconds":
                assert other[key] == pytest.approx(row[key], rel=1e-3, abs=1e-5), key


def assert_same_anchors(memory, other):
    """The same prompts' anchors, with the same reward and log q."""
    assert memory.keys() == other.keys()
    for name, values in memory.get("carried", {}).items():
        assert len(values) == 3  # one for each prompt
        assert other["carried"][name] == pytest.approx(values, rel=1e-5)


def test_the_comparison_is_not_trivial(alone):
    for job, kept in alone.items():
        first, last = kept["batches"][0], kept["batches"][-1]
        assert not torch.equal(first["raw_rewards"], last["raw_rewards"]), job
        bonus = first["rewards"] - first["raw_rewards"]
        if job.startswith("forward-kl"):  # Algorithm 2 moves the reference, not rewards of 0 or 1
            bonus = first["regularised_log_q"] - first["ref_log_probs"]
        moved = first["raw_rewards"] > 0 if job.startswith("unlikeliness") else first["good"]
        assert (bonus[moved].abs() > 0.01).any(), job


def test_a_resumed_job_is_compared_with_one_without_a_break(alone):
    kept = alone[RESUMED]
    assert [row["step"] for row in kept["log"]] == [1, 2, 3, 4, 5]
    assert kept["unbroken"].keys() == kept["weights"].keys()
    for name, weight in kept["unbroken"].items():
        assert torch.equal(kept["weights"][name], weight), name


def test_carried_anchors_matter(alone):
    # Within a batch the likeliest good mode gets no bonus; an anchor carried over gives it one.
    least = [
        (batch["rewards"] - batch["raw_rewards"])[batch["good"] & (batch["groups"] == group)].min()
        for batch in alone["modes-carried"]["batches"]
        for group in range(3)
        if (batch["good"] & (batch["groups"] == group)).any()
    ]
    assert max(least) > 0.01
    assert min(least) == 0.0


@pytest.mark.parametrize(("n_processes", "jobs"), [(2, list(JOBS)), (4, list(JOBS)[1:4])])
def test_trainers_train_alike(n_processes, jobs, alone, tiny_model, tmp_path):
    for job, kept in launched(n_processes, jobs, tiny_model, tmp_path).items():
        assert_same_training(alone[job], kept)


def test_sharded_trainers_train_alike(alone, tiny_model, tmp_path):
    # accelerate shards on GPUs only; the worker tells it that its CPU processes are such.
    jobs = launched(2, list(JOBS), tiny_model, tmp_path, "fsdp2.yaml")
    for job, kept in jobs.items():
        assert kept["distributed_type"] == "FSDP"
        assert kept["parameter_type"] == "DTensor"
        assert_same_training(alone[job], kept)
