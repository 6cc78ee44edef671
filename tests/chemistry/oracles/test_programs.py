"""Other programs, a real server, and docking into a receptor of a few atoms."""

import http.server
import json
import math
import os
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from pydantic import ValidationError

from polymode.chemistry.oracles import BUILTIN, OracleConfig, build_oracle

SMILES = ["C", "CC", "CCC", "CBr"]
PROGRAM = """
import json, sys
smiles = sys.stdin.read().split()
if "CBr" in smiles and "strict" in sys.argv:
    sys.exit("no bromine here")
sizes = [len(each) / 10 for each in smiles]
print(json.dumps({"version": 1, "payload": {"size": sizes, "twice": [2 * s for s in sizes]}}))
"""


def oracle_of(kind, parameters, **component):
    given = {"type": kind, "parameters": parameters, **component}
    return build_oracle(OracleConfig.model_validate({"components": [given], "workers": 0}))


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return {"executable": sys.executable, "args": [str(path)]}


def test_a_program_reads_smiles_and_prints_json(program):
    oracle = oracle_of("external", {**program, "property": "twice"})
    np.testing.assert_allclose(oracle(SMILES[:3]).rewards, [0.2, 0.4, 0.6])


def test_a_program_may_give_several_values(program):
    endpoints = [{"name": "twice"}, {"name": "size", "weight": 0}]
    scores = oracle_of("external", program, endpoints=endpoints)(SMILES[:3])
    np.testing.assert_allclose(scores.rewards, [0.2, 0.4, 0.6])
    np.testing.assert_allclose(scores.raw["external.size"], [0.1, 0.2, 0.3])


def test_a_program_that_fails_says_why_and_loses_what_it_fails_on(program):
    args = " ".join([*program["args"], "strict"])  # as REINVENT 4 has them: one string
    oracle = oracle_of("external", {**program, "args": args, "property": "size"})
    assert oracle(SMILES).status == ("ok", "ok", "ok", "failed")
    assert "ended with status 1: no bromine here" in oracle.messages[0]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"property": "weight"}, "payload has no 'weight' but size, twice"),
        ({"args": ["-c", "print('hello')"]}, "must be JSON with a payload, got 'hello'"),
        ({"args": ["-c", "print('{\"payload\": [1]}')"]}, "must hold arrays by their names"),
    ],
)
def test_answers_that_say_nothing_are_told(program, parameters, text):
    oracle = oracle_of("external", {**program, **parameters})
    assert oracle(["C"]).status == ("failed",)
    assert text in oracle.messages[0]


def test_a_program_that_is_not_there_is_told_at_once():
    with pytest.raises(ValidationError, match="must be a program that can be run, got 'no-such'"):
        oracle_of("external", {"executable": "no-such"})


