"""Removes the checkpoints that a command was told not to keep, once no run needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_bench.core.errors import unknown_name
from unlearn_bench.store import Store
from unlearn_bench.store.health import is_in_use

KEEP = ("all", "references", "none")


def check_keep(keep: str) -> None:
    """Raises UnknownNameError if ``keep`` is none of ``KEEP``."""
    if keep not in KEEP:
        raise unknown_name("value of --keep", keep, KEEP)


def remove_unkept(store: Store, keys: Sequence[str], keep: str, failures: int, say: Callable[[str], None]) -> None:
    """Removes checkpoints of finished runs. A later run that starts from one makes it again, as if it were lost.

    Nothing is removed while a run of the command is missing or another process works on the database, because such a
    run may start from the checkpoint. Outputs stay: figures and new metrics are computed from them.

    Args:
        store: the database.
        keys: the runs of the command.
        keep: ``all``; ``references``, the original and retrained models; or ``none``.
        failures: number of these runs that are not done.
        say: called with a sentence that says what was done.

    Raises:
        StorageError: shared storage cannot be reached.
    """
    if keep == "all":
        return
    if failures or is_in_use(store):
        reason = "a run is not done" if failures else "another process works on this database"
        say(f"No checkpoint was removed, because {reason}. The same command removes them later.")
        return
    references = {name for name, method in store.methods().items() if method.is_reference}
    runs = {run.key: run for run in store.runs()}
    chosen = [runs[key] for key in dict.fromkeys(keys) if key in runs]
    files = {run.model.file for run in chosen if run.model and (keep == "none" or run.method not in references)}
    removed = sorted(file for file in files if file and store.model_files.exists(file))
    for file in removed:
        store.model_files.remove(file)
    say(f"{len(removed)} checkpoints removed (--keep {keep}); a run that needs one makes it again.")
