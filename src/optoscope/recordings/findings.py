"""What is to be said of a recording: each finding one sentence, its number, and where it is seen."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from optoscope.recordings.following import Followed
from optoscope.recordings.identify import FOUND, Identified, learning_rates, memory_decays
from optoscope.recordings.reading import Recording

#: A loss above this times its running minimum is a spike.
SPIKE = 1.5
#: Steps of a running median, the change from step to step from which on a loss is noisy, and how far it has diverged.
_WINDOW, _NOISY, _DIVERGED = 15, 0.05, 1e3
#: A factor below this is clipping, and from this share of steps on the clip sets the learning rate.
_CLIPS, _ALWAYS = 0.999, 0.9
#: Largest share by which a norm that is always the same varies, and a number of few digits is missed.
_SAME, _ROUND, _FEW_DIGITS = 2e-3, 5e-6, 3
#: Share by which decays of groups differ that are the same.
_DECAYS_ALIKE = 0.05
#: A factor between rates that is worth a word.
_RATE = 1.02
#: Steps in which others move and an array does not, after which it has stopped.
_STOPPED = 10
#: Update over parameter norm within which nothing is said.
_SLOW, _FAST = 1e-6, 0.1
#: Margin from which the run is near its edge; margins from which a slope is drawn, and how far it is trusted.
_NEAR, _FOR_SLOPE, _HORIZON = 0.8, 3, 2.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        name: which kind it is, always the same words.
        weight: "fault" (as good as always a mistake), "warning" (look at it), or "note".
        sentence: what was found, in plain words, with its number.
        value: the number.
        picture: name of the picture that shows it; empty for none.
    """

    name: str
    weight: str
    sentence: str
    value: float
    picture: str = ""


def find_all(recording: Recording, found: Identified | None, followed: Followed | None = None) -> list[Finding]:
    """Return everything that is to be said, the gravest first.

    Args:
        recording: the run.
        found: its rule, if one could be looked for.
        followed: how far this rule holds, if it was found.
    """
    all_of_them = [
        *_of_losses(recording),
        *_of_margins(recording),
        *_of_clipping(recording),
        *_of_schedule(recording),
        *_of_groups(recording, found),
        *_of_parameters(recording),
        *_of_state(recording),
        *_of_sessions(recording),
        *([] if found is None else _of_rule(recording, found, followed)),
    ]
    order = ("fault", "warning", "note")
    return sorted(all_of_them, key=lambda one: order.index(one.weight))


def spikes(losses: np.ndarray, *, bar: float = SPIKE) -> np.ndarray:
    """Return the places where a loss first rises above `bar` times its running minimum, or is no number any more.

    A spike is over when the loss is back below that; losses that were not seen (NaN before a finite one) are left out.
    """
    seen = ~np.isnan(losses)
    if not seen.any():
        return np.zeros(0, int)
    with np.errstate(all="ignore"):
        lowest = np.fmin.accumulate(losses)
        high = np.where(seen, (losses > bar * lowest) & (lowest > 0) | np.isinf(losses), False)
    last = int(np.flatnonzero(seen)[-1])
    if last + 1 < len(losses):
        high[last + 1] = True  # from here on it is no number
    return np.flatnonzero(high & ~np.concatenate([[False], high[:-1]]))


