"""What holds of an optimizer whatever its rule is: differences between runs, without a model."""

import dataclasses

import numpy as np

from optoscope.dynamics import Probe
from optoscope.mechanisms.explanation.probes import make_probes

#: Kinds of sequences that leave something to remember, and how many lengths of each: some memories show at every second
#: step or so.
_BUSY, _LENGTHS = ("a constant gradient", "an alternating gradient", "normal gradients"), 3
#: Relative differences of updates: that turns with signs, that sizes make, that is none.
_TURNS, _COUNTS, _SAME = 0.8, 0.05, 1e-6
#: How many steps ago signs are turned, and the share of an update that two signs must make together.
_AGO, _CROSSES = (1, 2, 5), 0.01
#: Shares of an update that earlier gradients make by themselves: enough to be a memory, and too little for one.
_PUSHES, _LITTLE = 0.1, 0.05
#: A gradient beside nothing, a scale far below the largest gradient, and one near it, as shares.
_TINY, _SMALL, _LARGE = 1e-6, 1e-3, 1 / 30
#: Logarithms of ratios of gains between which nothing is said of adaptation, and relative ones for proportion.
_STEADY, _ADAPTS, _IN_PROPORTION = 0.16, 0.19, 0.15
#: Relative differences of updates made later between which nothing is said of a schedule.
_TIMELESS, _VARIES = 0.05, 0.1


@dataclasses.dataclass(frozen=True)
class Behavior:
    """Each pair says yes, says no, or, where neither holds, nothing.

    Attributes:
        remembers, forgets: whether earlier gradients move the parameter, with their signs.
        pushes: whether they do so where the present gradient is next to nothing.
        saturates, in_proportion: what the largest gradients do, after small ones.
        adapts, steady: whether the gain goes by what came before.
        sizes_count: whether sizes of earlier gradients count: tenfold gradients do not just make tenfold updates, and
            after half as large ones the same gradient does something else.
        signs_count: whether what the sign of a gradient makes of the update depends on the sign of an earlier one.
        falls: whether the gain of later gradients still falls with the largest ones.
        varies, timeless: whether the same gradients do something else later.
        only_sign: whether a tenfold gradient never makes another size of update.
        loses_nothing: whether gradients that are too small for an update add up until they make one.
    """

    remembers: bool
    forgets: bool
    pushes: bool
    saturates: bool
    in_proportion: bool
    adapts: bool
    steady: bool
    sizes_count: bool
    signs_count: bool
    falls: bool
    varies: bool
    timeless: bool
    only_sign: bool
    loses_nothing: bool


def observe(probe: Probe, *, low: float, high: float, num_steps: int) -> Behavior:
    """Observe an optimizer after silence and after busy runs, now and later.

    Args:
        probe: of the optimizer.
        low, high: smallest and largest magnitude of gradients.
        num_steps: length of runs.
    """
    probes = make_probes(low, high, num_steps, seed=2)
    busy = np.array([name in _BUSY for name in probes.names])
    rows, scales = probes.gradients[busy], np.tile(probes.scales[busy], _LENGTHS)
    rows = np.concatenate([np.pad(rows, ((0, 0), (late, 0)))[:, :num_steps] for late in range(_LENGTHS)])
    earlier, present = rows[:, :-1], np.abs(rows[:, -1])
    present = np.where(present > 0, present, scales)
    histories = [earlier, -earlier, 0.5 * earlier, np.zeros((1, num_steps - 1))]
    reached = probe.drive(np.concatenate(histories))[0][:, -1]
    after, turned, halved = np.split(reached[:-1], 3)
    calm = np.broadcast_to(reached[-1], after.shape)
    with np.errstate(all="ignore"):
        return Behavior(
            **_memory(probe, after, turned, halved, calm, present),
            **_proportion(probe, after[scales <= max(_SMALL * high, scales.min())], high),
            **_gains(probe, after, calm, present, scales, high),
            sizes_count=_sizes_count(probe, after, halved, present, rows[scales <= 0.1 * high]),
            signs_count=_signs_count(probe, earlier, present),
            falls=_falls(probe, high, num_steps),
            **_over_time(probe, rows[scales > low], num_steps),
            loses_nothing=_loses_nothing(probe, probes.gradients[busy]),
        )


