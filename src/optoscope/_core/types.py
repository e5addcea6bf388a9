"""Array aliases and the names of all axes, in one place.

Axes used throughout the library:

- `state`: components of one optimizer's state `h`
- `component`: parameter components, each with a state of its own
- `step`: iterations of the inner problem
- `problem`: problems of a batch
- `point`: fixed points or other candidates
- `mode`: eigenmodes
- `grid`: values that were swept
- `sample`: hyperparameter settings
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, Key, PRNGKeyArray, Shaped
from numpy.typing import ArrayLike

#: An array of JAX or of NumPy, to be given axes: `Float[AnyArray, " mode"]` (NumPy's `ArrayLike` cannot be).
AnyArray = Array | np.ndarray
#: A number: a Python float, or a zero-dimensional array.
Scalar = Float[Array, ""] | float
#: Random keys, one per problem.
Keys = Key[Array, " problem"]
if TYPE_CHECKING:  # a static checker knows no pytrees
    from typing import Any as Params
    from typing import Any as PyTree

    from jaxlib._jax import Device as Device
else:
    from jax import Device as Device
    from jaxtyping import PyTree

    #: A pytree of inner parameters `x`.
    Params = PyTree[Shaped[Array, "..."]]

__all__ = [
    "AnyArray",
    "Array",
    "ArrayLike",
    "Bool",
    "Complex",
    "Device",
    "Float",
    "Int",
    "Keys",
    "PRNGKeyArray",
    "Params",
    "PyTree",
    "Scalar",
]
