"""What the machine multiplies fast in, as torch and the processor tell it."""

import platform

import pytest
import torch

from polymode.devices import fast_dtype


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be one; answers are remembered, so forget those of others."""

    def pretend(*, name="x86_64", onednn=False, avx512=False, cuda=None):
        fast_dtype.cache_clear()
        monkeypatch.setattr(platform, "machine", lambda: name)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)

        def is_supported(including_emulation=True):
            return including_emulation or bool(cuda)

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)

    yield pretend
    fast_dtype.cache_clear()


@pytest.mark.parametrize(
    ("facts", "dtype"),
    [
        ({}, "float32"),
        ({"onednn": True, "avx512": True}, "bfloat16"),
        ({"onednn": True}, "float32"),  # oneDNN would emulate it
        ({"name": "aarch64", "onednn": True}, "bfloat16"),
        ({"name": "aarch64"}, "float32"),
    ],
    ids=str,
)
def test_a_processor_needs_units_of_its_own(facts, dtype, machine):
    machine(**facts)
    assert fast_dtype("cpu") == fast_dtype() == dtype


@pytest.mark.parametrize(("units", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_emulates_does_not_count(units, dtype, machine):
    machine(onednn=not units, avx512=not units, cuda=units)
    assert fast_dtype() == fast_dtype("cuda") == fast_dtype("cuda:1") == dtype


def test_other_devices_compute_in_float32(machine):
    machine(onednn=True, avx512=True)
    assert fast_dtype("mps") == "float32"


def test_torch_still_answers():
    fast_dtype.cache_clear()
    assert fast_dtype("cpu") in ("bfloat16", "float32")
