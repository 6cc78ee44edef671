"""A model that scores outputs: texts to tokens, tokens to batches, batches to log-probabilities."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from polymode.diagnostics.runs.columns import text_of
from polymode.errors import InputError, UnsupportedOptionError
from polymode.language.dtypes import torch_dtype
from polymode.language.embedded import resolve_model
from polymode.language.loading import adapter_base, load_model, load_tokenizer, with_adapter
from polymode.language.scoring.files import Row
from polymode.language.scoring.settings import ScoreSettings
from polymode.language.scoring.writing import Score
from polymode.language.shared_prompt import score_completions

__all__ = ["Scorer"]

TokenIds = tuple[int, ...]
Pair = tuple[TokenIds, TokenIds]


class Scorer:
    """Scores rows with a causal language model.

    Parameters
    ----------
    settings : ScoreSettings
        Model, adapter, and how rows become tokens; `dtype` is settled.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings
        self.model, self._tokenizer = _load(settings)
        config = self.model.config.get_text_config()
        self._longest: int | None = getattr(config, "max_position_embeddings", None)
        self._shared = True
        self.problems: dict[str, int] = {}

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """Return the log-probability of each output given its prompt.

        Parameters
        ----------
        rows : sequence of Row
            As many as fit into memory; equal ones are computed once.

        Returns
        -------
        list of Score
            None where a row cannot be scored; `problems` counts why.
        """
        cache: dict[str, TokenIds] = {}
        pairs = [self._pair(row, cache) for row in rows]
        found = self._log_probs({pair for pair in pairs if pair is not None})
        scores: list[Score] = []
        for pair in pairs:
            log_prob = None if pair is None else found[pair]
            if pair is not None and log_prob is None:
                self._count("log-probability is not finite")
            scores.append(Score(log_prob, None if pair is None else len(pair[1])))
        return scores

    def _count(self, problem: str) -> None:
        self.problems[problem] = self.problems.get(problem, 0) + 1

    def _pair(self, row: Row, cache: dict[str, TokenIds]) -> Pair | None:
        """Return the tokens of a row; None where it cannot be scored."""
        if row.problem:
            self._count(row.problem)
            return None
        key = repr(row.prompt)
        if key not in cache:
            cache[key] = self._prompt(row.prompt)
        prompt = cache[key]
        tokens = self._tokenizer(text_of(row.output), add_special_tokens=False)["input_ids"]
        end = self._settings.end
        if end == "always" or (end == "auto" and row.finished is not False):
            tokens = [*tokens, self._tokenizer.eos_token_id]
        if self._longest is not None and len(prompt) + len(tokens) > self._longest:
            self._count(f"prompt and output are longer than the model's {self._longest:,} tokens")
            return None
        if not prompt:
            self._count("prompt is empty, and the model has no token that begins a text")
            return None
        return prompt, tuple(tokens)

    def _prompt(self, prompt: Any) -> TokenIds:
        """Return the tokens of a prompt."""
        tokenizer = self._tokenizer
        if isinstance(prompt, str) and self._settings.chat:
            prompt = [{"role": "user", "content": prompt}]
        if isinstance(prompt, str):
            begin = tokenizer.bos_token
            special = not (begin and prompt.startswith(begin))
            tokens = tokenizer(prompt, add_special_tokens=special)["input_ids"]
            start = tokenizer.bos_token_id
            start = tokenizer.eos_token_id if start is None else start
            return tuple(tokens) or (() if start is None else (start,))
        if tokenizer.chat_template is None:
            raise InputError(
                f"model {self._settings.model!r} has no chat template, and prompts are messages"
            )
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _log_probs(self, pairs: set[Pair]) -> dict[Pair, float | None]:
        """Return the log-probability of each pair; None where it is not finite."""
        found: dict[Pair, float | None] = {pair: 0.0 for pair in pairs if not pair[1]}
        for batch in batches(sorted(pairs - set(found)), self._settings.batch_tokens):
            prompts, completions = [p for p, _ in batch], [c for _, c in batch]
            with torch.inference_mode():
                sums = self._sums(prompts, completions)
            finite = [value if value <= 0 else None for value in sums]  # NaN is not <= 0
            found.update(zip(batch, (None if v == -torch.inf else v for v in finite), strict=True))
        return found

    def _sums(self, prompts: list[TokenIds], completions: list[TokenIds]) -> list[float]:
        """Score a batch, with shared prompts where the model allows it."""
        if self._shared:
            try:
                scores = score_completions(self.model, prompts, completions)
                return scores.log_probs.double().sum(1).tolist()
            except UnsupportedOptionError:
                self._shared = False
        return score_rows(self.model, prompts, completions)


