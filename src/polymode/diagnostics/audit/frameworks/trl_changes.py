"""What other releases of TRL make of the same options."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from polymode.diagnostics.audit.frameworks.framework import DefaultChange
from polymode.diagnostics.audit.frameworks.trl_detection import kind_of
from polymode.diagnostics.audit.frameworks.trl_fields import fields_of
from polymode.diagnostics.audit.frameworks.trl_releases import (
    REMOVED,
    history_of,
    release_number,
)
from polymode.diagnostics.audit.settings import Settings

__all__ = ["elsewhere", "history"]


def elsewhere(settings: Settings, key: str, version: str) -> str:
    """Return which other releases have an option that this one does not have.

    Parameters
    ----------
    settings : Settings
        As given.
    key : str
        The option.
    version : str
        This release.

    Returns
    -------
    str
        Empty where it has it, or where none ever had.
    """
    kind, _said = kind_of(settings)
    option = key.partition(".")[0]
    values = history_of(kind).get(option)
    inherited = values is not None and REMOVED in values.values() and option in fields_of(kind)
    if values is None or inherited:  # it moved between TRL's class and those that it inherits from
        return ""
    wanted = release_number(version)
    past = [release for release in values if release_number(release) <= wanted]
    if not past:
        return f"it came with {next(iter(values))}"
    return f"it went with {past[-1]}" if values[past[-1]] == REMOVED else ""


_BEARS: Mapping[str, tuple[str, ...]] = {
    "use_bias_correction_kl": ("beta",),
    "ref_model_mixup_alpha": ("sync_ref_model",),
    "ref_model_sync_steps": ("sync_ref_model",),
    "vllm_importance_sampling_cap": ("use_vllm",),
    "router_aux_loss_coef": ("router_aux_loss_coef",),
}
"""Options that must be on for another option to bear on the target."""


def history(settings: Settings, version: str) -> tuple[DefaultChange, ...]:
    """Return the changes of defaults, in this major release or later, that are relied on.

    Parameters
    ----------
    settings : Settings
        Complete.
    version : str
        This release.

    Returns
    -------
    tuple of DefaultChange
        Of options that bear on the target here and are left at their defaults.
    """
    kind, _said = kind_of(settings)
    classes = fields_of(kind, script=False)
    found: list[DefaultChange] = []
    for key, values in history_of(kind).items():
        idle = any(not settings.get(other) for other in _BEARS.get(key, ()))
        if settings.given(key) or classes.get(key) != "target" or idle:
            continue
        releases = [release for release in values if values[release] != REMOVED]
        for before, after in pairwise(releases):
            recent = release_number(after)[:1] >= release_number(version)[:1]
            if recent and _differ(key, values[before], values[after]):
                found.append(DefaultChange(key, after, values[before], values[after]))
    return tuple(found)


def _differ(key: str, before: Any, after: Any) -> bool:
    """Return whether two defaults mean different things."""
    same: Mapping[str, tuple[Any, ...]] = {"top_k": (None, 0), "scale_rewards": (True, "group")}
    return not (before in same.get(key, ()) and after in same.get(key, ()))
