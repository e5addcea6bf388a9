"""Imports point down only (DESIGN section 1), and training needs few packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import optoscope

ROOT = Path(optoscope.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

#: Level of each room; a module may import from its own level and from lower ones.
LEVELS = {
    "_core": 0,
    "optimizers": 1,
    "tasks": 1,
    "artifacts": 2,
    "dynamics": 2,
    "running": 3,
    "torch_optimizer": 3,
    "training": 4,
    "whole": 4,
    "anatomy": 5,
    "interventions": 6,
    "mechanisms": 6,
    "distillation": 6,
    "robustness": 6,
    "calibration": 7,
    "explorer": 7,
    "figures": 7,
    "recordings": 7,
    "paper": 8,
    "cli": 9,
    "__main__": 9,
}
#: Rooms of one level that never see each other.
STRANGERS = [("optimizers", "tasks"), ("tasks", "optimizers"), ("figures", "paper")]
#: Packages that are imported where they are used, never when a module is loaded, and the rooms excepted.
LATE = {
    "matplotlib": {"figures", "paper"},
    "sklearn": set(),
    "pooch": set(),
    "xarray": set(),
    "torch": {"torch_optimizer"},
    "ray": set(),
    "sympy": set(),
    "tyro": {"cli"},
    "rich": {"cli"},
}


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports(path: Path, *, at_load_only: bool = False) -> list[str]:
    """Dotted names that a module imports; relative imports are not used in this house."""
    found = []

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if at_load_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            found.extend(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse((ROOT / path).read_text()))
    return found


def rooms_seen(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path))
    return {parts[1] for parts in names if parts[0] == "optoscope" and parts[1] in LEVELS}


def test_every_module_has_a_level():
    assert {room(path) for path in MODULES} - {"__init__"} <= set(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down_only(path):
    here = room(path)
    if here == "__init__":
        return
    for seen in rooms_seen(path) - {here}:
        assert LEVELS[seen] <= LEVELS[here], f"{path} (level {LEVELS[here]}) imports {seen} (level {LEVELS[seen]})"
        assert (here, seen) not in STRANGERS, f"{path} imports {seen}; these rooms never see each other"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_packages_are_imported_where_they_are_used(path):
    loaded = {name.split(".")[0] for name in imports(path, at_load_only=True)}
    for package, rooms in LATE.items():
        assert package not in loaded or room(path) in rooms, f"{path} imports {package} when it is loaded"


def test_matplotlib_is_imported_in_figures_only():
    users = {path.parent for path in MODULES if any(name.split(".")[0] == "matplotlib" for name in imports(path))}
    assert users <= {Path("figures"), Path("paper/figures")}


def test_the_package_itself_imports_nothing_of_its_own_when_loaded():
    assert not [name for name in imports(Path("__init__.py"), at_load_only=True) if name.startswith("optoscope.")]


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_training_needs_only_the_few_packages_of_the_design():
    blocked = ["tyro", "rich", "pooch", "matplotlib", "sklearn", "xarray", "optimistix", "beartype", "hypothesis"]
    run_python(f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import optoscope.training")


def test_importing_the_package_loads_neither_jax_nor_matplotlib():
    loaded = run_python("import sys, optoscope; print(*(name for name in sys.modules))").split()
    assert not {"jax", "numpy", "matplotlib", "tyro"} & set(loaded)


def test_no_two_files_import_each_other_by_any_way_round():
    names = {".".join(("optoscope", *path.with_suffix("").parts)).removesuffix(".__init__"): path for path in MODULES}
    seen = {
        name: {m for found in imports(path) for m in (found, found.rpartition(".")[0]) if m in names and m != name}
        for name, path in names.items()
        if path.name != "__init__.py"  # which only gathers the names of its room
    }
    left = dict(seen)
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    assert not left, f"these are in, or lead into, a circle: {sorted(left)}"
