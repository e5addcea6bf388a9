"""A readable optimizer as sympy expressions, in the order in which a step computes them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optoscope.distillation.readable import ReadableOptimizer, equations, round_number, states_of


class Formula(NamedTuple):
    """One step as assignments, first to last.

    Attributes:
        names: what is assigned; a prime marks the new value of a state variable, and `dx` is the update.
        expressions: sympy expressions in the gradient `g`, old state variables and what was assigned before.
        states: state variables, all 0 before the first step.
        constants: the numbers in the expressions. Each is a symbol whose name is its digits, so that no expression
            merges two of them into one with more digits than are given.
    """

    names: tuple[str, ...]
    expressions: tuple[Any, ...]
    states: tuple[str, ...]
    constants: dict[str, float]

    def text(self) -> str:
        """Return one assignment per line.

        >>> from optoscope.optimizers import Momentum
        >>> from optoscope.distillation import ReadableOptimizer
        >>> print(formula_of(ReadableOptimizer(("momentum",), {"alpha": 0.1, "beta": 0.9})).text())
        m' = 0.1*g + 0.9*m
        dx = -m'
        """
        return "\n".join(f"{name} = {expression}" for name, expression in zip(self.names, self.expressions))

    def latex(self) -> str:
        """Return the assignments as one LaTeX `aligned` block."""
        from sympy import latex

        known = {_symbol(name): _latex_name(name) for name in {"g", *self.names, *self.states}}
        known |= {_constant(digits): digits for digits in self.constants}
        lines = [
            rf"{_latex_name(name)} &= {latex(expression, symbol_names=known)}"
            for name, expression in zip(self.names, self.expressions)
        ]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def compiled(self) -> Callable[[Mapping[str, float], float], tuple[dict[str, float], float]]:
        """Return a plain Python function of old state variables and gradient that gives the new ones and the update.

        It is made from the expressions alone, so that it checks what is printed. What is divided by 0 counts as 0.
        """
        from sympy import lambdify

        digits = {_constant(name): value for name, value in self.constants.items()}
        functions = []
        known = ["g", *self.states]
        for name, expression in zip(self.names, self.expressions):
            functions.append(
                (name, tuple(known), lambdify([_symbol(k) for k in known], expression.subs(digits), "math"))
            )
            known.append(name)

        def step(h: Mapping[str, float], g: float) -> tuple[dict[str, float], float]:
            values = {"g": float(g), **{name: float(h[name]) for name in self.states}}
            for name, arguments, function in functions:
                try:
                    values[name] = function(*(values[argument] for argument in arguments))
                except ZeroDivisionError:  # before the first gradient that counts, agreement is 0 / 0
                    values[name] = 0.0
            return {name: values[f"{name}'"] for name in self.states}, values["dx"]

        return step


def formula_of(optimizer: ReadableOptimizer) -> Formula:
    """Write an optimizer's step in symbols, with its numbers at four significant digits."""
    import sympy

    constants: dict[str, float] = {}

    def constant(value: float):
        digits = f"{abs(value):.4g}"
        constants[digits] = float(digits)
        return -_constant(digits) if value < 0 else _constant(digits)

    n = {name: constant(round_number(value)) for name, value in optimizer.numbers.items()}
    names, expressions = [], []

    def define(name, expression):
        names.append(name)
        expressions.append(sympy.sympify(expression))
        return _symbol(name)

    class Symbolic:
        abs, exp, tanh, cos, sin = sympy.Abs, sympy.exp, sympy.tanh, sympy.cos, sympy.sin
        sign, minimum, maximum = sympy.sign, sympy.Min, sympy.Max

    states = states_of(optimizer.pieces)
    equations(optimizer.pieces, n, {name: _symbol(name) for name in states}, _symbol("g"), define, Symbolic)
    return Formula(tuple(names), tuple(expressions), states, constants)


def _symbol(name: str):
    import sympy

    return sympy.Symbol(name, real=True)


def _constant(digits: str):
    import sympy

    return sympy.Symbol(digits, positive=True)


def _latex_name(name: str) -> str:
    words = {"eta": r"\eta", "dx": r"\Delta x", "g~": r"\tilde g"}
    primed, base = name.endswith("'"), name.removesuffix("'")
    head, _, index = base.partition("_")
    text = words.get(base, words.get(head, head) + (rf"_{{\mathrm{{{index}}}}}" if index else ""))
    return f"{text}'" if primed else text
