"""A learned optimizer unrolled: Fig. 16, drawn by code."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from optoscope.figures.style import COLORS, FAINT, INK, PAGE, SOFT, new_figure
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study

_PARAMETERS, _STATES = 2.2, 0.0


def draw_unrolled(axes: Axes, *, num_steps: int = 3) -> dict[str, Artist]:
    """Draw parameters, losses, gradients, states and updates of some iterations, and how each follows from others."""
    artists: dict[str, Artist] = {}
    gap = 3.4

    def arrow(start, end, color=INK, label="", at=0.5, aside=(0.0, 0.0), style="-"):
        axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=color, linewidth=1.2,
                            linestyle=style, shrinkA=0, shrinkB=0)
        )  # fmt: skip
        if label:
            x, y = (a + at * (b - a) for a, b in zip(start, end))
            axes.text(x + aside[0], y + aside[1], label, color=color, ha="center", va="center", fontsize=9)

    names = ["k", "k{+}1", "k{+}2", "k{+}3", "k{+}4"]
    for i in range(num_steps + 1):
        x = i * gap
        is_last = i == num_steps
        circle = Circle((x, _PARAMETERS), 0.42, facecolor="white", edgecolor=INK, linewidth=1.3, zorder=3)
        artists[f"parameter {i}"] = axes.add_patch(circle)
        axes.text(x, _PARAMETERS, rf"$x_{{{names[i]}}}$", ha="center", va="center", fontsize=11, zorder=4)
        loss = FancyBboxPatch((x - 0.5, _PARAMETERS + 1.0), 1.0, 0.55, boxstyle="round,pad=0.06", facecolor="#f3f5f7",
                              edgecolor=SOFT, linewidth=0.8)  # fmt: skip
        artists[f"loss {i}"] = axes.add_patch(loss)
        axes.text(x, _PARAMETERS + 1.275, rf"$f(x_{{{names[i]}}})$", ha="center", va="center", fontsize=9)
        arrow((x, _PARAMETERS + 0.42), (x, _PARAMETERS + 0.92), SOFT)
        if is_last:
            continue
        box = FancyBboxPatch((x + 0.95, _STATES - 0.42), 1.1, 0.84, boxstyle="round,pad=0.05", facecolor="#e4ecf9",
                             edgecolor=COLORS["learned"], linewidth=1.3, zorder=3)  # fmt: skip
        artists[f"cell {i}"] = axes.add_patch(box)
        axes.text(x + 1.5, _STATES, "$F$", ha="center", va="center", fontsize=13, color=COLORS["learned"], zorder=4)
        left = x - 1.35 + (0.6 if i == 0 else 0.0)
        arrow((left, _STATES), (x + 0.9, _STATES), COLORS["learned"], rf"$h_{{{names[i]}}}$", 0.55, (0, 0.28))
        arrow((x + 0.28, _PARAMETERS - 0.33), (x + 1.12, _STATES + 0.5), COLORS["adam"], rf"$g_{{{names[i]}}}$", 0.5,
              (-0.38, -0.05))  # fmt: skip
        arrow((x + 1.9, _STATES + 0.5), (x + gap - 0.9, _PARAMETERS - 0.25), COLORS["momentum"],
              rf"$\Delta x_{{{names[i]}}}$", 0.5, (0.48, -0.05))  # fmt: skip
        axes.add_patch(
            Circle((x + gap - 0.75, _PARAMETERS), 0.17, facecolor="white", edgecolor=INK, linewidth=1.0, zorder=3)
        )
        axes.text(x + gap - 0.75, _PARAMETERS - 0.01, "+", ha="center", va="center", fontsize=10, zorder=4)
        arrow((x + 0.42, _PARAMETERS), (x + gap - 0.93, _PARAMETERS), INK)
        arrow((x + gap - 0.58, _PARAMETERS), (x + gap - 0.43, _PARAMETERS), INK)
    end = num_steps * gap
    arrow(
        (end - 1.35, _STATES), (end + 0.3, _STATES), COLORS["learned"], rf"$h_{{{names[num_steps]}}}$", 0.5, (0, 0.28)
    )
    axes.text(end + 0.6, _STATES, "…", ha="center", va="center", fontsize=14, color=COLORS["learned"])
    axes.text(end + 0.75, _PARAMETERS, "…", ha="center", va="center", fontsize=14)
    total = _PARAMETERS + 2.35
    axes.plot([0, end], [total - 0.35] * 2, color=FAINT, linewidth=1.0)
    for i in range(num_steps + 1):
        axes.plot([i * gap] * 2, [total - 0.8, total - 0.35], color=FAINT, linewidth=1.0)
    axes.text(end / 2, total, "meta-objective: mean loss, differentiated with respect to the weights of F and to w",
              ha="center", va="center", fontsize=8, color=SOFT)  # fmt: skip
    formulas = (
        ("adam", r"$g_k = \nabla f(x_k)$"),
        ("learned", r"$h_{k+1} = F(h_k, g_k)$"),
        ("momentum", r"$\Delta x_k = w^\top h_{k+1}$"),
    )
    for i, (color, formula) in enumerate(formulas):
        axes.text((0.16 + 0.34 * i) * end, _STATES - 1.0, formula, ha="center", va="center", color=COLORS[color])
    axes.set_xlim(-1.4, end + 1.1)
    axes.set_ylim(-1.3, total + 0.35)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return artists


def figure_16(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the schematic."""
    figure = new_figure(PAGE, 3.3)
    axes = figure.subplots()
    artists = draw_unrolled(axes)
    return Drawn(
        "A learned optimizer, unrolled",
        figure,
        {"summary": {"iterations drawn": 3}, "panels": {"a": {"x": "", "y": "", "title": "", "series": {
            "parts": {"number": [len(artists)]}}}}},
        "One component. The gradient g of the loss at the parameter x enters a recurrent network F with state h; the "
        "update is read out of the new state. Meta-training differentiates the mean loss over the unrolled run.",
    )  # fmt: skip
