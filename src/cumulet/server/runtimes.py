"""What runs functions: packages of code, interpreters that stand ready, and what functions reach on the network."""

import os
from urllib.parse import urlsplit

from cumulet.core.settings import Settings
from cumulet.gateway.http import HttpServer
from cumulet.runtimes.networks import Networks
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.server.ground import Ground


def make_runtimes(ground: Ground, networks: Networks) -> NodeRuntimes:
    """To be opened, and closed."""
    settings = ground.settings
    return NodeRuntimes(
        settings.data / "run",
        PackageCache(settings.data / "packages", ground.store.blobs),
        is_strict=settings.strict_runtimes,
        most_shells=settings.shells,
        most_memory_mb=memory_budget_mb(settings),
        quotas=ground.quotas,
        networks=networks,
    )


def make_networks(settings: Settings, http: HttpServer, endpoint: str) -> Networks:
    """What functions reach; the node answers in every jail at its own port."""
    port = urlsplit(endpoint).port
    return Networks(settings.wall.network, settings.wall.network_most, port=port or 0, accept=http.adopt)


def memory_budget_mb(settings: Settings) -> int:
    """What all environments may take together: as told, else three quarters of what the machine has."""
    machine_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    return settings.memory_budget_mb or machine_mb * 3 // 4
