"""What a framework has to tell, so that its configurations can be audited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from polymode.diagnostics.audit.findings import Fix
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.settings import Settings

__all__ = ["REMEDIES", "DefaultChange", "FieldClass", "Framework", "Remedy", "class_in"]

FieldClass = Literal["target", "path", "irrelevant"]
"""What an option can change: where the run ends; only how it gets there, or how fast; neither."""

Remedy = Fix

REMEDIES: Mapping[str, str] = {
    "positive_beta": "set a KL coefficient > 0",
    "read_kl": "put the KL where the estimator reads it",
    "kl_in_reward": "subtract k1 of the whole sequence from the reward",
    "reverse_kl_in_loss": "weigh the KL in the loss by the ratio, or take k2",
    "no_scale": "do not divide advantages by a standard deviation",
    "leave_one_out": "take the mean of the others as the baseline",
    "constant_aggregation": "weigh all tokens of a batch alike",
    "token_ratio": "take the ratio of each token",
    "on_policy": "one update for each batch of samples",
    "no_reward_clip": "do not clip rewards",
    "sum_rewards": "sum the rewards before anything is standardised",
    "full_sampling": "sample from the whole distribution",
    "unit_temperature": "sample at temperature 1",
    "fixed_reference": "keep the reference fixed",
    "keep_all": "do not drop groups, completions or tokens",
    "no_entropy_bonus": "drop the entropy bonus",
    "fixed_beta": "keep beta fixed",
    "no_weight_decay": "set weight decay to 0",
    "unit_reward_weight": "let reward and KL weigh alike",
    "no_kl_clip": "do not clip the KL",
}
"""What rules ask for by name; a framework says which of its keys do it."""


@dataclass(frozen=True, slots=True)
class DefaultChange:
    """A release that changed what an option is when nobody sets it.

    Parameters
    ----------
    key : str
        The option.
    release : str
        The first release with the new default.
    before : object
        The old default.
    after : object
        The new one.
    """

    key: str
    release: str
    before: Any
    after: Any


def _always(_: Settings, __: str, ___: str) -> str:
    """Return that nothing is known of other releases."""
    return ""


def _no_remedies(_: Settings) -> Mapping[str, Remedy]:
    """Return no remedies."""
    return {}


def _unchanged(settings: Settings) -> Settings:
    """Return the settings as they are."""
    return settings


def _no_history(_: Settings, __: str) -> tuple[DefaultChange, ...]:
    """Return no changes."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One framework.

    Parameters
    ----------
    name : str
        What `--framework` takes: "trl".
    title : str
        As its makers write it: "TRL".
    package : str
        Distribution whose installed version is read.
    newest : str
        Version that the bundled table of defaults was taken from.
    detect : callable
        From settings as given (no defaults) to how likely they are this framework's: 0 is not at
        all, 1 is beyond doubt (a key or a command that nobody else has).
    defaults : callable
        From settings as given and a version to defaults by dotted keys, and whose they are
        ("TRL 1.16.0").
    read : callable
        From complete settings and a version to the objective. Raises `ConfigError` for values
        that the framework would refuse.
    fields : callable
        From settings to what each option can change. A key may end in ``.*`` for all below it.
    remedies : callable
        From complete settings to what each name of `REMEDIES` means here; names may be missing.
    normalise : callable
        From settings as given to settings in the framework's own words: dashes, old names.
    elsewhere : callable
        From settings, a key and a version to what other releases know of an option that this one
        does not have ("0.14.0 to 0.27.0 had it"), "" where none ever had it or this one has it.
    history : callable
        From complete settings and a version to the changes of defaults that bear on the target.
    """

    name: str
    title: str
    package: str
    newest: str
    detect: Callable[[Settings], float]
    defaults: Callable[[Settings, str], tuple[Mapping[str, Any], str]]
    read: Callable[[Settings, str], EffectiveObjective]
    fields: Callable[[Settings], Mapping[str, FieldClass]]
    remedies: Callable[[Settings], Mapping[str, Remedy]] = _no_remedies
    normalise: Callable[[Settings], Settings] = _unchanged
    elsewhere: Callable[[Settings, str, str], str] = _always
    history: Callable[[Settings, str], tuple[DefaultChange, ...]] = _no_history

    def field_class(self, settings: Settings, key: str) -> FieldClass | None:
        """Return what an option can change, or None where the framework has no such option.

        Parameters
        ----------
        settings : Settings
            Whose option it is: trainers of a framework differ.
        key : str
            Dotted key.

        Returns
        -------
        str or None
            Its class.
        """
        return class_in(self.fields(settings), key)


def class_in(fields: Mapping[str, FieldClass], key: str) -> FieldClass | None:
    """Return the class of an option, its own or that of all below a key that it lies below.

    Parameters
    ----------
    fields : mapping of str to str
        What a framework's `fields` returns.
    key : str
        Dotted key.

    Returns
    -------
    str or None
        Its class; None for an option that is not there.
    """
    if key in fields:
        return fields[key]
    parts = key.split(".")
    above = (".".join(parts[:n]) + ".*" for n in range(len(parts) - 1, 0, -1))
    return next((fields[name] for name in above if name in fields), None)
