"""Settings of the whole test run."""

import importlib.util
import os

from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.getenv("HYPOTHESIS_PROFILE", "dev"))

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # small matrices lose by sharing cores, and tests run side by side
