"""A sequence classifier as a reward."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from polymode.errors import InputError
from polymode.language.embedded import resolve_model


class ModelReward:
    """A logit of a transformers sequence classifier, read after prompt and completion.

    TRL can load reward models as well, but forces one logit on them, computes the whole batch in
    one pass, never cuts, and takes no guard around them.

    Parameters
    ----------
    model : str
        A directory or hub id, with weights as safetensors; ``NAME#LABEL`` chooses a logit by its
        number or by its label in the model's config. Without it the model must have one logit.
    batch_size : int
        Texts in one forward pass.

    Raises
    ------
    InputError
        If the model cannot be loaded, or there is no such logit.

    Notes
    -----
    Conversations go through the chat template of the reward model's own tokenizer; plain text is
    prompt and completion joined, with the tokenizer's special tokens. Texts that are too long lose
    their beginning. No gradient; on the device of the process that trains, from the first call on.
    """

    def __init__(self, model: str, *, batch_size: int = 16) -> None:
        path, _, label = model.partition("#")
        self.__name__ = Path(path).name
        self._batch_size = batch_size
        try:
            found = resolve_model(path)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(found)
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                found, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = str(error).strip().split("\n", 1)[0]
            raise InputError(f"reward model {path!r} cannot be loaded: {reason}") from error
        self._logit = _logit(self.model.config, path, label)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        # A decoder reads the last token that is no padding, and has to know which that is.
        self.model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.truncation_side, self.tokenizer.padding_side = "left", "right"
        self.model.eval()

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
        """Return the logit of each completion."""
        self.model.to(PartialState().device)
        rewards: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(prompts), self._batch_size):
                part = slice(start, start + self._batch_size)
                logits = self.model(**self._encoded(prompts[part], completions[part])).logits
                rewards += logits[:, self._logit].float().tolist()
        return rewards

    def _encoded(self, prompts: Sequence[Any], completions: Sequence[Any]) -> Any:
        """Return the token ids and mask of some texts, on the model's device."""
        chat = not isinstance(prompts[0], str)
        texts = [prompt + each for prompt, each in zip(prompts, completions, strict=True)]
        if chat:
            texts = [self.tokenizer.apply_chat_template(each, tokenize=False) for each in texts]
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        encoded = self.tokenizer(
            texts,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=min(self.tokenizer.model_max_length, longest or 10**9),
            add_special_tokens=not chat,  # a chat template has written them
        )
        return encoded.to(self.model.device)


def _logit(config: Any, path: str, label: str) -> int:
    """Return the position of the logit that `label` names."""
    labels: dict[str, int] = {str(name): i for name, i in config.label2id.items()}
    n = config.num_labels
    if not label and n == 1:
        return 0
    if label in labels:
        return labels[label]
    if label.isdecimal() and int(label) < n:
        return int(label)
    names = ", ".join(sorted(labels, key=lambda name: labels[name]))
    raise InputError(
        f"reward model {path!r} has {n} logits ({names}): choose one as model:{path}#LABEL, "
        f"got {label!r}"
    )
