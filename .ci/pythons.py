"""Install the wheel with each Python that is at hand, as a user does, and run a smoke test from another folder.

The oldest Python gets the lowest versions that pyproject.toml allows as well. Pythons that are not at hand are named.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SMOKE = Path(__file__).with_name("smoke.py")


def interpreter(version: str) -> str | None:
    """Return a working interpreter of a version: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}*/bin/python"))]
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return str(candidate)
    return None


def try_out(python: str, what: str, install: list[str], folder: Path) -> bool:
    """Make an environment, install into it and run the smoke test in an empty folder."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    home, elsewhere = folder / "environment", folder / "elsewhere"
    elsewhere.mkdir(parents=True)
    print(f"{what}: installing", flush=True)
    try:
        subprocess.run([python, "-m", "venv", home], check=True, env=environment)
        own = home / "bin" / "python"
        pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *install], check=True, env=environment, stderr=subprocess.DEVNULL)
        subprocess.run([own, SMOKE], check=True, env=environment, cwd=elsewhere)
    except subprocess.CalledProcessError as error:
        print(f"{what}: failed: {' '.join(map(str, error.cmd))} gave {error.returncode}", flush=True)
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{what}: works", flush=True)
    return True


def main() -> int:
    """Try every Python; returns 1 if one fails."""
    fine, tried = True, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "-w", folder,
             ROOT], check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        (wheel,) = folder.glob("*.whl")
        lowest = [requirement.replace(">=", "==") for requirement in PROJECT["dependencies"]]
        for version in VERSIONS:
            python = interpreter(version)
            if python is None:
                print(f"Python {version}: not at hand, not tried", flush=True)
                continue
            tried += 1
            fine &= try_out(python, f"Python {version}, newest packages", [str(wheel)], folder / version)
            if version == VERSIONS[0]:
                what = f"Python {version}, lowest packages"
                fine &= try_out(python, what, [str(wheel), *lowest], folder / "lowest")
    return 0 if fine and tried else 1


if __name__ == "__main__":
    sys.exit(main())
