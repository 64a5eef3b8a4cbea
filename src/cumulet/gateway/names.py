"""How a function URL is spelled so that the machine can resolve it."""

import asyncio
import socket


async def resolves_localhost_names() -> bool:
    """Whether this machine finds names below `localhost`: many do, plain glibc without a resolver's help does not."""
    try:
        found = await asyncio.to_thread(socket.getaddrinfo, "probe.lambda-url.us-east-1.localhost", 80, socket.AF_INET)
    except OSError:
        return False
    return any(address[4][0] == "127.0.0.1" for address in found)


def function_url(url_id: str, region: str, endpoint: str, *, is_host_style: bool) -> str:
    """`http://ID.lambda-url.REGION.localhost:PORT/`, or `http://HOST:PORT/_aws/lambda-url/ID/`, with the slash."""
    scheme, _, host = endpoint.partition("://")
    if is_host_style:
        _, colon, port = host.partition(":")
        return f"{scheme}://{url_id}.lambda-url.{region}.localhost{colon}{port}/"
    return f"{scheme}://{host}/_aws/lambda-url/{url_id}/"
