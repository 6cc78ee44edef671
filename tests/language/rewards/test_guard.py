"""The guard: whatever a reward function does, each loss is one None, counted, and told."""

import logging
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from polymode.errors import ArgumentError, ConfigError, RewardError
from polymode.language.rewards.guard import Guard, GuardedReward
from polymode.language.rewards.scores import KINDS
from tests.language.rewards import bad

BAD = "tests.language.rewards.bad"
LIMIT = 0.5
BATCH = ("1", "junk", "22")


def guarded(function, **limits):
    return GuardedReward(function, guard=Guard(**{"time_limit": LIMIT, **limits}))


def scores(reward, completions=BATCH, **columns):
    return reward(prompts=["p"] * len(completions), completions=list(completions), **columns)


def lost(reward):
    return {kind: n for kind, n in reward.failures.items() if n}


def returning(value):
    return guarded(lambda **_: value)


@pytest.fixture(params=["thread", "process"])
def where(request):
    return request.param


@pytest.mark.parametrize("function", [bad.length, bad.slow_length], ids=["sync", "async"])
def test_a_good_function_is_left_alone(function, where):
    reward = guarded(function, where=where)
    assert scores(reward) == scores(reward) == [1.0, 4.0, 2.0]
    assert lost(reward) == {}
    assert reward.frac_unscorable == 0.0
    assert reward.problem() is None
    reward.close()


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("raises_on_junk", {"thread", "process"}),
        ("exits_on_junk", {"thread", "process"}),
        ("ends_its_process_on_junk", {"process"}),
    ],
)
def test_only_the_culprit_is_lost(name, places, where):
    if where not in places:
        pytest.skip("would end this process")
    reward = guarded(getattr(bad, name), where=where, time_limit=20)
    good = [1.0, None, 22.0] if name == "raises_on_junk" else [1.0, None, 2.0]
    assert scores(reward) == good
    assert lost(reward) == {"died" if "ends" in name else "raised": 1}
    assert scores(reward, ["3"]) == [3.0 if name == "raises_on_junk" else 1.0]
    reward.close()


def test_without_one_by_one_the_batch_is_lost():
    reward = guarded(bad.raises_on_junk, one_by_one=False)
    assert scores(reward) == [None, None, None]
    assert lost(reward) == {"raised": 3}


@pytest.mark.parametrize("name", ["hangs_on_junk", "awaits_forever_on_junk"])
def test_a_hang_costs_the_time_limit_and_the_culprit(name):
    reward = guarded(getattr(bad, name), where="thread", time_limit=0.9)
    started = time.monotonic()
    assert scores(reward) == [1.0, None, 2.0]
    assert time.monotonic() - started < 10  # and not the minute of the function
    started = time.monotonic()
    assert scores(reward, ["1", "22"]) == [1.0, 2.0]  # not blocked by the call that still hangs
    assert time.monotonic() - started < 10
    assert lost(reward) == {"timed_out": 1}


def test_without_one_by_one_a_hang_has_the_whole_limit():
    reward = guarded(bad.hangs_on_junk, where="thread", one_by_one=False)
    started = time.monotonic()
    assert scores(reward) == [None, None, None]
    assert LIMIT <= time.monotonic() - started < 10


def test_a_coroutine_that_blocks_its_loop_is_left_behind():
    reward = guarded(bad.blocks_its_loop_on_junk, where="thread", one_by_one=False)
    assert scores(reward) == [None, None, None]
    assert scores(reward, ["1", "22"]) == [1.0, 2.0]


def test_a_coroutine_that_waits_is_cancelled_and_its_loop_kept():
    loops, cancelled = [], []

    async def function(completions, **_):
        import asyncio

        loops.append(asyncio.get_running_loop())
        try:
            await asyncio.sleep(60 if "junk" in completions else 0)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return [1.0] * len(completions)

    reward = guarded(function, one_by_one=False)
    assert scores(reward) == [None, None, None]
    assert scores(reward, ["1"]) == [1.0]
    assert cancelled == [True]
    assert loops[0] is loops[1]  # clients that are bound to a loop go on working


@pytest.mark.parametrize("name", ["hangs_on_junk", "backtracks_on_junk"])
def test_a_process_is_killed_whatever_it_does(name):
    reward = guarded(getattr(bad, name), where="process", one_by_one=False)
    process = reward._worker._child.process
    started = time.monotonic()
    assert scores(reward) == [None, None, None]
    assert time.monotonic() - started < 10
    assert process.poll() == -9
    assert scores(reward, ["1", "22"])[0] == 1.0  # a new process
    assert lost(reward) == {"timed_out": 3}
    reward.close()


def test_a_process_dies_with_its_children_when_closed():
    reward = guarded(bad.knows_its_pid, where="process")
    (pid,) = scores(reward, ["1"])
    assert pid != os.getpid()
    reward.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_function_in_a_process_keeps_its_state(where):
    bad.CALLS.clear()
    reward = guarded(bad.counts_calls, where=where)
    assert scores(reward, ["1"]) == [1.0]
    assert scores(reward, ["1"]) == [2.0]
    assert len(bad.CALLS) == (2 if where == "thread" else 0)
    reward.close()


