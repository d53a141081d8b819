"""`python -m tanas` is the `tanas` command."""

import sys


def main() -> int:
    """Runs the command line; an interrupt counts from the first moment, while it is still being imported."""
    try:
        from tanas.cli.main import main as run
    except KeyboardInterrupt:
        print("Interrupted before anything was done: the same command begins it.", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