def _memory(probe, after, turned, halved, calm, present):
    rest = probe.update(calm, np.zeros(len(calm)))
    moved = lambda states, gradients: probe.update(states, gradients) - rest
    ahead, back = moved(after, present), moved(after, -present)
    others = moved(turned, present), moved(turned, -present)
    size = np.max(np.abs([ahead, back, *others]), axis=0)
    turns = np.abs(ahead + back - sum(others)) > _TURNS * size
    counts = np.abs(np.abs(moved(halved, present)) - np.abs(ahead)) > _COUNTS * size
    tenfold = np.abs(np.abs(moved(after, 10 * present)) - np.abs(ahead)) <= _SAME * size
    # What a gradient of next to nothing sees: the memory alone, which may go against it.
    nothing = _TINY * present
    push = (moved(after, nothing) + moved(after, -nothing) - moved(turned, nothing) - moved(turned, -nothing)) / 4
    half = (moved(halved, nothing) + moved(halved, -nothing)) / 2
    whole = (moved(after, nothing) + moved(after, -nothing)) / 2
    by_size = np.abs(np.abs(half) - np.abs(whole)) > _COUNTS * np.abs(whole)
    against = np.maximum(moved(after, nothing), -moved(after, -nothing)) > _COUNTS * size
    is_memory = by_size | against
    remembers = bool((turns & counts).any() or ((np.abs(push) > _PUSHES * size) & is_memory).any())
    pushes = not ((np.abs(push) < _LITTLE * size) | ~is_memory | (size == 0)).all()
    only_sign = bool(tenfold.all() and size.any())
    return {"remembers": remembers, "forgets": not remembers and not pushes, "pushes": pushes, "only_sign": only_sign}


def _proportion(probe, after, high):
    ends = probe.gain(after[:, None], np.array([0.1 * high, high]))
    ratios = np.abs(ends[:, 1] / ends[:, 0])
    return {
        "saturates": bool(len(after) and (ratios < 1 - _IN_PROPORTION).all()),
        "in_proportion": bool(len(after) and (np.abs(ratios - 1) < _IN_PROPORTION).all()),
    }


def _gains(probe, after, calm, present, scales, high):
    def change(states, others, magnitudes):
        ratios = np.log(np.abs(probe.gain(states, magnitudes) / probe.gain(others, magnitudes)))
        return np.where(np.isfinite(ratios), np.abs(ratios), 0.0)

    sizes = (np.full(len(present), high), present)
    changes = [change(after, calm, magnitudes) for magnitudes in sizes]
    return {
        "adapts": bool((np.stack(changes) > _ADAPTS).any()),
        "steady": bool((changes[0][scales >= _LARGE * high] < _STEADY).all()),
    }


def _sizes_count(probe, after, halved, present, rows):
    calm = probe.updates(np.zeros((1, rows.shape[1])))
    once, tenfold = (probe.updates(times * rows) - calm for times in (1, 10))
    in_proportion = np.linalg.norm(tenfold - 10 * once) <= _COUNTS * np.linalg.norm(tenfold)
    whole, half = (probe.update(states, present) for states in (after, halved))
    return bool(not in_proportion and np.any(np.abs(whole - half) > _COUNTS * np.abs(whole)))


def _signs_count(probe, earlier, present):
    """Whether an update has a part that turns with the product of two signs."""
    for ago in _AGO:
        if ago <= earlier.shape[1]:
            turned = earlier * np.where(np.arange(earlier.shape[1]) == earlier.shape[1] - ago, -1.0, 1.0)
            states = [probe.drive(rows)[0][:, -1] for rows in (earlier, turned)]
            a, b, c, d = (probe.update(some, sign * present) for some in states for sign in (1, -1))
            if np.any(np.abs(a - b - c + d) > _CROSSES * np.max(np.abs([a, b, c, d]), axis=0)):
                return True
    return False


def _falls(probe, high, num_steps):
    rows = np.zeros((2, num_steps))
    rows[:, 0] = 0.1 * high, high
    before, later = np.abs(probe.gain(probe.drive(rows)[0][:, 1], np.full(2, _TINY * high)))
    return bool(later < 0.5 * before)


def _over_time(probe, rows, num_steps):
    half = num_steps // 2
    some = rows[:, :half]
    silence = np.zeros_like(some)
    calm = probe.updates(np.zeros((1, 2 * half)))[0]
    now = probe.updates(np.concatenate([some, silence], axis=1))[:, :half] - calm[:half]
    later = probe.updates(np.concatenate([silence, some], axis=1))[:, half:] - calm[half:]
    apart = np.linalg.norm(later - now, axis=1) / np.maximum(np.linalg.norm(now, axis=1), np.linalg.norm(later, axis=1))
    apart = np.nan_to_num(apart)
    return {"varies": bool((apart > _VARIES).any()), "timeless": bool((apart < _TIMELESS).all())}


def _loses_nothing(probe, rows):
    calm = probe.updates(np.zeros((1, rows.shape[1])))
    moved = probe.updates(rows) - calm
    if not moved.any() or not np.isfinite(moved).all():
        return False
    least = np.abs(moved[moved != 0]).min()
    single = np.zeros_like(rows)
    single[:, 0] = np.abs(rows).max(1)
    alone = probe.updates(single) - calm
    added = ~alone.any(1) & moved.any(1)  # no gradient makes an update by itself, many do
    if not added.any():
        return False
    sums, totals = moved.sum(1), rows.sum(1)
    strongest = np.flatnonzero(added)[np.argmax(np.abs(sums[added]))]
    rate = -sums[strongest] / totals[strongest]
    return bool((np.abs(sums + rate * totals)[added] <= 2 * least).all())
