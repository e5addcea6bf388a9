"""The look of all figures: colors, sizes, canvases, and files with the numbers drawn."""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch

from optoscope import tasks

#: Width of a page, of half of it, and height of a row of panels, in inches.
PAGE, COLUMN, ROW = 7.2, 3.6, 2.15

#: One color per optimizer, throughout: as in the paper, and ordered in lightness, so that print in gray stays legible.
COLORS = {
    "learned": "#123f8c",
    "adam": "#d9413d",
    "momentum": "#ef8a2b",
    "rmsprop": "#e6c229",
    "gradient_descent": "#8a8a8a",
    "nesterov_momentum": "#8c510a",
    "momentum_like": "#123f8c",
    "single_mode": "#3aa6d0",
}
INK, SOFT, FAINT = "#1b1f24", "#7a828c", "#c9ced4"
#: Ends of the S-curve: negative gradients red, positive ones a bluish green, for those who cannot tell red from green.
NEGATIVE, POSITIVE = "#a81e12", "#00705c"

LABELS = {
    "learned": "Learned",
    "adam": "Adam",
    "momentum": "Momentum",
    "rmsprop": "RMSProp",
    "gradient_descent": "Gradient descent",
    "nesterov_momentum": "Nesterov momentum",
    "momentum_like": "Learned (all modes)",
    "single_mode": "Its leading mode alone",
    "learning_rate": "Learning rate α",
    "b1": "1 − β₁",
    "b2": "1 − β₂",
}

#: Signed gradients, signed displacements, magnitudes (darker is more), time (darker is later), scores (dark is best).
GRADIENTS = LinearSegmentedColormap.from_list(
    "gradients", ["#6d0f08", NEGATIVE, "#e58a78", "#cfd3d6", "#6fbfae", POSITIVE, "#00382e"]
)
DISPLACEMENTS = LinearSegmentedColormap.from_list(
    "displacements", ["#4b2a8c", "#9d8ac7", "#a9adb2", "#c79a5b", "#7a4a06"]
)
MAGNITUDES = LinearSegmentedColormap.from_list("magnitudes", ["#cfe3ea", "#74b6c8", "#2f7fa8", "#1b4a86", "#1a1440"])
TIMES: Colormap = matplotlib.colormaps["viridis_r"]
SCORES: Colormap = matplotlib.colormaps["viridis"]

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.handlelength": 1.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.formatter.limits": (-5, 5),
    "axes.formatter.use_mathtext": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 1.6,
    "ytick.minor.size": 1.6,
    "lines.linewidth": 1.3,
    "svg.fonttype": "path",
    "svg.hashsalt": "optoscope",
    "path.simplify": True,
}
_LOCK = threading.RLock()


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style, whatever the caller's settings of matplotlib are; one thread at a time."""
    with _LOCK, matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty canvas of a size in inches, laid out so that nothing overlaps; needs no display."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.04)  # type: ignore[union-attr]
    return figure


