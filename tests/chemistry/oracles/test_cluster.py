"""A real Ray on this machine gives what this process gives."""

import numpy as np
import pytest

from polymode.chemistry.oracles import OracleConfig, build_oracle

pytestmark = pytest.mark.slow
BAD = "tests.chemistry.oracles.bad"
CONFIG = {
    "components": [
        {"type": "qed"},
        {"type": f"{BAD}:raises", "name": "f", "batch_size": 8},
        {"type": f"{BAD}:hangs", "name": "g", "batch_size": 8},
    ],
    "aggregation": "arithmetic_mean",
    "time_limit": 0.5,
}
SMILES = [*("C" * n for n in range(1, 12)), "CBr", "c1ccccc1O", "CCBr", "xx", "OC"]


def scores_of(**settings):
    oracle = build_oracle(OracleConfig.model_validate({**CONFIG, **settings}))
    scores = oracle(SMILES)
    counts = dict(oracle.counts)
    oracle.close()
    return scores, counts


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own sockets
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield ray
        ray.shutdown()


def test_ray_gives_what_processes_give(ray):
    here, counts_here = scores_of(workers=2)
    there, counts_there = scores_of(backend="ray")
    assert there.status == here.status
    assert there.status.count("timed_out") == 2
    np.testing.assert_array_equal(there.rewards, here.rewards)
    for name, values in here.raw.items():
        np.testing.assert_array_equal(there.raw[name], values)
    assert counts_there == counts_here
