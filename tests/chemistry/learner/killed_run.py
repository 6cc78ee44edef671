"""A run that kills itself after a step, as a process of its own: CONFIG DIRECTORY STEP."""

import os
import signal
import sys
from pathlib import Path

import torch

from polymode.chemistry.learner.config_files import read_config
from polymode.chemistry.learner.run import ChemistryRun

torch.set_num_threads(1)
config, directory, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def watch(step, figures):
    if step == last:
        os.kill(os.getpid(), signal.SIGKILL)


ChemistryRun(read_config(config), directory).train(watch=watch)
