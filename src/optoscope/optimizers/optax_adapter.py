"""placeholder"""
from optoscope.optimizers._base import AbstractOptimizer
class OptaxOptimizer(AbstractOptimizer): pass
def from_optax(*a): pass
