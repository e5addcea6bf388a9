"""Any function of small arrays as a list of a few operations, which a page can run: the rule itself, no copy of it."""

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np

from optoscope.dynamics._precision import in_float64

#: Operations on each number by itself that the page knows under JAX's name.
ELEMENTWISE = frozenset({
    "add", "sub", "mul", "div", "rem", "neg", "sign", "abs", "max", "min", "pow", "sqrt", "rsqrt", "cbrt", "square",
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sin", "cos", "tan", "sinh", "cosh", "asinh", "acosh",
    "atanh", "asin", "acos", "atan", "atan2", "floor", "ceil", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor",
    "not", "is_finite", "select_n", "clamp",
})  # fmt: skip
#: Operations that put numbers in other places: each becomes one list of places.
_MOVES = frozenset({
    "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev", "concatenate", "stack",
    "split", "pad",
})  # fmt: skip
_REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "prod"}
_REDUCTIONS |= {"reduce_and": "min", "reduce_or": "max"}
_SAME = {"add_any": "add", "stop_gradient": "copy", "optimization_barrier": "copy", "copy_p": "copy"}
# Total orders, with which newer JAX searches, put -0 before 0 and NaN last; between other numbers they are the same.
_SAME |= {"lt_to": "lt", "le_to": "le", "eq_to": "eq"}
#: Where a primitive keeps the function that it calls.
_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
#: The longest loop that is written out.
_LONGEST_LOOP = 64


class UntranslatableError(ValueError):
    """A function uses an operation that the page does not know."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A function as operations on numbered arrays, all flat.

    Attributes:
        sizes: of every array.
        inputs: number of each input's array, by name.
        outputs: number of each output's array, in the order of the function's.
        constants: arrays that are known, by number.
        operations: `[name, output, inputs, setting]`, in the order in which they run.
        num_needed: so many of them give all outputs but the last.
    """

    sizes: list[int]
    inputs: dict[str, int]
    outputs: list[int]
    constants: dict[int, np.ndarray]
    operations: list[list[Any]]
    num_needed: int

    def to_json(self, pool: dict[str, str]) -> dict[str, Any]:
        """Return it as JSON data; its constants go into a pool, base64 of float64 by the hash of their bytes."""
        places = {str(number): pooled(array, pool) for number, array in self.constants.items()}
        return {
            "sizes": self.sizes,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "constants": places,
            "operations": self.operations,
            "num_needed": self.num_needed,
        }


def pooled(array: np.ndarray, pool: dict[str, str]) -> str:
    """Put an array into a pool, as base64 of float64; returns the name under which it lies there."""
    content = np.ascontiguousarray(array, "<f8").tobytes()
    name = hashlib.sha256(content).hexdigest()[:12]
    pool[name] = base64.b64encode(content).decode()
    return name


@in_float64
def translate(function: Callable[..., tuple[Any, ...]], **inputs: Any) -> Program:
    """Translate a function of arrays, which it takes by name, in float64.

    Args:
        function: of JAX arrays, to a tuple of arrays. It is traced once: what depends on values must be written with
            `jnp.where` and the like.
        inputs: an example of each argument.

    Raises:
        UntranslatableError: if it uses an operation that the page does not know.
    """
    examples = {name: np.asarray(value, np.float64) for name, value in inputs.items()}
    traced = jax.make_jaxpr(lambda values: function(**values))(examples)
    names = sorted(examples)  # as JAX orders the entries of a dictionary
    work = _Translation()
    numbers = [work.new(examples[name].size) for name in names]
    outputs = work.run(traced, [_Value(n, examples[name].shape) for n, name in zip(numbers, names)])
    return work.finished(dict(zip(names, numbers)), outputs)


@dataclasses.dataclass(frozen=True)
class _Value:
    """An array of the program: its number, or what it is if that is known."""

    number: int
    shape: tuple[int, ...]
    known: Any = None

    @property
    def places(self) -> np.ndarray:
        """Where its numbers lie, in its own shape."""
        return np.arange(int(np.prod(self.shape))).reshape(self.shape)


