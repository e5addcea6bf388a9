"""Bad values for every kind of option: what must be refused, and what may be taken if it is taken well."""

from typing import NamedTuple


class Value(NamedTuple):
    """What is typed, and whether it has to be refused."""

    words: tuple[str, ...]
    must_refuse: bool = True


_DEEP = 20_000
_HUGE = "9" * 23


def _bad(*texts: str) -> list[Value]:
    return [Value((text,)) for text in texts]


def _odd(*texts: str) -> list[Value]:
    return [Value((text,), False) for text in texts]


_NOT_NUMBERS = ("", " ", "many", "nan", "1.5", "1e3", "0x10", "--", "1,000", "½", "None", "1" * 5000)
_COUNT = [
    *_bad("-1", "-" + _HUGE, _HUGE, str(2**63), "1000000000000", "inf", *_NOT_NUMBERS),
    *_odd("٣", "1_0", " 3", "+3"),
]
_SEED = [*_bad("1.5", "nan", "", "x", "9" * 5000), *_odd("-1", _HUGE, str(2**32), str(2**63), "0")]
_CANARY = (
    "os:system('touch canary')",
    "posix:system('touch canary')",
    "subprocess:run(['touch', 'canary'])",
    "subprocess:getoutput('touch canary')",
    'builtins:exec(\'open("canary", "w")\')',
    'builtins:eval(\'open("canary", "w")\')',
    "builtins:open('canary', 'w')",
    "pathlib:Path('canary')",
    "tempfile:mkdtemp('canary', 'canary', '.')",
    "os:mkdir('canary')",
    "os:remove('file')",
    "shutil:rmtree('keep')",
    "shutil:copy('file', 'canary')",
    "shutil:make_archive('canary', 'zip', 'keep')",
    "sys:exit(0)",
    "os:_exit(0)",
    "os:abort()",
    "os:kill(0, 0)",
    "time:sleep(100)",
    "logging:FileHandler('canary')",
    "sqlite3:connect('canary')",
    "optax:__loader__()",
    "math:sqrt(2.0)",
)
_OPTIMIZER = [
    *_bad(*_CANARY),
    *_bad(
        "", " ", "linear_regresion", "rosenbrock/adams", "nowhere/at/all", "file", "directory", "keep/inside.json", "\u202e",
        "a" * 5000, "run/run.json", "run/log.jsonl", "lіnear_regression", "LINEAR_REGRESSION", "optax", "optax:", ":sgd(1)",
        "optax:sgd", "optax:sgd(", "optax:sgd(1))", "optax:nothing()", "nothing:sgd(1)", "optax:sgd(learning_rate=open('file'))",
        "optax:sgd(learning_rate=" + "-" * _DEEP + "1)", "optax:sgd(" + "(" * _DEEP + ")" * _DEEP + ")",
        "optax:sgd(learning_rate=" + "9" * 5000 + ")", "optax:sgd(wrong=1)", "optax:sgd(1, 2, 3, 4, 5, 6)", "optax:sgd('0.1')",
        "optax:sgd(None)", "optax:adam()", "optax:sgd(0.1)(0.1)", "optax:sgd(0.1); optax:sgd(0.1)", "optax:apply_updates(1, 2)",
        "optoscope.optimizers:Momentum(0.1)", "optoscope.optimizers:Momentum(0.1, 1.5)", "optoscope.optimizers:Momentum(0.1, -1)",
        "optoscope.optimizers:Momentum(1e400, 0.9)", "optoscope.optimizers:Momentum([0.1], 0.9)", "optoscope.tasks:Rosenbrock()",
        "optoscope.optimizers:AbstractOptimizer()", "torch.optim:SGD(lr=-1.0)", "torch.optim:Nothing(lr=0.1)", "torch:zeros(3)",
        "optax:lamb(0.1) ", "optax.contrib:nothing(0.1)", "..:x()", "optax..sgd:x()", "file.txt:x()", "loop", "/proc/self/mem",
    ),
    *_odd("optax:sgd(1e-300)", "optax:sgd(0)", "optax:sgd(-0.1)", "optax:sgd(1e400)", "optax:adam(0.1, b1=2.0)", "./rosenbrock"),
]  # fmt: skip
_TASK = _bad(
    "", " ", "linear_regresion", "Rosenbrock", "lіnear_regression", "linear_regression(", "linear_regression)", "file",
    "linear_regression(num_params=0)", "linear_regression(num_params=-3)", "linear_regression(num_params=1e400)",
    "linear_regression(num_params=1.5)", "linear_regression(num_params=1000000000)", "linear_regression(num_params='5')",
    "linear_regression(num_params=None)", "linear_regression(rows=5)", "linear_regression(5, 6)", "rosenbrock(5)",
    "two_moons(widths=(0,))", "two_moons(widths=5)", "two_moons(num_examples=1)", "two_moons(penalty=-1)", "two_moons(penalty='x')",
    "two_moons(num_examples=1000000000000)", "two_moons(widths=(1000000000,))", "two_moons(**{})",
    "linear_regression(num_params=" + "-" * _DEEP + "5)", "linear_regression(" + "(" * _DEEP + ")", "a" * 5000, "☃", "\u202e",
    "linear_regression(__import__('os').system('touch canary'))", "os:system('touch canary')", "__import__('os').system('touch canary')",
    "linear_regression(num_params=[x for x in open('canary', 'w')])", "optoscope.tasks:Rosenbrock()", "../linear_regression",
    "linear_regression(num_params=5, num_params=6)", "linear_regression(num_params=" + "9" * 5000 + ")", "linear_regression\nrosenbrock",
)  # fmt: skip
_LEAVES_NOTHING = "deep/" * 10
_OUT = [
    *_bad(
        "file",
        "file/inside",
        "readonly/new",
        "readonly/new/deeper",
        "x" * 300,
        "/proc/new",
        "/dev/null/new",
        "loop/new",
        "run",
    ),
    *_odd("☃", "-", "with space", "new\nline", _LEAVES_NOTHING + "new", "directory/../new", "~new"),
]
_FILE = [
    *_bad("file", "file/one.npz", "readonly/one.npz", "x" * 300 + ".npz", "/proc/one.npz", "loop/one.npz", "one.txt", "one", "directory",
          "directory.npz", "keep/inside.npz", "/dev/full", ".npz"),
    *_odd("☃.npz", "with space.npz", _LEAVES_NOTHING + "one.npz"),
]  # fmt: skip
_SET = [
    *_bad(
        "num_units=0", "num_units=-1", "num_units=1000000000", "num_units=1.5", "num_units=nan", "num_units=True", "num_units=",
        "num_units", "=", "=4", "num_units==4", "NUM_UNITS=4", "units=4", "num_units=" + "9" * 5000, "num_units=((((", "__class__=1",
        "num_units=" + "-" * _DEEP + "4", "num_units=" + "(" * _DEEP + "4" + ")" * _DEEP, "num_units=" + _HUGE,
        "num_units=__import__('os').system('touch canary')", "num_units=[open('canary', 'w')]", "num_units={}", "num_units='4'",
        "learning_rate=1e400", "learning_rate=-1", "learning_rate=0", "learning_rate=nan", "learning_rate='fast'", "b1=2", "b1=-1",
        "b1=1", "b2=1.0", "b2=-0.5", "eps=-1", "eps=nan", "warmup_steps=-5", "warmup_steps=1.5", "decay_rate=-1", "decay_rate=nan",
        "decay_steps=0", "decay_steps=-1", "clip=0", "clip=-1", "l2=-1", "l2=nan", "l2=1e400", "objective_cap=-1", "objective_cap=nan",
        "input_scale=nan", "input_scale=1e400", "input_scale=0", "output_scale=nan", "output_scale=0", "input_kind=both",
        "input_kind=1", "schedule=linear", "bfloat16=maybe", "bfloat16=1", "segment_length=3", "segment_length=-1", "segment_length=0",
        "memory_gigabytes=-1", "memory_gigabytes=0", "memory_gigabytes=nan", "part_size=0", "part_size=3", "part_size=-2", "part_clip=-1",
        "batch_size=0", "batch_size=-1", "batch_size=1000000000000", "num_steps=0", "num_steps=-1", "num_steps=1000000000000",
        "num_meta_steps=0", "num_meta_steps=-1", "num_meta_steps=" + _HUGE, "validate_every=0", "validate_every=-1", "num_snapshots=1",
        "num_snapshots=0", "num_snapshots=1000000000000", "num_validation_problems=0", "num_validation_problems=1000000000000",
        "weight_average=1", "weight_average=2", "weight_average=-1", "weight_average=nan", "spike_factor=0", "spike_factor=-1",
        "curriculum=5", "curriculum=((1,),)", "curriculum=((0, 1),)", "curriculum=((4, 0),)", "curriculum=((4, 1), (1, 2, 3))",
        "curriculum=((4.5, 1),)", "curriculum='x'", "curriculum=(4, 1)", "warm_start=nothing", "warm_start=file",
        "warm_start=os:system('touch canary')", "warm_start=fast:nothing", "warm_start=rosenbrock/adam", "warm_start=5", "warm_start=",
    ),
    Value(("num_units=4", "num_units=5")),
    Value(("num_units=4", "num_units=4")),
]  # fmt: skip
_NAME = [
    *_bad(
        "",
        "nothing",
        "momentumm",
        "Momentum",
        "☃",
        "a" * 5000,
        "os:system('touch canary')",
        "../momentum",
        "momentum,clipping",
        "\n",
    ),
    Value(("momentum", "momentum")),
]
_PRESET = _bad(
    "",
    "slow",
    "Fast",
    "fast ",
    "☃",
    "a" * 5000,
    "os:system('touch canary')",
    "fast:linear_regression",
    "authors,fast",
    "0",
)
_FACTORS = [
    *_bad("0", "-1", "nan", "inf", "-inf", "1e400", "1e39", "x", "", "1;2", "1,2", "½", "True", "1e-400"),
    Value(("1", "1")),
    Value(("1", "nan")),
    *_odd("1e-30", "1e30", "1e-300"),
]
_HORIZONS = [*_COUNT, Value(("0",)), Value(("20", "20")), Value(("20", "-20"))]
_MAGNITUDES = [
    *_bad("0", "-1", "nan", "inf", "1e400", "x", ""),
    Value(("1", "0.1")),
    Value(("1", "2", "3")),
    Value(("1", "1"), False),
    Value(("1e-300", "1e300")),
    Value(("1e-40", "1")),
]
_FOLDER = _bad("nowhere", "file", "directory", "keep", "x" * 300, "loop", "☃", "readonly")

