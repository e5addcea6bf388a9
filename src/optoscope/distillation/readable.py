"""A family of optimizers that can be read: mechanisms as pieces, each with its equation and its few numbers."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

import equinox as eqx
import jax.numpy as jnp

from optoscope._core.choices import check_choice
from optoscope._core.types import Array, Float, Scalar
from optoscope.optimizers import AbstractOptimizer


class Number(NamedTuple):
    """A number of a piece.

    Attributes:
        name: as it stands in formulas.
        kind: `positive`, `decay` (in (0, 1)) or `real`; what is tuned is its logarithm, its logit or itself.
        meaning: in words.
        unit: `gradient`, `rate` (update over gradient) or `update` for what scales with the problem; else empty.
        start: where a search begins, in that unit.
        spread: standard deviation of starts, of what is tuned.
        neutral: the value with which the piece does nothing, for searches over several structures at once.
    """

    name: str
    kind: str
    meaning: str
    unit: str
    start: float
    spread: float
    neutral: float = 1.0


class Piece(NamedTuple):
    """A mechanism that can be added to momentum.

    Attributes:
        numbers: what it adds.
        states: the state variables that it adds.
        equation: in words and symbols, for people.
    """

    numbers: tuple[Number, ...]
    states: tuple[str, ...]
    equation: str


#: Numbers with which what is positive does nothing.
_FAR, _NEAR = 1e12, 1e-12

#: Every piece by name. `momentum` is in every optimizer; the order of state variables is the order here.
PIECES: dict[str, Piece] = {
    "momentum": Piece(
        (
            Number("alpha", "positive", "learning rate of the first mode", "rate", 1.0, 0.3),
            Number("beta", "decay", "decay of the first mode", "", 0.8, 0.8),
        ),
        ("m",),
        "m' = beta m + alpha s, dx = -m'",
    ),
    "saturation": Piece(
        (Number("theta", "positive", "gradient beyond which the input saturates", "gradient", 3.0, 1.0, _FAR),),
        (),
        "s = g / (1 + |g| / theta)",
    ),
    "power": Piece(
        (Number("p", "positive", "how hard the input saturates; 1 is bounded, below 1 grows for ever", "", 0.9, 0.1),),
        (),
        "s = g / (1 + |g / theta|^p)",
    ),
    "schedule": Piece(
        (
            Number("a", "real", "share by which the learning rate starts higher and decays", "", 0.5, 0.5, 0.0),
            Number("tau_a", "positive", "iterations of that decay", "", 30.0, 0.5),
            Number("b", "real", "share by which it starts lower and warms up", "", 0.2, 0.3, 0.0),
            Number("tau_b", "positive", "iterations of that warm-up", "", 4.0, 0.5),
        ),
        ("k",),
        "eta = 1 + a exp(-k / tau_a) - b exp(-k / tau_b)",
    ),
    "decay schedule": Piece(
        (
            Number("d", "real", "share by which the first mode's decay starts lower", "", 0.1, 0.2, 0.0),
            Number("tau_d", "positive", "iterations after which that has faded", "", 30.0, 0.5),
        ),
        ("k",),
        "decay beta (1 - d exp(-k / tau_d))",
    ),
    "gain": Piece(
        (
            Number("gamma", "decay", "decay of the recent gradient's size", "", 0.85, 0.5, 0.5),
            Number("c", "positive", "recent size that halves the learning rate", "gradient", 2.0, 0.7, _FAR),
        ),
        ("v",),
        "v' = gamma v + (1 - gamma) |s|, r = eta / (1 + v' / c)",
    ),
    "retention": Piece(
        (
            Number("beta_large", "decay", "decay of a large first mode", "", 0.93, 0.5, 0.5),
            Number("m_half", "positive", "size of the mode at which its decay lies half way", "update", 1.5, 0.5, _FAR),
        ),
        (),
        "q = (m / m_half)^2, decay (... + beta_large q) / (1 + q)",
    ),
    "second mode": Piece(
        (
            Number("alpha_2", "real", "learning rate of the second mode", "rate", 0.3, 0.2, 0.0),
            Number("beta_2", "decay", "decay of the second mode", "", 0.4, 0.7, 0.5),
            Number("theta_2", "positive", "gradient beyond which its input saturates", "gradient", 1.0, 1.5, _FAR),
        ),
        ("m_2",),
        "m_2' = beta_2 m_2 + alpha_2 g / (1 + |g / theta_2|^p)",
    ),
    "complex mode": Piece(
        (
            Number("alpha_3", "real", "learning rate of the rotating mode, real part", "rate", 0.0, 0.2, 0.0),
            Number("alpha_4", "real", "learning rate of the rotating mode, imaginary part", "rate", 0.3, 0.2, 0.0),
            Number("beta_3", "decay", "size of its decay", "", 0.85, 0.5, 0.5),
            Number("omega", "real", "angle of its decay, radians per iteration", "", 0.15, 0.1, 0.0),
            Number("theta_3", "positive", "gradient beyond which its input saturates", "gradient", 1.0, 1.5, _FAR),
        ),
        ("z_re", "z_im"),
        "z' = beta_3 exp(i omega) z + (alpha_3 + i alpha_4) g / (1 + |g / theta_3|^p), dx = -(... + Re z')",
    ),
    "difference": Piece(
        (
            Number("w_0", "real", "direct weight of the gradient", "rate", 0.0, 0.3, 0.0),
            Number("w_1", "real", "direct weight of the one before", "rate", 0.0, 0.3, 0.0),
        ),
        ("s_before",),
        "dx = -(m' + r (w_0 s + w_1 s_before))",
    ),
    "alignment": Piece(
        (
            Number("kappa", "real", "how much faster where the gradient goes along with the mode", "", 0.2, 0.3, 0.0),
            Number("a_half", "positive", "their product at which that sets in", "update gradient", 1.0, 0.7),
        ),
        (),
        "r = ... exp(kappa tanh(m s / a_half))",
    ),
    "persistence": Piece(
        (
            Number("gamma_l", "decay", "decay of the mean gradient", "", 0.85, 0.5, 0.5),
            Number("l_half", "positive", "mean gradient that does half of it", "gradient", 0.5, 0.7, _FAR),
            Number("lam", "real", "share by which a persistent gradient changes the learning rate", "", 0.5, 0.5, 0.0),
            Number("beta_l", "decay", "decay of the first mode under a persistent gradient", "", 0.9, 0.5, 0.5),
        ),
        ("l",),
        "l' = gamma_l l + (1 - gamma_l) s, w = 1 - 1 / (1 + (l' / l_half)^2), r = ... (1 + lam w), "
        "decay (1 - w) beta + w beta_l",
    ),
    "agreement": Piece(
        (
            Number("gamma_a", "decay", "decay of the two means that are compared", "", 0.85, 0.5, 0.5),
            Number("kappa_a", "real", "how much faster where recent gradients agree in sign", "", 0.3, 0.4, 0.0),
            Number("delta_a", "real", "share of all decays that is lost where they do not", "", 0.1, 0.2, 0.0),
        ),
        ("l_a", "v_a"),
        "l_a' = gamma_a l_a + (1 - gamma_a) s, v_a' the same of |s|, A = (l_a' / v_a')^2, "
        "r = ... exp(kappa_a (2 A - 1)), all decays times 1 - delta_a (1 - A)",
    ),
    "forgetting": Piece(
        (
            Number("g_reset", "positive", "gradient that halves the memory of all modes", "gradient", 1.0, 1.5, _FAR),
            Number("n", "positive", "how suddenly it does", "", 1.0, 0.2),
        ),
        (),
        "all decays times 1 / (1 + |g / g_reset|^n)",
    ),
    "limit": Piece(
        (Number("limit", "positive", "largest update", "update", 6.0, 0.5, _FAR),),
        (),
        "dx = -limit tanh(u / limit)",
    ),
    "asymmetry": Piece(
        (
            Number("g_0", "real", "gradient that counts as none at the start", "gradient", 0.0, 0.05, 0.0),
            Number("tau_0", "positive", "iterations after which that has faded", "", 30.0, 0.5),
        ),
        ("k",),
        "g is replaced by g - g_0 exp(-k / tau_0)",
    ),
    "dead zone": Piece(
        (Number("d_0", "positive", "gradient up to which nothing counts", "gradient", 0.3, 1.0, _NEAR),),
        (),
        "g is replaced by sign(g) max(|g| - d_0, 0)",
    ),
    "hard clip": Piece(
        (Number("theta_h", "positive", "largest gradient that counts", "gradient", 2.0, 1.0, _FAR),),
        (),
        "g is replaced by max(-theta_h, min(theta_h, g))",
    ),
    "sign": Piece(
        (Number("sigma", "real", "share of what counts that is the sign of the gradient", "", 0.5, 0.3, 0.0),),
        (),
        "g is replaced by (1 - sigma) g + sigma sign(g)",
    ),
    "delay": Piece(
        (Number("lag", "real", "share of the gradient that counts one step late", "", 0.5, 0.3, 0.0),),
        ("g_before",),
        "g is replaced by (1 - lag) g + lag g_before",
    ),
    "integrator": Piece(
        (Number("alpha_i", "real", "learning rate of the sum of all gradients", "rate", 0.02, 0.02, 0.0),),
        ("i",),
        "i' = i + s, dx = -(... + alpha_i i')",
    ),
    "squared gain": Piece(
        (
            Number("gamma_s", "decay", "decay of the mean square of gradients", "", 0.95, 1.0, 0.5),
            Number("eps", "positive", "root of the mean square that halves the update", "gradient", 0.1, 1.5, _FAR),
        ),
        ("v_s",),
        "v_s' = gamma_s v_s + (1 - gamma_s) s^2, dx = -(...) / (1 + sqrt(v_s') / eps)",
    ),
}


def numbers_of(pieces: tuple[str, ...]) -> tuple[Number, ...]:
    """Return all numbers of an optimizer with these pieces, in the order of `PIECES`."""
    return tuple(
        number
        for name, piece in PIECES.items()
        if name in pieces
        for number in piece.numbers
        # With one saturation only there is one threshold: modes saturate where the first does, or not at all.
        if number.name not in ("theta_2", "theta_3") or "saturation" in pieces
    )


def states_of(pieces: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the state variables, in their order."""
    return tuple(dict.fromkeys(state for name, piece in PIECES.items() if name in pieces for state in piece.states))


