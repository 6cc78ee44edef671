"""Responses that a reference once gave, with its log-probability of each token: one JSONL file.

The first line says how they were drawn. Each further line is one prompt: its tokens, and for each
response tokens, log-probabilities, text and reward. Lines are added as prompts are done, so that an
interrupted run of `store_responses` goes on where it stopped.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polymode.errors import ConfigError, InputError
from polymode.files import write_json, write_text
from polymode.language.extra_loss import Completion
from polymode.language.keys import prompt_key

_KIND = "polymode stored responses"
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StoredResponse:
    """One response of the reference."""

    completion: Completion
    """Its tokens, behind those of its prompt."""
    ref_log_probs: tuple[float, ...]
    """`log q` of each token in nats, the end of the response included."""
    reward: float
    """Raw reward; NaN where it could not be scored."""
    text: str
    """What the tokens say, without special ones."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Tokens of the response."""
        return self.completion.ids


@dataclass(frozen=True)
class StoredPrompt:
    """One prompt and what the reference answered."""

    prompt: Any
    """The prompt as the dataset has it: a text, or a list of messages."""
    responses: tuple[StoredResponse, ...]
    """Independent samples of the reference; the same response may be there several times."""

    def frac_solved(self, threshold: float) -> float:
        """Share of responses with a reward of at least `threshold`; one without reward fails."""
        return sum(r.reward >= threshold for r in self.responses) / len(self.responses)


@dataclass(frozen=True)
class StoredResponses:
    """The prompts of one file.

    Parameters
    ----------
    settings : mapping
        How the responses were drawn: `model`, `n`, `temperature`, `max_new_tokens`, `seed`.
    prompts : mapping of int to StoredPrompt
        By the key of the prompt (`polymode.language.keys.prompt_key`).
    """

    settings: Mapping[str, Any]
    prompts: Mapping[int, StoredPrompt]

    @classmethod
    def load(cls, path: str | Path) -> "StoredResponses":
        """Read the file that `store_responses` wrote.

        Raises
        ------
        InputError
            If there is none, or if it is no such file.
        """
        lines = _lines(Path(path))
        return cls(_settings(lines[0], path), _prompts(lines[1:], path))

    def split(
        self, *, threshold: float, share: float = 1.0
    ) -> tuple[list[StoredPrompt], list[StoredPrompt]]:
        """Return the perfect prompts, and those left to explore.

        Parameters
        ----------
        threshold : float
            Rewards at or above it are good.
        share : float
            A prompt is perfect where at least this share of its responses is good, in (0, 1].
        """
        perfect: list[StoredPrompt] = []
        exploration: list[StoredPrompt] = []
        for stored in self.prompts.values():
            solved = stored.frac_solved(threshold) >= share - 1e-9
            (perfect if solved else exploration).append(stored)
        return perfect, exploration


def load_stored(args: Any) -> StoredResponses | None:
    """Return the stored responses that a trainer's settings name, if they name some.

    Raises
    ------
    ConfigError
        If they were drawn at another temperature than the training's.
    """
    if args.stored_responses is None:
        return None
    stored = StoredResponses.load(args.stored_responses)
    drawn = stored.settings.get("temperature")
    if drawn != args.temperature:
        raise ConfigError(
            args.stored_responses,
            f"temperature of the stored log-probabilities must equal that of the training, got "
            f"{drawn!r} and {args.temperature!r}: store them again",
        )
    return stored


def stored_problems(args: Any) -> list[str]:
    """Return what is wrong with the use of stored responses, one line each."""
    used = args.dph_divergence is not None or args.forward_kl_samples == "reference"
    if used and args.stored_responses is None:
        return ["stored_responses must name a file of store_responses, got None"]
    if args.stored_responses is not None and not used:
        return [
            "stored_responses is read by dph_divergence and forward_kl_samples, which are unset"
        ]
    return []


def open_store(path: Path, settings: Mapping[str, Any]) -> Mapping[int, StoredPrompt]:
    """Start a file, or cut what an interruption left off its end; return what it has."""
    if not path.exists():
        header = {"kind": _KIND, "schema_version": _SCHEMA_VERSION, **settings}
        write_json(path, header, indent=None)
        return {}
    lines = _lines(path)
    given = _settings(lines[0], path)
    if differing := [name for name in settings if given.get(name) != settings[name]]:
        listed = ", ".join(
            f"{name} {given.get(name)!r} (now {settings[name]!r})" for name in differing
        )
        raise InputError(f"{path} was made with {listed}: choose another path, or those settings")
    prompts = _prompts(lines[1:], path)
    write_text(path, "".join(f"{line}\n" for line in lines))
    return prompts


def _lines(path: Path) -> list[str]:
    """Return the complete lines of a file: the last one counts once its end has been written."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"stored responses must be a file that store_responses wrote, got {str(path)!r}: "
            f"{type(error).__name__}"
        ) from error
    return text.split("\n")[:-1] or [""]


def _settings(line: str, path: str | Path) -> dict[str, Any]:
    """Return how the responses were drawn."""
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not (isinstance(header, dict) and header.get("kind") == _KIND):
        raise InputError(f"{path} is no file of store_responses: its first line must say so")
    if header["schema_version"] != _SCHEMA_VERSION:
        version = header["schema_version"]
        raise InputError(f"{path} has schema_version {version!r}, we read {_SCHEMA_VERSION}")
    return {k: v for k, v in header.items() if k not in ("kind", "schema_version")}


def _prompts(lines: Sequence[str], path: str | Path) -> dict[int, StoredPrompt]:
    """Return the prompts of all lines, by key."""
    prompts: dict[int, StoredPrompt] = {}
    for number, line in enumerate(lines, start=2):
        try:
            stored = _read_prompt(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}, line {number} is damaged ({type(error).__name__}: {error}): delete it "
                "and run store_responses again"
            ) from error
        prompts[prompt_key(stored.prompt)] = stored
    return prompts


def _read_prompt(fields: Mapping[str, Any]) -> StoredPrompt:
    """Return one line's prompt."""
    prompt_ids = tuple(fields["prompt_ids"])
    responses = [
        StoredResponse(
            Completion(prompt_ids, tuple(response["ids"])),
            tuple(map(float, response["ref_log_probs"])),
            math.nan if response["reward"] is None else float(response["reward"]),
            response["text"],
        )
        for response in fields["responses"]
    ]
    if not responses or any(len(r.ids) != len(r.ref_log_probs) or not r.ids for r in responses):
        raise ValueError("each response needs tokens, and a log-probability for each")
    return StoredPrompt(fields["prompt"], tuple(responses))


def line_of(stored: StoredPrompt) -> str:
    """Return the line of a prompt."""
    responses = [
        {
            "text": response.text,
            "reward": None if math.isnan(response.reward) else response.reward,
            "ids": response.ids,
            "ref_log_probs": response.ref_log_probs,
        }
        for response in stored.responses
    ]
    prompt_ids = stored.responses[0].completion.prompt_ids
    fields = {"prompt": stored.prompt, "prompt_ids": prompt_ids, "responses": responses}
    return json.dumps(fields) + "\n"