def lay_out(figure: Figure) -> None:
    """Lay a figure out once and for all, so that every file of it is the same."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # unlike "none" leaves no placeholder, for which savefig draws a second time


def color_of(name: str) -> str:
    """Return the color of an optimizer; gray for one that the palette does not know."""
    return COLORS.get(name, SOFT)


def label_of(name: str) -> str:
    """Return the name of an optimizer, a task or a hyperparameter as it stands in figures.

    >>> label_of("linear_regression"), label_of("mnist_seed1")
    ('Linear regression', 'MNIST, seed 1')
    """
    stem, seed, number = name.rpartition("_seed")
    if seed and number.isdigit():
        return f"{label_of(stem)}, seed {number}"
    if name in tasks.TASKS:
        return tasks.title_of(name)
    return LABELS.get(name, name.replace("_", " ").capitalize())


def dress(axes: Axes, *, letter: str = "", title: str = "", x: str = "", y: str = "") -> None:
    """Give a panel its letter, title and axis labels."""
    bold = rf"$\bf{{{letter}}}$" if letter else ""
    axes.set_title("  ".join(part for part in (bold, title) if part))
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def symmetric_norm(values: np.ndarray, *, decades: float = 3.0) -> Normalize:
    """Return a color scale of signed values that is logarithmic away from 0."""
    largest = max(float(np.abs(values).max(initial=0.0)), np.finfo(float).tiny)
    return SymLogNorm(linthresh=largest * 10**-decades, vmin=-largest, vmax=largest, base=10)


def magnitude_norm(values: np.ndarray, *, decades: float = 4.0) -> LogNorm:
    """Return a logarithmic color scale that covers the largest magnitudes."""
    largest = max(float(np.abs(values).max(initial=0.0)), np.finfo(float).tiny)
    return LogNorm(vmin=largest * 10**-decades, vmax=largest, clip=True)


def thin(points: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many rows, evenly spaced."""
    return points[:: -(-len(points) // most)]


def add_colorbar(artist: Any, axes: Axes | Sequence[Axes], label: str, **options: Any) -> Any:
    """Add a slim color bar beside one or several panels."""
    figure = (axes if isinstance(axes, Axes) else axes[0]).figure
    bar = figure.colorbar(artist, ax=axes, **{"fraction": 0.05, "pad": 0.02, "aspect": 22, **options})
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    return bar


def add_inset(axes: Axes, points: np.ndarray, title: str) -> Axes:
    """Add a small panel in an upper corner, on the side with fewer high points, and make room for it above the data."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.42 * (high - low))
    upper = points[points[:, 1] > np.median(points[:, 1])]
    middle = np.mean(axes.get_xlim())
    left = 0.68 if (upper[:, 0] > middle).sum() < (upper[:, 0] < middle).sum() else 0.18
    inset = axes.inset_axes((left, 0.77, 0.3, 0.16), zorder=9)
    inset.tick_params(labelsize=5.5, length=2, pad=1)
    inset.set_title(title, fontsize=6, loc="center", pad=2)
    return inset


def in_sentence(name: str) -> str:
    """Return a task's name as it stands inside a sentence.

    >>> in_sentence("linear_regression"), in_sentence("rosenbrock")
    ('linear regression', 'Rosenbrock')
    """
    return tasks.label_of(name)


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def numbers_of(axes: Axes, artists: Mapping[str, Artist]) -> dict[str, Any]:
    """Read back what a panel shows: its labels, and the data of each artist."""
    panel: dict[str, Any] = {
        "title": axes.get_title(loc="left"),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
    }
    return panel | {"series": {name: _data(artist) for name, artist in artists.items()}}


def _data(artist: Artist) -> dict[str, Any]:
    if isinstance(artist, Line2D):
        return {"x": np.asarray(artist.get_xdata(), float), "y": np.asarray(artist.get_ydata(), float)}
    if isinstance(artist, PathCollection):
        x, y = np.ma.filled(artist.get_offsets(), np.nan).T
        colors = artist.get_array()
        return {"x": x, "y": y} | ({} if colors is None else {"color": np.asarray(colors)})
    if isinstance(artist, StepPatch):
        values, edges, _ = artist.get_data()
        return {"edges": edges, "values": values}
    if isinstance(artist, QuadMesh):
        corners = np.asarray(artist.get_coordinates())
        return {"x_edges": corners[0, :, 0], "y_edges": corners[:, 0, 1], "values": np.asarray(artist.get_array())}
    if isinstance(artist, Patch):
        x, y = np.asarray(artist.get_patch_transform().transform(artist.get_path().vertices)).T
        return {"x": x, "y": y}
    vertices = [path.vertices for path in artist.get_paths()]  # type: ignore[attr-defined]
    return {"x": np.concatenate([v[:, 0] for v in vertices]), "y": np.concatenate([v[:, 1] for v in vertices])}
