"""Plain samples of a language model, with the log-probability of each of their tokens."""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import tqdm
from transformers import GenerationConfig

from polymode.core.checks import positive, require, whole
from polymode.language.extra_loss import Completion
from polymode.language.keys import prompt_key
from polymode.language.stored import (
    StoredPrompt,
    StoredResponse,
    StoredResponses,
    line_of,
    open_store,
)

# Said in so many words, since a model's own generation settings would fill what is left open.
_PLAIN: dict[str, Any] = {
    "do_sample": True,
    "num_beams": 1,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


def store_responses(
    model: Any,
    tokenizer: Any,
    dataset: Any,
    reward: Callable[..., Sequence[float | None]],
    *,
    path: str | Path,
    n: int = 8,
    temperature: float = 1.0,
    max_new_tokens: int = 256,
    seed: int = 0,
    progress: bool = True,
) -> StoredResponses:
    """Sample responses from a reference, score them, and store them with their log-probabilities.

    Parameters
    ----------
    model : transformers causal language model
        The reference, on the device where it is to run.
    tokenizer : transformers tokenizer
        Its tokenizer, with a chat template if prompts are lists of messages.
    dataset : datasets.Dataset
        Has a column `prompt`, as for TRL; the other columns go to the reward function.
    reward : callable
        A reward function of TRL's kind: `reward(prompts, completions, completion_ids, **columns)`
        returns one number for each completion, None where it cannot say.
    path : path
        Where to store, a `.jsonl` file. An existing one is continued: prompts that it has are not
        sampled again.
    n : int
        Responses for each prompt.
    temperature : float
        Of sampling, and of the stored log-probabilities: that of the training to come.
    max_new_tokens : int
        Longest response, in tokens.
    seed : int
        Of sampling; each prompt has its own stream, so that a continued file is the same file.
    progress : bool
        Show a progress bar.

    Returns
    -------
    StoredResponses
        All that the file has.

    Raises
    ------
    ArgumentError
        If a setting makes no sense; lists all of them.
    InputError
        If the file exists and was made with other settings, or is no such file.

    Notes
    -----
    One process. Sampling is plain: no top-p, no top-k, no penalties, whatever the model's own
    generation settings say, since log q ignores them.
    """
    require(positive(temperature=temperature), whole(n=n, max_new_tokens=max_new_tokens))
    drawn: dict[str, Any] = {
        "n": n,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
    }
    path = Path(path)
    done = {*open_store(path, {"model": model.config._name_or_path, **drawn})}
    rows = tqdm(list(dataset), disable=not progress, desc="prompts")
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            key = prompt_key(row["prompt"])
            if key in done:
                continue
            done.add(key)
            stored = _sample(model, tokenizer, row, reward, **drawn)
            file.write(line_of(stored))
            file.flush()
    return StoredResponses.load(path)


def _sample(
    model: Any,
    tokenizer: Any,
    row: Mapping[str, Any],
    reward: Callable[..., Sequence[float | None]],
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> StoredPrompt:
    """Return `n` scored samples for one row of a dataset; see `store_responses`."""
    prompt = row["prompt"]
    prompt_ids = tokenize_prompt(tokenizer, prompt)
    ends = _end_ids(model, tokenizer)
    with _evaluating(model), _seeded(model.device, seed ^ prompt_key(prompt)):
        settings = GenerationConfig(
            **_PLAIN,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            num_return_sequences=n,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
        )
        ids = torch.tensor([prompt_ids], device=model.device)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    new = out[:, len(prompt_ids) :]
    lengths = _lengths(new, ends)
    log_probs = _token_log_probs(model, out, new.shape[1], temperature)
    answers = [new[i, :length].tolist() for i, length in enumerate(lengths)]
    texts: list[str] = tokenizer.batch_decode(answers, skip_special_tokens=True)
    columns = {name: [value] * n for name, value in row.items() if name != "prompt"}
    rewards = reward(
        prompts=[prompt] * n,
        completions=[as_completion(prompt, text) for text in texts],
        completion_ids=answers,
        **columns,
    )
    responses = [
        StoredResponse(
            Completion(prompt_ids, tuple(answer)),
            tuple(log_probs[i, : len(answer)].tolist()),
            float("nan") if value is None else float(value),
            text,
        )
        for i, (answer, value, text) in enumerate(zip(answers, rewards, texts, strict=True))
    ]
    return StoredPrompt(prompt, tuple(responses))


def tokenize_prompt(tokenizer: Any, prompt: Any) -> tuple[int, ...]:
    """Return the tokens of a prompt, as TRL makes them."""
    if isinstance(prompt, str):
        return tuple(tokenizer(prompt)["input_ids"])
    chat = tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return tuple(chat["input_ids"])


def as_completion(prompt: Any, text: str) -> Any:
    """Return a response in the format that TRL hands to reward functions."""
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end a response."""
    known = model.generation_config.eos_token_id
    known = [known] if isinstance(known, int) else known or []
    return sorted({*known, tokenizer.eos_token_id})


def _lengths(ids: torch.Tensor, ends: Sequence[int]) -> list[int]:
    """Return the tokens of each response up to its end, the end included."""
    is_end = torch.isin(ids, torch.tensor(ends, device=ids.device))
    first = torch.where(is_end.any(1), is_end.int().argmax(1) + 1, ids.shape[1])
    return first.tolist()


def _token_log_probs(model: Any, ids: torch.Tensor, n_new: int, temperature: float) -> torch.Tensor:
    """Return the log-probability of each of the last `n_new` tokens; all rows have one prompt."""
    # Padding is at the end, where causal attention cannot see it.
    with _evaluating(model):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    log_p = (logits[:, -n_new - 1 : -1].float() / temperature).log_softmax(-1)
    return log_p.gather(-1, ids[:, -n_new:, None])[..., 0]


@contextlib.contextmanager
def _evaluating(model: Any) -> Generator[None]:
    """Leave dropout and gradients out for the length of the block."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@contextlib.contextmanager
def _seeded(device: torch.device, seed: int) -> Generator[None]:
    """Seed torch's generators for the length of the block; outside they go on as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed % 2**63)
        yield
