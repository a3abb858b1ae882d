"""The command line within the process of a test, for commands that need no process of their own."""

from typer.testing import CliRunner

from unlearn_bench.cli import app


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None, result.exception
    return result.output
