"""Time whole steps of the learner on molecules against a plain loop, side by side in one process.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/chemistry_run.py [--prior FILE]

A step: 128 SMILES drawn, scored with QED, both likelihoods, REINVENT's loss, backwards, Adam, the
filter on Murcko scaffolds. Ours is `ChemistryRun` with all of its figures, tables and checks, in
float32 and, where the processor multiplies in bfloat16, with likelihoods in that. The plain loop is
what a step of REINVENT 4 does, written plainly: every row is written until the last one has ended,
with two softmaxes a token; policy and prior score the padded strings again; each SMILES is parsed
for its validity, its score and its scaffold. It keeps no figures. Sides take turns; seconds are of
the processor (all threads) and of the clock. REINVENT 4 itself beside ours: `reinvent.py`. Writes
`benchmarks/speed/results/DATE-chemistry-run.json`.
"""

import argparse
import copy
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rdkit import Chem, rdBase
from rdkit.Chem.QED import qed
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol
from timing import in_turns, keep, one_thread, rates, ratios

from polymode.chemistry import ChemistryRun, SmilesModel, check_config, load_prior
from polymode.chemistry.models import encode
from polymode.devices import fast_dtype

BATCH, STEPS, ROUNDS, LONGEST = 128, 4, 5, 128


def main() -> None:
    """Measure all sides in turns and write molecules a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prior", default="zinc250k", help="name or file of a 3 x 256 GRU")
    prior = parser.parse_args().prior
    one_thread(parser.error)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, rdBase.BlockLogs():
        sides = {"polymode": ours(prior, Path(scratch) / "exact", "float32")}
        if fast_dtype("cpu") == "bfloat16":
            sides["polymode, bfloat16"] = ours(prior, Path(scratch) / "rounded", "bfloat16")
        sides["plain loop"] = PlainLoop(load_prior(prior)).step
        seconds = in_turns(sides, rounds=ROUNDS, times=STEPS)
    plain = seconds["plain loop"]
    rows = {name: rates(own, BATCH * STEPS) | ratios(own, plain) for name, own in seconds.items()}
    workload = {"batch": BATCH, "steps": STEPS, "rounds": ROUNDS, "oracle": "qed"}
    script = "benchmarks/speed/chemistry_run.py"
    keep("chemistry-run", script, load, workload=workload, rows=rows)
    for name, row in rows.items():
        print(
            f"{name:<20} {row['per_second_of_processor']['median']:6.0f} mol/cpu-s "
            f"{row['per_second_of_clock']['median']:6.0f} mol/s   ratio "
            f"{row['times_as_fast_processor']['median']:.2f} "
            f"({row['times_as_fast_clock']['median']:.2f} by the clock)"
        )


def ours(prior: str, directory: Path, dtype: str) -> Callable[[], Any]:
    """Return the step of a run."""
    config = check_config(
        {
            "prior": {"model": prior},
            "oracle": {"components": [{"type": "qed"}]},
            "learner": {
                "objective": "reinvent",
                "sigma": 128,
                "learning_rate": 1e-4,
                "batch_size": BATCH,
                "likelihood_dtype": dtype,
            },
            "target": {"name": "plain"},
            "modes": {"kind": "none"},
            "replay": {"kind": "none"},
            "filter": {"kind": "murcko"},
            "run": {"steps": 10**6, "tensorboard": False},
        }
    )
    return ChemistryRun(config, directory).step


class PlainLoop:
    """REINVENT's step, written plainly."""

    def __init__(self, prior: SmilesModel, *, batch: int = BATCH) -> None:
        self.batch = batch
        self.prior, self.policy = prior, copy.deepcopy(prior).train()
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=1e-4)
        self.buckets: Counter[str] = Counter()

    def step(self) -> None:
        """Draw, score, learn."""
        smiles = self.draw()
        rewards = torch.tensor([self.reward(one) for one in smiles])
        tokens = encode(self.policy.vocabulary, smiles).ids
        with torch.no_grad():
            log_q = padded(self.prior, tokens)
        log_p = padded(self.policy, tokens)
        loss = ((log_q + 128 * rewards - log_p) ** 2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    @torch.no_grad()
    def draw(self) -> list[str]:
        """Write all rows until the last one has ended."""
        model: Any = self.policy
        tokens = torch.ones(self.batch, 1, dtype=torch.int64)
        columns, state = [], None
        ended = torch.zeros(self.batch, dtype=torch.bool)
        while not ended.all() and len(columns) < LONGEST:
            hidden, state = model.rnn(model.embedding(tokens), state)
            logits = model.head(hidden[:, 0]) + model.not_start
            logits.log_softmax(1)  # for the likelihood, which is computed again later
            tokens = torch.multinomial(logits.softmax(1), 1)
            columns.append(tokens[:, 0])
            ended |= tokens[:, 0] == 0
        return [model.vocabulary.decode(row) for row in torch.stack(columns, 1).tolist()]

    def reward(self, smiles: str) -> float:
        """Parse, score, parse, filter."""
        if Chem.MolFromSmiles(smiles) is None or not smiles:
            return 0.0
        mol = Chem.MolFromSmiles(smiles)
        reward = float(qed(mol))
        canonical = Chem.MolFromSmiles(Chem.MolToSmiles(mol))
        scaffold = Chem.MolToSmiles(GetScaffoldForMol(canonical))
        if reward < 0.4:
            return reward
        self.buckets[scaffold] += 1
        return 0.0 if self.buckets[scaffold] > 25 else reward


def padded(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities with every row as long as the longest."""
    before = torch.cat([torch.ones_like(ids[:, :1]), ids[:, :-1]], 1)
    hidden, _ = model.rnn(model.embedding(before))
    log_probs = (model.head(hidden) + model.not_start).log_softmax(2)
    own = log_probs.gather(2, ids[..., None])[..., 0]
    ended = (ids == 0).cumsum(1)
    return torch.where(ended - (ids == 0).long() == 0, own, 0.0).sum(1)


if __name__ == "__main__":
    main()
