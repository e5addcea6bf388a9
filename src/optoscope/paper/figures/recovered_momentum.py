"""A learned optimizer that recovers momentum: Figs. 14 and 15."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier, SingleMode
from optoscope.artifacts import TunedOptimizer
from optoscope.dynamics import Modes, PrincipalComponents
from optoscope.figures.loss_curves import draw_loss_curves
from optoscope.figures.style import (
    COLORS,
    INK,
    MAGNITUDES,
    PAGE,
    ROW,
    SOFT,
    add_colorbar,
    add_inset,
    dress,
    magnitude_norm,
    new_figure,
    numbers_of,
    thin,
)
from optoscope.paper.figures._state_space import (
    axis_label,
    describe,
    draw_landmarks,
    draw_spectrum,
    draw_visited,
    project,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.figures.leading_modes import draw_shift
from optoscope.paper.study import OPTIMAL_MOMENTUM, Study

_OPTIMUM = "#d6201f"


def draw_one_problem(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Draw the state of each component over one problem, among all visited states."""
    artists = draw_visited(dossier, axes)
    runs = project(dossier, dossier.visits.states[: dossier.visits.num_components])
    shades = MAGNITUDES(np.linspace(0.25, 0.85, len(runs)))
    for i, (run, color) in enumerate(zip(runs, shades, strict=True)):
        artists[f"component {i + 1}"] = axes.plot(*run.T, color=color, linewidth=1.0, zorder=3)[0]
    return artists | draw_landmarks(dossier, axes)


def draw_explained_variance(components: PrincipalComponents, axes: Axes, *, most: int = 10) -> dict[str, Artist]:
    """Draw the share of the variance along each principal component, as a small inset."""
    shares = components.explained_variance_ratio[:most]
    line = axes.plot(np.arange(1, len(shares) + 1), shares, "o-", color=INK, markersize=1.8, linewidth=0.7)[0]
    axes.set(xlim=(0, len(shares) + 1), ylim=(-0.05, 1.1), xticks=[1, len(shares)], yticks=[0, 1])
    return {"share of the variance": line}


def draw_parameters(
    modes: Modes, tuned: tuple[float, float], optimum: tuple[float, float], axes: Axes
) -> dict[str, Artist]:
    """Draw each mode as a learning rate and a momentum timescale, with tuned momentum and the analytic optimum."""
    rates, decays = np.abs(modes.learning_rates), np.abs(modes.decays)
    artists: dict[str, Artist] = {
        "modes": axes.scatter(
            rates, decays, c=rates, cmap=MAGNITUDES, norm=magnitude_norm(rates), s=16, edgecolor="white", linewidth=0.3,
            zorder=4,
        ),
        "tuned momentum": axes.scatter(
            *tuned, marker="D", s=26, facecolor=COLORS["momentum"], edgecolor="white", linewidth=0.5, zorder=3,
            label="tuned momentum",
        ),
        "analytic optimum": draw_optimum(optimum, axes),
    }  # fmt: skip
    largest = max(float(rates.max()), *tuned[:1], *optimum[:1])
    axes.set_xscale("log")
    axes.set(xlim=(largest * 1e-4, largest * 4), ylim=(0, 1.03))
    return artists


def draw_optimum(optimum: tuple[float, float], axes: Axes) -> Artist:
    """Draw the analytic optimum of momentum as a red star."""
    return axes.scatter(
        *optimum,
        marker="*",
        s=75,
        facecolor=_OPTIMUM,
        edgecolor="white",
        linewidth=0.5,
        zorder=5,
        label="analytic optimum",
    )


def draw_single_mode(single: SingleMode, axes: Axes) -> dict[str, Artist]:
    """Draw the updates of the leading mode alone against those of the whole optimizer, for the same gradients."""
    points = thin(np.column_stack([single.updates.ravel(), single.driven_updates.ravel()]), 3000)
    largest = float(np.quantile(np.abs(points), 0.999)) or 1.0
    axes.plot([-largest, largest], [-largest, largest], color=SOFT, linewidth=0.8, zorder=1)
    axes.set(xlim=(-largest, largest), ylim=(-largest, largest))
    return {
        "updates": axes.scatter(
            *points.T, s=3, color=COLORS["single_mode"], linewidth=0, alpha=0.6, rasterized=True, zorder=2
        )
    }


