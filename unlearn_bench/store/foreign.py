"""Reads a file of runs from an untrusted source: with limits on its size, and with full validation of every run."""

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
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from unlearn_bench.core.errors import StoreError, reason_of
from unlearn_bench.core.spec import HASHED_NAMES, RunSpec
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
LARGEST = 2**30  # bytes of a decompressed file; about a hundred thousand runs
DIGEST = re.compile(r"[0-9a-f]{64}")
STATUSES = ("done", "failed", "diverged")


class Plain(TypedDict):
    """The fields of a run that are not records."""

    error: str | None
    changed_options: dict[str, Any]
    forget_images: int
    evaluation_seconds: float
    predicted: dict[str, list[tuple[int, int, int]]]


T = TypeVar("T")


def read_runs(file: Path) -> Iterable[tuple[NewRun, tuple[datetime, datetime]]]:
    """Yields the runs of a file, each with the times at which it was finished and last requested.

    Raises:
        StoreError: not a file that ``export`` writes, or a run that is incomplete or does not match its key.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        raise StoreError(f"There is no file {file}. Make one with: unlearn-bench export FILE.parquet")
    if file.suffix.lower() == ".csv":
        raise StoreError(
            f"{file.name} is a CSV file, which lacks the records of runs. Import a Parquet file of `export`."
        )
    try:
        parquet = pq.ParquetFile(file)
        if (parquet.schema_arrow.metadata or {}).get(b"format", b"").decode(errors="replace") != FORMAT:
            raise StoreError(f"{file.name} does not have the format '{FORMAT}'. Give a file that `export` wrote.")
        rows, size = [], 0
        for batch in parquet.iter_batches(batch_size=64):  # a few compressed bytes can expand to gigabytes
            size += batch.nbytes
            if size > LARGEST:
                raise StoreError(f"{file.name} has more than {LARGEST:,} bytes decompressed, the limit of an import.")
            rows += batch.to_pylist()
    except (pa.ArrowException, OSError, MemoryError) as problem:
        reason = str(problem).rstrip(".")
        raise StoreError(f"{file.name} cannot be read as a Parquet file: {reason}.") from None
    for number, row in enumerate(rows):
        try:
            yield _run(row)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as problem:
            reason = reason_of(problem, with_type=True)
            raise StoreError(
                f"{file.name}, run {number}: `export` does not write this ({reason}). Nothing was imported."
            ) from None


def _run(row: Mapping[str, Any]) -> tuple[NewRun, tuple[datetime, datetime]]:
    """Returns the run of a row of a file. Raises ValueError or a similar error if it is incomplete or inconsistent."""
    record = json.loads(row["record"], parse_constant=_number, parse_float=_number, parse_int=_whole)
    _check_text({**record, "error": None}, row["profile"])
    spec = _checked(RunSpec, _with_field_names(record["spec"]))
    if spec.key != row["key"]:
        raise ValueError(f"the key {row['key'][:12]} does not match the content of the run")
    if row["status"] not in STATUSES:
        raise ValueError(f"the status is '{row['status']}'")
    metrics = tuple(_checked(MetricRecord, metric) for metric in record["metrics"])
    values = {metric.name: float(row[metric.name]) for metric in metrics}
    if not all(math.isfinite(value) for value in values.values()) or (values and row["status"] != "done"):
        raise ValueError("values are not finite, or the run has values and is not done")
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
        **{**plain, "predicted": {name: [list(count) for count in part] for name, part in plain["predicted"].items()}},
    )
    classes = range(len(run.dataset.classes))
    if any(t not in classes or p not in classes or n < 1 for part in run.predicted.values() for t, p, n in part):
        raise ValueError("predictions name classes that the data set does not have")
    if run.dataset.digest != spec.dataset_digest or run.method.name != spec.method:
        raise ValueError("its data set or method does not match its key")
    for artefact in (run.model, run.outputs):
        if artefact is not None and not DIGEST.fullmatch(artefact.key):
            raise ValueError(f"'{artefact.key}' is not a key")
        if artefact is not None and artefact.file is not None and artefact.file != f"{artefact.key}.safetensors":
            raise ValueError(f"the file name is '{artefact.file}'")  # another name could leave the folder
    return run, (_time(row["finished_at"]), _time(record["requested_at" if "requested_at" in record else "asked_at"]))


def _with_field_names(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a canonical spec with current field names in place of the names from which keys are hashed."""
    fields = {hashed: name for name, hashed in HASHED_NAMES.items()}
    return {**spec, "experiment": {fields.get(name, name): value for name, value in spec["experiment"].items()}}


@cache
def _adapter(kind: Any) -> Any:  # built once per kind, because building is slower than validating
    return TypeAdapter(kind)


def _checked(kind: type[T], fields: Any) -> T:
    """Returns a record after checking the type of every field. Raises ValueError."""
    try:
        adapter = _adapter(kind)  # type: ignore[arg-type]  # every class is hashable
        checked: T = adapter.validate_json(json.dumps(fields), strict=True)
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in (kind.__name__, *first["loc"]))
        raise ValueError(f"{field}: {first['msg']}") from None
    return checked


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text} is not finite")
    return number


def _whole(text: str) -> int:
    if len(text) > 19 or abs(number := int(text)) >= 2**63:  # databases store 64 bits
        raise ValueError(f"the number {text[:30]} is too large")
    return number


def _check_text(*parts: Any) -> None:
    """Checks that no text contains control characters, which a terminal would execute. Raises ValueError."""
    for part in parts:
        if isinstance(part, str) and not part.isprintable():
            raise ValueError(f"the text {part[:60]!r} has control characters")
        if isinstance(part, Mapping):
            _check_text(*part.keys(), *part.values())
        elif isinstance(part, list):
            _check_text(*part)


def _time(text: str) -> datetime:
    """Returns a time, in UTC if it has no zone. Raises ValueError for a future time, which would stay the newest."""
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    if time > datetime.now(timezone.utc) + timedelta(days=1):
        raise ValueError(f"the time '{text}' is in the future")
    return time
