"""The `cumulet` command: the list of its verbs. Each verb lives in a file of its own and is imported when it is called."""

import importlib

import click

import cumulet

VERBS = {
    "up": "Start a node.",
    "env": "Print the running node's address and keys as export lines.",
    "demo": "Deploy a sample function to the running node and call it.",
    "doctor": "Say what this machine gives: walls, runtimes, limits.",
    "functions": "List, show, deploy and delete functions.",
    "invoke": "Call a function and print what it answers.",
    "urls": "List the addresses of function URLs and deployed APIs.",
    "logs": "Print a function's log; -f follows it.",
    "keys": "Create, list and revoke access keys.",
    "completion": "Print the shell's completion script.",
    "version": "Print the version.",
}


class LazyGroup(click.Group):
    """Finds a verb's command in the module `cumulet.cli.<verb>` by the name `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command = importlib.import_module(f"cumulet.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cumulet.__version__, prog_name="cumulet")
def main() -> None:
    """A serverless cloud on your own machine.

    `cumulet up` starts a node; every other verb talks to it as any AWS client does: by AWS_ENDPOINT_URL and the AWS_* keys of
    the environment, else by what the node wrote into its data folder.
    """
