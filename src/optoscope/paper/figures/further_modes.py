"""Modes beyond the first, and slow points at g = 0: Figs. 9 and 13."""

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from optoscope.anatomy import Dossier
from optoscope.figures.style import (
    FAINT,
    INK,
    MAGNITUDES,
    PAGE,
    add_colorbar,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
    sentence,
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
from optoscope.paper.study import Study


def figure_9(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw, for each network task, the spectrum and the update functions along several modes."""
    return modes_figure({task: study.dossiers[task] for task in tasks})


def modes_figure(dossiers: Mapping[str, Dossier]) -> Drawn:
    """Draw, for each network task, the spectrum and the update functions along several modes."""
    most = max(len(dossier.shifts) for dossier in dossiers.values())
    figure = new_figure(PAGE, 3.5 * len(dossiers))
    rows = figure.subfigures(len(dossiers), 1, squeeze=False)[:, 0]
    numbers, summary = {}, {}
    for row, (task, dossier) in zip(rows, dossiers.items()):
        columns = -(-most // 2)
        grid = row.add_gridspec(2, columns + 1, width_ratios=[1.75, *[1] * columns])
        spectrum = row.add_subplot(grid[:, 0])
        artists = draw_spectrum(dossier.modes, dossier.untrained_modes, spectrum)
        dress(spectrum, letter="a", title=f"{label_of(task)}: eigenvalues", x="Re β", y="Im β")
        add_colorbar(artists["decays"], spectrum, "Learning rate |α|")
        numbers[f"{task}, a"] = numbers_of(spectrum, artists)
        for place, shift in enumerate(dossier.shifts):
            axes = row.add_subplot(grid[place // columns, 1 + place % columns])
            artists = draw_shift(shift, axes)
            axes.locator_params(axis="x", nbins=3)
            decay = complex(dossier.modes.decays[shift.mode])
            x, y = "Gradient g" * (place // columns > 0), "Update Δx" * (place % columns == 0)
            dress(axes, letter="b" * (place == 0), title=f"β = {describe(decay)}", x=x, y=y)
            numbers[f"{task}, b{place + 1}"] = numbers_of(axes, artists)
        summary[task] = {
            "decays": [complex(dossier.modes.decays[shift.mode]) for shift in dossier.shifts],
            "learning rates": [complex(dossier.modes.learning_rates[shift.mode]) for shift in dossier.shifts],
            "slopes along them": [[shift.learning_rates.min(), shift.learning_rates.max()] for shift in dossier.shifts],
            "modes with a fifth of the largest learning rate": dossier.modes.num_of_size(0.2),
        }
    sentences = "; ".join(
        f"{in_sentence(task)}: {one['modes with a fifth of the largest learning rate']} modes have at least a fifth of "
        "the largest |α|" for task, one in summary.items()
    )  # fmt: skip
    return Drawn(
        "Modes beyond the first",
        figure,
        {"summary": summary, "panels": numbers},
        "a: eigenvalues at the convergence point, colored by learning rate, over those of the untrained network (light "
        "gray). b: update functions at states displaced along the modes with the largest learning rates, as far as "
        f"runs go (from purple to brown). {sentence(sentences)}",
    )


def draw_held(dossier: Dossier, axes: Axes, norm: Normalize) -> dict[str, Artist]:
    """Draw the states that are left after a run without a gradient from visited states, colored by learning rate."""
    rest = dossier.rest
    artists = draw_visited(dossier, axes)
    chosen = ~rest.from_box
    artists["held states"] = axes.scatter(
        *project(dossier, rest.held[chosen]).T, c=rest.held_learning_rates[chosen], cmap=MAGNITUDES, norm=norm, s=14,
        edgecolor="white", linewidth=0.3, zorder=5,
    )  # fmt: skip
    return artists | draw_landmarks(dossier, axes)


def draw_held_updates(dossier: Dossier, axes: Axes, norm: Normalize) -> dict[str, Artist]:
    """Draw update functions at some held states, colored by their learning rates."""
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    result, artists = dossier.rest_updates, dict[str, Artist]()
    middle = len(result.gradients) // 2
    for i, dx in enumerate(result.updates):
        step = result.gradients[middle + 1] - result.gradients[middle - 1]
        rate = -(dx[middle + 1] - dx[middle - 1]) / step
        artists[f"state {i + 1}"] = axes.plot(result.gradients, dx, color=MAGNITUDES(norm(rate)))[0]
    axes.set_xlim(result.gradients[0], result.gradients[-1])
    return artists


def figure_13(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw where states stay without a gradient, and the update functions there, one row per network task."""
    return held_figure({task: study.dossiers[task] for task in tasks})


def held_figure(dossiers: Mapping[str, Dossier]) -> Drawn:
    """Draw where states stay without a gradient, and the update functions there, one row per network task."""
    figure = new_figure(PAGE, 2.9 * len(dossiers))
    panels = figure.subplots(len(dossiers), 2, squeeze=False)
    numbers, summary = {}, {}
    for (left, right), (task, dossier) in zip(panels, dossiers.items()):
        rest = dossier.rest
        rates = rest.held_learning_rates[~rest.from_box]
        norm = Normalize(min(0.0, rates.min()), rates.max())
        artists = draw_held(dossier, left, norm)
        dress(left, letter="a", title=f"{label_of(task)}: states held without a gradient",
              x=axis_label(dossier, 0), y=axis_label(dossier, 1))  # fmt: skip
        add_colorbar(artists["held states"], left, "Effective learning rate")
        numbers[f"{task}, a"] = numbers_of(left, artists)
        artists = draw_held_updates(dossier, right, norm)
        dress(right, letter="b", title="Update functions there", x="Gradient g", y="Update Δx")
        numbers[f"{task}, b"] = numbers_of(right, artists)
        summary[task] = {
            "steps without a gradient": rest.num_held,
            "variance that is left": rest.spread_held,
            "share along one line": rest.line_share,
            "learning rates": [rates.min(), rates.max()],
            "attractors after many more steps": len(rest.attractors),
        }
        handles = [artist for artist in left.collections if not str(artist.get_label()).startswith("_")]
        left.legend(handles=handles, loc="best", labelcolor=INK)
    sentences = "; ".join(
        f"on {in_sentence(task)} {one['variance that is left']:.2%} of the variance of the states is left after "
        f"{one['steps without a gradient']} steps, {one['share along one line']:.0%} of it along one line, with "
        f"learning rates from {one['learning rates'][0]:.3g} to {one['learning rates'][1]:.3g}; in the end there are "
        f"{one['attractors after many more steps']} attractors" for task, one in summary.items()
    )  # fmt: skip
    return Drawn(
        "Learning rates along slow points",
        figure,
        {"summary": summary, "panels": numbers},
        "a: where visited states are after a run's length without a gradient (dots, colored by learning rate), among "
        f"visited states (gray). b: update functions at some of them, in the same colors. {sentence(sentences)}",
    )
