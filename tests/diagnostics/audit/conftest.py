"""The tiny model of the language room, for the tests that run TRL."""

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Directory of a tiny model; TRL loads the reference from there."""
    pytest.importorskip("trl")
    from tests.language.tiny import save_tiny_model

    return str(save_tiny_model(tmp_path_factory.mktemp("tiny")))
