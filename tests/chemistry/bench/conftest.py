"""A prior that draws some hundred small molecules, and a suite that takes seconds."""

import pytest


@pytest.fixture(scope="session")
def prior(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("rdkit")
    from polymode.chemistry import save_model
    from tests.chemistry.learner.tiny import tiny_prior

    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_model(tiny_prior(), path)
    return str(path)


@pytest.fixture
def job(prior):
    """A run of half a second."""
    from polymode.chemistry.bench.jobs import Job

    return Job("qed-sa", "qed-sa", "reinvent-mild", 0, budget=40, prior=prior)
