"""The application that the command files add themselves to."""

import typer

app = typer.Typer(
    name="unlearn-bench",
    help="Did the model forget as if it had been retrained without the forget set?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
