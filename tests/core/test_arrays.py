"""What the core adds to the array-API standard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from polymode.core.arrays import (
    array_namespace,
    as_array,
    as_keys,
    at_least,
    detached,
    library,
    logsumexp,
    widen,
)
from tests.libraries import each_library


@each_library
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0.0, 0.0], np.log(2)),
        ([1e4, 1e4], 1e4 + np.log(2)),
        ([-1e300, 1e300], 1e300),
        ([-np.inf, 3.0], 3.0),
        ([-np.inf, -np.inf], -np.inf),
        ([np.inf, 1e300], np.inf),
        ([np.nan, 1e300], np.nan),
    ],
)
def test_logsumexp_is_exact_and_silent_at_the_edges(to, x, expected):
    actual = float(logsumexp(to(np.array(x))))  # all warnings are errors here
    assert actual == pytest.approx(expected, rel=1e-12, nan_ok=True)


@given(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=3), elements=st.floats(-700, 700)), st.data()
)
def test_logsumexp_agrees_with_scipy_on_every_axis(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    for keepdims in (False, True):
        actual = logsumexp(x, axis=axis, keepdims=keepdims)
        expected = special.logsumexp(x, axis=axis, keepdims=keepdims)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_gradient_of_logsumexp_is_the_softmax_and_zero_without_mass():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.1, 0.7], [-torch.inf, 0.3], [-torch.inf, -torch.inf]]).double()
    x.requires_grad_()
    logsumexp(x).nan_to_num(neginf=0.0).sum().backward()
    torch.testing.assert_close(x.grad[:2], x.detach()[:2].softmax(-1))
    torch.testing.assert_close(x.grad[2], torch.zeros(2).double())
    assert torch.autograd.gradcheck(logsumexp, torch.randn(2, 3).double().requires_grad_())


def test_widen_returns_what_the_floating_arguments_promote_to():
    def outcome(*dtypes):
        wide, narrow = widen(*(np.zeros(2, dtype) for dtype in dtypes))
        assert all(array.dtype == np.float64 for array in wide)
        return narrow(wide[0]).dtype

    assert outcome("f4", "f4") == np.float32
    assert outcome("f4", "f8") == np.float64
    assert outcome("i8", "f4") == np.float32
    assert outcome("?", "f2") == np.float16
    assert outcome("i8", "?") == np.float64


def test_widen_in_torch():
    torch = pytest.importorskip("torch")
    (a, b), narrow = widen(torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.int32))
    assert a.dtype is b.dtype is torch.float64
    assert narrow(a).dtype is torch.bfloat16
    (a,), narrow = widen(torch.ones(2, dtype=torch.bool))
    assert narrow(a).dtype is torch.get_default_dtype()


def test_widen_stays_narrow_where_there_is_no_float64(monkeypatch):
    # As torch says of Apple's MPS, and JAX by default.
    namespace = array_namespace(np.zeros(1))
    info = type(namespace.__array_namespace_info__())
    monkeypatch.setattr(info, "dtypes", lambda self, **_: {"float32": np.dtype("float32")})
    (a,), narrow = widen(np.zeros(2, dtype=np.float16))
    assert a.dtype == np.float32
    assert narrow(a).dtype == np.float16


def test_lists_and_numbers_count_as_numpy():
    assert array_namespace([1.0], 2.0, np.zeros(1)) is array_namespace(np.zeros(1))
    assert library([1.0]) == library(1.0) == library(np.float32(1.0)) == "numpy"
    np.testing.assert_array_equal(as_array([1, 2]), np.array([1, 2]))
    array = np.zeros(2)
    assert as_array(array) is array


def test_libraries_are_told_apart():
    torch = pytest.importorskip("torch")
    assert library(torch.zeros(1)) == "torch"
    with pytest.raises(TypeError, match="namespaces"):
        array_namespace(np.zeros(1), torch.zeros(1))


def test_rows_of_unequal_length_become_objects():
    assert as_array([[1.0], [1.0, 2.0]]).dtype == object


def test_keys():
    assert as_keys([1, 2]).dtype.kind == "i"
    assert as_keys(("a", "b")).dtype == object
    assert as_keys(np.array(["a"])).dtype.kind == "U"
    assert as_keys("ab").shape == ()


@each_library
def test_thresholds_are_compared_in_the_type_of_the_array(to):
    for dtype in (np.float32, np.float64):
        reached = at_least(to(np.array([0.7, 0.1, np.nan], dtype)), 0.7)
        np.testing.assert_array_equal(np.asarray(reached), [True, False, False])
    np.testing.assert_array_equal(np.asarray(at_least(to(np.array([0, 1])), 0.5)), [False, True])


@each_library
def test_stopped_gradients_keep_the_numbers(to):
    x = to(np.array([1.0, 2.0]))
    assert type(detached(x)) is type(x)
    np.testing.assert_array_equal(np.asarray(detached(x)), [1.0, 2.0])


def test_stopped_gradients_stop():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.sum(x * detached(x)).backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 2.0]))  # not 2 x
