"""Settings of the whole test run."""

import importlib.util
import os

from hypothesis import Phase, settings

settings.register_profile("dev", max_examples=50, deadline=None)
# The same examples on every run: a hundred find what three hundred do, in a third of the time.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
# Sabotaged code only has to fail, the same way each time: nobody reads a smaller example.
settings.register_profile(
    "mutants",
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.getenv("HYPOTHESIS_PROFILE", "dev"))

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # small matrices lose by sharing cores, and tests run side by side
