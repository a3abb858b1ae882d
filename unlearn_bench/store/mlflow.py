"""Sends recorded runs to an MLflow tracking server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from unlearn_bench.core.errors import OptionError, StoreError
from unlearn_bench.core.logs import without_password
from unlearn_bench.core.progress import Progress
from unlearn_bench.store import schema
from unlearn_bench.store.records import RunRecord

KEY = "unlearn_bench.key"  # tag with the key of a run, by which later calls recognise it
LONGEST = 6000  # maximum number of characters of a parameter in MLflow
LONGEST_REASON = 300  # characters of an error of MLflow
SCHEMES = ("", "file", "http", "https", "databricks", "databricks-uc", "uc", "sqlite", "postgresql", "mysql", "mssql")
EXAMPLE = "Give --uri http://HOST:PORT or sqlite:///mlflow.db."


def send_to_mlflow(runs: Sequence[RunRecord], uri: str | None, experiment: str, progress: Progress) -> int:
    """Sends the runs that the MLflow experiment does not have, and returns their number.

    Each run becomes a run of MLflow: identity and options are parameters, metrics and costs are metrics, and the status
    is FINISHED or FAILED.

    Args:
        runs: the recorded runs.
        uri: URI of the tracking server; None for MLFLOW_TRACKING_URI or the default of MLflow.
        experiment: name of the MLflow experiment; it is created if it does not exist.
        progress: called for every run.

    Raises:
        OptionError: MLflow is not installed, or the server reports an error.
    """
    _check_uri(uri or os.environ.get("MLFLOW_TRACKING_URI") or "")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient, get_tracking_uri
    except ModuleNotFoundError:
        raise OptionError("MLflow is not installed. Install it with: pip install 'unlearn-bench[mlflow]'") from None
    try:
        client = MlflowClient(tracking_uri=uri)
        existing = client.get_experiment_by_name(experiment)
        experiment_id = existing.experiment_id if existing else client.create_experiment(experiment)
        sent = _sent_keys(client, experiment_id)
        new = [run for run in runs if run.key not in sent]
        for done, run in enumerate(new):
            progress("runs sent", done, len(new))
            _send(client, experiment_id, run)
        progress("runs sent", len(new), len(new))
        return len(new)
    except (MlflowException, SQLAlchemyError) as problem:
        raise OptionError(_sentence(str(problem), uri or get_tracking_uri())) from None


def _check_uri(uri: str) -> None:
    """Raises OptionError if the URI is a database of this package, to which MLflow would add its own tables."""
    if not uri.startswith("sqlite"):
        return
    with contextlib.suppress(SQLAlchemyError, StoreError):  # a database of MLflow, or MLflow says what is wrong
        engine = create_engine(uri)
        try:
            file = engine.url.database
            if file and Path(file).is_file() and schema.has_runs(engine, uri):
                raise OptionError(f"--uri {uri} is a database of unlearn-bench, and MLflow would change it. {EXAMPLE}")
        finally:
            engine.dispose()


def _sentence(problem: str, uri: str) -> str:
    """Returns what a user can do about an error of MLflow, whose messages are long and give advice of their own."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file") and "tracking backend" in problem:
        file = Path(unquote(parts.path)).resolve().with_suffix(".db")
        return f"This version of MLflow does not write to folders such as {uri}. Give --uri sqlite:///{file}"
    shown = without_password(uri)
    if parts.scheme.split("+")[0] not in SCHEMES:
        return f"MLflow does not know the URI {shown}. {EXAMPLE}"
    if "Max retries exceeded" in problem:
        return f"MLflow at {shown} cannot be reached. Start the server, or check --uri."
    reason = without_password(problem.splitlines()[0])[:LONGEST_REASON].rstrip(".")
    return f"MLflow at {shown} reports an error: {reason}. Check --uri."


def _sent_keys(client: Any, experiment_id: str) -> set[str]:
    """Returns the keys of the runs that the experiment has."""
    keys: set[str] = set()
    token: str | None = ""
    while token is not None:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token or None)
        keys |= {run.data.tags[KEY] for run in page if KEY in run.data.tags}
        token = page.token or None
    return keys


def _send(client: Any, experiment_id: str, run: RunRecord) -> None:
    """Sends a run. It sets the key last, so that the next call repeats an interrupted transfer."""
    started = int(run.finished_at.timestamp() * 1000)
    name = f"{run.method}, forget {run.forget}, seed {run.seed}"
    run_id = client.create_run(experiment_id, start_time=started, run_name=name).info.run_id
    identity = {"method": run.method, "dataset": run.dataset, "forget": run.forget, "seed": run.seed}
    identity |= {"profile": run.profile, "scenario": run.scenario}
    for name, value in {**identity, **{f"option.{name}": value for name, value in run.options.items()}}.items():
        client.log_param(run_id, name, str(value)[:LONGEST])
    costs = (
        {}
        if run.model is None
        else {
            "method_seconds": run.model.method_seconds,
            "images": run.model.forward_images + run.model.backward_images,
        }
    )
    for name, value in {**run.values, **costs}.items():
        client.log_metric(run_id, name, value, timestamp=started)
    client.set_tag(run_id, KEY, run.key)
    client.set_terminated(run_id, "FINISHED" if run.status == "done" else "FAILED", end_time=started)
