"""From columns of a file to samples: what all readers share."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from polymode.diagnostics.records import Samples
from polymode.metrics.modes import ModeFunction

__all__ = ["mode_name", "samples_of", "text_of"]


def text_of(value: Any) -> str:
    """Return the text of a prompt or completion: a string, or the messages of a conversation.

    Parameters
    ----------
    value : str, sequence of mapping, or anything
        As a file has it. A single message is its content; several are shown with their roles.

    Returns
    -------
    str
        The text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(m, Mapping) for m in value):
        contents = [_content(message) for message in value]
        if len(value) == 1:
            return contents[0]
        pairs = zip(value, contents, strict=True)
        return "\n".join(f"{message.get('role', '?')}: {text}" for message, text in pairs)
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _content(message: Mapping[str, Any]) -> str:
    """Return the text of one message; of a content in parts, its parts with text."""
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if part)
    return content if isinstance(content, str) else ""


def mode_name(value: Hashable | None) -> str | None:
    """Return the name of a mode as a file or a mode function gives it.

    Parameters
    ----------
    value : hashable or None
        The mode; None and NaN are none.

    Returns
    -------
    str or None
        Its name; equal numbers have one name.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else repr(value)


def samples_of(
    keys: Sequence[str],
    texts: Sequence[str],
    completions: Sequence[str],
    rewards: Sequence[float],
    modes: Sequence[Any] | None,
    log_ratios: Sequence[float] | None,
    mode: ModeFunction | None,
) -> tuple[Samples | None, list[str]]:
    """Return samples from columns, and what a reader of their numbers has to know.

    Parameters
    ----------
    keys, texts : sequence of str
        The prompt of each row: what identifies it, and how it is shown.
    completions : sequence of str
        Its completion.
    rewards : sequence of float
        Its raw reward; rows with NaN are left out.
    modes : sequence, or None
        Its mode, where the file has one.
    log_ratios : sequence of float, or None
        ``log p - log q`` of it, in nats.
    mode : callable or None
        Finds modes in completions, whatever the file has.

    Returns
    -------
    Samples or None
        None without a row that has a reward.
    list of str
        Notes.
    """
    notes: list[str] = []
    scored = np.isfinite(np.asarray(rewards, dtype=float))
    if not scored.all():
        notes.append(f"{int((~scored).sum())} of {len(scored)} samples without a reward left out")
    rows = np.flatnonzero(scored).tolist()
    if not rows:
        return None, notes
    if mode is not None:
        found = [mode_name(mode(completions[i])) for i in rows]
    elif modes is not None:
        found = [mode_name(modes[i]) for i in rows]
    else:
        found = [completions[i].strip() for i in rows]
        notes.append("modes are whole completions: --mode-key says what counts as the same answer")
    first = dict[str, int]()
    for i in rows:
        first.setdefault(keys[i], i)
    place = {key: number for number, key in enumerate(first)}
    ratios = log_ratios if log_ratios is not None else [math.nan] * len(keys)
    samples = Samples(
        tuple(first),
        tuple(texts[i] for i in first.values()),
        np.asarray([place[keys[i]] for i in rows]),
        tuple(completions[i] for i in rows),
        np.asarray([float(rewards[i]) for i in rows]),
        tuple(found),
        np.asarray([float(ratios[i]) for i in rows]),
    )
    return samples, notes
