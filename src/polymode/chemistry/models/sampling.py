"""Strings drawn from a model, with their log-probabilities."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polymode.chemistry.models.interface import END_ID, START_ID, SmilesModel, Trace
from polymode.core.checks import known, positive, require, whole
from polymode.devices import fast_dtype
from polymode.errors import ArgumentError

_BATCH = 512  # strings written side by side: more no longer fit the cache of a core
MOST_TRACED = _BATCH
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class SmilesSample:
    """Strings drawn from a model, in the order in which they were drawn."""

    smiles: tuple[str, ...]
    """The strings; not necessarily valid, and may repeat."""

    log_probs: Tensor
    """Shape (n,), float32, **nats**: log-probability of each string under the distribution that it
    was drawn from, end token included."""

    n_tokens: Tensor
    """Shape (n,), int64: tokens of each string, the end token included."""

    truncated: Tensor
    """Shape (n,), bool: the string would have gone on past `max_length` and was cut there."""


@torch.no_grad()
def sample_smiles(
    model: SmilesModel,
    n: int,
    *,
    generator: torch.Generator,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    max_length: int = 128,
    temperature: float = 1.0,
    trace: Trace | None = None,
) -> SmilesSample:
    """Draw strings from a model.

    Parameters
    ----------
    model : SmilesModel
        The model.
    n : int
        How many strings.
    generator : torch.Generator
        Source of randomness.
    dtype : {"auto", "float32", "bfloat16"}
        What the products of the model are computed in; softmax and draw are in float32 always.
        "auto": bfloat16 on processors that have it, which is faster there, else float32.
    max_length : int
        Tokens, without the end token, after which a string is cut.
    temperature : float
        Logits are divided by it before each draw; > 0.
    trace : Trace, optional
        From ``model.trace()``: keeps what is computed, so that ``trace.log_probs()`` returns the
        log-probabilities with their gradient and without another pass. For 512 strings at most, in
        float32 and at temperature 1.

    Returns
    -------
    SmilesSample
        The strings and their log-probabilities.

    Raises
    ------
    ArgumentError
        If an argument is not what it must be; lists all of them.

    Notes
    -----
    ``log_probs`` belongs to the distribution that was drawn from: with ``dtype="float32"`` and
    temperature 1 it equals `log_likelihood` to 1e-4; in bfloat16 the distribution is a slightly
    different one, and `log_likelihood` of the strings, computed in float32, is the other half of an
    importance ratio. A truncated string gets the log-probability of ending where it was cut, as
    `log_likelihood` does. Strings that have ended are dropped from the computation.
    """
    require(
        whole(n=n, max_length=max_length),
        positive(temperature=temperature),
        known("dtype", dtype, ("auto", *_DTYPES)),
    )
    if dtype == "auto":
        dtype = fast_dtype(model.device.type)
    if trace is not None and (n > MOST_TRACED or dtype != "float32" or temperature != 1.0):
        given = f"{n} strings in {dtype} at {temperature}"
        raise ArgumentError(
            f"trace must be of {MOST_TRACED} strings at most, float32, temperature 1, got {given}"
        )
    parts = [
        _draw(
            model,
            min(_BATCH, n - start),
            generator,
            trace,
            dtype=_DTYPES[dtype],
            max_length=max_length,
            temperature=temperature,
        )
        for start in range(0, n, _BATCH)
    ]
    ids, log_probs, lengths, truncated = (list(part) for part in zip(*parts, strict=True))
    return SmilesSample(
        smiles=tuple(model.vocabulary.decode(row) for part in ids for row in part.tolist()),
        log_probs=torch.cat(log_probs),
        n_tokens=torch.cat(lengths),
        truncated=torch.cat(truncated),
    )


def _draw(
    model: SmilesModel,
    n: int,
    generator: torch.Generator,
    trace: Trace | None,
    *,
    dtype: torch.dtype,
    max_length: int,
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw one batch: ids (n, L), log-probabilities, lengths and whether each was cut."""
    device = model.device
    kept = {} if trace is None else {"trace": trace}
    decoder = model.decoder(n, dtype=dtype, **kept)
    ids = torch.zeros(n, max_length + 1, dtype=torch.int64, device=device)
    log_probs, lengths = torch.zeros(n, device=device), ids.new_zeros(n)
    truncated = torch.zeros(n, dtype=torch.bool, device=device)
    alive, last = torch.arange(n, device=device), ids.new_full((n,), START_ID)
    for step in range(max_length + 1):
        token_log_probs = (decoder.step(last) / temperature).log_softmax(dim=1)
        if trace is not None:
            trace.step(alive)
        last = _draw_tokens(token_log_probs, generator)
        if step == max_length:
            truncated[alive] = last != END_ID
            last = torch.full_like(last, END_ID)
        ids[alive, step] = last
        log_probs[alive] += token_log_probs.gather(1, last[:, None])[:, 0]
        lengths[alive] += 1
        going = (last != END_ID).nonzero()[:, 0]
        if len(going) < len(alive):
            if not len(going):
                break
            decoder.keep(going)
            alive, last = alive[going], last[going]
    if trace is not None:
        trace.end(ids, lengths)
    return ids, log_probs, lengths, truncated


def _draw_tokens(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token from each row of log-probabilities (n, V)."""
    noise = torch.empty(log_probs.shape, device=generator.device).exponential_(generator=generator)
    # The largest of log p + Gumbel noise is a draw from p, and -log(exponential) is such noise.
    return (log_probs - noise.clamp_min_(1e-30).log_().to(log_probs.device)).argmax(dim=1)
