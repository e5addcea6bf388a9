"""Settings of distillation that suit the optimizers that ship."""

from optoscope.distillation.distill import DistillConfig

#: Shipped optimizer -> its settings. Linear regression asks for two real modes and a decay that settles, Rosenbrock for
#: a mode that rotates (tried on validation problems). A network's runs are heavy: fewer pieces, problems and
#: generations.
PRESETS: dict[str, DistillConfig] = {
    "linear_regression": DistillConfig(
        path=(
            ("momentum",),
            ("saturation", "power"),
            ("gain",),
            ("schedule", "decay schedule"),
            ("forgetting", "persistence"),
            ("agreement", "alignment"),
            ("difference", "second mode"),
            ("retention",),
        ),
    ).with_effort(3),
    "rosenbrock": DistillConfig(num_validation=512).with_effort(5),
    "two_moons": DistillConfig(
        path=(("momentum",), ("saturation", "power", "gain"), ("schedule",)),
        num_starts=1,
        num_generations=4,
        num_polishes=20,
        num_problems=1,
        num_validation=8,
        num_test=32,
    ),
}


def preset(name: str) -> DistillConfig:
    """Return the settings that suit a shipped optimizer, and the usual ones for any other.

    >>> preset("rosenbrock").num_validation, preset("my_run") == DistillConfig()
    (512, True)
    """
    return PRESETS.get(name, DistillConfig())
