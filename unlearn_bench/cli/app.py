"""The typer application that every command file adds its command to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

METHODS_FOLDER = Path(__file__).parent.parent / "methods"


class MethodCommand(TyperCommand):
    """``unlearn-bench METHOD``: the same as ``run --method METHOD``, with the method's recipe as its help."""

    method = ""

    def invoke(self, ctx: Any) -> Any:
        """Runs the method."""
        ctx.params["method"] = self.method
        return super().invoke(ctx)

    def get_help(self, ctx: Any) -> str:
        """Returns the recipe, and below it the options of ``run``."""
        from unlearn_bench.cli.catalogue import describe_entry
        from unlearn_bench.config.benchmarks import load

        options_help = super().get_help(ctx)
        recipe = describe_entry(self.method, load())
        return f"{recipe}\n\nSet a hyper-parameter with --set NAME=VALUE.\n\n{options_help}"


class CommandGroup(TyperGroup):
    """All commands; each method in ``methods/`` is also a command."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns the command of that name, or None.

        A method is recognised by its file name, because importing the methods would import torch.
        """
        command = super().get_command(ctx, cmd_name)
        if command is not None or not cmd_name.isidentifier() or not (METHODS_FOLDER / f"{cmd_name}.py").is_file():
            return command
        run: Any = copy.copy(super().get_command(ctx, "run"))
        run.__class__ = MethodCommand
        run.method, run.name = cmd_name, cmd_name
        run.params = [parameter for parameter in run.params if parameter.name != "method"]
        return run


app = typer.Typer(
    name="unlearn-bench",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Debugging:
    """Whether an error shows its traceback; ``--debug`` turns it on."""

    on = False


def _print_version(wanted: bool) -> None:
    if wanted:
        from unlearn_bench.core.environment import code_version

        typer.echo(f"unlearn-bench {code_version()}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Measure whether a model has forgotten as if it had been retrained without the forget set."""
    Debugging.on = debug
