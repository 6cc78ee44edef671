r"""The f-divergences that can regularise an objective: generators, slopes and their inverses.

.. math:: D_f(p, q) = \textstyle\sum_i q_i f(p_i / q_i), \qquad f \text{ convex}, \; f(1) = 0

Notation: ``p`` policy, ``q`` reference, ``u = p / q`` their ratio. *Reverse* means policy first,
*forward* means reference first. A divergence is a `Divergence` object; those with a name can be
given by it wherever a function takes ``divergence=``.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float

from polymode.core import checks
from polymode.core.arrays import Array, array_namespace, as_array, widen
from polymode.core.curves import Curve, JensenShannonCurve, NumericCurve, power_curve
from polymode.errors import ArgumentError

__all__ = [
    "Divergence",
    "alpha_divergence",
    "check_divergence",
    "check_regulariser",
    "divergence_names",
    "divergence_terms",
    "f_divergence",
    "get_divergence",
    "register_divergence",
]

_Function = Callable[[Array], Array]


@dataclass(frozen=True, eq=False, kw_only=True)
class Divergence:
    r"""An f-divergence, given by its generator, the slope of that, and the inverse of the slope.

    .. math:: D_f(p, q) = \textstyle\sum_i q_i f(p_i / q_i)

    Parameters
    ----------
    name : str
        What error messages call it, and its name once registered.
    generator : callable
        ``f``, from an array of ratios > 0 to an array; strictly convex, ``f(1) = 0``.
    slope : callable
        ``f'``, likewise.
    inverse_slope : callable
        ``(f')^-1``, from an array of slopes inside `domain` to ratios > 0.
    domain : tuple of float
        The slopes that ``f'`` takes: its limits at 0 and at infinity, ``-inf`` and ``inf`` allowed.
        Where the first is finite, bad outcomes can lose all their mass.
    at_zero : float
        The limit of ``f`` at 0, ``inf`` allowed: what giving up an outcome costs, per unit of its
        reference probability.
    curvature : callable or None
        ``f''``. None takes differences of the slope, which costs time and, in the derivatives of an
        optimum, digits beyond the tenth.
    terms : callable or None
        ``(log p, log q)`` to ``q (f(u) - f'(1) (u - 1))``, where that can be had with more digits
        or a wider range than from `generator`.
    curve : Curve or None
        The inverse of the slope near the ends of the domain, likewise.

    See Also
    --------
    alpha_divergence : A family that contains both KLs, both chi-squared and Hellinger.
    register_divergence : Make it known by its name.

    Notes
    -----
    Optima are found in NumPy, with NumPy arrays. `f_divergence` and `swap_beta` call the functions
    with arrays of the caller's library, so ``lambda u: u * u`` serves all of them, and ``np.log``
    NumPy only. Adding ``c (u - 1)`` to a generator changes neither the divergence nor the optimum,
    and moves its multiplier by ``c beta``.

    Without a `curve`, the solver works in the slope itself. Slopes that lie closer to a finite end
    of the domain than about 1e-16 of it cannot be told apart: where the upper end is finite and not
    0, optima with ratios ``t / q`` beyond about 1e10 come out as NaN. A `curve` avoids that.

    References
    ----------
    .. [1] Liese and Vajda, "On Divergences and Informations in Statistics and Information Theory",
       IEEE Transactions on Information Theory 52, 2006, section II.

    Examples
    --------
    A divergence of one's own, for outcomes that may be dropped but not piled up:

    >>> import numpy as np
    >>> from polymode.core import optimal_policy
    >>> cubic = Divergence(
    ...     name="cubic",
    ...     generator=lambda u: u**3 / 3 - u + 2 / 3,
    ...     slope=lambda u: u**2 - 1,
    ...     inverse_slope=lambda s: (s + 1) ** 0.5,
    ...     domain=(-1, np.inf),
    ...     at_zero=2 / 3,
    ... )
    >>> log_q = np.log([0.5, 0.3, 0.2])
    >>> np.exp(optimal_policy([0, 1, 1], log_q, beta=0.2, divergence=cubic)).round(3)
    array([0. , 0.6, 0.4])
    """

    name: str
    generator: _Function
    slope: _Function
    inverse_slope: _Function
    domain: tuple[float, float]
    at_zero: float
    curvature: _Function | None = None
    terms: Callable[[Array, Array], Array] | None = field(default=None, repr=False)
    curve: Curve | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check what can be checked, and take the curve from the slope where none was given."""
        checks.require(self._problems())
        if self.curve is None:
            own = NumericCurve(
                self.slope, self.inverse_slope, domain=self.domain, curvature=self.curvature
            )
            object.__setattr__(self, "curve", own)

    def _problems(self) -> Iterator[str]:
        """Check the parts: names, functions, and that the numbers belong to a convex function."""
        yield from checks.instance("name", self.name, str)
        for part in ("generator", "slope", "inverse_slope"):
            if not callable(getattr(self, part)):
                yield f"{part} must be callable, got {getattr(self, part)!r}"
        for part in ("curvature", "terms"):
            if not (getattr(self, part) is None or callable(getattr(self, part))):
                yield f"{part} must be callable or None, got {getattr(self, part)!r}"
        if self.curve is not None:
            yield from checks.instance("curve", self.curve, Curve)
        if not _is_interval(self.domain):
            yield f"domain must be an interval, got {self.domain!r}"
        if not (isinstance(self.at_zero, Real) and self.at_zero > -math.inf):
            yield f"at_zero must be a number or inf, got {self.at_zero!r}"


def _is_interval(domain: Any) -> bool:
    """Return whether a value is two numbers, the first of them the smaller one."""
    if not (isinstance(domain, tuple | list) and len(domain) == 2):
        return False
    low, high = domain
    return isinstance(low, Real) and isinstance(high, Real) and low < high


def f_divergence(
    log_p: Float[Array, "..."],
    log_q: Float[Array, "..."],
    *,
    divergence: str | Divergence,
    axis: int = -1,
) -> Float[Array, "..."]:
    r"""Return the divergence of a policy from a reference.

    .. math:: D_f(p, q) = \textstyle\sum_i q_i f(p_i / q_i)

    Parameters
    ----------
    log_p, log_q : array, shape (..., n)
        Log-probabilities of policy and reference in nats, each normalised over `axis`. ``-inf`` is
        legal; NaN propagates.
    divergence : str or Divergence
        Which one: an object, or one of `divergence_names`. ``"reverse_kl"`` is ``kl(p, q)``,
        ``"forward_kl"`` is ``kl(q, p)``.
    axis : int
        Axis over which the outcomes lie.

    Returns
    -------
    array, shape (...,)
        Divergences >= 0, in nats for the KLs and Jensen–Shannon; ``inf`` where they have no finite
        value. Floating dtype and device of the arguments.

    Raises
    ------
    ShapeError
        If the shapes differ, there is no such axis, or nothing on it.
    ArgumentError
        If the divergence is not known, or the arrays are not real or not of one library.

    Notes
    -----
    Rules for outcomes without mass, all of them limits: where ``q = 0``, a policy pays
    ``p f'(∞)``; where ``p = 0``, it pays ``q f(0)``; where both are 0, nothing. So ``kl(p, q)`` is
    infinite where the policy leaves the reference's support, ``kl(q, p)`` where it does not cover
    it, and Jensen–Shannon, Hellinger and total variation are never.

    Each term is taken as ``q (f(u) - f'(1) (u - 1)) >= 0``: the sum is the same, and no negative
    results come from rounding. Absolute error of the order of 1e-16. Differentiable wherever both
    have mass.

    References
    ----------
    .. [1] Liese and Vajda, "On Divergences and Informations in Statistics and Information Theory",
       IEEE Transactions on Information Theory 52, 2006, eq. 8 to 10.

    Examples
    --------
    >>> import numpy as np
    >>> log_p, log_q = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    >>> float(f_divergence(log_p, log_q, divergence="total_variation").round(3))
    0.4
    >>> float(f_divergence(log_p, log_q, divergence="reverse_kl").round(3))
    0.511
    """
    log_p, log_q = as_array(log_p), as_array(log_q)
    checks.require(
        checks.columns(log_p=log_p, log_q=log_q),
        checks.axis_of(axis, log_p=log_p),
        check_divergence(divergence),
    )
    (p, q), narrow = widen(log_p, log_q)
    terms = divergence_terms(get_divergence(divergence), p, q)
    return narrow(array_namespace(p).sum(terms, axis=axis))


def divergence_terms(divergence: Divergence, log_p: Array, log_q: Array) -> Array:
    """Return what each outcome adds to a divergence, in the form that is never negative.

    Parameters
    ----------
    divergence : Divergence
        Which one.
    log_p, log_q : array, shape (..., n)
        Log-probabilities of policy and reference in nats, in wide floats; ``-inf`` is legal.

    Returns
    -------
    array, shape (..., n)
        ``q (f(p / q) - f'(1) (p / q - 1))`` and its limits: terms >= 0 that sum to the divergence
        where both are normalised.
    """
    xp = array_namespace(log_p, log_q)
    no_p, no_q = log_p == -xp.inf, log_q == -xp.inf
    either = no_p | no_q
    safe_p, safe_q = xp.where(either, 0.0, log_p), xp.where(either, 0.0, log_q)
    one = xp.ones_like(safe_p)
    tilt = divergence.slope(one)  # f'(1)
    with np.errstate(over="ignore", invalid="ignore"):
        if divergence.terms is not None:
            inside = divergence.terms(safe_p, safe_q)
        else:
            u = xp.exp(safe_p - safe_q)
            inside = xp.exp(safe_q) * (divergence.generator(u) - tilt * (u - 1))
        p_alone = _scaled(xp.where(no_q, xp.exp(log_p), 0.0), divergence.domain[1] - tilt)
        q_alone = _scaled(xp.where(no_p, xp.exp(log_q), 0.0), divergence.at_zero + tilt)
    return xp.where(either, xp.where(no_q, p_alone, q_alone), inside)


def _scaled(mass: Array, rate: Array) -> Array:
    """Return ``mass * rate`` with ``0 * inf = 0``; NaN propagates."""
    xp = array_namespace(mass)
    return xp.where(mass == 0, 0.0, rate) * mass


def alpha_divergence(alpha: float, *, scale: float = 1.0, name: str | None = None) -> Divergence:
    r"""Return a member of the alpha family, which contains the KLs, chi-squared and Hellinger.

    .. math::

        D_\alpha(p, q) = c \, \frac{\sum_i p_i^\alpha q_i^{1 - \alpha} - 1}{\alpha (\alpha - 1)},
        \qquad f(u) = c \, \frac{u^\alpha - \alpha u - (1 - \alpha)}{\alpha (\alpha - 1)}

    Parameters
    ----------
    alpha : float
        Any finite number. 1 is reverse KL, 0 forward KL (the limits), 2 half of chi-squared with
        the policy first, -1 half of it with the reference first, 1/2 four times the squared
        Hellinger distance.
    scale : float
        The factor ``c``, finite and > 0.
    name : str or None
        Its name; None makes one of the number.

    Returns
    -------
    Divergence
        With ``f(1) = f'(1) = 0`` and ``f''(1) = c``.

    Raises
    ------
    ArgumentError
        If `alpha` is not a finite number, or `scale` is not a finite number > 0.

    Notes
    -----
    The larger alpha, the dearer a ratio far above 1 and the cheaper one of 0: for ``alpha > 1`` the
    optimum drops bad outcomes altogether, for ``alpha <= 1`` it never does. Far above 2 the ratio
    leaves 0 so steeply, as ``y**(1 / (alpha - 1))``, that an outcome at the very edge may count as
    dropped: up to 15 no case of that is known, at 50 it takes a few of 100 hard cases.

    With ``f'(1) = 0`` the multiplier of ``alpha = 0`` is that of ``"forward_kl"`` less `beta`.
    DPH-RL counts the other way round: its alpha is 1 minus this one.

    References
    ----------
    .. [1] Cichocki and Amari, "Families of Alpha- Beta- and Gamma-Divergences: Flexible and Robust
       Measures of Similarities", Entropy 12, 2010, eq. 10.

    Examples
    --------
    >>> import numpy as np
    >>> log_p, log_q = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    >>> for a in (0, 0.001, 0.999, 1):
    ...     print(float(f_divergence(log_p, log_q, divergence=alpha_divergence(a)).round(3)))
    0.368
    0.368
    0.511
    0.511
    """
    checks.require(checks.finite(alpha=alpha), checks.positive(scale=scale))
    kappa = float(alpha) - 1
    terms = partial(_alpha_terms, alpha=float(alpha), scale=scale)
    return Divergence(
        name=name or f"alpha({float(alpha)})",
        generator=_generator_of(terms, at_zero=scale / alpha if alpha > 0 else math.inf),
        slope=lambda u: scale * _power_slope(u, kappa),
        inverse_slope=lambda s: _inverse_power_slope(s / scale, kappa),
        domain=(
            -scale / kappa if kappa > 0 else -math.inf,
            scale / -kappa if kappa < 0 else math.inf,
        ),
        at_zero=scale / alpha if alpha > 0 else math.inf,
        curvature=lambda u: scale * u ** (kappa - 1),
        terms=terms,
        curve=power_curve(kappa, scale=scale),
    )


def _alpha_terms(log_p: Array, log_q: Array, *, alpha: float, scale: float) -> Array:
    """Return ``q f(p / q)`` of the alpha family, in the form that suits the closer limit."""
    xp = array_namespace(log_p)
    difference = xp.exp(log_p) - xp.exp(log_q)
    if alpha >= 0.5:
        return scale * (_power_excess(log_p, log_p - log_q, alpha - 1) - difference) / alpha
    return scale * (difference - _power_excess(log_q, log_p - log_q, alpha)) / (1 - alpha)


def _power_excess(log_mass: Array, log_u: Array, exponent: float) -> Array:
    """Return ``mass (u**exponent - 1) / exponent``, and its limit ``mass log u`` at 0."""
    xp = array_namespace(log_u)
    mass = xp.exp(log_mass)
    if exponent == 0:
        return mass * log_u
    power = exponent * log_u
    near = xp.abs(power) < 1
    difference = xp.where(
        near, mass * xp.expm1(xp.where(near, power, 0.0)), xp.exp(log_mass + power) - mass
    )
    return difference / exponent


def _power_slope(u: Array, kappa: float) -> Array:
    """Return ``(u**kappa - 1) / kappa``, and its limit ``log u`` at 0."""
    xp = array_namespace(u)
    return xp.log(u) if kappa == 0 else xp.expm1(kappa * xp.log(u)) / kappa


def _inverse_power_slope(s: Array, kappa: float) -> Array:
    """Return the ratio at which `_power_slope` is ``s``."""
    xp = array_namespace(s)
    return xp.exp(s) if kappa == 0 else xp.exp(xp.log1p(kappa * s) / kappa)


def _generator_of(terms: Callable[[Array, Array], Array], *, at_zero: float) -> _Function:
    """Return ``f`` from ``q f(p / q)`` at q = 1."""

    def generator(u: Array) -> Array:
        xp = array_namespace(u)
        log_u = xp.log(xp.where(u > 0, u, 1.0))
        return xp.where(u > 0, terms(log_u, xp.zeros_like(log_u)), at_zero + 0 * u)

    return generator


def _u_log_u(u: Array) -> Array:
    """Return the textbook generator of reverse KL."""
    xp = array_namespace(u)
    return u * xp.log(xp.where(u > 0, u, 1.0))


def _jensen_shannon_terms(log_p: Array, log_q: Array) -> Array:
    """Return ``p log(p / m) + q log(q / m)``, m the mean of p and q."""
    xp = array_namespace(log_p)
    log_u, nil = log_p - log_q, xp.zeros_like(log_p)
    policy = xp.exp(log_p) * (math.log(2) - xp.logaddexp(nil, -log_u))
    return policy + xp.exp(log_q) * (math.log(2) - xp.logaddexp(nil, log_u))


def _total_variation_terms(log_p: Array, log_q: Array) -> Array:
    """Return ``|p - q| / 2``."""
    xp = array_namespace(log_p)
    return xp.abs(xp.exp(log_p) - xp.exp(log_q)) / 2


def _inverse_step(s: Array) -> Array:
    """Return the inverse of total variation's slope, where it has one: 0, 1 or infinity."""
    xp = array_namespace(s)
    return xp.where(s < -0.5, 0.0, xp.where(s > 0.5, xp.inf, xp.ones_like(s)))


REVERSE_KL = Divergence(
    name="reverse_kl",
    generator=_u_log_u,
    slope=lambda u: 1 + array_namespace(u).log(u),
    inverse_slope=lambda s: array_namespace(s).exp(s - 1),
    domain=(-math.inf, math.inf),
    at_zero=0.0,
    curvature=lambda u: 1 / u,
    terms=partial(_alpha_terms, alpha=1.0, scale=1.0),
    curve=power_curve(0.0, shift=1.0),
)

FORWARD_KL = Divergence(
    name="forward_kl",
    generator=lambda u: -array_namespace(u).log(u),
    slope=lambda u: -1 / u,
    inverse_slope=lambda s: -1 / s,
    domain=(-math.inf, 0.0),
    at_zero=math.inf,
    curvature=lambda u: 1 / (u * u),
    terms=partial(_alpha_terms, alpha=0.0, scale=1.0),
    curve=power_curve(-1.0, shift=-1.0),
)

JENSEN_SHANNON = Divergence(
    name="jensen_shannon",
    generator=_generator_of(_jensen_shannon_terms, at_zero=math.log(2)),
    slope=lambda u: math.log(2) - array_namespace(u).log1p(1 / u),
    inverse_slope=lambda s: 1 / array_namespace(s).expm1(math.log(2) - s),
    domain=(-math.inf, math.log(2)),
    at_zero=math.log(2),
    curvature=lambda u: 1 / (u * (1 + u)),
    terms=_jensen_shannon_terms,
    curve=JensenShannonCurve(),
)

TOTAL_VARIATION = Divergence(
    name="total_variation",
    generator=lambda u: array_namespace(u).abs(u - 1) / 2,
    slope=lambda u: array_namespace(u).sign(u - 1) / 2,
    inverse_slope=_inverse_step,
    domain=(-0.5, 0.5),
    at_zero=0.5,
    terms=_total_variation_terms,
)

_KNOWN: dict[str, Divergence] = {
    each.name: each
    for each in (
        REVERSE_KL,
        FORWARD_KL,
        JENSEN_SHANNON,
        alpha_divergence(2, scale=2.0, name="reverse_chi_squared"),
        alpha_divergence(-1, scale=2.0, name="forward_chi_squared"),
        alpha_divergence(0.5, scale=0.25, name="squared_hellinger"),
        TOTAL_VARIATION,
    )
}


def divergence_names() -> tuple[str, ...]:
    r"""Return the names that ``divergence=`` takes: ours, and those registered since.

    Returns
    -------
    tuple of str
        In the order in which they were registered.

    Notes
    -----
    ===================== ================================ =====================================
    name                  ``f(u)``                         ``D_f(p, q)``
    ===================== ================================ =====================================
    `reverse_kl`          ``u log u``                      ``kl(p, q)``
    `forward_kl`          ``-log u``                       ``kl(q, p)``
    `jensen_shannon`      ``u log u - (u+1) log((u+1)/2)`` ``kl(p, m) + kl(q, m)``, m the mean
    `reverse_chi_squared` ``(u - 1)^2``                    ``sum (p - q)^2 / q``
    `forward_chi_squared` ``(u - 1)^2 / u``                ``sum (p - q)^2 / p``
    `squared_hellinger`   ``(sqrt(u) - 1)^2 / 2``          ``1 - sum sqrt(p q)``
    `total_variation`     ``|u - 1| / 2``                  ``sum |p - q| / 2``
    ===================== ================================ =====================================

    Examples
    --------
    >>> "forward_kl" in divergence_names()
    True
    """
    return tuple(_KNOWN)


def register_divergence(divergence: Divergence) -> None:
    """Make a divergence known by its name, to every function that takes ``divergence=``.

    Parameters
    ----------
    divergence : Divergence
        The divergence; its name must be free.

    Raises
    ------
    ArgumentError
        If the argument is no `Divergence`, or another one has its name.

    Notes
    -----
    For configurations and command lines, which only know names: in Python the object itself may be
    passed. Registering the same object again does nothing.
    """
    checks.require(checks.instance("divergence", divergence, Divergence))
    if _KNOWN.setdefault(divergence.name, divergence) is not divergence:
        raise ArgumentError(f"name must be free, got {divergence.name!r}, which is registered")


def check_divergence(divergence: Any) -> Iterator[str]:
    """Check that a divergence is an object, or a name that is known.

    Parameters
    ----------
    divergence : str or Divergence
        What a caller passed.

    Yields
    ------
    str
        The problem.
    """
    if not isinstance(divergence, Divergence):
        yield from checks.known("divergence", divergence, _KNOWN)


def check_regulariser(rewards: Array, *, beta: Any, entropy: Any, divergence: Any) -> Iterator[str]:
    """Check what regularises an objective: both strengths, alone and together, and the divergence.

    Parameters
    ----------
    rewards : array, shape (..., n)
        What the strengths go with.
    beta, entropy : float or array
        Strength of the divergence, and weight of an entropy bonus, with which there is a closed
        form under reverse KL alone.
    divergence : str or Divergence
        What a caller passed.

    Yields
    ------
    str
        The problems.
    """
    yield from checks.strengths(rewards, beta=beta)
    yield from checks.strengths(rewards, zero=True, entropy=entropy)
    yield from checks.strengths_together(beta=beta, entropy=entropy)
    unknown = list(check_divergence(divergence))
    none = isinstance(entropy, Real) and entropy == 0
    if not unknown and not none and get_divergence(divergence) is not REVERSE_KL:
        yield f"entropy must be 0 unless the divergence is 'reverse_kl', got {divergence!r}"
    yield from unknown


def get_divergence(divergence: str | Divergence) -> Divergence:
    """Return the divergence of a name; objects are returned as they are.

    Parameters
    ----------
    divergence : str or Divergence
        What `check_divergence` has nothing against.

    Returns
    -------
    Divergence
        The object.
    """
    return divergence if isinstance(divergence, Divergence) else _KNOWN[divergence]
