"""``python -m unlearn_bench`` is ``unlearn-bench``."""

from unlearn_bench.cli import main

main()
