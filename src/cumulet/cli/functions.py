"""`cumulet functions`: what is deployed, and a short way to deploy a file or a folder."""

import contextlib
import io
import os
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import click

from cumulet.cli.client import client, told_plainly
from cumulet.cli.output import EXIT_FAILED, fail, json_option, show, table

ROLE = "cumulet-functions"
_SKIPPED = {".git", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache"}


@click.group("functions")
def command() -> None:
    """List, show, deploy and delete functions."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the functions of the account in the region."""
    with told_plainly():
        pages = client("lambda").get_paginator("list_functions").paginate()
        found = [function for page in pages for function in page["Functions"]]
    rows = [
        (f["FunctionName"], f.get("Runtime", "-"), f"{f['MemorySize']} MB", f"{f['Timeout']} s", f["LastModified"]) for f in found
    ]
    show(found, as_json, lambda: table(("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "MODIFIED"), rows))


@command.command("show")
@click.argument("name")
@json_option
def show_(name: str, as_json: bool) -> None:
    """Show one function's configuration."""
    with told_plainly():
        found = client("lambda").get_function_configuration(FunctionName=name)
    found.pop("ResponseMetadata")
    show(found, as_json, lambda: table(("KEY", "VALUE"), sorted(found.items())))


@command.command("delete")
@click.argument("name")
@json_option
def delete(name: str, as_json: bool) -> None:
    """Delete a function with all its versions."""
    with told_plainly():
        client("lambda").delete_function(FunctionName=name)
    show({"deleted": name}, as_json, lambda: click.echo(f"deleted {name}"))


@command.command("deploy")
@click.argument("name")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--runtime", help="Default: by what SOURCE holds.")
@click.option("--handler", help="Default: FILE.handler.")
@click.option("--memory-mb", type=int, default=128, show_default=True)
@click.option("--timeout-s", type=int, default=10, show_default=True)
@click.option("--env", "variables", multiple=True, metavar="KEY=VALUE")
@click.option("--url", "with_url", is_flag=True, help="Give it a public function URL.")
@json_option
def deploy(
    name: str,
    source: Path,
    runtime: str | None,
    handler: str | None,
    memory_mb: int,
    timeout_s: int,
    variables: tuple[str, ...],
    with_url: bool,
    as_json: bool,
) -> None:
    """Create or update the function NAME from SOURCE: a file, a folder or a zip archive."""
    guessed_runtime, guessed_handler = _guess(source)
    configuration = {
        "Runtime": runtime or guessed_runtime,
        "Handler": handler or guessed_handler,
        "MemorySize": memory_mb,
        "Timeout": timeout_s,
        "Environment": {"Variables": dict(_pair(text) for text in variables)},
    }
    with told_plainly():
        made = put_function(client("lambda"), name, archive_of(source), configuration)
        url = put_url(client("lambda"), name) if with_url else None
    document = {"FunctionArn": made["FunctionArn"], "Version": made["Version"], "Url": url}
    show(document, as_json, lambda: click.echo(f"{made['FunctionArn']}" + (f"\n{url}" if url else "")))


def put_function(lambda_client: Any, name: str, archive: bytes, configuration: dict[str, Any]) -> Any:
    """Create the function, or update its code and configuration when it is there."""
    try:
        made = lambda_client.create_function(
            FunctionName=name, Role=f"arn:aws:iam::000000000000:role/{ROLE}", Code={"ZipFile": archive}, **configuration
        )
    except lambda_client.exceptions.ResourceConflictException:
        lambda_client.update_function_configuration(FunctionName=name, **configuration)
        lambda_client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        made = lambda_client.update_function_code(FunctionName=name, ZipFile=archive)
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return made


def put_url(lambda_client: Any, name: str) -> str:
    """The function's public URL, made when it has none, with the permissions that AWS's console gives it."""
    taken = lambda_client.exceptions.ResourceConflictException
    try:
        made = lambda_client.create_function_url_config(FunctionName=name, AuthType="NONE")
    except taken:
        return str(lambda_client.get_function_url_config(FunctionName=name)["FunctionUrl"])
    for statement in (
        {"StatementId": "public-url", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"StatementId": "public-invoke", "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ):
        with contextlib.suppress(taken):
            lambda_client.add_permission(FunctionName=name, Principal="*", **statement)
    return str(made["FunctionUrl"])


def archive_of(source: Path) -> bytes:
    """A zip archive of a file or a folder, with its executable bits; an archive as it is."""
    if source.suffix == ".zip":
        return source.read_bytes()
    folder = source.parent if source.is_file() else source
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    files = [path for path in paths if not _SKIPPED & set(path.relative_to(folder).parts)]
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        click.progressbar(files, label="Packing", file=sys.stderr, hidden=len(files) < 500) as bar,
    ):
        for path in bar:
            _add(archive, path, str(path.relative_to(folder)))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name)  # a fixed date, so that the same code makes the same archive
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | (0o755 if os.access(path, os.X_OK) else 0o644)) << 16
    archive.writestr(entry, path.read_bytes())


def _guess(source: Path) -> tuple[str, str]:
    names = [source.name] if source.is_file() else sorted(path.name for path in source.iterdir())
    if "bootstrap" in names:
        return "provided.al2023", "bootstrap"
    known = {".py": f"python3.{sys.version_info.minor}", ".js": "nodejs22.x", ".mjs": "nodejs22.x", ".cjs": "nodejs22.x"}
    likely = sorted(
        (n for n in names if Path(n).suffix in known), key=lambda n: Path(n).stem not in ("handler", "index", "main", "app")
    )
    if not likely:
        fail(f"cannot tell what {source} is: give --runtime and --handler", EXIT_FAILED)
    chosen = Path(likely[0])
    return known[chosen.suffix], f"{chosen.stem}.handler"


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key, value