class _Translation:
    def __init__(self):
        self.sizes: list[int] = []
        self.operations: list[list[Any]] = []
        self.constants: dict[int, np.ndarray] = {}

    def new(self, size: int) -> int:
        self.sizes.append(int(size))
        return len(self.sizes) - 1

    def number(self, value: _Value) -> int:
        """Number of a value's array; what is known becomes a constant."""
        if value.known is None:
            return value.number
        array = np.asarray(value.known, np.float64).ravel()
        number = self.new(array.size)
        self.constants[number] = array
        return number

    def emit(self, name: str, given: Iterable[_Value], shape: tuple[int, ...], setting: Any = None) -> _Value:
        value = _Value(self.new(int(np.prod(shape))), tuple(shape))
        self.operations.append([name, value.number, [self.number(one) for one in given], setting])
        return value

    def run(self, closed: Any, given: list[_Value]) -> list[_Value]:
        """Translate a function of JAX's own language, and return the values that it returns."""
        jaxpr = closed.jaxpr if hasattr(closed, "consts") else closed
        consts = closed.consts if hasattr(closed, "consts") else []
        values: dict[Any, _Value] = {}
        for variable, const in zip(jaxpr.constvars, consts):
            values[variable] = _Value(-1, np.shape(const), const)
        values.update(zip(jaxpr.invars, given))

        def value_of(atom):
            return (
                _Value(-1, np.shape(atom.val), np.asarray(atom.val)) if isinstance(atom, jex.Literal) else values[atom]
            )

        for equation in jaxpr.eqns:
            found = self.equation(equation, [value_of(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, found))
        return [value_of(atom) for atom in jaxpr.outvars]

    def equation(self, equation: Any, given: list[_Value]) -> list[_Value]:
        name, params = equation.primitive.name, equation.params
        inner = next((params[key] for key in _CALLED if key in params), None)
        if name == "cond":
            return self.choose(given, params["branches"])
        if name == "scan" and params["length"] <= _LONGEST_LOOP:
            return self.loop(given, equation)
        if name in ("while", "scan"):
            raise UntranslatableError("it has a loop whose length is not known or long")
        if inner is not None:
            return self.run(inner, given)
        if hasattr(params.get("_prim"), "expand"):  # from JAX 0.11 on, a function with derivatives of its own
            shapes = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
            called = params["_prim"]
            return self.run(
                jax.make_jaxpr(lambda *flat: called.expand(*jax.tree.unflatten(called.in_tree, flat)))(*shapes), given
            )
        if all(one.known is not None for one in given) and "callback" not in name:
            found = equation.primitive.bind(*(one.known for one in given), **params)
            found = found if equation.primitive.multiple_results else [found]
            return [_Value(-1, np.shape(one), one) for one in found]
        if name == "optimization_barrier":
            return given
        if not equation.outvars:  # a check, or something to print: no number comes of it
            return []
        if name in _MOVES:
            return self.moved(equation, given)
        return [self.one(equation, _SAME.get(name) or name, given)]

    def one(self, equation: Any, name: str, given: list[_Value]) -> _Value:
        params, out = equation.params, equation.outvars[0].aval
        if np.issubdtype(out.dtype, np.complexfloating):
            raise UntranslatableError("it computes with complex numbers")
        if name == "copy":
            return given[0]
        if name == "convert_element_type":
            value = self.converted(given[0], equation.invars[0].aval.dtype, out.dtype)
        elif name == "integer_pow":
            power = np.asarray(float(params["y"]))
            whole = [given[0], _Value(-1, (), power)]
            value = self.emit("square", given, out.shape) if params["y"] == 2 else self.emit("pow", whole, out.shape)
        elif name == "one_minus_square":
            one = _Value(-1, (), np.ones(()))
            sides = [self.emit(sign, [one, given[0]], out.shape) for sign in ("add", "sub")]
            value = self.emit("mul", sides, out.shape)
        elif name == "round":
            value = self.emit("round_even" if int(params["rounding_method"]) else "round_away", given, out.shape)
        elif name == "div" and np.issubdtype(out.dtype, np.integer):
            value = self.emit("trunc", [self.emit("div", given, out.shape)], out.shape)
        elif name in ELEMENTWISE:
            value = self.emit(name, [self.widened(one, out.shape) for one in given], out.shape)
        elif name in _REDUCTIONS:
            value = self.reduced(_REDUCTIONS[name], given[0], params["axes"], out.shape)
        elif name == "dot_general":
            value = self.product(given, params["dimension_numbers"], out.shape)
        elif name == "dynamic_slice":
            value = self.sliced(given, params["slice_sizes"], out.shape)
        elif name == "gather":
            value = self.gathered(equation, given)
        elif name == "scatter":
            value = self.scattered(equation, given)
        else:
            raise UntranslatableError(f"it uses the operation {name}")
        return self.emit("fround", [value], out.shape) if out.dtype == np.float32 else value

    def converted(self, value: _Value, old: Any, new: Any) -> _Value:
        if np.issubdtype(new, np.integer) and np.issubdtype(old, np.floating):
            return self.emit("trunc", [value], value.shape)
        if new == np.bool_ and old != np.bool_:
            return self.emit("ne", [value, _Value(-1, (), np.zeros(()))], value.shape)
        return value

    def moved(self, equation: Any, given: list[_Value]) -> list[_Value]:
        """Do with the places of numbers what is to be done with the numbers."""
        starts = np.cumsum([0] + [one.places.size for one in given])
        places = [start + one.places for start, one in zip(starts, given)]
        found = equation.primitive.bind(*places, **equation.params)
        found = found if equation.primitive.multiple_results else [found]
        return [self.taken(given, np.asarray(one), int(starts[-1])) for one in found]

    def taken(self, given: list[_Value], places: np.ndarray, size: int) -> _Value:
        flat = places.ravel().tolist()
        if len(given) == 1 and flat == list(range(size)):
            return dataclasses.replace(given[0], shape=places.shape)
        return self.emit("take", given, places.shape, flat)

    def laid_out(self, value: _Value, places: np.ndarray) -> _Value:
        """Return a value with its numbers at other places."""
        if value.known is not None:
            return _Value(-1, places.shape, np.asarray(value.known).ravel()[places])
        return self.taken([value], places, value.places.size)

    def widened(self, value: _Value, shape: tuple[int, ...]) -> _Value:
        """Repeat a value along its axes of length 1; one number goes with any shape as it is."""
        if value.shape == shape or int(np.prod(value.shape)) == 1:
            return value
        return self.laid_out(value, np.broadcast_to(value.places, shape))

    def reduced(self, name: str, value: _Value, axes: Iterable[Any], shape: tuple[int, ...]) -> _Value:
        kept = [axis for axis in range(len(value.shape)) if axis not in axes]
        rows = value.places.transpose(*kept, *axes).reshape(int(np.prod(shape)), -1)
        return self.emit(name, [self.laid_out(value, rows)], shape, rows.shape[1])

    def product(self, given: list[_Value], numbers: Any, shape: tuple[int, ...]) -> _Value:
        (left_summed, right_summed), (left_batch, right_batch) = numbers
        sides = []
        for value, summed, batch in zip(given, (left_summed, right_summed), (left_batch, right_batch)):
            free = [axis for axis in range(len(value.shape)) if axis not in summed and axis not in batch]
            sizes = [int(np.prod([value.shape[axis] for axis in part])) for part in (batch, free, summed)]
            sides.append(self.laid_out(value, value.places.transpose(*batch, *free, *summed).reshape(sizes)))
        (num_batches, rows, length), (_, columns, _) = (side.shape for side in sides)
        return self.emit("dot", sides, shape, [num_batches, rows, columns, length])

    def sliced(self, given: list[_Value], sizes: tuple[int, ...], shape: tuple[int, ...]) -> _Value:
        value, *starts = given
        corner = value.places[tuple(slice(0, size) for size in sizes)]
        index = self.emit("take", starts, (len(starts),), list(range(len(starts))))
        return self.looked_up(value, index, range(len(starts)), sizes, corner, np.zeros(shape, int))

    def gathered(self, equation: Any, given: list[_Value]) -> _Value:
        """Look numbers up: an index that is known gives places, another one is added to them as the page runs."""
        value, index = given
        bind = lambda at: np.asarray(equation.primitive.bind(value.places, at, **equation.params))
        if index.known is not None:
            places = bind(index.known)
            if np.any(places < 0) or np.any(places >= value.places.size):
                raise UntranslatableError("it looks up numbers outside of an array")
            return self.laid_out(value, places)
        corner = bind(np.zeros(index.shape, np.int32))
        numbers = equation.params["dimension_numbers"]
        batch = [size if axis not in numbers.offset_dims else 1 for axis, size in enumerate(corner.shape)]
        rows = np.broadcast_to(np.arange(int(np.prod(batch))).reshape(batch), corner.shape)
        return self.looked_up(value, index, numbers.start_index_map, equation.params["slice_sizes"], corner, rows)

    def looked_up(self, value: _Value, index: _Value, axes: Any, sizes: Any, corner: Any, rows: Any) -> _Value:
        """Emit numbers at the places `corner` moved along axes by rows of an index, which stays inside."""
        strides = [int(np.prod(value.shape[axis + 1 :])) for axis in axes]
        lasts = [value.shape[axis] - sizes[axis] for axis in axes]
        setting = {"places": corner.ravel().tolist(), "rows": rows.ravel().tolist(), "lasts": lasts, "strides": strides}
        return self.emit("look_up", [value, index], corner.shape, setting)

    def scattered(self, equation: Any, given: list[_Value]) -> _Value:
        """Put numbers into an array at places that are known."""
        value, index, new = given
        if index.known is None:
            raise UntranslatableError("it writes at places that change")
        size = value.places.size
        places = equation.primitive.bind(value.places, index.known, size + new.places, **equation.params)
        return self.taken([value, new], np.asarray(places), size + new.places.size)

    def choose(self, given: list[_Value], branches: Any) -> list[_Value]:
        """Run all branches, which change nothing, and take the results of one."""
        which, *rest = given
        if which.known is not None:
            return self.run(branches[int(np.clip(which.known, 0, len(branches) - 1))], rest)
        results = [self.run(branch, rest) for branch in branches]
        return [self.emit("select_n", [which, *options], options[0].shape) for options in zip(*results)]

    def loop(self, given: list[_Value], equation: Any) -> list[_Value]:
        """Write a loop out. What a turn takes is constants, what is carried on, and rows, which have an axis more."""
        params, length = equation.params, equation.params["length"]
        body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
        num_rows = sum(a.aval.ndim > b.aval.ndim for a, b in zip(equation.invars, body.invars, strict=True))
        num_carry = sum(a.aval.ndim == b.aval.ndim for a, b in zip(equation.outvars, body.outvars, strict=True))
        num_consts = len(given) - num_carry - num_rows
        consts, carry = given[:num_consts], given[num_consts : num_consts + num_carry]
        rows = given[num_consts + num_carry :]
        order = range(length)[::-1] if params["reverse"] else range(length)
        made: dict[int, list[_Value]] = {}
        for i in order:
            found = self.run(params["jaxpr"], [*consts, *carry, *(self.laid_out(row, row.places[i]) for row in rows)])
            carry, made[i] = found[:num_carry], found[num_carry:]
        stacked = []
        for parts in zip(*(made[i] for i in range(length))):
            size = int(np.prod(parts[0].shape)) * length
            stacked.append(self.emit("take", parts, (length, *parts[0].shape), list(range(size))))
        return [*carry, *stacked]

    def finished(self, inputs: dict[str, int], outputs: list[_Value]) -> Program:
        """Leave out what no output needs; put last what only the last output needs."""
        numbers = [self.number(value) for value in outputs]
        first = self._needed(numbers[:-1])
        everything = self._needed(numbers)
        order = [op for op in self.operations if op[1] in first]
        num_needed = len(order)
        order += [op for op in self.operations if op[1] in everything - first]
        used = [*inputs.values(), *(n for op in order for n in (op[1], *op[2])), *numbers]
        renamed = {old: new for new, old in enumerate(dict.fromkeys(used))}
        return Program(
            sizes=[self.sizes[old] for old in renamed],
            inputs={name: renamed[old] for name, old in inputs.items()},
            outputs=[renamed[old] for old in numbers],
            constants={renamed[old]: array for old, array in self.constants.items() if old in renamed},
            operations=[[name, renamed[out], [renamed[n] for n in given], set_] for name, out, given, set_ in order],
            num_needed=num_needed,
        )

    def _needed(self, numbers: list[int]) -> set[int]:
        needed = set(numbers)
        for _, out, given, _ in reversed(self.operations):
            if out in needed:
                needed.update(given)
        return needed
