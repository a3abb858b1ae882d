"""Entry point of ``python -m unlearn_bench`` and of ``unlearn-bench``."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C during its import ends the process without a traceback, as later."""
    try:
        from unlearn_bench.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