def equations(
    pieces: tuple[str, ...],
    n: Mapping[str, Any],
    h: Mapping[str, Any],
    g: Any,
    define: Callable[[str, Any], Any],
    xp: Any,
) -> dict[str, Any]:
    """Write down one step, in numbers or in symbols: the one definition of the family.

    Args:
        pieces: names from `PIECES`.
        n, h: numbers and state variables by name.
        g: gradient.
        define: called with the name and value of each quantity on the way; returns what stands for it from there on.
        xp: has `abs`, `exp`, `tanh`, `cos`, `sin`, `sign`, `minimum` and `maximum`.

    Returns:
        The new state variables by name (with a prime in `define`), and the update under `dx`.
    """
    has = pieces.__contains__
    new: dict[str, Any] = {}
    if has("asymmetry"):
        g = define("g~", g - n["g_0"] * xp.exp(-h["k"] / n["tau_0"]))
    if has("dead zone"):
        g = define("g_d", xp.sign(g) * xp.maximum(xp.abs(g) - n["d_0"], 0))
    if has("hard clip"):
        g = define("g_h", xp.maximum(-n["theta_h"], xp.minimum(n["theta_h"], g)))
    if has("sign"):
        g = define("g_s", (1 - n["sigma"]) * g + n["sigma"] * xp.sign(g))
    if has("delay"):
        new["g_before"] = define("g_before'", g)
        g = define("g_l", (1 - n["lag"]) * g + n["lag"] * h["g_before"])

    def saturated(threshold: str, name: str):
        if not has("saturation"):
            return g
        ratio = xp.abs(g) / n[threshold]
        return define(name, g / (1 + (_power(ratio, n["p"], xp) if has("power") else ratio)))

    s = saturated("theta", "s")
    rate = 1
    if has("schedule"):
        rate = define("eta", 1 + n["a"] * xp.exp(-h["k"] / n["tau_a"]) - n["b"] * xp.exp(-h["k"] / n["tau_b"]))
    if has("gain"):
        new["v"] = define("v'", n["gamma"] * h["v"] + (1 - n["gamma"]) * xp.abs(s))
        rate = define("r", rate / (1 + new["v"] / n["c"]))
    decay = n["beta"]
    if has("decay schedule"):
        decay = define("B_k", decay * (1 - n["d"] * xp.exp(-h["k"] / n["tau_d"])))
    if has("retention"):
        q = define("q", (h["m"] / n["m_half"]) * (h["m"] / n["m_half"]))
        decay = define("B", (decay + n["beta_large"] * q) / (1 + q))
    if has("persistence"):
        new["l"] = define("l'", n["gamma_l"] * h["l"] + (1 - n["gamma_l"]) * s)
        w = define("w", 1 - 1 / (1 + (new["l"] / n["l_half"]) * (new["l"] / n["l_half"])))
        rate = define("r_l", rate * (1 + n["lam"] * w))
        decay = define("B_l", (1 - w) * decay + w * n["beta_l"])
    if has("alignment"):
        rate = define("r_a", rate * xp.exp(n["kappa"] * xp.tanh(h["m"] * s / n["a_half"])))
    kept = 1
    if has("agreement"):
        new["l_a"] = define("l_a'", n["gamma_a"] * h["l_a"] + (1 - n["gamma_a"]) * s)
        new["v_a"] = define("v_a'", n["gamma_a"] * h["v_a"] + (1 - n["gamma_a"]) * xp.abs(s))
        ratio = _ratio(new["l_a"], new["v_a"], xp)
        agreement = define("A", ratio * ratio)
        rate = define("r_A", rate * xp.exp(n["kappa_a"] * (2 * agreement - 1)))
        kept = define("f_A", 1 - n["delta_a"] * (1 - agreement))
    if has("forgetting"):
        kept = define("f", kept / (1 + _power(xp.abs(g) / n["g_reset"], n["n"], xp)))
    new["m"] = define("m'", kept * decay * h["m"] + rate * n["alpha"] * s)
    total = new["m"]
    if has("second mode"):
        s_2 = saturated("theta_2", "s_2")
        new["m_2"] = define("m_2'", kept * n["beta_2"] * h["m_2"] + rate * n["alpha_2"] * s_2)
        total = total + new["m_2"]
    if has("complex mode"):
        s_3 = saturated("theta_3", "s_3")
        re, im = n["beta_3"] * xp.cos(n["omega"]), n["beta_3"] * xp.sin(n["omega"])
        new["z_re"] = define("z_re'", kept * (re * h["z_re"] - im * h["z_im"]) + rate * n["alpha_3"] * s_3)
        new["z_im"] = define("z_im'", kept * (re * h["z_im"] + im * h["z_re"]) + rate * n["alpha_4"] * s_3)
        total = total + new["z_re"]
    if has("difference"):
        total = total + rate * (n["w_0"] * s + n["w_1"] * h["s_before"])
        new["s_before"] = define("s_before'", s)
    if has("integrator"):
        new["i"] = define("i'", h["i"] + s)
        total = total + n["alpha_i"] * new["i"]
    if has("squared gain"):
        new["v_s"] = define("v_s'", n["gamma_s"] * h["v_s"] + (1 - n["gamma_s"]) * s * s)
        total = define("u", total / (1 + _power(new["v_s"], 0.5, xp) / n["eps"]))
    if has("limit"):
        total = n["limit"] * xp.tanh(total / n["limit"])
    if "k" in states_of(pieces):
        new["k"] = define("k'", h["k"] + 1)
    new["dx"] = define("dx", -total)
    return new


