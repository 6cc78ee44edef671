"""Rows to prompts: a template, a system message, an opening; what is no prompt is named."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from polymode.errors import InputError
from polymode.language.data_files import Row

if TYPE_CHECKING:
    from polymode.language.data import DataSettings

Messages = list[dict[str, str]]


def shaped(
    rows: Sequence[Row], settings: "DataSettings", tokenizer: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows with a usable prompt, shaped, and what is wrong with the others."""
    good: list[dict[str, Any]] = []
    bad: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            columns = _readable(row)
            prompt = _finished(_prompt(columns, settings), settings, tokenizer)
            texts = [prompt] if isinstance(prompt, str) else [each["content"] for each in prompt]
            "".join(texts).encode()
        except UnicodeEncodeError:
            bad.append(f"row {number} has a prompt with half a surrogate pair: no text")
        except _BadRowError as problem:
            bad.append(f"row {number} {problem}")
        else:
            good.append({**columns, "prompt": prompt})
    return good, bad


class _BadRowError(Exception):
    """What is wrong with a row; it stays in this module."""


def _readable(row: Row) -> dict[str, Any]:
    if isinstance(row, str):
        raise _BadRowError(row)
    return row


def _prompt(columns: Mapping[str, Any], settings: "DataSettings") -> str | Messages:
    """Return the prompt that a row gives, as it is in the data."""
    if settings.prompt_template is not None:
        try:
            return settings.prompt_template.format_map(columns)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            missing = f"has no column {error}" if isinstance(error, KeyError) else str(error)
            raise _BadRowError(f"does not fit prompt_template: {missing}") from None
    prompt = columns.get(settings.prompt_column)
    if prompt is None:
        names = ", ".join(map(repr, columns)) or "none"
        raise _BadRowError(f"has no {settings.prompt_column!r} (columns: {names})")
    if isinstance(prompt, str):
        if not prompt.strip():
            raise _BadRowError(f"has an empty {settings.prompt_column!r}")
        return prompt
    return _messages(prompt, settings.prompt_column)


def _messages(prompt: Any, column: str) -> Messages:
    """Return a conversation of texts that waits for a reply."""
    if not isinstance(prompt, list) or not prompt:
        raise _BadRowError(f"has a {column!r} that is no text: {type(prompt).__name__}")
    messages: Messages = []
    for message in cast("list[Any]", prompt):
        fields: dict[str, Any] = (
            cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        )
        role, content = fields.get("role"), fields.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise _BadRowError(f"has a {column!r} with a message without role or text")
        messages.append({"role": role, "content": content})
    if messages[-1]["role"] == "assistant":
        raise _BadRowError(f"has a {column!r} that ends with a reply")
    return messages


def _finished(prompt: str | Messages, settings: "DataSettings", tokenizer: Any) -> str | Messages:
    """Return the prompt in its form, with system message and opening."""
    opening = settings.opening or ""
    if settings.form == "text":
        if not isinstance(prompt, str):
            raise _BadRowError("is a conversation, and form is 'text'")
        return prompt + opening
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if settings.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": settings.system}, *messages]
    if not opening:
        return messages
    if getattr(tokenizer, "chat_template", None) is None:
        raise InputError("an opening needs a tokenizer with a chat template: it is put behind that")
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return chat + opening
