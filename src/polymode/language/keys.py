"""Keys of prompts, completions and modes: the same on every rank and in every run."""

import hashlib
from collections.abc import Hashable
from typing import Any


def digest(value: Any) -> bytes:
    """Return a digest of a value's `repr`; Python's own `hash` differs from run to run."""
    return hashlib.blake2b(repr(value).encode(), digest_size=16).digest()


def prompt_key(prompt: Any) -> int:
    """Return the key of a prompt, a text or a list of messages: 64 bits, signed."""
    return int.from_bytes(digest(prompt)[:8], "big", signed=True)


def output_key(ids: Any) -> str:
    """Return the key of a completion's tokens."""
    return digest(tuple(ids)).hex()


def mode_key(mode: Hashable | None) -> str | None:
    """Return a mode as a text, long ones as a digest; None stays None."""
    if mode is None:
        return None
    text = mode if isinstance(mode, str) else repr(mode)
    return text if 0 < len(text) <= 64 else digest(mode).hex()
