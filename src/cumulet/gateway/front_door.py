"""On which addresses the node answers, with which certificates, and what it tells as its addresses."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cumulet.core.settings import Settings, TlsSettings
from cumulet.gateway.http import HttpServer
from cumulet.gateway.names import Addresses, find_addresses

if TYPE_CHECKING:
    from cumulet.gateway.tls import Certificates

log = logging.getLogger("cumulet.tls")

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """`endpoint` is where programs on this machine reach the node, functions among them; `tls_endpoint` is empty without TLS, and
    `authority` is the certificate to trust when the node makes its own."""

    endpoint: str
    addresses: Addresses
    tls_endpoint: str = ""
    authority: Path | None = None
    certificates: "Certificates | None" = None

    def reload(self) -> None:
        """Read the certificates again; what is wrong with them is logged, and the old ones stay."""
        from cumulet.gateway.tls import TlsRefused

        if self.certificates is None:
            return
        try:
            self.certificates.reload()
            log.info("certificates read again")
        except TlsRefused as refused:
            log.error("the certificates stay as they were: %s", refused)


async def open_front_door(http: HttpServer, settings: Settings, is_domain: Callable[[str], bool]) -> FrontDoor:
    """Take the addresses; nothing is answered yet. `is_domain` says whether a custom domain name is served.

    Raises OSError for an address that cannot be had, TlsRefused for certificates that cannot be used.
    """
    tls, host = settings.tls, settings.host
    is_local = host in (LOOPBACK, "localhost")
    plain_host = LOOPBACK if tls is not None and tls.is_only else host
    endpoint = endpoint_of("http", plain_host, await http.bind(plain_host, settings.port))
    if tls is None:
        return FrontDoor(endpoint, await find_addresses(endpoint, settings.url_style, is_local=is_local))
    certificates, authority = _certificates(tls, settings, is_domain)
    tls_endpoint = endpoint_of("https", host, await http.bind(host, tls.port, certificates.context))
    told = await find_addresses(tls_endpoint if tls.is_only else endpoint, settings.url_style, is_local=is_local)
    return FrontDoor(endpoint, told, tls_endpoint, authority, certificates)


def endpoint_of(scheme: str, host: str, port: int) -> str:
    """Where clients on this machine reach the node; one that listens everywhere is reached through loopback."""
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _certificates(tls: TlsSettings, settings: Settings, is_domain: Callable[[str], bool]) -> "tuple[Certificates, Path | None]":
    # Imported here: a node without TLS starts without them, a tenth of a second sooner.
    from cumulet.gateway.local_authority import LocalAuthority
    from cumulet.gateway.tls import Certificates

    if tls.pair is not None:
        return Certificates(tls.pair, folder=tls.folder), None
    authority = LocalAuthority(settings.data / "tls")
    made = Certificates(None, folder=tls.folder, authority=authority, host=settings.host, is_ours=is_domain)
    return made, authority.ca_path
