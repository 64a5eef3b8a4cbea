"""`cumulet up`: starts a node and stays until it is told to stop."""

import asyncio
import errno
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cumulet.cli.client import Address, default_data, write_address
from cumulet.cli.output import EXIT_FAILED, fail
from cumulet.core.settings import DEFAULT_KEEP_ALIVE, DEFAULT_PORT, NetworkPolicy, Settings, TlsSettings, WallSettings

if TYPE_CHECKING:
    from cumulet.server import Node


def _key_pair(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    key_id, colon, secret = value.partition(":")
    if not (colon and key_id and secret):
        raise click.BadParameter("must be ID:SECRET")
    return key_id, secret


def _certificate(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[Path, Path] | None:
    """CERT:KEY; None for `local`."""
    if value is None or value == "local":
        return None
    chain, colon, key = value.rpartition(":")
    if not (colon and chain and key):
        raise click.BadParameter("must be local or CERT:KEY")
    return Path(chain), Path(key)


def _keep_alive(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"hybrid|fixed:[0-9]{1,7}", value):
        raise click.BadParameter("must be hybrid or fixed:SECONDS")
    return value


@click.command("up")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, envvar="CUMULET_PORT", show_default=True, help="0: a free one."
)
@click.option(
    "--url-style",
    type=click.Choice(["auto", "host", "path"]),
    default="auto",
    envvar="CUMULET_URL_STYLE",
    show_default=True,
    help="How addresses of APIs and function URLs are told; auto: host where this machine resolves names under localhost.",
)
@click.option(
    "--tls-port", type=click.IntRange(0, 65535), envvar="CUMULET_TLS_PORT", help="Answer HTTPS (and HTTP/2) here. 0: a free one."
)
@click.option(
    "--tls",
    callback=_certificate,
    envvar="CUMULET_TLS",
    metavar="local|CERT:KEY",
    help="The certificate chain and key, PEM; local: made by the node. [default: local]",
)
@click.option(
    "--tls-certs", type=click.Path(file_okay=False, path_type=Path), help="Folder of further certificates, chosen by name (SNI)."
)
@click.option("--tls-only", is_flag=True, help="Plain HTTP on loopback alone; tell addresses as https.")
@click.option("--no-compression", is_flag=True, help="Function URLs and HTTP APIs answer uncompressed, as they do on AWS.")
@click.option(
    "--integration-timeout",
    type=click.FloatRange(0.05, 3600),
    envvar="CUMULET_INTEGRATION_TIMEOUT",
    help="Seconds that the integration of an API may take when it does not say itself. [default: 29; HTTP APIs: 30]",
)
@click.option(
    "--client-connections",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Connections, and requests at once, of one address; this machine's own are not counted.",
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder. [env: CUMULET_DATA]")
@click.option(
    "--root-key", callback=_key_pair, envvar="CUMULET_ROOT_KEY", metavar="ID:SECRET", help="Key pair of account 000000000000."
)
@click.option(
    "--durability",
    type=click.Choice(["sync", "os"]),
    default="sync",
    show_default=True,
    help="sync: an acknowledged write survives power loss; os: it survives kill -9 of the node.",
)
@click.option("--in-memory", is_flag=True, help="Keep nothing on disk: for tests.")
@click.option("--strict-runtimes", is_flag=True, help="Refuse a runtime version that this machine lacks.")
@click.option("--strict-urls", is_flag=True, help="Function URLs of AuthType NONE want the resource policy that AWS wants.")
@click.option("--shells", type=click.IntRange(min=0), default=4, show_default=True, help="Node.js, Java and Ruby started ahead.")
@click.option("--memory-budget-mb", type=click.IntRange(min=128), help="Bound on what all live environments take together.")
@click.option(
    "--account-concurrency", type=click.IntRange(0), default=1000, show_default=True, help="Executions at once, each account."
)
@click.option(
    "--keep-alive",
    default=DEFAULT_KEEP_ALIVE,
    show_default=True,
    callback=_keep_alive,
    metavar="fixed:SECONDS|hybrid",
    help="How long idle environments stay.",
)
@click.option("--limits", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Limits of accounts: a TOML file.")
@click.option(
    "--websocket-idle", type=click.FloatRange(1), default=600, show_default=True, help="Seconds a WebSocket client may be silent."
)
@click.option("--websocket-life", type=click.FloatRange(1), default=7200, show_default=True, help="Seconds it may stay at all.")
@click.option(
    "--network",
    type=click.Choice(["none", "platform", "egress", "host"]),
    envvar="CUMULET_NETWORK",
    help="What functions reach. [default: egress where this machine can give it, else platform]",
)
@click.option(
    "--network-most",
    type=click.Choice(["none", "platform", "egress", "host"]),
    envvar="CUMULET_NETWORK_MOST",
    help="The widest that a function may choose for itself. [default: --network]",
)
@click.option(
    "--isolation", type=click.Choice(["process", "gvisor"]), default="process", show_default=True, help="The kind of wall."
)
@click.option(
    "--allow-weak-wall", is_flag=True, envvar="CUMULET_ALLOW_WEAK_WALL", help="Start also where a part of the wall cannot be had."
)
@click.option("--demo", is_flag=True, help="Deploy a sample function once the node answers, and call it.")
@click.option("--quiet", is_flag=True, help="No request log on stderr.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    help="The node's own log: auto is text on a terminal, JSON elsewhere.",
)
def command(
    host: str,
    port: int,
    url_style: Literal["auto", "host", "path"],
    tls_port: int | None,
    tls: tuple[Path, Path] | None,
    tls_certs: Path | None,
    tls_only: bool,
    no_compression: bool,
    integration_timeout: float | None,
    client_connections: int,
    data: Path | None,
    root_key: tuple[str, str] | None,
    durability: Literal["sync", "os"],
    in_memory: bool,
    strict_runtimes: bool,
    strict_urls: bool,
    shells: int,
    memory_budget_mb: int | None,
    account_concurrency: int,
    keep_alive: str,
    limits: Path | None,
    websocket_idle: float,
    websocket_life: float,
    network: NetworkPolicy | None,
    network_most: NetworkPolicy | None,
    isolation: Literal["process", "gvisor"],
    allow_weak_wall: bool,
    demo: bool,
    quiet: bool,
    log_format: Literal["auto", "json", "text"],
) -> None:
    """Start a node. Prints its keys as export lines, then `ready URL` once it answers. Ctrl-C drains and stops it."""
    import gc

    gc.disable()  # until the node is ready: a start makes much, and little garbage
    import uvloop

    from cumulet.runtimes.wall import WallRefused
    from cumulet.server import serve
    from cumulet.store.open import StoreRefused
    from cumulet.tenancy.quotas import QuotaError

    if tls_port is None and (tls or tls_certs or tls_only):
        raise click.UsageError("--tls, --tls-certs and --tls-only want a --tls-port")
    settings = Settings(
        data=(data or default_data()).absolute(),
        host=host,
        port=port,
        tls=TlsSettings(tls_port, tls, tls_certs, tls_only) if tls_port is not None else None,
        is_compressing=not no_compression,
        integration_timeout_s=integration_timeout,
        client_connections=client_connections,
        url_style=url_style,
        root_key=root_key,
        durability=durability,
        strict_runtimes=strict_runtimes,
        strict_urls=strict_urls,
        shells=shells,
        store="memory" if in_memory else "embedded",
        memory_budget_mb=memory_budget_mb,
        websocket_idle_s=websocket_idle,
        websocket_life_s=websocket_life,
        wall=WallSettings(isolation, allow_weak_wall, network, network_most),
        log_format=("text" if os.isatty(2) else "json") if log_format == "auto" else log_format,
        account_concurrency=account_concurrency,
        keep_alive=keep_alive,
        limits=limits,
    )
    if quiet:
        logging.getLogger("cumulet.access").disabled = True

    def on_ready(node: "Node") -> None:
        address = Address(node.endpoint, *node.root_key)
        write_address(settings.data, address)
        click.echo(address.export_lines())
        click.echo(f"# data {settings.data} ({settings.store}, durability {settings.durability})")
        click.echo(f"# network {node.network}")
        if node.weakness:
            click.secho(f"WARNING: the wall is weak. {node.weakness}", fg="red", bold=True, err=True)
        if node.front.tls_endpoint:
            told = f", signed by {node.front.authority}" if node.front.authority else ""
            click.echo(f"# tls {node.front.tls_endpoint}{told}")
        click.echo(f"ready {node.endpoint}")
        if demo:
            _call_demo_beside(address)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, on_ready))
    except (StoreRefused, WallRefused, QuotaError, OSError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        fail(f"{error}{'. Another node? --port chooses another port, 0 a free one.' if is_taken else ''}", EXIT_FAILED)


def _call_demo_beside(address: Address) -> None:
    """Run `cumulet demo` in a process of its own: it is a client like any other, and this loop must go on answering it."""
    import subprocess
    import sys

    environment = os.environ | {
        "AWS_ENDPOINT_URL": address.endpoint,
        "AWS_ACCESS_KEY_ID": address.access_key_id,
        "AWS_SECRET_ACCESS_KEY": address.secret_access_key,
    }
    subprocess.Popen([sys.executable, "-m", "cumulet.cli", "demo"], env=environment)
