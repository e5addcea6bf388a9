"""The check of what was read from a file against the annotations of the class that it is for."""

import typing
from typing import Any

from optoscope._core.files import DamagedFileError


def check_annotations(cls: type, values: dict[str, Any], what: str) -> None:
    """Check types, and of arrays dtypes and axes, against a class's annotations.

    Args:
        cls: a class with annotated fields; an axis has one length in all of them.
        values: values by the name of their field.
        what: what was read; the message begins with it.

    Raises:
        DamagedFileError: if a value does not fit.
    """
    import jaxtyping
    import typeguard

    hints = typing.get_type_hints(cls)
    with jaxtyping.jaxtyped("context"):
        for name, value in values.items():
            try:
                typeguard.check_type(value, hints[name])
            except typeguard.TypeCheckError as error:
                raise DamagedFileError(f"{what}: {name} is wrong ({error}); make it again.") from None
