"""Runs of a benchmark: kept once, gone on with, shared, and never mixed up."""

import dataclasses
import json
import multiprocessing

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

from polymode.chemistry.bench import jobs
from polymode.chemistry.bench.jobs import Job, carry_out, progress_of, record_path
from polymode.chemistry.bench.methods import METHODS, find_method
from polymode.chemistry.bench.running import run_jobs, suite_jobs
from polymode.chemistry.bench.suites import SUITES, find_suite
from polymode.chemistry.learner.config import check_config
from polymode.chemistry.oracles import build_oracle
from polymode.errors import ArgumentError, InputError


def test_a_run_is_kept_with_its_molecules_and_not_run_again(job, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    seen = []
    record = carry_out(job, tmp_path, watch=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 40
    assert json.loads(record_path(job, tmp_path).read_text()) == record
    assert record["figures"]["n_calls"] == 40
    assert record["curves"]["n_calls"] == [40]
    assert record["environment"]["threads"] == "1"
    kept = pq.read_table(record_path(job, tmp_path).with_suffix(".parquet"))
    assert kept.num_rows == 40
    best = sorted(kept["reward"].to_pylist())[-1]
    assert record["curves"]["top1"] == [best]
    assert not (tmp_path / "unfinished" / job.name).exists()
    monkeypatch.setattr(jobs, "_train", None)  # it would be called, were the run made again
    assert carry_out(job, tmp_path) == record


def test_a_record_of_other_settings_is_not_taken_for_ours(job, tmp_path):
    carry_out(job, tmp_path)
    other = dataclasses.replace(job, budget=41)
    with pytest.raises(InputError, match="made with another budget, config: choose another"):
        carry_out(other, tmp_path)
    record_path(job, tmp_path).write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        carry_out(job, tmp_path)


class DiedError(Exception):
    pass


def test_a_run_that_died_goes_on_to_the_same_figures(job, tmp_path):
    changes = {"run": {"checkpoint_every": 1}, "learner": {"batch_size": 16}}
    job = dataclasses.replace(job, changes=changes, label="often")

    def die(n_calls):
        if n_calls > 16:  # in the second step: there is a checkpoint after the first
            raise DiedError

    with pytest.raises(DiedError):
        carry_out(job, tmp_path, watch=die)
    assert 16 < progress_of(job, tmp_path) < 40
    resumed = carry_out(job, tmp_path)
    straight = carry_out(job, tmp_path / "straight")
    assert (resumed["resumed"], straight["resumed"]) == (True, False)
    assert resumed["figures"] == straight["figures"]


def test_a_run_that_only_repeats_itself_ends(job, tmp_path):
    # The tiny prior knows some 760 molecules: a budget of a million is out of its reach
    changes = {"run": {"strings_per_call": 1.5e-4}}
    job = dataclasses.replace(job, budget=10**6, changes=changes, label="short")
    record = carry_out(job, tmp_path)
    assert record["stopped"] == "strings"
    assert record["figures"]["n_calls"] <= 3 * 64
    protocol = Job("qed-sa", "qed-sa", "reinvent", 0).config()["run"]
    assert protocol["strings_per_call"] == 10


def test_a_run_of_another_process_is_left_alone(job, tmp_path):
    path = record_path(job, tmp_path)
    path.parent.mkdir(parents=True)
    with jobs._lock(path.with_suffix(".lock")) as mine:
        assert mine
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(carry_out, (job, tmp_path)) is None
    assert not path.with_suffix(".lock").exists()
    assert not path.exists()


def test_a_run_that_fails_ends_no_other(job, tmp_path):
    bad = dataclasses.replace(job, prior="nowhere.safetensors")
    first, second = run_jobs([bad, job], tmp_path)
    assert "nowhere.safetensors" in first.error
    assert first.record is None
    assert second.record["figures"]["n_calls"] == 40


@pytest.mark.slow  # two processes import torch anew
def test_workers_make_the_same_records(job, tmp_path):
    pair = [job, dataclasses.replace(job, seed=1)]
    alone = [outcome.record["figures"] for outcome in run_jobs(pair, tmp_path / "alone")]
    told = []
    together = list(run_jobs(pair, tmp_path / "both", n_workers=2, watch=told.append))
    found = {outcome.job.seed: outcome.record["figures"] for outcome in together}
    assert [found[0], found[1]] == alone
    assert told[-1] == 80


def test_seeds_come_one_after_the_other_so_that_a_part_is_a_whole():
    found = suite_jobs("diverse-hits", methods=["reinvent", "mara-modes"], seeds=(3, 4))
    assert [(j.seed, j.task, j.method) for j in found[:4]] == [
        (3, "jnk3", "reinvent"),
        (3, "jnk3", "mara-modes"),
        (3, "gsk3b", "reinvent"),
        (3, "gsk3b", "mara-modes"),
    ]
    assert len(found) == 8
    assert len(suite_jobs("pmo")) == 22 * 5


def test_wrong_names_are_told_together():
    with pytest.raises(ArgumentError) as told:
        suite_jobs("qed-sa", tasks=["qed"], methods=["reinvnt"], budget=0)
    assert "task must be" in str(told.value)
    assert "did you mean 'reinvent'" in str(told.value)
    assert "budget must be" in str(told.value)
    with pytest.raises(ArgumentError, match="suite must be"):
        find_suite("diverse")
    with pytest.raises(ArgumentError, match="method must be"):
        find_method("ppo")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_a_configuration_of_the_learner(method):
    job = Job("qed-sa", "qed-sa", method, 7, budget=123)
    config = check_config(job.config())
    assert config.target.threshold == 0.85
    assert config.oracle.budget == 123
    assert config.run.seed == 7


@pytest.mark.parametrize("suite", SUITES)
def test_every_task_has_an_oracle_that_scores_molecules(suite):
    for name, task in SUITES[suite].tasks.items():
        config = check_config(Job(suite, name, "reinvent", 0).config())
        if name.endswith("_hop"):
            continue  # a second of pharmacophores, and nothing else
        here = config.oracle.model_copy(update={"workers": 0})  # processes have tests of their own
        scores = build_oracle(here)(["CC(=O)Nc1ccccc1", "Cc1ccccc1C(=O)NC1CC1"])
        assert scores.status == ("ok", "ok"), name
        assert np.isfinite(scores.rewards).all()
        assert 0.0 < task.threshold < 1.0
    assert set(SUITES[suite].methods) <= set(METHODS)
    assert {name for pair in SUITES[suite].tests for name in pair} <= set(METHODS)
