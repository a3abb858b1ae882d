"""``python -m unlearn_bench`` is ``unlearn-bench``."""

import sys


def main() -> None:
    """Runs the command line; an interrupt while it is still being imported ends it as quietly as a later one."""
    try:
        from unlearn_bench.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
