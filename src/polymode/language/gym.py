"""Tasks of reasoning-gym: procedural questions with verifiers, by their names.

The package is an extra: ``pip install 'polymode[reasoning]'``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from polymode.core import checks
from polymode.errors import InputError, MissingExtraError
from polymode.language.rewards.texts import text_of
from polymode.metrics import ModeFunction, mode_function


@dataclass(frozen=True, kw_only=True)
class ReasoningGymTask:
    """A data set of reasoning-gym: its questions, its verifier, and the answer as the mode.

    Verifiers want the bare answer, which `answer_key` takes out of a completion; a completion
    without an answer gets 0. So does an answer for which the verifier raises `ValueError`: it has
    not the form of an answer. Everything else that a verifier raises is left to `GuardedReward`.
    Some verifiers give partial credit (0.05 for a text that contains the answer, say): mind it when
    you choose a threshold.
    """

    dataset: str
    """Name of the data set, ``chain_sum`` say."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the data set, ready for JSON: ``{"max_terms": 3}``."""
    answer_key: str = "xml_tag:answer"
    """Where the answer stands in a completion, as `polymode.metrics.mode_function` takes it."""
    system: str = "Give your final answer between <answer> and </answer>."
    """The system message, which asks for the form that `answer_key` reads."""
    opening: str = ""

    @property
    def name(self) -> str:
        """The name under which `find_task` knows it."""
        return f"reasoning_gym:{self.dataset}"

    @cached_property
    def answer_of(self) -> ModeFunction:
        """From the text of a completion to its answer, None if it gives none."""
        return mode_function(self.answer_key)

    def rows(self, n: int, *, seed: int) -> list[dict[str, Any]]:
        """Return `n` questions with the columns prompt, answer, metadata and reasoning_gym.

        `answer` is the data set's own, None where it has none; `metadata` is JSON; `reasoning_gym`
        is JSON that says where the item comes from, from which the reward makes it again.

        Raises
        ------
        InputError
            If there is no such data set, or it does not take the config.
        MissingExtraError
            If reasoning-gym is not installed.
        """
        place = {"dataset": self.dataset, "size": n, "seed": seed, "config": dict(self.config)}
        items = _dataset(json.dumps(place, sort_keys=True))
        return [
            {
                "prompt": item["question"],
                "answer": None if item["answer"] is None else str(item["answer"]),
                "metadata": json.dumps(item["metadata"], default=str),
                "reasoning_gym": json.dumps({**place, "index": i}, sort_keys=True),
            }
            for i, item in enumerate(items)
        ]

    def reward(self, completions: Sequence[Any], **columns: Any) -> list[float]:
        """TRL reward function: what the verifier gives the answer; reads `reasoning_gym`."""
        places = columns["reasoning_gym"]
        rows = zip(completions, places, strict=True)
        return [self._score(text_of(text), place) for text, place in rows]

    def mode_key(self, prompt: Any, completion: Any) -> Any:  # noqa: ARG002
        """`mode_fn` for the trainers: the answer, None without one."""
        return self.answer_of(text_of(completion))

    def good_modes(self, row: Mapping[str, Any]) -> None:
        """Return None: verifiers tell right from wrong, and list nothing."""

    def _score(self, text: str, place: str) -> float:
        answer = self.answer_of(text)
        if answer is None:
            return 0.0
        dataset, item = _item(place)
        try:
            return float(dataset.score_answer(answer=str(answer), entry=item))
        except ValueError:
            return 0.0


@lru_cache(maxsize=4096)
def _item(place: str) -> tuple[Any, Any]:
    """Return a data set and the item at a place; making it again gives the same item."""
    where = json.loads(place)
    index = where.pop("index")
    dataset = _dataset(json.dumps(where, sort_keys=True))
    return dataset, dataset[index]


@lru_cache(maxsize=64)
def _dataset(place: str) -> Any:
    """Return the data set that a place names, without its index."""
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "reasoning-gym", "reasoning") from error
    where = json.loads(place)
    name = where["dataset"]
    if name not in DATASETS:
        hint = checks.did_you_mean(name, DATASETS) or "; `reasoning_gym` lists them"
        raise InputError(f"reasoning-gym has no data set {name!r}{hint}")
    options = {"size": where["size"], "seed": where["seed"], **where["config"]}
    try:
        return reasoning_gym.create_dataset(name, **options)
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        text = f"reasoning-gym {name!r} does not take {where['config']}: {reason}"
        raise InputError(text) from error
