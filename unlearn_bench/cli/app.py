"""The application that the command files add themselves to."""

from typing import Annotated

import typer

app = typer.Typer(
    name="unlearn-bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Debugging:
    """Whether a traceback is shown of every error."""

    on = False


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Measure whether a model forgot as if it had been retrained without the forget set."""
    Debugging.on = debug
