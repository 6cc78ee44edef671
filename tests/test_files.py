"""Files that are there as a whole or not at all, and values as JSON has them."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.files import json_ready, whole_file, write_json, write_text

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_file_that_fails_leaves_what_was_there(tmp_path):
    path = write_text(tmp_path / "made" / "a.txt", "before")

    def fail():
        with whole_file(path) as scratch:
            scratch.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_process_leaves_what_was_there(tmp_path):
    path = write_text(tmp_path / "a.txt", "before")
    code = (
        "import os, signal, sys; from pathlib import Path; from polymode.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as scratch:\n"
        "    scratch.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "before"


@given(PLAIN)
def test_what_is_ready_is_json_and_stays_as_it_is(value):
    ready = json_ready(value)
    assert json.loads(json.dumps(ready, allow_nan=False)) == ready
    assert json_ready(ready) == ready


def test_ready_by_hand():
    @dataclass
    class Made:
        values: np.ndarray
        name: str

    made = Made(np.array([0.5, math.inf]), "x")
    value = {1: made, "n": np.int64(3), "t": (None, True), "day": date(2026, 1, 2)}
    assert json_ready(value) == {
        "1": {"values": [0.5, None], "name": "x"},
        "n": 3,
        "t": [None, True],
        "day": "2026-01-02",
    }


def test_numbers_that_json_does_not_have_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": math.nan})
    assert not list(tmp_path.iterdir())
