"""What the machine is good at."""

import functools
import platform
from typing import Literal

__all__ = ["fast_dtype"]


@functools.cache
def fast_dtype(device: str | None = None) -> Literal["bfloat16", "float32"]:
    """Return the type of numbers that a device multiplies fastest.

    Parameters
    ----------
    device : str or None
        "cpu", "cuda" or "cuda:1", say, as torch names it; None: "cuda" where there is one, else
        "cpu".

    Notes
    -----
    Only units for bfloat16 count. A processor or GPU without them computes in bfloat16 as well, by
    way of float32, and several times slower: a training step on AVX2 takes eight times as long.
    """
    import torch

    kind = (device or ("cuda" if torch.cuda.is_available() else "cpu")).partition(":")[0]
    if kind == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_units = kind == "cpu" and _processor_has_units()
    return "bfloat16" if has_units else "float32"


def _processor_has_units() -> bool:
    """Return whether oneDNN multiplies in bfloat16, and the processor does so itself."""
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # oneDNN says yes to any AVX-512, and emulates it where that has no bfloat16.
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage]