def forecast(recording: Recording) -> tuple[float, float, float]:
    """Return the last margin, its slope per step over the later half of its measurements, and steps until it passes 1.

    NaN where it is not known; infinite steps where it does not rise, or where the slope would have to hold for more
    than twice as many steps as it was seen over.
    """
    if not len(recording.margins):
        return np.nan, np.nan, np.nan
    last = float(recording.margins[-1])
    recent = slice(-max(_FOR_SLOPE, len(recording.margins) // 2), None)
    steps, margins = recording.margin_steps[recent], recording.margins[recent]
    if len(steps) < _FOR_SLOPE:
        return last, np.nan, np.nan
    slope = float(np.polyfit(steps, margins, 1)[0])
    if last >= 1 or slope <= 0:
        return last, slope, 0.0 if last >= 1 else np.inf
    left = (1 - last) / slope
    return last, slope, float(left) if left <= _HORIZON * (steps[-1] - steps[0]) else np.inf


def noisy_spikes(losses: np.ndarray) -> np.ndarray:
    """Return the spikes of a loss that single batches make noisy: those of its running median, over 15 steps.

    The bar is 1.5, or six standard deviations of that median where these are more. A loss that goes on smoothly (in the
    median, steps change it by less than 5%) is taken as it is.
    """
    seen = np.flatnonzero(np.isfinite(losses) & (losses > 0))
    if len(seen) < 2 * _WINDOW:
        return spikes(losses)
    logs = np.log(losses[seen])
    noise = float(np.median(np.abs(np.diff(logs)))) / 0.6745 / np.sqrt(2)
    if not noise > _NOISY:
        return spikes(losses)
    padded = np.pad(logs, _WINDOW // 2, mode="edge")
    smooth = np.array(losses, float)
    smooth[seen] = np.exp(np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1))
    return spikes(smooth, bar=max(SPIKE, float(np.exp(6 * 1.2533 * noise / np.sqrt(_WINDOW)))))


def _of_losses(r: Recording) -> Iterator[Finding]:
    there = np.flatnonzero(~np.isnan(r.losses))
    if len(there):
        known, last = r.losses[there], float(r.losses[there[-1]])
        lowest = float(np.min(known[np.isfinite(known)], initial=np.inf))
        is_lost = there[-1] + 1 < len(r.losses)  # from there on it is no number
        if is_lost or not np.isfinite(last) or (last > _DIVERGED * lowest > 0 and last > known[0]):
            says = f"the run has diverged: its last loss is {'no number' if is_lost else f'{last:.3g}'}"
            yield Finding("diverged", "fault", f"{says}, the lowest was {lowest:.3g}", last, "loss")
    where = noisy_spikes(r.losses)
    if len(where):
        first = where[0]
        worst = float(np.nanmax(np.where(np.isfinite(r.losses), r.losses, np.nan)[first:], initial=0.0))
        by_median = " in the running median of 15 steps" if where.tolist() != spikes(r.losses).tolist() else ""
        yield Finding(
            "spike", "warning",
            f"the loss spikes {len(where)} time{'s' * (len(where) > 1)}, first at step {r.steps[first]}: above {SPIKE} "
            f"times its lowest value so far{by_median} (highest after that: {worst:.3g})",
            float(r.steps[first]), "loss",
        )  # fmt: skip


def _of_margins(r: Recording) -> Iterator[Finding]:
    last, slope, left = forecast(r)
    if np.isnan(last):
        return
    here = f"margin {last:.3g} at step {r.margin_steps[-1]}"
    if last >= 1:
        says = f"{here}: there the run was beyond its optimizer's edge of stability"
        yield Finding("margin", "warning", says, last, "margin")
    elif np.isfinite(left):
        says = f"{here} and rising by {slope:.2g} a step: if it goes on so, it passes 1 in {left:.0f} steps"
        yield Finding("margin", "warning" if last > _NEAR else "note", says, last, "margin")
    else:
        trend = "" if np.isnan(slope) else ", and it does not rise towards 1"
        says = f"{here}, below the edge{trend}"
        yield Finding("margin", "note", says, last, "margin")


def _of_clipping(r: Recording) -> Iterator[Finding]:
    factors, scales = r.clip_factors, r.loss_scales
    scaled = (scales > 1) & (factors < _CLIPS) & np.isfinite(r.gradient_norms)
    norms = r.gradient_norms[scaled]
    same = norms * scales[scaled]
    if (
        len(same) >= 5
        and np.std(same) <= _SAME * np.mean(same)
        and _digits(float(np.mean(same))) <= _FEW_DIGITS
        and not (np.std(norms) <= _SAME * np.mean(norms) and _digits(float(np.mean(norms))) <= _FEW_DIGITS)
    ):
        yield Finding(
            "clipped before unscaling", "fault",
            f"gradients were clipped to a norm of {np.mean(same):.3g} before they were unscaled: what the optimizer "
            f"got has the norm {np.mean(norms):.3g} at {len(norms)} steps, which is {np.mean(same):.3g} over the scale "
            f"of mixed precision; call `scaler.unscale_(optimizer)` before clipping",
            float(np.mean(norms)), "clipping",
        )  # fmt: skip
        return
    known = np.isfinite(factors)
    if not known.any():
        return
    share = float(np.mean(factors[known] < _CLIPS))
    if share >= _ALWAYS:
        yield Finding(
            "clipping", "warning",
            f"clipped at {share:.0%} of steps, to {np.median(factors[known]):.2g} of the gradient in the median: the "
            "clip sets the size of the gradient",
            share, "clipping",
        )  # fmt: skip
    elif share:
        lowest = float(np.min(factors[known]))
        says = f"clipped at {share:.0%} of steps, at most to {lowest:.2g} of the gradient"
        yield Finding("clipping", "note", says, share, "clipping")


def _of_schedule(r: Recording) -> Iterator[Finding]:
    moved = np.diff(r.scheduler_steps) / np.diff(r.steps)
    moved = moved[np.isfinite(moved)]
    if len(moved) >= 3 and np.median(moved) >= 2 and np.mean(moved == np.median(moved)) > 0.8:
        times = f"{np.median(moved):.0f}"
        yield Finding(
            "schedule stepped twice", "fault",
            f"the scheduler moves {'twice' if times == '2' else f'{times} times'} at each step of the optimizer, so "
            "that the schedule ends early",
            float(np.median(moved)), "learning rate",
        )  # fmt: skip
    decays = memory_decays(r)
    if np.isfinite(decays).any() and np.nanmin(decays) < np.nanmax(decays):
        low, high = np.nanmin(decays), np.nanmax(decays)
        says = f"the decay of the memory is scheduled, too: between {low:.3g} and {high:.3g}"
        yield Finding("scheduled momentum", "note", says, float(high), "")
    rates = learning_rates(r)
    if not np.isfinite(rates).any():
        return
    rate = rates[:, 0]
    low, high = np.nanmin(rate), np.nanmax(rate)
    if low == high:
        yield Finding("schedule", "note", f"the learning rate is {high:.3g} all along", float(high), "learning rate")
        return
    top = int(np.nanargmax(rate))
    yield Finding(
        "schedule", "note",
        f"the learning rate goes from {rate[0]:.3g} to {rate[-1]:.3g}, with its largest value {high:.3g} at step "
        f"{r.steps[top]}",
        float(high), "learning rate",
    )  # fmt: skip


def _of_groups(r: Recording, found: Identified | None) -> Iterator[Finding]:
    rates = np.nanmedian(learning_rates(r), axis=0) if np.isfinite(learning_rates(r)).any() else np.zeros(0)
    names = lambda g: ", ".join([one["name"] for one in r.parameters if one["group"] == g][:3])
    if len(rates) > 1:
        sizes = np.bincount([one["group"] for one in r.parameters], minlength=len(rates))
        usual = float(rates[sizes.argmax()])
        for g, rate in enumerate(rates):
            if usual and not 1 / _RATE < rate / usual < _RATE:
                yield Finding(
                    "another rate", "warning",
                    f"group {g} ({names(g)}, ...) has a learning rate of {rate:.3g}, {rate / usual:.3g} times that of "
                    "most parameters",
                    float(rate / usual), "learning rate",
                )  # fmt: skip
    if found is None or not found.is_found or not np.isfinite(learning_rates(r)).any():
        return
    for g, factor in enumerate(found.rates):
        if np.isfinite(factor) and not 1 / _RATE < factor < _RATE:
            yield Finding(
                "another rate than set", "warning",
                f"group {g} ({names(g)}, ...) moves {factor:.3g} times as far as its learning rate says",
                float(factor), "updates",
            )  # fmt: skip


def _of_parameters(r: Recording) -> Iterator[Finding]:
    if not len(r.kept_steps):
        return
    still = [one["name"] for one, norms in zip(r.parameters, r.layer_update_norms.T) if not np.nansum(norms)]
    for name in still[:8]:
        without = np.isnan(r.layer_gradient_norms[:, [one["name"] for one in r.parameters].index(name)]).all()
        why = "it has no gradient" if without else "it has a gradient of 0, or a rate of 0"
        yield Finding("no updates", "warning", f"{name} gets no updates: {why}", 0.0, "layers")
    if len(still) > 8:
        yield Finding("no updates", "warning", f"{len(still) - 8} more get no updates", float(len(still)), "layers")
    yield from _of_stopped(r)
    decay = np.nan_to_num(r.setting("weight_decay")).max(0)
    for role, words in (("normalization", "normalization"), ("bias", "biases")):
        hit = [one["name"] for one in r.parameters if one["role"] == role and decay[one["group"]] > 0]
        if hit:
            yield Finding(
                f"decay on {words}", "note",
                f"weight decay also hits {words}: {len(hit)} arrays, such as {hit[0]}",
                float(len(hit)), "",
            )  # fmt: skip
    with np.errstate(all="ignore"):
        ratios = np.median(r.layer_update_norms / r.layer_parameter_norms, axis=0)
    for i in np.flatnonzero(np.isfinite(ratios) & (ratios > _FAST)):
        one = r.parameters[i]
        if one["role"] == "weight":
            says = f"{one['name']} moves by {ratios[i]:.0%} of its norm at a step, in the median"
            yield Finding("large updates", "warning", says, float(ratios[i]), "layers")
    for i in np.flatnonzero((ratios > 0) & (ratios < _SLOW)):
        says = f"{r.parameters[i]['name']} moves by {ratios[i]:.1e} of its norm at a step: next to nothing"
        yield Finding("small updates", "note", says, float(ratios[i]), "layers")
    there = np.isfinite(r.gradients).all(0)
    dead = (r.gradients == 0).all(0) & there
    if there.any() and dead.mean() > 0.01:
        says = f"{dead.sum() / there.sum():.0%} of the sampled components had no gradient but 0 at any step kept"
        yield Finding("dead components", "note", says, float(dead.mean()), "layers")
    largest = np.nanmax(np.abs(r.gradients), initial=0.0)
    saturated = np.abs(r.gradients) >= (1 - 1e-6) * largest
    if largest and saturated.sum() >= 10 and np.mean(saturated) > 1e-3 and np.isnan(r.clip_factors).any():
        says = f"{np.mean(saturated):.1%} of gradients are at exactly {largest:.3g}: each component is clipped there"
        yield Finding("clipping of each component", "note", says, float(np.mean(saturated)), "clipping")


def _of_stopped(r: Recording) -> Iterator[Finding]:
    """Arrays that moved, and then no more, while others did."""
    moves = np.nan_to_num(r.layer_update_norms) > 0
    goes_on = np.flatnonzero(moves.any(1))
    for one, own in zip(r.parameters, moves.T):
        last = int(np.flatnonzero(own)[-1]) if own.any() else -1
        if last >= 0 and np.sum(goes_on > last) >= _STOPPED:
            says = f"{one['name']} gets no updates from step {r.kept_steps[last + 1]} on"
            yield Finding("updates stopped", "warning", says, float(r.kept_steps[last + 1]), "layers")


def _of_state(r: Recording) -> Iterator[Finding]:
    short = [name for name, kind in zip(r.state_names, r.state_types) if kind in ("bfloat16", "float16")]
    if short:
        kinds = {r.state_types[r.state_names.index(name)] for name in short}
        yield Finding(
            "short state", "warning",
            f"the optimizer keeps {' and '.join(short)} in {' and '.join(sorted(kinds))}: small changes of an average "
            "are lost to rounding",
            float(len(short)), "",
        )  # fmt: skip


def _of_sessions(r: Recording) -> Iterator[Finding]:
    """Where a run was taken up from other parameters than those that it was left with."""
    follow = np.flatnonzero((np.diff(r.kept_steps) == r.stride) & (np.diff(r.sessions[r.kept_rows]) != 0))
    for row in follow if r.stride == 1 else ():
        there = np.isfinite(r.x[row] + r.updates[row] + r.x[row + 1])
        jump = np.abs(r.x[row + 1] - r.x[row] - r.updates[row])[there].max(initial=0.0)
        if jump > 2 * np.abs(r.updates[row][there]).max(initial=0.0) and jump > 1e-5 * np.abs(r.x[row][there]).max():
            step = r.kept_steps[row + 1]
            yield Finding(
                "other parameters", "warning",
                f"step {step} begins with other parameters than those with which step {r.kept_steps[row]} ended: the "
                "run was taken up from an earlier place, or started anew",
                float(step), "layers",
            )  # fmt: skip


def _of_rule(r: Recording, found: Identified, followed: Followed | None) -> Iterator[Finding]:
    if not found.is_found:
        yield Finding(
            "rule", "note",
            f"none of the rules tried gives {FOUND:.0%} of the updates of steps {found.first} to {found.last}; the "
            f"best, {found.rule}, gives {max(found.explained, 0):.1%}",
            found.explained, "updates",
        )  # fmt: skip
        return
    left = followed.departures if followed else ()
    last = left[0].step - 1 if left else followed.last if followed else found.last
    compared = min(followed.compared if followed else last, last - found.first + 1)
    some = "" if compared > last - found.first else f", of which {compared} were compared"
    says = f"the updates of steps {found.first} to {last}{some} are those of: {found.rule}{_decay_beside(found)}"
    yield Finding("rule", "note", f"{says} ({found.explained:.2%} explained)", found.explained, "updates")
    if found.rule.clock == "stands still":
        yield _counter("stands still", found.first)
    for step in found.resets:
        yield _memory_lost(r, step)
    for one in left:
        if one.change == "memory lost":
            yield _memory_lost(r, one.step)
        elif one.change == "other updates":
            share = share_in_words(one.left)
            says = f"from step {one.step} on the updates are not those of this rule: {share} is left over"
            yield Finding("other updates", "warning", says, float(one.step), "updates")
        else:
            yield _counter(one.change.removeprefix("counter "), one.step)
    if found.rule.coupled and found.rule.gain != "none":
        yield Finding(
            "coupled decay", "warning",
            f"weight decay of {found.rule.coupled:.3g} is added to the gradient, before it is divided by the root of "
            "its mean square, so that it decays parameters with large gradients less; decoupled decay (AdamW) does not",
            found.rule.coupled, "updates",
        )  # fmt: skip


def _counter(what: str, step: int) -> Finding:
    if what == "lost":
        says = (
            f"at step {step} the optimizer's step counter began again, while its memory did not: its bias corrections "
            "make the next updates too large"
        )
        return Finding("counter lost", "fault", says, float(step), "updates")
    says = (
        f"{f'from step {step} on ' if step else ''}the optimizer's step counter stands still: its bias corrections are "
        "those of a first step at every step, which makes its updates too large"
    )
    return Finding("counter stands still", "fault", says, float(step), "updates")


def _memory_lost(r: Recording, step: int) -> Finding:
    session = r.sessions[np.searchsorted(r.steps, step)] != r.sessions[max(np.searchsorted(r.steps, step) - 1, 0)]
    why = ": the run was taken up there without the optimizer's state" if session else ""
    says = f"at step {step} the optimizer's memory was empty again{why}"
    return Finding("memory lost", "fault", says, float(step), "updates")


def _decay_beside(found: Identified) -> str:
    """The weight decay beside the gradient in words: one number, or one for each group."""
    decays = found.own_decays
    known = np.flatnonzero(np.isfinite(found.decays))
    if not decays[known].any():
        return ""
    if np.ptp(decays[known]) <= _DECAYS_ALIKE * np.abs(decays[known]).max():
        return f"; beside it, weight decay of {np.median(decays[known]):.3g} times the learning rate"
    each = ", ".join(f"{decays[g]:.3g} in group {g}" if decays[g] else f"none in group {g}" for g in known)
    return f"; beside it, weight decay times the learning rate: {each}"


def share_in_words(share: float) -> str:
    """Say how much of the squared updates is left over."""
    return f"{share:.0%} of their square" if share < 1 else "as much as they are, or more,"


def _digits(value: float) -> int:
    """How many digits a number needs."""
    return next((n for n in range(1, 8) if abs(float(f"{value:.{n - 1}e}") - value) <= _ROUND * abs(value)), 8)
