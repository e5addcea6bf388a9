"""`--set NAME=VALUE`, and the configuration that it changes."""

import dataclasses
from typing import Any

from optoscope._core.allowed import read_setting, settings_of
from optoscope._core.choices import check_choice


def configured(preset: str, task: str, settings: tuple[str, ...]) -> Any:
    """Return a preset for a task with some settings replaced.

    Raises:
        ValueError: for an unknown preset, an unknown or repeated setting, or a value that it does not take.
    """
    from optoscope.training import preset as preset_of

    config = preset_of(preset, task)
    changes = dict[str, Any]()
    hints = settings_of(type(config))
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}; for instance --set num_units=64.")
        check_choice("setting", name, hints)
        if name in changes:
            raise ValueError(f"--set has {name} twice; give each setting one value.")
        changes[name] = read_setting(name, text, hints[name])
    return dataclasses.replace(config, **changes)
