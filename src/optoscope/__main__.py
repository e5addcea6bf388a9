"""The command `optoscope`, which is also `python -m optoscope`; signals are seen to before anything heavy is loaded."""

import sys

from optoscope.cli.signals import run_command


def main() -> int:
    """Run the command that the process was started with; returns its exit code."""

    def command() -> int:
        from optoscope.cli.main import main

        return main()

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