def test_a_program_that_goes_away_costs_no_call(tmp_path):
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    oracle = oracle_of("external", {"executable": str(path)})
    path.unlink()
    assert oracle(["C"]).status == ("failed",)
    assert oracle.n_calls == 0


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with lengths, after as many refusals as it is told to give."""

    refusals: list = []  # noqa: RUF012 - of one test at a time
    seen: list = []  # noqa: RUF012

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        smiles = json.loads(self.rfile.read(length))["smiles"]
        self.seen.append((smiles, self.headers.get("Authorization"), self.headers.get("X-Mine")))
        status = self.refusals.pop(0) if self.refusals else 200
        if status == "late":
            time.sleep(0.5)
            status = 200
        status = 422 if "CBr" in smiles else status
        self.send_response(status)
        self.end_headers()
        if status == 200:
            payload = {"size": [len(each) / 10 for each in smiles]}
            self.wfile.write(json.dumps({"version": 1, "payload": payload}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    Server.refusals, Server.seen = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/score"
    server.shutdown()
    server.server_close()


def test_a_server_is_sent_smiles_and_a_token(url, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    settings = {"url": url, "token_variable": "MY_TOKEN", "headers": {"X-Mine": "1"}}
    oracle = oracle_of("rest", settings)
    np.testing.assert_allclose(oracle(SMILES[:3]).rewards, [0.1, 0.2, 0.3])
    assert Server.seen == [(["C", "CC", "CCC"], "Bearer secret", "1")]


def test_a_busy_server_is_asked_again(url):
    Server.refusals = [503, 429]
    oracle = oracle_of("rest", {"url": url, "backoff": 0})
    assert oracle(["C"]).status == ("ok",)
    assert len(Server.seen) == 3


@pytest.mark.parametrize(("refusals", "n_asked"), [([503] * 9, 3), ([403] * 9, 1)])
def test_a_server_that_stays_away_costs_no_call(url, refusals, n_asked):
    Server.refusals = refusals
    oracle = oracle_of("rest", {"url": url, "backoff": 0, "retries": 2})
    assert oracle(["C", "CC"]).status == ("failed", "failed")
    assert oracle.n_calls == 0
    assert len(Server.seen) == n_asked
    assert f"answered HTTP {refusals[0]}" in oracle.messages[0]
    Server.refusals = []
    assert oracle(["C", "CC"]).status == ("ok", "ok")


def test_a_server_that_is_not_there_costs_no_call():
    oracle = oracle_of("rest", {"url": "http://127.0.0.1:9/", "retries": 0})
    assert oracle(["C"]).status == ("failed",)
    assert oracle.n_calls == 0
    assert "refused" in oracle.messages[0].lower()


def test_a_molecule_that_a_server_refuses_is_the_only_one_lost(url):
    oracle = oracle_of("rest", {"url": url})
    assert oracle(SMILES).status == ("ok", "ok", "ok", "failed")
    assert "HTTP 422" in oracle.messages[0]


def test_a_server_that_is_late_costs_the_molecules_it_is_late_for(url):
    Server.refusals = ["late", "late"]  # the pair, then the first of it alone
    oracle = oracle_of("rest", {"url": url, "timeout": 0.2})
    assert oracle(["C", "CC"]).status == ("timed_out", "ok")


def test_settings_of_a_server_are_checked(monkeypatch):
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(ValidationError) as caught:
        oracle_of("rest", {"url": "ftp://x", "token_variable": "MY_TOKEN", "retries": -1})
    for text in ("should match pattern", "MY_TOKEN must hold the token", "greater than or equal"):
        assert text in str(caught.value)


@pytest.fixture
def pocket(tmp_path):
    """A shell of carbon atoms with room for a small molecule in the middle."""
    path = tmp_path / "pocket.pdbqt"
    line = "ATOM  {:>5}  C   LIG A{:>4}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00     0.000 C \n"
    golden = math.pi * (3 - math.sqrt(5))
    with path.open("w") as file:
        for i in range(60):  # a Fibonacci sphere of radius 6.5
            z = 1 - (2 * i + 1) / 60
            ring = math.sqrt(1 - z * z)
            xyz = (ring * math.cos(golden * i), ring * math.sin(golden * i), z)
            file.write(line.format(i + 1, i + 1, *(6.5 * each for each in xyz)))
    return {"receptor": str(path), "center": [0, 0, 0], "size": [10, 10, 10], "exhaustiveness": 1}


def test_docking_scores_a_pose(pocket):
    for package in ("vina", "meeko"):
        pytest.importorskip(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what meeko imports
        oracle = oracle_of("docking", pocket)
        first = oracle(["c1ccccc1", "C", "CO"])
        again = oracle_of("docking", pocket)(["CO", "C", "c1ccccc1"])
    assert first.status == ("ok", "ok", "ok")
    raw = first.raw["docking"]
    assert raw[0] < raw[1] < 0  # more atoms to touch the wall with
    np.testing.assert_array_equal(again.raw["docking"], raw[::-1])  # by seed, whatever came before
    assert (np.diff(first.rewards[np.argsort(raw)]) <= 0).all()  # less energy, more reward


def test_docking_settings_are_checked(tmp_path):
    settings = {"receptor": str(tmp_path / "x.pdb"), "center": [0, 0], "size": [0, 1, 1]}
    with pytest.raises(ValidationError) as caught:
        oracle_of("docking", settings)
    for text in ("parameters.receptor: must be a PDBQT file", "parameters.center.2 must be given"):
        assert text in str(caught.value)
    assert BUILTIN["docking"].guarded


def test_processes_stand_around_what_may_hang(pocket, program):
    from polymode.chemistry.oracles.processes import Processes
    from polymode.chemistry.oracles.schedule import Inline

    def executor(**component):
        return build_oracle(OracleConfig.model_validate({"components": [component]}))._executor

    assert isinstance(executor(type="qed"), Inline)
    assert isinstance(executor(type="docking", parameters=pocket), Processes)
    assert isinstance(executor(type="external", parameters=program), Processes)
    path = "tests.chemistry.oracles.bad:n_atoms"
    assert isinstance(executor(type=path), Processes) == (os.name == "posix")
