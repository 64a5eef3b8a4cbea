"""`cumulet completion`: the script that a shell evaluates."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a SHELL, to be evaluated by it: eval "$(cumulet completion bash)"."""
    root = click.get_current_context().find_root().command
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(root, {}, "cumulet", "_CUMULET_COMPLETE").source())
