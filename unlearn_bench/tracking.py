"""Recorded runs to a tracker that a team has already: one small adapter, MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearn_bench.errors import OptionError
from unlearn_bench.progress import Progress
from unlearn_bench.store.records import RunRecord

KEY = "unlearn_bench.key"  # the tag by which a run is known again
LONGEST = 6000  # characters of a parameter that MLflow takes


def send_to_mlflow(runs: Sequence[RunRecord], uri: str | None, experiment: str, progress: Progress) -> int:
    """Sends the runs that the experiment does not have yet, and returns how many.

    A run becomes one of MLflow's: its options and identity are parameters, its metrics and costs metrics, its status
    MLflow's.

    Args:
        runs: as recorded.
        uri: of the tracking server; None for MLFLOW_TRACKING_URI, or what else MLflow takes by default.
        experiment: name of the experiment there, made where it is missing.
        progress: told of every run.

    Raises:
        OptionError: MLflow is not installed, or the server refuses.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError:
        raise OptionError("MLflow is not installed. Install it with: pip install 'unlearn-bench[mlflow]'") from None
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment)
        known = _known(client, place)
        new = [run for run in runs if run.key not in known]
        for done, run in enumerate(new):
            progress("runs sent", done, len(new))
            _send(client, place, run)
        progress("runs sent", len(new), len(new))
        return len(new)
    except MlflowException as problem:
        reason = str(problem).splitlines()[0]
        raise OptionError(f"MLflow at {uri or 'its default place'} refuses: {reason} Give another --uri.") from None


def _known(client: Any, place: str) -> set[str]:
    known: set[str] = set()
    token: str | None = ""
    while token is not None:
        page = client.search_runs([place], max_results=1000, page_token=token or None)
        known |= {run.data.tags[KEY] for run in page if KEY in run.data.tags}
        token = page.token or None
    return known


def _send(client: Any, place: str, run: RunRecord) -> None:
    """Sends a run; its key is set last, so that one that was cut off is sent again."""
    started = int(run.finished_at.timestamp() * 1000)
    made = client.create_run(place, start_time=started, run_name=f"{run.method}, forget {run.forget}, seed {run.seed}")
    identity = {"method": run.method, "dataset": run.dataset, "forget": run.forget, "seed": run.seed}
    identity |= {"profile": run.profile, "setting": run.spec["experiment"]["setting"]}
    for name, value in {**identity, **{f"option.{name}": value for name, value in run.options.items()}}.items():
        client.log_param(made.info.run_id, name, str(value)[:LONGEST])
    costs = (
        {}
        if run.model is None
        else {
            "method_seconds": run.model.method_seconds,
            "images": run.model.forward_images + run.model.backward_images,
        }
    )
    for name, value in {**run.values, **costs}.items():
        client.log_metric(made.info.run_id, name, value, timestamp=started)
    client.set_tag(made.info.run_id, KEY, run.key)
    client.set_terminated(made.info.run_id, "FINISHED" if run.status == "done" else "FAILED", end_time=started)