#: Kinds of options, by the name of the option or the placeholder in its help.
KINDS: dict[str, list[Value]] = {
    "--seed": _SEED,
    "--set": _SET,
    "--preset": _PRESET,
    "--scales": _FACTORS,
    "--horizons": _HORIZONS,
    "--gradients": _MAGNITUDES,
    "--effort": [*_bad("-1", "0", "nan", "inf", "1e400", "x", "", "1e300"), *_odd("1e-300")],
    "--mechanisms": _NAME,
    "--family": _NAME,
    "--rule": _NAME,
    "--path": [*_bad("", "nothing", "momentum+", "+", "☃", "momentum+momentum", "os:system('touch canary')"), Value(("momentum", "momentum"))],
    "--task": _TASK,
    "--tasks": [*_TASK, Value(("rosenbrock", "rosenbrock")), Value(("rosenbrock", "nothing"))],
    "--out": _OUT,
    "--source": _FOLDER,
    "TASK": _TASK,
    "[TASK ...]": [*_TASK, Value(("rosenbrock", "rosenbrock"))],
    "RULE": _NAME,
    "OPTIMIZER": _OPTIMIZER,
    "[OPTIMIZER ...]": [*_OPTIMIZER, Value(("rosenbrock/adam", "rosenbrock/adam")), Value(("rosenbrock/adam", "nothing"))],
    "NUMBER": _bad("99", "0", "-1", "1.5", "all all", "ALL", "☃", "", _HUGE, "3; touch canary", "nan", "../3"),
    "INT": _COUNT,
    "a file": _FILE,
    "a switch": [Value(("true",)), Value(("1",))],
}  # fmt: skip

#: Counts of which 0 means something; everywhere else it is refused.
ZERO_MEANS_NONE = ("--recheck", "--num-controls", "--widths")
