"""The application that the command files add themselves to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

METHODS = Path(__file__).parent.parent / "methods"


class MethodCommand(TyperCommand):
    """``unlearn-bench METHOD``: ``run --method METHOD``, whose help is the method's exact recipe."""

    method = ""

    def invoke(self, ctx: Any) -> Any:
        """Runs the method."""
        ctx.params["method"] = self.method
        return super().invoke(ctx)

    def get_help(self, ctx: Any) -> str:
        """Returns the recipe, and below it the options of ``run``."""
        from unlearn_bench.catalogue import describe_entry
        from unlearn_bench.config import load

        usual = super().get_help(ctx)
        return f"{describe_entry(self.method, load())}\n\nHyper-parameters are given by --set NAME=VALUE.\n\n{usual}"


class Commands(TyperGroup):
    """The commands, and every method of ours as one."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command by its name; of a method, found by its file so that nothing slow is imported."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or not cmd_name.isidentifier() or not (METHODS / f"{cmd_name}.py").is_file():
            return found
        run: Any = copy.copy(super().get_command(ctx, "run"))
        run.__class__ = MethodCommand
        run.method, run.name = cmd_name, cmd_name
        run.params = [parameter for parameter in run.params if parameter.name != "method"]
        return run


app = typer.Typer(
    name="unlearn-bench",
    cls=Commands,
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