def _power(base, exponent, xp):
    """`base^exponent` for `base >= 0`, with derivatives at 0."""
    if xp is not _JAX:
        return base**exponent
    tiny = jnp.finfo(jnp.result_type(base)).tiny
    return jnp.exp(exponent * jnp.log(jnp.maximum(base, tiny)))


def _ratio(a, b, xp):
    """`a / b` for `|a| <= b`; 0 where both are 0."""
    if xp is not _JAX:
        return a / b
    return a / jnp.maximum(b, jnp.finfo(jnp.result_type(b)).tiny)


class _JAX:
    abs, exp, tanh, cos, sin = jnp.abs, jnp.exp, jnp.tanh, jnp.cos, jnp.sin
    sign, minimum, maximum = jnp.sign, jnp.minimum, jnp.maximum


@final
class ReadableOptimizer(AbstractOptimizer):
    """Momentum with a choice of mechanisms, each a few numbers in a formula.

    `equations` says what a step is; `PIECES` lists the mechanisms.

    Args:
        pieces: names of mechanisms; `momentum` is always among them.
        numbers: a value for each name of `numbers_of(pieces)`.

    Raises:
        ValueError: for an unknown piece, or numbers that do not fit the pieces.

    >>> import jax.numpy as jnp
    >>> optimizer = ReadableOptimizer(("momentum", "saturation"), {"alpha": 0.1, "beta": 0.9, "theta": 1.0})
    >>> h, dx = optimizer.step(jnp.zeros(1), 1.0)
    >>> round(float(dx), 3)
    -0.05
    """

    pieces: tuple[str, ...] = eqx.field(static=True)
    numbers: dict[str, Scalar]

    def __init__(self, pieces, numbers):
        self.pieces = tuple(name for name in PIECES if name in pieces)
        self.numbers = dict(numbers)
        for name in pieces:
            check_choice("piece", name, PIECES)
        if "momentum" not in pieces:
            raise ValueError(f"`pieces` must contain 'momentum', got {tuple(pieces)}; every optimizer here begins so.")
        if "power" in pieces and "saturation" not in pieces:
            raise ValueError("the piece 'power' shapes a saturation; add 'saturation' to `pieces`, or leave it out.")
        expected = [number.name for number in numbers_of(self.pieces)]
        if set(expected) != set(self.numbers):
            raise ValueError(
                f"`numbers` must have the names {', '.join(expected)}, got {', '.join(self.numbers) or 'none'}; "
                "`numbers_of(pieces)` lists them."
            )

    @property
    def num_numbers(self) -> int:
        """How many constants the formula has."""
        return len(self.numbers)

    @property
    def rounded(self) -> "ReadableOptimizer":
        """The same with numbers of four significant digits, as they are printed."""
        return ReadableOptimizer(self.pieces, {name: round_number(value) for name, value in self.numbers.items()})

    @property
    def completed(self) -> "ReadableOptimizer":
        """The same rule with all pieces, those that are missing without effect: one program for all sizes."""
        numbers = {name: jnp.asarray(value, jnp.float32) for name, value in complete(self.numbers).items()}
        return ReadableOptimizer(tuple(PIECES), numbers)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(len(states_of(self.pieces)))

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        names = states_of(self.pieces)
        old = {name: h[i] for i, name in enumerate(names)}
        new = equations(self.pieces, self.numbers, old, g, lambda name, value: value, _JAX)
        return jnp.stack([jnp.asarray(new[name], h.dtype) for name in names]), new["dx"]


