"""Optimizers as rules of one component, and the way to and from optax."""

from optoscope.optimizers._base import AbstractOptimizer as AbstractOptimizer
from optoscope.optimizers._registry import OPTIMIZERS as OPTIMIZERS
from optoscope.optimizers._registry import get as get
from optoscope.optimizers.adaptive import Adam as Adam
from optoscope.optimizers.adaptive import RMSProp as RMSProp
from optoscope.optimizers.context import Context as Context
from optoscope.optimizers.gradient_descent import GradientDescent as GradientDescent
from optoscope.optimizers.gru import GRUOptimizer as GRUOptimizer
from optoscope.optimizers.lift import lift as lift
from optoscope.optimizers.momenta import AggregatedMomentum as AggregatedMomentum
from optoscope.optimizers.momenta import Momentum as Momentum
from optoscope.optimizers.momenta import NesterovMomentum as NesterovMomentum
from optoscope.optimizers.optax_adapter import OptaxOptimizer as OptaxOptimizer
from optoscope.optimizers.optax_adapter import from_optax as from_optax
from optoscope.optimizers.optax_context import OptaxContextOptimizer as OptaxContextOptimizer
from optoscope.optimizers.torch_adapter import TorchOptimizer as TorchOptimizer
from optoscope.optimizers.torch_adapter import from_torch as from_torch
from optoscope.optimizers.torch_host import CannotRun as CannotRun
from optoscope.optimizers.torch_stack import TorchStack as TorchStack
from optoscope.optimizers.torch_whole import whole_torch as whole_torch
