"""A run that kills itself after a step, as a process of its own: CONFIG DIRECTORY STEP."""

import os
import signal
import sys
from pathlib import Path


def main(config, directory, last):
    import torch

    from polymode.chemistry import ChemistryRun, read_config

    def watch(step, figures):
        if step == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    ChemistryRun(read_config(Path(config)), directory).train(watch=watch)


if __name__ == "__main__":
    main(*sys.argv[1:])
