"""The tiny prior as a file, made once."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")


@pytest.fixture(scope="session")
def prior_file(tmp_path_factory):
    from polymode.chemistry import save_model
    from tests.chemistry.learner.tiny import tiny_prior

    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_model(tiny_prior(), path)
    return path
