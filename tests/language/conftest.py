"""Fixtures of the language room: a tiny model, and trainers whose samples are prescribed."""

import pytest

pytest.importorskip("trl")

from tests.language.tiny import save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Directory of a tiny model; TRL loads the reference from there."""
    return str(save_tiny_model(tmp_path_factory.mktemp("tiny")))
