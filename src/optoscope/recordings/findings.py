"""What is to be said of a recording: each finding one sentence, its number, and where it is seen."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from optoscope.recordings.identify import Identified, learning_rates, memory_decays
from optoscope.recordings.reading import Recording

#: A loss above this times its running minimum is a spike.
SPIKE = 1.5
#: A factor below this is clipping, and from this share of steps on the clip sets the learning rate.
_CLIPS, _ALWAYS = 0.999, 0.9
#: Largest share by which a norm that is always the same varies, and a round number is missed.
_SAME, _ROUND = 2e-3, 2e-3
#: A factor between rates that is worth a word.
_RATE = 1.02
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


def find_all(recording: Recording, found: Identified | None) -> list[Finding]:
    """Return everything that is to be said, the gravest first.

    Args:
        recording: the run.
        found: its rule, if one could be looked for.
    """
    all_of_them = [
        *_of_losses(recording),
        *_of_margins(recording),
        *_of_clipping(recording),
        *_of_schedule(recording),
        *_of_groups(recording, found),
        *_of_parameters(recording),
        *_of_state(recording),
        *([] if found is None else _of_rule(recording, found)),
    ]
    order = ("fault", "warning", "note")
    return sorted(all_of_them, key=lambda one: order.index(one.weight))


def spikes(losses: np.ndarray) -> np.ndarray:
    """Return the places where a loss first rises above 1.5 times its running minimum, or is no number any more.

    A spike is over when the loss is back below that; losses that were not seen (NaN before a finite one) are left out.
    """
    seen = ~np.isnan(losses)
    if not seen.any():
        return np.zeros(0, int)
    with np.errstate(all="ignore"):
        lowest = np.fmin.accumulate(losses)
        high = np.where(seen, (losses > SPIKE * lowest) & (lowest > 0) | np.isinf(losses), False)
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


def _of_losses(r: Recording) -> Iterator[Finding]:
    where = spikes(r.losses)
    if len(where):
        first = where[0]
        worst = float(np.nanmax(np.where(np.isfinite(r.losses), r.losses, np.nan)[first:], initial=0.0))
        yield Finding(
            "spike", "warning",
            f"the loss spikes {len(where)} time{'s' * (len(where) > 1)}, first at step {r.steps[first]}: above {SPIKE} "
            f"times its lowest value so far (highest after that: {worst:.3g}); single batches can do so by chance",
            float(r.steps[first]), "loss",
        )  # fmt: skip


def _of_margins(r: Recording) -> Iterator[Finding]:
    last, slope, left = forecast(r)
    if np.isnan(last):
        return
    if last >= 1:
        says = f"margin {last:.3g}: the run is beyond its optimizer's edge of stability"
        yield Finding("margin", "warning", says, last, "margin")
    elif np.isfinite(left):
        says = f"margin {last:.3g} and rising by {slope:.2g} a step: if it goes on so, it passes 1 in {left:.0f} steps"
        yield Finding("margin", "warning" if last > _NEAR else "note", says, last, "margin")
    else:
        trend = "" if np.isnan(slope) else ", and it does not rise towards 1"
        yield Finding("margin", "note", f"margin {last:.3g}, below the edge{trend}", last, "margin")


def _of_clipping(r: Recording) -> Iterator[Finding]:
    factors, scales = r.clip_factors, r.loss_scales
    scaled = (scales > 1) & (factors < _CLIPS) & np.isfinite(r.gradient_norms)
    norms = r.gradient_norms[scaled]
    same = norms * scales[scaled]
    if (
        len(same) >= 5
        and np.std(same) <= _SAME * np.mean(same)
        and _is_round(np.mean(same))
        and not (np.std(norms) <= _SAME * np.mean(norms) and _is_round(np.mean(norms)))
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


def _of_rule(r: Recording, found: Identified) -> Iterator[Finding]:
    stretch = f"steps {found.first} to {found.last}"
    if not found.is_found:
        yield Finding(
            "rule", "note",
            f"none of the rules tried gives the updates of {stretch}; the best, {found.rule}, gives "
            f"{max(found.explained, 0):.0%}",
            found.explained, "updates",
        )  # fmt: skip
        return
    decays = found.decays[np.isfinite(found.decays)]
    beside = [value for value in decays if abs(value) > 1e-4]
    more = f"; beside it, weight decay of {np.median(beside):.3g} times the learning rate" if beside else ""
    says = f"the updates of {stretch} are those of: {found.rule}{more} ({found.explained:.2%} explained)"
    yield Finding("rule", "note", says, found.explained, "updates")
    if found.rule.clock == "stands still":
        yield Finding(
            "counter stands still", "fault",
            "the optimizer's step counter stands still: its bias corrections are those of a first step at every step, "
            "which makes its updates too large",
            1.0, "updates",
        )  # fmt: skip
    for step in found.resets:
        session = r.sessions[np.searchsorted(r.steps, step)] != r.sessions[max(np.searchsorted(r.steps, step) - 1, 0)]
        yield Finding(
            "memory lost", "fault",
            f"at step {step} the optimizer's memory was empty again"
            + (": the run was taken up there without the optimizer's state" if session else ""),
            float(step), "updates",
        )  # fmt: skip
    if found.rule.coupled and found.rule.gain != "none":
        yield Finding(
            "coupled decay", "warning",
            f"weight decay of {found.rule.coupled:.3g} is added to the gradient, before it is divided by the root of "
            "its mean square, so that it decays parameters with large gradients less; decoupled decay (AdamW) does not",
            found.rule.coupled, "updates",
        )  # fmt: skip


def _is_round(value: Any) -> bool:
    """Whether a number has at most two digits that count."""
    near = float(f"{value:.1e}")
    return bool(abs(value - near) <= _ROUND * abs(near))
