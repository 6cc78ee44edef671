"""Whether settings are TRL's, for which of its trainers, and in TRL's own words."""

from collections.abc import Mapping

from polymode.diagnostics.audit.frameworks.trl_fields import fields_of
from polymode.diagnostics.audit.frameworks.trl_releases import Kind, history_of
from polymode.diagnostics.audit.settings import Setting, Settings
from polymode.errors import ConfigError

__all__ = ["OURS", "detect", "kind_of", "normalise"]

_CLASSES: Mapping[str, Kind] = {
    "trl grpo": "grpo",
    "trl rloo": "rloo",
    "GRPOConfig": "grpo",
    "RLOOConfig": "rloo",
    "MARAGRPOConfig": "grpo",
    "MARAConfig": "rloo",
    "ShapedConfig": "rloo",
}
OURS = {"MARAGRPOConfig": "anchored", "MARAConfig": "anchored", "ShapedConfig": "plain"}
_PAIRS: tuple[tuple[Kind, Kind], ...] = (("grpo", "rloo"), ("rloo", "grpo"))
_MARKS = {
    *(
        "delta",
        "loss_type",
        "multi_objective_aggregation",
        "num_generations",
        "ref_model_mixup_alpha",
    ),
    *("num_iterations", "reward_clip_range", "scale_rewards", "steps_per_generation"),
    *("use_bias_correction_kl", "vllm_mode", "mask_truncated_completions", "sync_ref_model"),
    *("max_completion_length", "ref_model_sync_steps", "normalize_advantages"),
}
"""Options that nobody else calls so, at the top of a file."""


def detect(settings: Settings) -> float:
    """Return how likely settings are TRL's.

    Parameters
    ----------
    settings : Settings
        As given.

    Returns
    -------
    float
        1 with TRL's own command or class, else the share of options that TRL has.
    """
    if settings.program.startswith("trl ") or settings.program in _CLASSES:
        return 1.0
    if not settings:
        return 0.0
    known = fields_of("grpo").keys() | fields_of("rloo").keys()
    share = sum(key.partition(".")[0] in known for key in settings) / len(settings)
    return share if any(key in _MARKS for key in settings) else 0.5 * share


def kind_of(settings: Settings) -> tuple[Kind, bool]:
    """Return which trainer settings are for, and whether something said so.

    Parameters
    ----------
    settings : Settings
        As given, or complete.

    Returns
    -------
    kind : {"grpo", "rloo"}
        The trainer; GRPO where nothing tells.
    said : bool
        Whether something told.

    Raises
    ------
    ConfigError
        If it is another of TRL's commands.
    """
    program = settings.program
    if program.startswith("trl ") and program not in _CLASSES:
        raise ConfigError(program, "only `trl grpo` and `trl rloo` have a KL-regularised reward")
    if program in _CLASSES:
        return _CLASSES[program], True
    for kind, other in _PAIRS:
        if kind in program.lower() and other not in program.lower():
            return kind, True
    given = [key for key in settings if settings.given(key)]
    own: dict[Kind, int] = {
        kind: sum(key in history_of(kind) and key not in history_of(other) for key in given)
        for kind, other in _PAIRS
    }
    return ("rloo" if own["rloo"] > own["grpo"] else "grpo"), own["rloo"] != own["grpo"]


def normalise(settings: Settings) -> Settings:
    """Return settings with underscores, ``--no_x`` as False, and old names as the new ones.

    Parameters
    ----------
    settings : Settings
        As given.

    Returns
    -------
    Settings
        In TRL's own words.
    """
    found: dict[str, Setting] = {}
    for key, item in settings.items_by_key.items():
        name = key.replace("-", "_")
        value = item.value
        if name.startswith("no_") and value is True and name[3:] in fields_of("grpo"):
            name, value = name[3:], False
        if name == "vllm_importance_sampling_cap" and value is not None:
            found["vllm_importance_sampling_clip_max"] = Setting(name, value, item.source)
        if name == "scale_rewards" and isinstance(value, bool):
            value = "group" if value else "none"
        found[name] = Setting(name, value, item.source)
    return Settings(found, settings.name, settings.program)
