"""Time drawing and scoring strings against REINVENT's way of doing it, side by side.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/smiles_models.py [--prior zinc250k]

The plain side writes every string until the last one of the batch has ended, with a softmax for
the draw and another one for the likelihood, and pads likelihoods to the longest string. The side
`products` does nothing but the products of matrices that drawing needs, for all tokens at once: the
floor of this processor in float32. Strings are drawn from the prior, all sides in turns, in one
thread. Writes
`benchmarks/speed/results/DATE-smiles-models.json`.
"""

import argparse
import copy
import os
from collections.abc import Callable
from typing import Any

import torch
from chemistry_run import PlainLoop, padded
from timing import in_turns, keep, one_thread, rates, ratios

from polymode.chemistry import SmilesModel, load_prior, log_likelihood, sample_smiles
from polymode.chemistry.models import encode
from polymode.devices import fast_dtype

ROUNDS, BATCHES, SEED = 7, (128, 512), 0
Side = Callable[[], Any]


def main() -> None:
    """Measure all parts and write rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prior", default="zinc250k", help="name or file of a GRU")
    name = parser.parse_args().prior
    one_thread(parser.error)
    load, prior, rows = os.getloadavg()[0], load_prior(name), []
    for part, n, sides in [*drawing(prior), *scoring(prior)]:
        seconds = in_turns(sides, rounds=ROUNDS)
        for side, own in seconds.items():
            row = {"part": part, "side": side, "n": n, **rates(own, n)}
            rows.append(row | ratios(own, seconds["plain"]))
            fast = rows[-1]["times_as_fast_processor"]
            print(
                f"{part:<28} {side:<10} {rows[-1]['per_second_of_processor']['median']:7.0f} mol/"
                f"cpu-s  {fast['median']:.2f} [{fast['min']:.2f}, {fast['max']:.2f}] times as fast"
            )
    keep(
        "smiles-models",
        "benchmarks/speed/smiles_models.py",
        load,
        workload={"model": prior.architecture, "rounds": ROUNDS, "seed": SEED, **shape(prior)},
        rows=rows,
    )


def shape(prior: SmilesModel) -> dict[str, float]:
    """Return how long the strings are: what padding costs hangs on it."""
    drawn = sample_smiles(prior, BATCHES[0], generator=seeded(), dtype="float32")
    lengths = drawn.n_tokens.float()
    return {"mean_tokens": float(lengths.mean()), "longest": float(lengths.max())}


def seeded() -> torch.Generator:
    """Return a source of randomness."""
    return torch.Generator().manual_seed(SEED)


def drawing(prior: SmilesModel) -> list[tuple[str, int, dict[str, Side]]]:
    """Return what is timed of drawing."""
    dtypes = ["float32", "bfloat16"] if fast_dtype("cpu") == "bfloat16" else ["float32"]
    return [
        (
            f"draw {n} strings",
            n,
            {
                **{each: drawer(prior, n, each) for each in dtypes},
                "plain": PlainLoop(prior, batch=n).draw,
                "products": products(prior, n),
            },
        )
        for n in BATCHES
    ]


def products(prior: SmilesModel, n: int) -> Side:
    """Return a call that multiplies what drawing n strings multiplies, all tokens at once.

    No way of drawing in float32 is faster on a processor: it is the floor.
    """
    drawn = sample_smiles(prior, n, generator=seeded(), dtype="float32")
    tokens = int(drawn.n_tokens.sum())
    weights = [each for name, each in prior.state_dict().items() if name in _multiplied(prior)]
    inputs = torch.ones(tokens, weights[0].shape[1])
    return lambda: [torch.mm(inputs, each.T) for each in weights]


def _multiplied(prior: Any) -> set[str]:
    """Return the names of the weights that every token is multiplied with."""
    layers = range(prior.rnn.num_layers)
    inner = {f"rnn.weight_hh_l{layer}" for layer in layers}
    return {"head.weight"} | inner | {f"rnn.weight_ih_l{layer}" for layer in layers if layer}


def drawer(prior: SmilesModel, n: int, dtype: Any) -> Side:
    """Return a call that draws strings."""
    generator = seeded()
    return lambda: sample_smiles(prior, n, generator=generator, dtype=dtype)


def scoring(prior: SmilesModel) -> list[tuple[str, int, dict[str, Side]]]:
    """Return what is timed of likelihoods, of strings that the prior has drawn."""
    n = BATCHES[0]
    smiles = sample_smiles(prior, n, generator=seeded(), dtype="float32").smiles
    ids = encode(prior.vocabulary, smiles).ids
    policy = copy.deepcopy(prior).train()

    def both(log_probs: Callable[[], torch.Tensor]) -> None:
        policy.zero_grad()
        log_probs().sum().backward()

    return [
        (
            "log p of 128 strings",
            n,
            {
                "float32": torch.no_grad()(lambda: log_likelihood(prior, smiles)),
                "plain": torch.no_grad()(lambda: padded(prior, ids)),
            },
        ),
        (
            "log p and its gradient",
            n,
            {
                "float32": lambda: both(lambda: log_likelihood(policy, smiles)),
                "plain": lambda: both(lambda: padded(policy, ids)),
            },
        ),
    ]


if __name__ == "__main__":
    main()
