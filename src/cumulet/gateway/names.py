"""How the addresses of function URLs and APIs are spelled, so that the machine that reads them can resolve them."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Literal

UrlStyle = Literal["auto", "host", "path"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the node's APIs tell as addresses. `endpoint` is `http://HOST:PORT`, where clients reach the node.

    Host style is `http://ID.execute-api.REGION.localhost:PORT`, path style `http://HOST:PORT/_aws/execute-api/ID`; the node answers
    both, whichever it tells.
    """

    endpoint: str
    is_host_style: bool

    def function_url(self, url_id: str, region: str) -> str:
        """With the slash that AWS puts at the end."""
        return self._below("lambda-url", url_id, region) + "/"

    def api_endpoint(self, api_id: str, region: str, stage: str = "", scheme: Literal["http", "ws"] = "http") -> str:
        """Without a slash at the end; the stage is a part of the path. The scheme's secure form (`https`, `wss`) follows the
        endpoint's."""
        told = self._below("execute-api", api_id, region)
        if scheme == "ws":
            told = "ws" + told.removeprefix("http")
        return f"{told}/{stage}" if stage else told

    def _below(self, kind: str, name: str, region: str) -> str:
        if not self.is_host_style:
            return f"{self.endpoint}/_aws/{kind}/{name}"
        scheme, _, host = self.endpoint.partition("://")
        _, colon, port = host.rpartition("]")[2].partition(":")
        return f"{scheme}://{name}.{kind}.{region}.localhost{colon}{port}"


async def find_addresses(endpoint: str, style: UrlStyle, *, is_local: bool) -> Addresses:
    """Of a node at `endpoint`, which only clients of this machine reach when `is_local`. Left to choose (`auto`), names are told
    where this machine resolves them; a client elsewhere would ask its own machine."""
    if style == "auto":
        return Addresses(endpoint, is_local and await resolves_localhost_names())
    return Addresses(endpoint, style == "host")


async def resolves_localhost_names() -> bool:
    """Whether this machine finds names below `localhost`: many do, plain glibc without a resolver's help does not."""
    try:
        found = await asyncio.to_thread(socket.getaddrinfo, "probe.lambda-url.us-east-1.localhost", 80, socket.AF_INET)
    except OSError:
        return False
    return any(address[4][0] == "127.0.0.1" for address in found)