def figure_14(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw an optimizer that recovers momentum, and its leading mode running alone."""
    dossier, single = study.momentum_like_dossier, study.single_mode
    assert dossier is not None and single is not None  # its record asks for them
    return recovered_figure(dossier, study.tuned[tasks[0]]["momentum"], single)


def recovered_figure(
    dossier: Dossier,
    tuned: TunedOptimizer,
    single: SingleMode,
    *,
    optimum: tuple[float, float] = OPTIMAL_MOMENTUM,
) -> Drawn:
    """Draw an optimizer that recovers momentum, and its leading mode running alone.

    Args:
        dossier: of that optimizer, on linear regression.
        tuned: tuned momentum there.
        single: the leading mode, run alone.
        optimum: the best learning rate and decay in theory.
    """
    best = _hyperparameters(tuned)
    figure = new_figure(PAGE, 2 * ROW + 0.5)
    (a, b, c), (d, e, f) = figure.subplots(2, 3, width_ratios=[1, 1, 1.2])
    numbers = {}
    artists = draw_one_problem(dossier, a)
    dress(a, letter="a", title="States on one problem", x=axis_label(dossier, 0), y=axis_label(dossier, 1))
    numbers["a"] = numbers_of(a, artists)
    states = project(dossier, dossier.visits.states).reshape(-1, 2)
    artists = draw_explained_variance(dossier.components, add_inset(a, states, "Variance explained"))
    numbers["a, inset"] = numbers_of(artists["share of the variance"].axes, artists)  # type: ignore[arg-type]
    artists = draw_shift(dossier.shift, b)
    dress(b, letter="b", title="Along the leading mode", x="Gradient g", y="Update Δx")
    numbers["b"] = numbers_of(b, artists)
    artists = draw_spectrum(dossier.modes, dossier.untrained_modes, c)
    dress(c, letter="c", title="Eigenvalues", x="Re β", y="Im β")
    add_colorbar(artists["decays"], c, "Learning rate |α|")
    numbers["c"] = numbers_of(c, artists)
    artists = draw_parameters(dossier.modes, best, optimum, d)
    dress(d, letter="d", title="Modes as momentum", x="Learning rate |α|", y="Momentum |β|")
    d.legend(loc="lower left", borderaxespad=0.2, handletextpad=0.2)
    numbers["d"] = numbers_of(d, artists)
    artists = draw_single_mode(single, e)
    dress(e, letter="e", title="The leading mode alone", x="Update Δx of the whole", y="Update Δx of the mode")
    numbers["e"] = numbers_of(e, artists)
    artists = draw_loss_curves(single.evaluation, f)
    dress(f, letter="f", title="Loss", x="Iteration", y="Loss")
    handles, names = f.get_legend_handles_labels()
    f.legend(handles[::-1], names[::-1], loc="lower left", borderaxespad=0.2)
    numbers["f"] = numbers_of(f, artists)
    summary = {
        "decay": complex(dossier.modes.decays[0]),
        "learning rate": complex(dossier.modes.learning_rates[0]),
        "tuned": {"learning rate": best[0], "decay": best[1]},
        "analytic optimum": {"learning rate": optimum[0], "decay": optimum[1]},
        "next largest decay": float(np.sort(np.abs(dossier.modes.decays))[-2]),
        "variance along PC 1": float(dossier.components.explained_variance_ratio[0]),
        "R2 of the mode running by itself": single.r_squared,
        "R2 of the mode on the same gradients": single.driven_r_squared,
    }
    return Drawn(
        "An optimizer that recovers momentum",
        figure,
        {"summary": summary, "panels": numbers},
        f"PC 1 holds {summary['variance along PC 1']:.1%} of the variance of the states. Along the leading mode the "
        f"offset of the update goes from {dossier.shift.offsets[0]:.2g} to {dossier.shift.offsets[-1]:.2g}. That "
        f"mode has β = {describe(summary['decay'])} and α = {describe(summary['learning rate'])}; tuned momentum "
        f"{best[1]:.3g} and {best[0]:.3g}, theory {optimum[1]:.3g} and {optimum[0]:.3g}. Run alone on the same "
        f"problems, it explains R² = {single.r_squared:.4g} of the updates ({single.driven_r_squared:.4g} when fed "
        "the same gradients).",
    )


def _hyperparameters(tuned: TunedOptimizer) -> tuple[float, float]:
    return float(tuned.optimizer.learning_rate), float(tuned.optimizer.decay)  # type: ignore[attr-defined]
