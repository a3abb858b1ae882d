"""One summary of one or several tables: each method's mean gap in units of the noise floor, its rank, its cost."""

from unlearn_bench.report.leaderboard.describing import describe, notes_of
from unlearn_bench.report.leaderboard.gathering import leaderboard
from unlearn_bench.report.leaderboard.standings import Leaderboard, Standing

__all__ = ["Leaderboard", "Standing", "describe", "leaderboard", "notes_of"]
