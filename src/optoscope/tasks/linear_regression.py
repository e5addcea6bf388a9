"""Random least-squares problems with condition numbers in [1, 1000]."""

from typing import Annotated, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.allowed import Allowed, check_setting
from optoscope._core.provenance import provenance
from optoscope._core.types import Array, Float, PRNGKeyArray
from optoscope.tasks._base import AbstractTask, Problem, sample_problems
from optoscope.tasks._descriptions import ConditionNumbers

_Params = Annotated[int, Allowed(1, 10_000, advice="the paper's problems have 5")]


#: Problems whose condition numbers are counted.
_NUM_DESCRIBED = 4096


class LinearRegressionProblem(Problem):
    """`f(x) = 1/2 |A x - b|^2`; its minimum is 0, since `A` is invertible."""

    initial_params: Float[Array, " component"]
    matrix: Float[Array, "component component"]
    target: Float[Array, " component"]


@final
class LinearRegression(AbstractTask):
    """Linear regression with few parameters (Maheswaranathan et al., 2021, section 3.2, Fig. 1a).

    The Hessian is `Q diag(10^U(-3, 0)) Q^T` with a Haar-distributed `Q`, the linear term is standard normal, and so
    are the initial parameters. In the paper's form `1/2 |A x - b|^2`: `A = diag(sqrt eigenvalues) Q^T`.

    Args:
        num_params: number of parameters; the paper's problems have 5.

    >>> import jax
    >>> task = LinearRegression()
    >>> problem = task.sample(jax.random.key(0))
    >>> task.loss(problem, problem.initial_params, jax.random.key(1)).shape
    ()
    """

    kind: ClassVar[str] = "linear_regression"
    largest_curvature: ClassVar[float] = 1.0
    num_params: _Params = eqx.field(static=True, default=5)

    def __check_init__(self):
        check_setting("num_params", self.num_params, _Params)

    def sample(self, key: PRNGKeyArray) -> LinearRegressionProblem:
        rotation_key, spectrum_key, linear_key, initial_key = jax.random.split(key, 4)
        n = self.num_params
        rotation = jax.random.orthogonal(rotation_key, n)
        roots = jnp.sqrt(10.0 ** jax.random.uniform(spectrum_key, (n,), minval=-3.0, maxval=0.0))
        linear = jax.random.normal(linear_key, (n,))
        return LinearRegressionProblem(
            initial_params=jax.random.normal(initial_key, (n,)),
            matrix=roots[:, None] * rotation.T,
            target=-jnp.sum(rotation * linear[:, None], axis=0) / roots,
        )

    def loss(
        self, problem: LinearRegressionProblem, params: Float[Array, " component"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        # A sum of products rather than a matrix product: exact float32 on every device, and fused on the CPU.
        residual = jnp.sum(problem.matrix * params, axis=-1) - problem.target
        return 0.5 * jnp.sum(residual * residual)

    def describe(self, key: PRNGKeyArray) -> ConditionNumbers:
        """Return the condition numbers of many problems."""
        problems, _ = sample_problems(self, key, _NUM_DESCRIBED)
        assert isinstance(problems, LinearRegressionProblem)
        roots = np.linalg.svd(np.asarray(problems.matrix, np.float64), compute_uv=False)
        made = provenance(task=self.name, num_problems=_NUM_DESCRIBED)
        return ConditionNumbers((roots[:, 0] / roots[:, -1]) ** 2, made)
