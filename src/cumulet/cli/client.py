"""Finding the node and talking to it as any AWS client does."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cumulet.cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, fail

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node answers, and a key pair for it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = DEFAULT_REGION

    def export_lines(self) -> str:
        """What a POSIX shell evaluates to point every AWS client at the node."""
        return "\n".join(
            (
                f"export AWS_ENDPOINT_URL={self.endpoint}",
                f"export AWS_ACCESS_KEY_ID={self.access_key_id}",
                f"export AWS_SECRET_ACCESS_KEY={self.secret_access_key}",
                f"export AWS_REGION={self.region} AWS_DEFAULT_REGION={self.region}",
            )
        )


def default_data() -> Path:
    """`$CUMULET_DATA`, else `$XDG_DATA_HOME/cumulet`, else `~/.local/share/cumulet`."""
    chosen = os.environ.get("CUMULET_DATA")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "cumulet"


def write_address(data: Path, address: Address) -> None:
    """Leave the address in the data folder, readable by its owner alone."""
    path = data / "node.json"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(address), file)


def find_address() -> Address:
    """From the environment when it names an endpoint and keys, else what the node left in the data folder. Exits when neither."""
    env = os.environ
    endpoint, key, secret = env.get("AWS_ENDPOINT_URL"), env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    if endpoint and key and secret:
        return Address(endpoint, key, secret, region)
    path = default_data() / "node.json"
    try:
        return Address(**(json.loads(path.read_text()) | {"region": region}))
    except FileNotFoundError:
        fail(
            f"no node found: neither AWS_ENDPOINT_URL and keys are set nor is there {path}. Start one: cumulet up", EXIT_UNREACHABLE
        )
    except (OSError, ValueError, TypeError) as error:
        fail(f"{path} cannot be used: {error}", EXIT_UNREACHABLE)


def client(service: str, address: Address | None = None) -> Any:
    """A boto3 client of the node, without retries on refusals: a person is waiting."""
    import boto3
    from botocore.config import Config

    address = address or find_address()
    return boto3.client(
        service,
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.access_key_id,
        aws_secret_access_key=address.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=930, connect_timeout=5),
    )


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turns what clients raise into one line and an exit code."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        fail(f"{details.get('Code', 'error')}: {details.get('Message', error)}", EXIT_REFUSED)
    except EndpointConnectionError as error:
        fail(f"no node answers: {error}", EXIT_UNREACHABLE)
    except BotoCoreError as error:
        fail(str(error), EXIT_UNREACHABLE)
