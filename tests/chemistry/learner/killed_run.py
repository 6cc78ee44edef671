"""Runs that kill themselves after a step, in processes of their own: STEP CONFIG DIRECTORY …

Torch is imported once, and each run is a fork: nothing of torch has run before it.
"""

import os
import signal
import sys
from pathlib import Path


def main(last, *pairs):
    import torch  # the forks have it, and its threads are not started yet

    from polymode.chemistry import ChemistryRun, read_config

    def watch(step, figures):
        if step == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    for config, directory in zip(pairs[::2], pairs[1::2], strict=True):
        child = os.fork()
        if not child:
            ChemistryRun(read_config(Path(config)), Path(directory)).train(watch=watch)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
