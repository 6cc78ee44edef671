"""The distinct outputs of each prompt, sorted by prompt and mode, with how often each was drawn."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer

from polymode.diagnostics.diagnosis.samples import RecordedSamples
from polymode.diagnostics.diagnosis.segments import Segments

__all__ = ["DistinctOutputs"]

_SINGLE = 0.01  # share of repeated modes with several texts up to which modes are outputs
_REPEATS = 20  # draws of modes that had come before, fewest to conclude that from


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
            return rows.sum(column[order].astype(np.float64, copy=False)) / n_drawn

        prompt, mode, text = prompt[rows.starts], mode[rows.starts], text[rows.starts]
        prompts, modes = Segments.of(prompt), Segments.of(prompt, mode)
        log_q = mean(samples.ref_log_probs)
        log_p = None if samples.log_probs is None else mean(samples.log_probs)
        return cls(
            prompt_ids=prompt[prompts.starts],
            prompts=prompts,
            modes=modes,
            of_modes=Segments.of(prompt[modes.starts]),
            n_drawn=n_drawn,
            n_samples=prompts.sum(n_drawn),
            rewards=mean(samples.rewards),
            log_q=log_q,
            log_p=log_p,
            log_drawn=log_q if log_p is None or samples.drawn_from == "reference" else log_p,
            text=text,
            mode=mode,
            by_output=samples.modes is None or _single_texts(modes, n_drawn),
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


def _single_texts(modes: Segments, n_drawn: Float[np.ndarray, " o"]) -> bool:
    """Return whether modes that came twice or more came with the same text each time."""
    times = modes.sum(n_drawn)
    repeated = times >= 2
    several = repeated & (modes.sizes > 1)
    enough = (times - 1).sum() >= _REPEATS
    return bool(enough and several.sum() <= _SINGLE * repeated.sum())
