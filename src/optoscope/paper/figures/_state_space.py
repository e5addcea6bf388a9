"""What several figures share: states in the plane of two principal components, and spectra."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from optoscope.anatomy import Dossier
from optoscope.dynamics import Modes
from optoscope.figures.style import FAINT, INK, MAGNITUDES, magnitude_norm, thin

#: Which principal components are drawn (counted from 0).
PLANE = (0, 1)


def project(dossier: Dossier, states: np.ndarray, plane: tuple[int, int] = PLANE) -> np.ndarray:
    """Return the coordinates of states [..., state] in the plane of two principal components [..., 2]."""
    return dossier.components.project(states)[..., list(plane)]


def axis_label(dossier: Dossier, component: int) -> str:
    """Return `PC 1 (93%)`: the component and its share of the variance."""
    share = dossier.components.explained_variance_ratio[component]
    return f"PC {component + 1} ({share:.0%})"


def draw_visited(
    dossier: Dossier, axes: Axes, plane: tuple[int, int] = PLANE, *, most: int = 2500
) -> dict[str, Artist]:
    """Draw visited states as a faint background."""
    states = dossier.visits.states
    points = project(dossier, thin(states.reshape(-1, states.shape[-1]), most), plane)
    return {
        "visited states": axes.scatter(*points.T, s=2.5, color=FAINT, linewidth=0, alpha=0.6, rasterized=True, zorder=1)
    }


def draw_landmarks(dossier: Dossier, axes: Axes, plane: tuple[int, int] = PLANE) -> dict[str, Artist]:
    """Draw the convergence point as a black square and the initial state as a black circle."""
    center = project(dossier, dossier.linearization.state, plane)
    start = project(dossier, dossier.autonomous.states[0], plane)
    style: dict[str, Any] = {"s": 30, "color": INK, "edgecolor": "white", "linewidth": 0.7, "zorder": 8}
    return {
        "convergence point": axes.scatter(*center, marker="s", label="fixed point at g = 0", **style),
        "initial state": axes.scatter(*start, marker="o", label="initial state", **style),
    }


def draw_spectrum(modes: Modes, untrained: Modes | None, axes: Axes) -> dict[str, Artist]:
    """Draw eigenvalues in the complex plane, colored by |learning rate|, with the unit circle.

    Those of the untrained network are light gray dots in the background.
    """
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=FAINT, linewidth=0.8))
    axes.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.5, zorder=0)
    artists: dict[str, Artist] = {}
    if untrained is not None:
        artists["untrained decays"] = axes.scatter(
            np.real(untrained.decays), np.imag(untrained.decays), s=7, color="#d9dde1", linewidth=0, zorder=1
        )
    order = np.argsort(np.abs(modes.learning_rates))
    decays, rates = modes.decays[order], np.abs(modes.learning_rates)[order]
    artists["decays"] = axes.scatter(
        np.real(decays), np.imag(decays), c=rates, cmap=MAGNITUDES, norm=magnitude_norm(rates), s=16, edgecolor="white",
        linewidth=0.3, zorder=3,
    )  # fmt: skip
    reach = 1.1 * max(1.0, float(np.abs(modes.decays).max(initial=0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes.set_box_aspect(1)
    return artists


def describe(value: complex) -> str:
    """Return a number as text, with its imaginary part only if it has one."""
    return f"{value.real:.3g}" if abs(value.imag) < 1e-9 else f"{value.real:.3g}{value.imag:+.3g}i"
