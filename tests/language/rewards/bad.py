"""Reward functions that do what reward functions do in practice."""

import asyncio
import os
import re
import sys
import time

CALLS = []


def length(completions, **_):
    return [float(len(text)) for text in completions]


async def slow_length(completions, **_):
    await asyncio.sleep(0.01)
    return [float(len(text)) for text in completions]


def raises_on_junk(completions, **_):
    return [float(text) for text in completions]


def hangs_on_junk(completions, **_):
    if "junk" in completions:
        time.sleep(60)
    return length(completions)


def hangs_on_bad(completions, **_):
    if "bad" in completions:
        time.sleep(60)
    return length(completions)


async def awaits_forever_on_junk(completions, **_):
    if "junk" in completions:
        await asyncio.sleep(60)
    return length(completions)


async def blocks_its_loop_on_junk(completions, **_):
    if "junk" in completions:
        time.sleep(30)
    return length(completions)


def backtracks_on_junk(completions, **_):
    """Never lets go of the interpreter: no thread of the same process runs meanwhile."""
    return [
        1.0 if re.match(r"(a+)+$", "a" * 40 + "b" * (t == "junk")) else 0.0 for t in completions
    ]


def ends_its_process_on_junk(completions, **_):
    if "junk" in completions:
        os._exit(7)
    return length(completions)


def exits_on_junk(completions, **_):
    if "junk" in completions:
        sys.exit("bye")
    return length(completions)


def logs(completions, log_extra=None, log_metric=None, trainer_state=None, answer=None, **_):
    log_extra("answer", list(answer))
    log_metric("step", 2.0)
    return length(completions)


def counts_calls(completions, **_):
    """State that lives where the function runs."""
    CALLS.append(len(completions))
    return [float(len(CALLS))] * len(completions)


def knows_its_pid(completions, **_):
    return [float(os.getpid())] * len(completions)


def knows_the_step(completions, trainer_state, **_):
    """The step, plus a half if torch was loaded for it."""
    return [trainer_state.global_step + 0.5 * ("torch" in sys.modules)] * len(completions)


not_a_function = 3
