"""An explanation in words and in symbols."""

import numpy as np

from optoscope.mechanisms.explanation.memory import LinearMemory
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.mechanisms.explanation.shapes import SHAPES, StaticMap

#: Relative change of a curve that is worth a word.
_CHANGES = 1e-3
#: Relative change from one step to the next that rounding makes.
_ROUNDING = 1e-7
#: Decays nearer to each other than this are one of higher order.
_SAME = 2e-3


def decay_in_words(decay: complex) -> str:
    """Write a decay so that it can be told from 1, with its memory in steps.

    >>> decay_in_words(0.9), decay_in_words(0.9999), decay_in_words(-0.5)
    ('0.90', '0.9999 (10,000 steps)', '-0.50')
    """
    size = abs(decay)
    places = 2 if abs(1 - size) < 1e-9 else max(2, int(np.ceil(-np.log10(abs(1 - size)) - 1e-9)))
    text = f"{decay.real:.{places}f}"
    if abs(decay.imag) > 1e-6:
        text += f"±{abs(decay.imag):.{places}f}i"
    return text + (f" ({1 / (1 - size):,.0f} steps)" if places > 2 and size < 1 else "")


def parts_in_words(rule: ExplainedOptimizer) -> list[str]:
    """Return each part in a few words, in the order in which a gradient passes them."""
    parts = []
    if not rule.inner.is_linear:
        parts.append(map_in_words(rule.inner))
    if np.ptp(rule.thresholds) > _CHANGES * rule.thresholds.max():
        told = np.where(rule.thresholds > 1e5 * rule.thresholds.min(), np.inf, rule.thresholds)
        parts.append(f"its threshold changes with time, {curve_in_words(told * rule.inner.scale)}")
    gain = [] if rule.law is None else [f"a gain driven by {rule.law.words}"]
    memory = memory_in_words(rule.memory)
    before = np.ptp(rule.before) > _CHANGES * np.abs(rule.before).max()
    early = [f"a learning rate before the memory, {curve_in_words(rule.before)}"] if before else []
    parts += [*gain, *early, *memory] if rule.gain_first else [*early, *memory, *gain]
    if not rule.outer.is_linear:
        parts.append(f"{map_in_words(rule.outer)}, behind the memory" if memory else map_in_words(rule.outer))
    after = rule.after * (rule.outer.slope if rule.outer.is_linear else 1.0)
    if np.ptp(after) > _CHANGES * np.abs(after).max():
        parts.append(f"a learning rate, {curve_in_words(after)}")
    else:
        parts.append(f"the learning rate {after[-1]:.4g}" + (": it goes uphill" if after[-1] < 0 else ""))
    if np.any(rule.drift):
        parts.append(f"a drift of {-rule.drift[0]:.3g} a step without a gradient")
    return parts


def map_in_words(found: StaticMap) -> str:
    """Say which shape a map has, and where it turns."""
    if found.name in SHAPES:
        joint = {"quantized": "of", "soft threshold": "up to", "hard threshold": "up to", "ternary": "up to"}.get(
            found.name, "from |g| ="
        )
        where = f" {joint} {found.scale:.3g}" if found.scale not in (0.0, 1.0) or SHAPES[found.name].clips else ""
        return SHAPES[found.name].words + ("" if found.name == "sign" else where)
    if found.name == "power":
        return f"the update is a power of the gradient: |g|^{found.number:.4g}"
    if found.name == "corner":
        kind = "leaky clipping" if found.clips else "an update that grows faster than its tangent"
        return f"{kind} from |g| = {found.scale:.3g}, beyond which gradients count {found.number:.3g} times as much"
    if found.name == "two slopes" and abs(found.number + 1) < 1e-6:
        return "only the magnitude of the gradient counts, not its sign"
    if found.name == "two slopes":
        return f"asymmetric: negative gradients count {found.number:.4g} times as much as positive ones"
    return "a static map of no simple shape"


def curve_in_words(curve: np.ndarray) -> str:
    """Say how a curve goes: from where, over what, to where."""
    with np.errstate(invalid="ignore"):
        steps = np.nan_to_num(np.diff(curve), nan=0.0)
    steps = steps * (np.abs(steps) > _ROUNDING * np.abs(curve[np.isfinite(curve)]).max(initial=0.0))
    moving = np.flatnonzero(steps)
    turns = moving[1:][np.diff(np.sign(steps[moving])) != 0]
    if len(moving) and len(turns) < 2:  # where it begins and ends to move
        turns = np.unique([moving[0], *turns, moving[-1] + 1])
    places = [0, *turns.tolist(), len(curve) - 1] if len(turns) <= 3 else [0, int(np.argmax(curve)), len(curve) - 1]
    numbers = {i: "none" if np.isinf(curve[i]) else f"{curve[i]:.3g}" for i in places}
    told = ", ".join(f"{numbers[i]} at step {i}" for i in dict.fromkeys(sorted(places)))
    return told + (f", with {len(turns)} turns" if len(turns) > 3 else "")


def memory_in_words(memory: LinearMemory) -> list[str]:
    """Say what a linear memory is."""
    if not memory.order:
        return []
    if len(memory.D) > 1:
        return ["a memory that changes with the step"]
    response = memory.response(2 * memory.order + 40)
    significant = np.flatnonzero(np.abs(response) > 1e-6 * np.abs(response).max())
    last = int(significant[-1])
    if last == 0:
        return []
    if last < memory.order + 1:
        taps = ", ".join(f"{value:.3g}" for value in response[: last + 1][:6])
        dots = ", ..." if last >= 6 else ""
        return [
            f"a finite memory of {last + 1} steps ({taps}{dots})"
            if len(significant) > 1
            else f"a delay of {last} steps"
        ]
    decays = np.linalg.eigvals(memory.A[0])
    return [
        f"a memory with the timescale{'s' if len(decays) > 1 else ''} "
        + ", ".join(decay_in_words(complex(b)) for b in sorted(decays, key=abs) if b.imag >= 0)
    ]


def formula_of(rule: ExplainedOptimizer) -> str:
    """Write one step in symbols, in update order."""
    lines = []
    lines.append(f"u = {rule.inner.formula.replace('x', 'g')}")
    if rule.law is not None:
        lines.append(rule.law.formula)
        if rule.gain_first:
            lines.append("u = u / N")
    if np.ptp(rule.before) > _CHANGES * np.abs(rule.before).max():
        lines.append("u = b_n u")
    if rule.memory.order:
        response = rule.memory.response(5) if len(rule.memory.D) == 1 else None
        told = (
            "r_n(k)" if response is None else "r(k), r = " + ", ".join(f"{value:.4g}" for value in response) + ", ..."
        )
        lines.append(f"y_n = sum_k u_(n-k) {told}")
    else:
        lines.append("y = u")
    if rule.law is not None and not rule.gain_first:
        lines.append("y = y / N")
    y = "y" if rule.outer.is_linear and rule.outer.slope == 1 else rule.outer.formula.replace("x", "y")
    constant = np.ptp(rule.after) <= _CHANGES * np.abs(rule.after).max()
    lines.append(
        f"dx = -{f'{rule.after[-1]:.4g}' if constant else 'a_n'} {y}" + (" - drift_n" if np.any(rule.drift) else "")
    )
    return "\n".join(lines)