def test_a_path_runs_in_a_process_and_a_function_in_a_thread():
    reward = guarded(f"{BAD}:knows_its_pid")
    assert scores(reward, ["1"]) != [float(os.getpid())]
    assert scores(guarded(bad.knows_its_pid), ["1"]) == [float(os.getpid())]
    assert scores(guarded(f"{BAD}.knows_its_pid", where="thread"), ["1"]) == [float(os.getpid())]
    reward.close()


def test_without_a_limit_a_function_runs_here():
    threads = []

    def function(completions, **_):
        threads.append(threading.current_thread())
        return [1.0] * len(completions)

    scores(guarded(function, time_limit=None))
    scores(guarded(function))
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


def test_the_interpreter_exits_while_a_call_hangs():
    code = (
        "from polymode.language.rewards.guard import Guard, GuardedReward\n"
        "from tests.language.rewards import bad\n"
        "for where in ('thread', 'process'):\n"
        "    for f in (bad.hangs_on_junk, bad.blocks_its_loop_on_junk):\n"
        "        reward = GuardedReward(f, guard=Guard(time_limit=0.1, where=where))\n"
        "        print(reward(['p'], ['junk']))\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["[None]"] * 4
    assert time.monotonic() - started < 20  # each of the functions sleeps for longer


@pytest.mark.parametrize(
    ("value", "expected", "kinds"),
    [
        ([1, True, 2.5], [1.0, 1.0, 2.5], {}),
        ((1, None, 0), [1.0, None, 0.0], {}),  # its own None is no loss
        (np.array([1, 2, 3]), [1.0, 2.0, 3.0], {}),
        (torch.tensor([1.0, 2.0, 3.0], requires_grad=True), [1.0, 2.0, 3.0], {}),
        ([np.float32(1), torch.tensor(2.0), np.int64(3)], [1.0, 2.0, 3.0], {}),
        (iter([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], {}),
        ([math.nan, math.inf, -math.inf], [None] * 3, {"not_finite": 3}),
        ([1e38, 1e39, 10**400], [1e38, None, None], {"not_finite": 2}),  # float32 ends at 3.4e38
        ([1.0, "2.0", 3j], [1.0, None, None], {"wrong_type": 2}),
        ([[1.0], {}, 3.0], [None, None, 3.0], {"wrong_type": 2}),
        (1.0, [None] * 3, {"wrong_type": 3}),
        (None, [None] * 3, {"wrong_type": 3}),
        ("abc", [None] * 3, {"wrong_type": 3}),
        ({"a": 1}, [None] * 3, {"wrong_type": 3}),
        ([1.0, 2.0], [None] * 3, {"wrong_length": 3}),
        ([1.0] * 4, [None] * 3, {"wrong_length": 3}),
        ([], [None] * 3, {"wrong_length": 3}),
    ],
    # An iterator's repr has its address, which differs between the processes that share the tests.
    ids=lambda value: "iterator" if hasattr(value, "__next__") else repr(value)[:40],
)
def test_what_is_no_reward_becomes_none(value, expected, kinds):
    reward = returning(value)
    assert scores(reward) == expected
    assert lost(reward) == kinds
    assert set(reward.failures) == set(KINDS)


def test_an_exception_while_the_rewards_are_read_is_one_of_the_function():
    reward = guarded(lambda completions, **_: (float(text) for text in completions))
    assert scores(reward) == [1.0, None, 22.0]


def test_columns_are_those_of_the_sample():
    seen = []

    def function(prompts, completions, answer, trainer_state, **_):
        seen.append((prompts, completions, answer, trainer_state))
        return [float(text) for text in completions]

    scores(guarded(function), answer=["a", "b", "c"], trainer_state="state")
    assert seen[0][2] == ["a", "b", "c"]
    assert seen[1:] == [(["p"], [BATCH[i]], ["abc"[i]], "state") for i in range(3)]


def test_the_trainers_state_arrives_without_torch():
    from transformers import TrainerState

    reward = guarded(f"{BAD}:knows_the_step", where="process")
    state = TrainerState(global_step=7, log_history=[{"loss": 1.0}])
    assert scores(reward, ["1"], trainer_state=state) == [7.0]
    reward.close()


def test_what_the_function_logs_reaches_the_trainer(where):
    extra, metrics = [], []
    reward = guarded(bad.logs, where=where)
    columns = {
        "answer": ["a", "b", "c"],
        "log_extra": lambda *row: extra.append(row),
        "log_metric": lambda *row: metrics.append(row),
    }
    assert scores(reward, trainer_state={"global_step": 1}, **columns) == [1.0, 4.0, 2.0]
    assert extra == [("answer", ["a", "b", "c"])]
    assert metrics[0] == ("step", 2.0)
    reward.close()


def test_a_call_that_was_left_behind_logs_nothing():
    metrics = []
    late = threading.Event()

    def function(completions, log_metric, **_):
        time.sleep(0.3)
        log_metric("late", 1.0)
        late.set()
        return [1.0] * len(completions)

    reward = guarded(function, time_limit=0.1, one_by_one=False)
    scores(reward, log_metric=lambda *row: metrics.append(row))
    assert late.wait(5)
    assert "late" not in dict(metrics)


def test_losses_are_logged_for_trl():
    metrics = {}
    scores(
        guarded(bad.raises_on_junk), log_metric=lambda name, value: metrics.update({name: value})
    )
    assert metrics.pop("rewards/raises_on_junk/frac_unscorable") == pytest.approx(1 / 3)
    assert metrics == {f"rewards/raises_on_junk/n_{k}": float(k == "raised") for k in KINDS}


def test_the_first_of_each_kind_are_told_in_words(caplog):
    reward = guarded(bad.raises_on_junk, n_logged=2)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            scores(reward)
    assert [record.getMessage() for record in caplog.records] == [
        "reward 'raises_on_junk' raised ValueError: could not convert string to float: 'junk', "
        "completion 'junk': no reward, not 0 (raised)",
        "reward 'raises_on_junk' raised ValueError: could not convert string to float: 'junk', "
        "completion 'junk': no reward, not 0 (raised); more of this kind are only counted",
    ]
    assert lost(reward) == {"raised": 4}


def test_one_event_is_told_once_however_many_samples_it_costs(caplog):
    reward = returning([1.0])
    with caplog.at_level(logging.WARNING):
        scores(reward, [[{"role": "assistant", "content": "x" * 200}]] * 3)
    (record,) = caplog.records
    assert f"returned 1 rewards for 3 completions, completion '{'x' * 80}'" in record.getMessage()


def test_too_many_losses_are_a_problem():
    reward = guarded(bad.raises_on_junk, max_frac_unscorable=0.25, n_batches=3, min_samples=8)
    assert math.isnan(reward.frac_unscorable)
    scores(reward, ["1", "junk", "junk", "2"])
    assert reward.frac_unscorable == 0.5
    reward.check()  # too few samples for a verdict
    scores(reward, ["1", "2", "3", "4"])
    assert reward.frac_unscorable == 0.25
    reward.check()  # as much as is allowed
    scores(reward, ["1", "junk", "3", "4"])
    scores(reward, ["junk", "junk", "3", "4"])  # the first batch is forgotten: 3 of 12
    assert reward.problem() is None
    scores(reward, ["junk"])
    expected = (
        "reward 'raises_on_junk' could not score 44% of the last 9 completions (allowed: 25%); "
        "lost since the start: raised 6; the last one raised ValueError: could not convert string "
        "to float: 'junk'; mend the function or have it return None there, or allow more with "
        "max_frac_unscorable"
    )
    with pytest.raises(RewardError, match=f"^{re.escape(expected)}$") as caught:
        reward.check()
    assert str(pickle.loads(pickle.dumps(caught.value))) == expected


def test_nothing_is_raised_for_an_empty_batch():
    assert scores(guarded(bad.length), []) == []


def test_name_is_that_of_the_function():
    from functools import partial

    class Judge:
        def __call__(self, completions, **_):
            return [0.0] * len(completions)

    assert guarded(bad.length).__name__ == "length"
    assert guarded(partial(bad.length)).__name__ == "length"
    assert guarded(Judge()).__name__ == "Judge"
    assert guarded(f"{BAD}:length", where="thread").__name__ == "length"
    assert GuardedReward(bad.length, name="size").__name__ == "size"


def test_what_no_process_can_find_is_refused():
    local = lambda **_: [1.0]  # noqa: E731
    with pytest.raises(
        ArgumentError, match=r'must be importable to run in a process, got .*where="'
    ):
        guarded(local, where="process")
    with pytest.raises(ArgumentError, match=r"got '.*bad:no_such', which is not there"):
        guarded(f"{BAD}:no_such")
    with pytest.raises(ArgumentError, match="which is not callable"):
        guarded(f"{BAD}:not_a_function", where="thread")
    with pytest.raises(ArgumentError, match=r"got 'nowhere\.to:go': ModuleNotFoundError"):
        guarded("nowhere.to:go")


def test_columns_that_cannot_be_sent_are_a_loss_that_says_so(caplog):
    reward = guarded(bad.length, where="process")
    assert scores(reward, other=threading.Lock()) == [None] * 3
    assert "got columns that cannot be sent to a process (TypeError: cannot pickle" in caplog.text
    reward.close()


def test_limits_that_cannot_be_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        Guard(
            time_limit=0,
            where="cloud",
            max_frac_unscorable=2,
            n_batches=0,
            min_samples=0,
            n_logged=-1,
        )
    for name in ("time_limit", "where", "max_frac", "n_batches", "min_samples", "n_logged"):
        assert sum(name in line for line in caught.value.problems) == 1
