"""A file of runs that anyone may have written: read within bounds, and only where it is whole and true to its keys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # which pydantic asks for before Python 3.12

from unlearn_bench.errors import StoreError
from unlearn_bench.spec import RunSpec
from unlearn_bench.store.records import (
    DatasetRecord,
    Environment,
    MethodRecord,
    MetricRecord,
    ModelRecord,
    NewRun,
    OutputsRecord,
)

FORMAT = "unlearn-bench runs 1"
LARGEST = 2**30  # bytes of a file, decompressed: some hundred thousand runs
DIGEST = re.compile(r"[0-9a-f]{64}")
STATUSES = ("done", "failed", "diverged")


class Plain(TypedDict):
    """The fields of a run that are no records of their own."""

    error: str | None
    changed_options: dict[str, Any]
    forget_images: int
    evaluation_seconds: float
    predicted: dict[str, list[tuple[int, int, int]]]


T = TypeVar("T")


def read_runs(file: Path) -> Iterable[tuple[NewRun, tuple[datetime, datetime]]]:
    """Yields the runs of a file with the times at which they were finished and last asked for.

    Raises:
        StoreError: not a file that ``export`` writes, or a run that is not whole and true to its key.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        raise StoreError(f"There is no file {file}. Make one with: unlearn-bench export FILE.parquet")
    try:
        parquet = pq.ParquetFile(file)
        if (parquet.schema_arrow.metadata or {}).get(b"format", b"").decode(errors="replace") != FORMAT:
            raise StoreError(f"{file.name} is not of the format '{FORMAT}'. Give a file that `export` wrote.")
        rows, size = [], 0
        for batch in parquet.iter_batches(batch_size=64):  # a page of a few bytes may stand for gigabytes
            size += batch.nbytes
            if size > LARGEST:
                raise StoreError(f"{file.name} has over {LARGEST:,} bytes decompressed, expected fewer.")
            rows += batch.to_pylist()
    except (pa.ArrowException, OSError, MemoryError) as problem:
        reason = str(problem).rstrip(".")
        raise StoreError(f"{file.name} is not a Parquet file that can be read: {reason}.") from None
    for number, row in enumerate(rows):
        try:
            yield _run(row)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as problem:
            reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
            raise StoreError(
                f"{file.name}, run {number}: not what `export` writes ({reason}). Nothing was imported."
            ) from None


def _run(row: Mapping[str, Any]) -> tuple[NewRun, tuple[datetime, datetime]]:
    """Returns the run of a row of a file. Raises ValueError and the like where it is not whole and true to its key."""
    record = json.loads(row["record"], parse_constant=_number, parse_float=_number, parse_int=_whole)
    _check_text({**record, "error": None}, row["profile"])
    spec = _checked(RunSpec, record["spec"])
    if spec.key != row["key"]:
        raise ValueError(f"the key {row['key'][:12]} is not that of what the run says it is")
    if row["status"] not in STATUSES:
        raise ValueError(f"the status is '{row['status']}'")
    metrics = tuple(_checked(MetricRecord, metric) for metric in record["metrics"])
    values = {metric.name: float(row[metric.name]) for metric in metrics}
    if not all(math.isfinite(value) for value in values.values()) or (values and row["status"] != "done"):
        raise ValueError("values that are not finite, or of a run that is not done")
    plain: Any = _checked(Plain, {name: record[name] for name in Plain.__annotations__})
    run = NewRun(
        spec=spec,
        profile=str(row["profile"]),
        status=row["status"],
        dataset=_checked(DatasetRecord, record["dataset"]),
        method=_checked(MethodRecord, record["method"]),
        metrics=metrics,
        values=values,
        model=None if record["model"] is None else _checked(ModelRecord, record["model"]),
        environment=_checked(Environment, record["environment"]),
        outputs=None if record["outputs"] is None else _checked(OutputsRecord, record["outputs"]),
        forget_members=bytes.fromhex(record["forget_members"]),
        **{**plain, "predicted": {name: [list(each) for each in part] for name, part in plain["predicted"].items()}},
    )
    classes = range(len(run.dataset.classes))
    if any(t not in classes or p not in classes or n < 1 for part in run.predicted.values() for t, p, n in part):
        raise ValueError("predictions of classes that the data set does not have")
    if run.dataset.digest != spec.dataset_digest or run.method.name != spec.method:
        raise ValueError("its data set or method is not the one of its key")
    for artefact in (run.model, run.outputs):
        if artefact is not None and not DIGEST.fullmatch(artefact.key):
            raise ValueError(f"the key '{artefact.key}'")
        if artefact is not None and artefact.file is not None and artefact.file != f"{artefact.key}.safetensors":
            raise ValueError(f"the file name '{artefact.file}'")  # it could lead out of the folder of such files
    return run, (_time(row["finished_at"]), _time(record["asked_at"]))


@cache
def _adapter(kind: Any) -> Any:  # built once for each kind: that takes longer than a check
    return TypeAdapter(kind)


def _checked(kind: type[T], given: Any) -> T:
    """Returns a record with every field of its own type. Raises ValueError."""
    try:
        adapter = _adapter(kind)  # type: ignore[arg-type]  # every class is hashable
        checked: T = adapter.validate_json(json.dumps(given), strict=True)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in (kind.__name__, *first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from None
    return checked


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text}")
    return number


def _whole(text: str) -> int:
    if len(text) > 19 or abs(number := int(text)) >= 2**63:  # beyond any database's integers
        raise ValueError(f"the number {text[:30]}")
    return number


def _check_text(*parts: Any) -> None:
    """Checks that no word would be obeyed by a terminal. Raises ValueError."""
    for part in parts:
        if isinstance(part, str) and not part.isprintable():
            raise ValueError(f"the words {part[:60]!r}")
        if isinstance(part, Mapping):
            _check_text(*part.keys(), *part.values())
        elif isinstance(part, list):
            _check_text(*part)


def _time(text: str) -> datetime:
    """Returns a time, in UTC where no zone is given. Raises ValueError for one to come: it would outlast all others."""
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    if time > datetime.now(timezone.utc) + timedelta(days=1):
        raise ValueError(f"the time '{text}'")
    return time
