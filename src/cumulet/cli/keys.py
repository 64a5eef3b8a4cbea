"""`cumulet keys`: access keys, through the node's admin path."""

from urllib.parse import quote

import click

from cumulet.cli.output import json_option, show, table
from cumulet.cli.requests import ask_json


@click.group("keys")
def command() -> None:
    """Create, list and revoke access keys."""


@command.command("create")
@click.option("--account", help="A 12-digit account; made when it is new. Default: the caller's.")
@json_option
def create(account: str | None, as_json: bool) -> None:
    """Make a key pair and print it. The secret is shown this once."""
    made = ask_json("POST", "/_cumulet/keys", {"account": account} if account else {})

    def as_text() -> None:
        click.echo(f"export AWS_ACCESS_KEY_ID={made['access_key_id']}")
        click.echo(f"export AWS_SECRET_ACCESS_KEY={made['secret_access_key']}")

    show(made, as_json, as_text)


@command.command("list")
@click.option("--account", help="A 12-digit account. Default: the caller's.")
@json_option
def list_(account: str | None, as_json: bool) -> None:
    """List an account's keys, without their secrets."""
    found = ask_json("GET", "/_cumulet/keys" + (f"?account={quote(account)}" if account else ""))
    rows = [(key["access_key_id"], key["account"], key["principal"], key["status"]) for key in found["keys"]]
    show(found, as_json, lambda: table(("KEY", "ACCOUNT", "PRINCIPAL", "STATUS"), rows))


@command.command("revoke")
@click.argument("access_key_id")
@json_option
def revoke(access_key_id: str, as_json: bool) -> None:
    """Revoke a key: from now on its signatures are refused."""
    done = ask_json("DELETE", f"/_cumulet/keys/{quote(access_key_id, safe='')}")
    show(done, as_json, lambda: click.echo(f"revoked {access_key_id}"))
