"""Draw completions of one prompt, reproducibly, with transformers or vLLM."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from polymode.errors import MissingExtraError
from polymode.language.dtypes import torch_dtype
from polymode.language.embedded import resolve_model
from polymode.language.loading import adapter_base, load_model, load_tokenizer
from polymode.language.shared_prompt import shared_generation


@dataclass(frozen=True)
class Completion:
    """One sample of a model."""

    text: str
    """Without special tokens."""
    n_tokens: int
    """With the end of turn, where there is one."""
    log_prob: float
    """`log p` of these tokens in nats, at temperature 1 whatever it was sampled at."""
    finished: bool
    """Whether it came to its end, rather than to the limit of tokens."""


class Engine(Protocol):
    """What draws samples."""

    tokenizer: Any

    def sample(self, prompt: Sequence[int], n: int, *, seed: int) -> list[Completion]:
        """Draw `n` completions of a prompt, given as tokens; a seed always draws the same."""
        ...


def batch_seed(seed: int, *, task: str, prompt_id: str, batch: int) -> int:
    """Return the seed of a batch: it depends on nothing else, so that a run can go on anywhere."""
    text = repr((seed, task, prompt_id, batch)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def load_engine(
    name: str,
    model: str,
    *,
    max_new_tokens: int,
    temperature: float,
    dtype: str = "checkpoint",
    seed: int = 0,
) -> Engine:
    """Load a model behind an engine: "transformers" or "vllm"; `dtype` is one of `WEIGHTS`.

    Raises
    ------
    InputError
        If the model cannot be had.
    MissingExtraError
        If vLLM is asked for and not installed.
    """
    if name == "vllm":
        return VLLMEngine(
            model,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            dtype="auto" if dtype == "checkpoint" else dtype,  # as vLLM calls it
            seed=seed,
        )
    return TransformersEngine(
        load_model(model, dtype=torch_dtype(dtype)),
        load_tokenizer(model),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )


class TransformersEngine:
    """Sampling by `generate`; a prompt is computed once for all its completions."""

    def __init__(
        self, model: Any, tokenizer: Any, *, max_new_tokens: int, temperature: float
    ) -> None:
        self.tokenizer = tokenizer
        self._model = model
        own = model.generation_config.eos_token_id
        ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        self._ends = sorted(ends)
        # A config of our own: what a checkpoint brings (top-k, penalties) samples another policy.
        model.generation_config = GenerationConfig(
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=self._ends[0]
            if tokenizer.pad_token_id is None
            else tokenizer.pad_token_id,
        )

    def sample(self, prompt: Sequence[int], n: int, *, seed: int) -> list[Completion]:
        """Draw `n` completions of a prompt; torch's own generators are left as they were."""
        device = self._model.device
        ids = torch.tensor([list(prompt)] * n, device=device)
        recorder = _LogProbs(ids.shape[1])
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), shared_generation(self._model):
            torch.manual_seed(seed)
            out = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                logits_processor=LogitsProcessorList([recorder]),
            )
        rows = out[:, ids.shape[1] :].cpu()
        log_probs = recorder.finish(out).cpu().double()
        return [self._completion(*pair) for pair in zip(rows, log_probs, strict=True)]

    def _completion(self, row: torch.Tensor, log_probs: torch.Tensor) -> Completion:
        tokens = row.tolist()
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        n = len(tokens) if end is None else end + 1
        text = self.tokenizer.decode(tokens[:n], skip_special_tokens=True)
        return Completion(text, n, float(log_probs[:n].sum()), end is not None)


class _LogProbs(LogitsProcessor):
    """Keep the log-probability of each chosen token, at temperature 1; change nothing.

    It comes before temperature, and sees which token was chosen one step later.
    """

    def __init__(self, n_prompt: int) -> None:
        self._n_prompt = n_prompt
        self._last: torch.Tensor | None = None
        self._chosen: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._take(input_ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def _take(self, ids: torch.Tensor) -> None:
        step = ids.shape[1] - self._n_prompt
        if self._last is not None and step > len(self._chosen):
            token = ids[:, self._n_prompt + len(self._chosen), None]
            self._chosen.append(self._last.gather(-1, token)[:, 0])

    def finish(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities of all new tokens, shape (n, new tokens)."""
        self._take(ids)
        return torch.stack(self._chosen, dim=1)


class VLLMEngine:
    """Sampling by vLLM's own API."""

    def __init__(
        self, model: str, *, max_new_tokens: int, temperature: float, dtype: str, seed: int
    ) -> None:
        try:
            import vllm  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise MissingExtraError("vllm") from error
        self._vllm: Any = vllm
        path = resolve_model(model)
        base = adapter_base(path)
        self.tokenizer = load_tokenizer(model)
        self._options = {"max_tokens": max_new_tokens, "temperature": temperature, "logprobs": 0}
        self._llm = self._vllm.LLM(
            model=resolve_model(base) if base else path,
            dtype=dtype,
            seed=seed,
            enable_lora=base is not None,
            logprobs_mode="raw_logprobs",  # at temperature 1
        )
        self._adapter: Any = None
        if base:
            from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

            self._adapter = LoRARequest("adapter", 1, path)

    def sample(self, prompt: Sequence[int], n: int, *, seed: int) -> list[Completion]:
        """Draw `n` completions of a prompt."""
        params = self._vllm.SamplingParams(n=n, seed=seed, top_p=1.0, top_k=-1, **self._options)
        (found,) = self._llm.generate(
            [{"prompt_token_ids": list(prompt)}], params, lora_request=self._adapter, use_tqdm=False
        )
        return [
            Completion(
                each.text,
                len(each.token_ids),
                each.cumulative_logprob,
                each.finish_reason == "stop",
            )
            for each in found.outputs
        ]
