"""Real runs of TRL on the tiny model, with its tables of completions."""

import contextlib
import io

import pytest


@pytest.fixture(scope="session")
def trl_home(tmp_path_factory):
    """A directory with `plain` (GRPO), `ours` (MARAGRPOTrainer) and `rloo` (RLOOTrainer)."""
    pytest.importorskip("trl")
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    from tests.language.runs import last_letter, make_trainer
    from tests.language.tiny import save_tiny_model

    home = tmp_path_factory.mktemp("trl")
    tiny = str(save_tiny_model(home / "tiny"))
    changes = {
        "max_steps": 3,
        "log_completions": True,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_only_model": True,
    }
    # The tiny model hardly ever ends a completion.
    ours = {"anchor_truncated": True, "trainer_kwargs": {"mode_fn": last_letter}}
    for name, kind, more in (
        ("plain", "grpo", {"base": GRPOConfig, "host": GRPOTrainer}),
        ("ours", "grpo", ours),
        ("rloo", "rloo", {"base": RLOOConfig, "host": RLOOTrainer}),
    ):
        trainer = make_trainer(kind, tiny, home / name, **changes, **more)
        with contextlib.redirect_stdout(io.StringIO()):  # TRL prints its samples
            trainer.train()
    return home
