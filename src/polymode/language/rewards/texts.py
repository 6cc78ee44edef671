"""Completions in either of TRL's formats."""

from typing import Any


def text_of(completion: Any) -> str:
    """Return the text of a completion: a plain string, or the last of a list of messages.

    What a message holds beside text (images, tool calls) is left out; so is a completion that is
    neither.
    """
    if isinstance(completion, str):
        return completion
    if not isinstance(completion, list) or not completion:
        return ""
    content: Any = completion[-1].get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
