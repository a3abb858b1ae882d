"""Scores of likeness in the database: values of pairs of runs, a model's and that of its retrained model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, aliased

from unlearn_bench.core.errors import StoreError
from unlearn_bench.store.database import Database
from unlearn_bench.store.records import ComparisonRecord
from unlearn_bench.store.tables import ComparisonRow, LikenessRow, RunRow

Pair = tuple[str, str]  # keys of a run and of its reference
ROLES = ("run_id", "reference_id")  # columns
Values = dict[str, float | None]  # by name; None where the score has no value for two models


def record_likeness(
    store: Database, pair: Pair, scores: Sequence[ComparisonRecord], values: Mapping[str, float | None]
) -> None:
    """Writes the values of a pair of runs in one transaction, in place of older ones of the same scores.

    Raises:
        StoreError: one of the runs is no longer recorded.
    """

    def put(session: Session) -> None:
        query = select(RunRow.key, RunRow.id).where(RunRow.key.in_(pair))
        found = {row.key: row.id for row in session.execute(query)}
        if len(found) < len(set(pair)):
            raise StoreError("A run was replaced while it was compared. Run the same command again.")
        run, reference = (found[key] for key in pair)
        for score in sorted(scores, key=lambda score: score.name):  # always in one order, to avoid deadlocks
            session.merge(ComparisonRow(**asdict(score)))
        session.flush()
        for score in scores:
            session.merge(
                LikenessRow(
                    run_id=run,
                    reference_id=reference,
                    comparison=score.name,
                    version=score.version,
                    value=values[score.name],
                )
            )

    store.write(put)


def likeness_of(store: Database, keys: Sequence[str]) -> dict[Pair, Values]:
    """Returns the recorded values of the runs with these keys, by pair, of the recorded version of each score."""
    run, reference = aliased(RunRow), aliased(RunRow)
    query = select(run.key, reference.key, LikenessRow.comparison, LikenessRow.value)
    query = query.join(run, run.id == LikenessRow.run_id).join(reference, reference.id == LikenessRow.reference_id)
    query = query.join(ComparisonRow, ComparisonRow.name == LikenessRow.comparison)
    query = query.where(LikenessRow.version == ComparisonRow.version)
    values: dict[Pair, Values] = defaultdict(dict)
    with store.session() as session:
        for start in range(0, len(keys), 500):  # databases limit the number of parameters per statement
            for key, other, name, value in session.execute(query.where(run.key.in_(keys[start : start + 500]))):
                values[key, other][name] = value
    return dict(values)


def comparison_records(store: Database) -> dict[str, ComparisonRecord]:
    """Returns the record of every score of likeness that has been computed, by name."""
    columns = [getattr(ComparisonRow, name) for name in ComparisonRecord.__annotations__]
    with store.session() as session:
        records = (ComparisonRecord(*row) for row in session.execute(select(*columns)))
        return {record.name: record for record in records}


def take_likeness(session: Session, run_id: int) -> list[dict[str, Any]]:
    """Removes the values of a run that is about to be replaced, in either role, and returns them without its number."""
    table = LikenessRow.__table__
    involved = or_(table.c.run_id == run_id, table.c.reference_id == run_id)
    taken = [dict(row) for row in session.execute(select(table).where(involved)).mappings()]
    session.execute(delete(LikenessRow).where(involved))
    return [{name: value for name, value in row.items() if name not in ROLES or value != run_id} for row in taken]


def give_likeness(session: Session, taken: Sequence[Mapping[str, Any]], run_id: int) -> None:
    """Adds the values that :func:`take_likeness` returned, for the run that replaced the old one."""
    session.add_all(LikenessRow(**{**dict.fromkeys(ROLES, run_id), **row}) for row in taken)
