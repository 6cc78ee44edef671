"""The distinct outputs of each prompt, sorted by prompt and mode, with how often each was drawn."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer

from polymode.diagnostics.diagnosis.rare_modes import pooled_shape
from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.diagnosis.segments import Segments

__all__ = ["DistinctOutputs"]

_SINGLE = 0.01  # share of repeated modes with several texts up to which modes are outputs
_REPEATS = 20  # draws of modes that had come before, fewest to conclude that from
_BLOCK = 2**17  # outputs of a block: a column of them is a megabyte


@dataclass(frozen=True, eq=False)
class DistinctOutputs:
    """Outputs, o of them, in m modes of P prompts.

    Parameters
    ----------
    prompt_ids : array of int, shape (P,)
        Positions of the prompts among those of the samples; prompts without a row are not here.
    prompts : Segments
        From outputs to prompts.
    modes : Segments
        From outputs to modes.
    of_modes : Segments
        From modes to prompts.
    n_drawn : array, shape (o,)
        How often each output was drawn.
    n_samples : array, shape (P,)
        How many samples each prompt has.
    rewards, log_q : array, shape (o,)
        Means over the rows of an output.
    log_p : array, shape (o,), or None
        Likewise; None where the policy is not known.
    log_drawn : array, shape (o,)
        Log-probability under whoever drew the samples: `log_q` or `log_p`.
    text : array of int, shape (o,)
        Position among the texts of the samples.
    mode : array of int, shape (o,)
        Position among the names of the modes, -1 without an answer; the text where modes are
        outputs.
    by_output : bool
        Whether every mode is a single output, so that its probability is known exactly.
    best_reward : float
        Largest reward of all prompts, in a block those of other blocks included.
    pooled_shape : float
        Shape of the law of rare modes of all prompts, likewise.
    """

    prompt_ids: Integer[np.ndarray, " P"]
    prompts: Segments
    modes: Segments
    of_modes: Segments
    n_drawn: Float[np.ndarray, " o"]
    n_samples: Float[np.ndarray, " P"]
    rewards: Float[np.ndarray, " o"]
    log_q: Float[np.ndarray, " o"]
    log_p: Float[np.ndarray, " o"] | None
    log_drawn: Float[np.ndarray, " o"]
    text: Integer[np.ndarray, " o"]
    mode: Integer[np.ndarray, " o"]
    by_output: bool
    best_reward: float
    pooled_shape: float

    @classmethod
    def of(cls, samples: RecordedSamples) -> "DistinctOutputs":
        """Return the distinct outputs of recorded samples.

        Parameters
        ----------
        samples : RecordedSamples
            The samples.

        Returns
        -------
        DistinctOutputs
            Rows of one prompt with one text and one mode are one output.

        Notes
        -----
        Where repeated modes hardly ever have a second text, modes count as outputs: a mode that was
        seen once then has the probability of its text, and not the unknown one of all its texts.
        """
        mode = samples.output if samples.modes is None else samples.modes
        order = np.lexsort((samples.output, mode, samples.prompt))
        prompt, mode, text = samples.prompt[order], mode[order], samples.output[order]
        rows = Segments.of(prompt, mode, text)
        n_drawn = rows.sizes.astype(np.float64)

        def mean(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " o"]:
            values = column[order].astype(np.float64, copy=False)
            mean = rows.sum(values) / n_drawn  # of equal ones that differs by rounding
            return np.clip(mean, -rows.max(-values), rows.max(values))

        prompt, mode, text = prompt[rows.starts], mode[rows.starts], text[rows.starts]
        prompts, modes = Segments.of(prompt), Segments.of(prompt, mode)
        log_q, rewards = mean(samples.ref_log_probs), mean(samples.rewards)
        log_p = None if samples.log_probs is None else mean(samples.log_probs)
        return cls(
            prompt_ids=prompt[prompts.starts],
            prompts=prompts,
            modes=modes,
            of_modes=Segments.of(prompt[modes.starts]),
            n_drawn=n_drawn,
            n_samples=prompts.sum(n_drawn),
            rewards=rewards,
            log_q=log_q,
            log_p=log_p,
            log_drawn=log_q if log_p is None or samples.drawn_from == "reference" else log_p,
            text=text,
            mode=mode,
            by_output=samples.modes is None or _single_texts(modes, n_drawn),
            best_reward=float(rewards.max()),
            pooled_shape=pooled_shape(modes.sum(n_drawn)),
        )

    def blocks(self, size: int = _BLOCK) -> Iterator["DistinctOutputs"]:
        """Yield the same outputs in blocks of neighbouring prompts.

        Parameters
        ----------
        size : int
            How many outputs a block may have, unless it is a single prompt.

        Yields
        ------
        DistinctOutputs
            Ready to be worked on one by one: prompts say nothing about one another but the largest
            reward and the law of rare modes, which blocks know from all of them.
        """
        ends = self.prompts.starts + self.prompts.sizes
        first = 0
        while first < len(self.prompts):
            begin = self.prompts.starts[first]
            last = int(max(first + 1, np.searchsorted(ends, begin + size, side="right")))
            yield self._block(first, last)
            first = last

    def _block(self, first: int, last: int) -> "DistinctOutputs":
        """Return some neighbouring prompts alone."""
        prompts, of_modes = self.prompts.cut(first, last), self.of_modes.cut(first, last)
        mode = int(self.of_modes.starts[first])
        begin = int(self.prompts.starts[first])
        own = slice(begin, begin + len(prompts.index))
        return replace(
            self,
            prompt_ids=self.prompt_ids[first:last],
            prompts=prompts,
            modes=self.modes.cut(mode, mode + len(of_modes.index)),
            of_modes=of_modes,
            n_samples=self.n_samples[first:last],
            **{name: getattr(self, name)[own] for name in _COLUMNS},
            log_p=None if self.log_p is None else self.log_p[own],
        )

    def as_outputs(self) -> "DistinctOutputs":
        """Return the same outputs, each a mode of its own.

        Returns
        -------
        DistinctOutputs
            The table itself where modes are outputs.
        """
        if self.by_output:
            return self
        own = Segments.of(np.arange(len(self.text)))
        return replace(self, modes=own, of_modes=self.prompts, mode=self.text, by_output=True)


_COLUMNS = ("n_drawn", "rewards", "log_q", "log_drawn", "text", "mode")


def _single_texts(modes: Segments, n_drawn: Float[np.ndarray, " o"]) -> bool:
    """Return whether modes that came twice or more came with the same text each time."""
    times = modes.sum(n_drawn)
    repeated = times >= 2
    several = repeated & (modes.sizes > 1)
    enough = (times - 1).sum() >= _REPEATS
    return bool(enough and several.sum() <= _SINGLE * repeated.sum())