def round_number(value: Any, digits: int = 4) -> float:
    """Return a number with so many significant digits.

    >>> round_number(0.123456)
    0.1235
    """
    return float(f"{float(value):.{digits}g}")


def complete(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every number of the family: those given, and neutral ones, with which a piece does nothing."""
    return {number.name: numbers.get(number.name, number.neutral) for number in numbers_of(tuple(PIECES))}


def to_free(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Return what is tuned of all numbers of the family: logarithms of positive numbers, logits of decays."""
    free = {}
    for number in numbers_of(tuple(PIECES)):
        value = numbers[number.name]
        if number.kind == "positive":
            free[number.name] = math.log(value)
        elif number.kind == "decay":
            free[number.name] = math.log(value / (1 - value))
        else:
            free[number.name] = float(value)
    return free


def from_free(free: Mapping[str, Any]) -> ReadableOptimizer:
    """Return the optimizer of what is tuned, with all pieces; differentiable, and to be vmapped over."""
    numbers = {}
    for number in numbers_of(tuple(PIECES)):
        value = free[number.name]
        if number.kind == "positive":
            numbers[number.name] = jnp.exp(value)
        elif number.kind == "decay":
            numbers[number.name] = 1 / (1 + jnp.exp(-value))
        else:
            numbers[number.name] = value
    return ReadableOptimizer(tuple(PIECES), numbers)