def _load(settings: ScoreSettings) -> tuple[Any, Any]:
    """Return model and tokenizer."""
    dtype = torch_dtype(settings.dtype)
    name = settings.model
    tokenizer = load_tokenizer(name, chat=False)
    if tokenizer.eos_token_id is None and settings.end != "never":
        raise InputError(f"model {name!r} has no token that ends a text: --end never")
    if settings.reference_of_adapter:
        base = adapter_base(resolve_model(name))
        if base is None:
            raise InputError(f"--reference-of-adapter needs an adapter, got the model {name!r}")
        return load_model(base, dtype=dtype), tokenizer
    model = load_model(name, dtype=dtype)
    if settings.adapter is not None:
        if adapter_base(str(Path(settings.adapter).expanduser())) is None:
            raise InputError(f"--adapter must be the directory of one, got {settings.adapter!r}")
        model = with_adapter(model, str(Path(settings.adapter).expanduser()))
    return model, tokenizer


def batches(pairs: Sequence[Pair], n_tokens: int) -> Iterator[list[Pair]]:
    """Yield batches of pairs, those of one prompt together, rows of like length together.

    Parameters
    ----------
    pairs : sequence of (prompt, completion)
        Sorted by prompt.
    n_tokens : int
        Of a batch, padding included; a single pair may have more.

    Yields
    ------
    list of (prompt, completion)
        Every pair once.
    """
    rows: list[tuple[int, list[Pair]]] = []
    for prompt, completion in pairs:
        width, row = rows[-1] if rows else (0, [])
        if row and row[0][0] == prompt and width + len(completion) <= n_tokens:
            row.append((prompt, completion))
            rows[-1] = (width + len(completion), row)
        else:
            rows.append((len(prompt) - 1 + len(completion), [(prompt, completion)]))
    batch: list[list[Pair]] = []
    widest = 0
    for width, row in sorted(rows, key=lambda item: -item[0]):
        prompts = {held[0][0] for held in batch}  # a prompt makes one row of a batch
        if batch and (widest * (len(batch) + 1) > n_tokens or row[0][0] in prompts):
            yield [pair for held in batch for pair in held]
            batch = []
        widest = widest if batch else width
        batch.append(row)
    if batch:
        yield [pair for held in batch for pair in held]


def score_rows(
    model: Any, prompts: Sequence[TokenIds], completions: Sequence[TokenIds]
) -> list[float]:
    """Return log-probabilities with every pair in a row of its own, padded on the right.

    Parameters
    ----------
    model : transformers causal language model
        Of any attention that is causal.
    prompts, completions : sequence of tuple of int
        Row by row; neither is empty.

    Returns
    -------
    list of float
        Nats, sums over the tokens of each completion.
    """
    rows = [(*p, *c) for p, c in zip(prompts, completions, strict=True)]
    longest = max(map(len, rows))
    device = next(model.parameters()).device
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    out: list[float] = []
    for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        asked = torch.tensor(row[len(prompt) :], device=device)
        log_p = logits[i, len(prompt) - 1 : len(row) - 1].float().log_softmax(-1)
        out.append(float(log_p.gather(1, asked[:, None]).double().sum()))
    return out
