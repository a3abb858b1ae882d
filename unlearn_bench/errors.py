"""Every error that a user can cause or meet. The command line turns them into one sentence and an exit code.

UserError                 wrong use: exit code 2
├─ ConfigError            benchmarks.yaml holds something that it may not
├─ UnknownNameError       no such method, metric, dataset, model, setting, profile, table
├─ OptionError            a hyper-parameter that does not exist or a value out of its range
├─ TuningError            no setting of a search ended
├─ PluginError            a plug-in file that is missing or fails
├─ CheckpointError        weights that are missing, would run code, or are of another architecture
├─ DataError              images that are missing, unreadable or of the wrong shape
├─ FileError              a file cannot be written: no room, or no permission
├─ WorkerError            a worker process was killed
├─ MissingRunError        a report needs a run that nobody has made yet
├─ MissingExpectationError  nothing is recorded that a check could compare with
└─ StoreError             the result database cannot be opened or does not hold what was asked for
   └─ MissingDatabaseError  there is none yet
ViolationError            a method did what it may not: the run is recorded as failed
DivergedError             a loss or a metric left the finite numbers: the run is recorded as diverged
Notice                    what a user should know, and need not mend
├─ PluginWarning          an installed plug-in fails to load: it is named and left out
└─ UpgradeNotice          a database was brought to this version's schema
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong use: the message says what was given, what was expected, and what mends it."""


class ConfigError(UserError):
    """benchmarks.yaml holds something that it may not."""


class UnknownNameError(UserError):
    """A name that stands for nothing."""


class OptionError(UserError):
    """A hyper-parameter that does not exist or a value out of its range."""


class TuningError(UserError):
    """No setting of a search ended."""


class PluginError(UserError):
    """A plug-in file that is missing or fails."""


class CheckpointError(UserError):
    """Weights that are missing, would run code, or are of another architecture."""


class DataError(UserError):
    """Images that are missing, unreadable or of the wrong shape."""


class FileError(UserError):
    """A file cannot be written: no room, or no permission."""


class WorkerError(UserError):
    """A worker process was killed."""


class MissingRunError(UserError):
    """A report needs a run that nobody has made yet."""


class MissingExpectationError(UserError):
    """Nothing is recorded that a check could compare with."""


class StoreError(UserError):
    """The result database cannot be opened or does not hold what was asked for."""


class MissingDatabaseError(StoreError):
    """There is no result database yet."""


class ViolationError(Exception):
    """A method did something else than it declares, or used what it was not given."""


class DivergedError(Exception):
    """A loss or a metric left the finite numbers."""


class Notice(UserWarning):
    """What a user should know, and need not mend."""


class PluginWarning(Notice):
    """An installed plug-in fails to load: it is named and left out."""


class UpgradeNotice(Notice):
    """A database was brought to this version's schema."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the nearest known name, or an empty string when none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Returns the one sentence for a name that stands for nothing."""
    names = sorted(known)
    own = f" A {kind} of yours comes with --plugin FILE." if kind in ("method", "metric") else ""
    return UnknownNameError(f"No {kind} named '{name}'.{did_you_mean(name, names)} Known: {', '.join(names)}.{own}")
