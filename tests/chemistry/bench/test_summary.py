"""What runs say together, by hand and against SciPy."""

import json
import math

import pytest
from scipy import stats

from polymode.chemistry.bench.figures import FIGURES
from polymode.chemistry.bench.published import PEERS
from polymode.chemistry.bench.suites import SUITES
from polymode.chemistry.bench.summary import contrasts, lines, peers_of, read_records
from polymode.chemistry.bench.tables import peer_rows, rows, words
from polymode.chemistry.bench.tasks.names import GUACAMOL_NAMES, MPO_NAMES
from polymode.errors import InputError

PLAIN, MARA = (100.0, 110.0, 90.0), (150.0, 170.0, 160.0)


def record(method, seed, *, hits, ob100, suite="mara-proxy", task="synth-proxy"):
    figures = dict.fromkeys(FIGURES, 0.5)
    return {
        "suite": suite,
        "task": task,
        "method": method,
        "label": "",
        "seed": seed,
        "threshold": 0.8,
        "seconds": 10.0,
        "figures": {**figures, "yield": hits, "ob100": ob100},
    }


@pytest.fixture
def records():
    return [
        *(record("paper-reinvent", i, hits=n, ob100=500.0) for i, n in enumerate(PLAIN)),
        *(record("paper-mara", i, hits=n, ob100=None if i else 400.0) for i, n in enumerate(MARA)),
    ]


def test_a_line_has_means_and_says_how_many_got_there(records):
    plain, mara = lines(records)
    assert (plain.method, plain.n_seeds, plain.seconds) == ("paper-reinvent", 3, 10.0)
    assert plain.cells["yield"].mean == 100.0
    assert plain.cells["yield"].spread == pytest.approx(10.0)
    assert mara.cells["ob100"].mean == 400.0  # of the one that got there: nothing is imputed
    assert mara.cells["ob100"].n_reached == 1
    assert math.isnan(mara.cells["ob100"].spread)
    head = ("yield", "ob100")
    assert rows([mara], head) == [["paper-mara", "3", "160 ± 10", "400 (1 of 3)", "10"]]


def test_a_figure_that_no_run_has_is_none():
    (line,) = lines([record("paper-mara", 0, hits=0.0, ob100=None)])
    assert rows([line], ("ob100",)) == [["paper-mara", "1", "none", "10"]]


def test_differences_are_those_of_welchs_test(records):
    found = {each.figure: each for each in contrasts(records, "mara-proxy")}
    own = found["yield"]
    test = stats.ttest_ind(MARA, PLAIN, equal_var=False, alternative="greater")
    assert own.difference == pytest.approx(60.0)
    assert own.p_value == pytest.approx(test.pvalue)
    # variances 100 and 100 of three each: standard error sqrt(200 / 3), 4 degrees of freedom
    half = stats.t.ppf(0.975, 4) * math.sqrt(200 / 3)
    assert (own.low, own.high) == pytest.approx((60 - half, 60 + half))
    assert "95 % [+37, +83], one-sided p = 0.0009" in words(own)
    assert "paper-mara against paper-reinvent +60" in words(own)


def test_fewer_calls_are_better(records):
    for each in records[3:]:
        each["figures"]["ob100"] = 400.0 + each["seed"]
    for each in records[:3]:
        each["figures"]["ob100"] = 500.0 + each["seed"]
    found = {each.figure: each for each in contrasts(records, "mara-proxy")}
    assert found["ob100"].difference == pytest.approx(-100.0)
    assert found["ob100"].p_value < 0.01


def test_one_seed_gives_a_difference_and_no_interval(records):
    found = {each.figure: each for each in contrasts(records[2:4], "mara-proxy")}
    assert found["yield"].difference == pytest.approx(60.0)
    assert math.isnan(found["yield"].p_value)
    assert words(found["yield"]).endswith("(1 and 1 seeds: too few for an interval)")


def test_published_figures_stand_beside_ours():
    (peer,) = peers_of("pmo", "jnk3", "auc_top10_stopped")
    assert peer.value == 0.783
    table = peer_rows("diverse-hits", "gsk3b", ("diverse_hits", "yield"))
    assert ["* AugmentedHC", "", "674 ± 74", "", ""] in table
    # 38 is 6 % of 636
    assert ["* AugMemory", "", "636 ± 38", "", ""] in table
    for suite, peers in PEERS.items():
        assert {peer.task for peer in peers} <= set(SUITES[suite].tasks)
        assert {peer.figure for peer in peers} <= set(FIGURES)
    # sums that the paper of f-RAG gives: of the twenty that need RDKit only, and of the seven MPO
    own = {peer.task: peer.value for peer in PEERS["pmo"]}
    assert sum(own[name] for name in GUACAMOL_NAMES) == pytest.approx(11.588)
    assert sum(own[name] for name in MPO_NAMES) == pytest.approx(3.932)


def test_records_are_read_by_suite_and_damage_is_told(tmp_path, records):
    runs = tmp_path / "runs"
    runs.mkdir()
    for each in records:
        name = f"{each['suite']}--{each['task']}--{each['method']}--{each['seed']}.json"
        (runs / name).write_text(json.dumps(each))
    assert [r["seed"] for r in read_records(tmp_path, "mara-proxy")] == [0, 1, 2, 0, 1, 2]
    assert read_records(tmp_path, "pmo") == []
    (runs / "pmo--jnk3--reinvent--0.json").write_text('{"suite": "pmo"}')
    with pytest.raises(InputError, match=r"is no record of a run: it lacks task, method"):
        read_records(tmp_path, "pmo")
