"""The command `optoscope`, which is also `python -m optoscope`; signals are seen to before anything heavy is loaded."""

import gc
import sys

from optoscope.cli.signals import run_command


def main() -> int:
    """Run the command that the process was started with; returns its exit code."""

    def command() -> int:
        gc.disable()  # importing makes a million objects and no garbage; a command that computes enables it
        from optoscope.cli.main import main

        return main()

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
