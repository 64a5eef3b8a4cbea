"""Other servers that speak DynamoDB, started for a comparison in one run. `tables_peers.sh` puts them into a folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_S = 90


def _dynalite(home: Path, port: int, _data: str) -> list[str]:
    return [
        "node",
        str(home / "js/node_modules/dynalite/cli.js"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--createTableMs",
        "0",
    ]


def _dynamodb_local(home: Path, port: int, _data: str) -> list[str]:
    emulator = home / "js/node_modules/amplify-dynamodb-simulator/emulator"
    library = f"-Djava.library.path={emulator}/DynamoDBLocal_lib"
    return ["java", library, "-jar", str(emulator / "DynamoDBLocal.jar"), "-port", str(port), "-sharedDb"]


def _moto(home: Path, port: int, _data: str) -> list[str]:
    return [str(home / "moto/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)]


PEERS: dict[str, Callable[[Path, int, str], list[str]]] = {
    "dynalite": _dynalite,
    "dynalite --path": lambda home, port, data: [*_dynalite(home, port, data), "--path", data],
    "DynamoDB Local": lambda home, port, data: [*_dynamodb_local(home, port, data), "-inMemory"],
    "DynamoDB Local, on disk": lambda home, port, data: [*_dynamodb_local(home, port, data), "-dbPath", data],
    "ministack": lambda home, _port, _data: [str(home / "mini/bin/ministack")],
    "moto server": _moto,
}


class Peer:
    """One of them, with a folder of its own for data; `url` answers when it is made. Ended by its own process id."""

    def __init__(self, name: str, home: Path):
        self.name = name
        self.folder = tempfile.mkdtemp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        environment = os.environ | {"GATEWAY_PORT": str(self.port)}
        command = PEERS[name](home.resolve(), self.port, self.folder)
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def __enter__(self) -> "Peer":
        until = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                self.__exit__()
                raise SystemExit(f"{self.name} did not start")
            time.sleep(0.2)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                return connection.recv(5) == b"HTTP/"
        except OSError:
            return False

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
