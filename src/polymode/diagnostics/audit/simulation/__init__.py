r"""The expected update of an objective, run on a toy that can be counted: seeing is believing.

1. `toy`: a tree of two tokens, with outputs of unequal length and a reference.
2. `sampling`: who draws its outputs.
3. `groups`: what an output's advantage is, in expectation over the rest of its group.
4. `update`: what every token is pushed by, the clip, the KL and an entropy bonus included.
5. `run`: step after step from the reference, until nothing moves.

Nothing is sampled: a batch enters with the probabilities of its outputs, which is what an
optimiser sees on average. The step is that of the natural gradient, without momentum.
"""

from polymode.diagnostics.audit.simulation.run import STEP, Ending, Way, simulate
from polymode.diagnostics.audit.simulation.toy import TOY, Toy

__all__ = ["STEP", "TOY", "Ending", "Toy", "Way", "simulate"]
