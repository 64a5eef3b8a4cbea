"""Network namespaces for jails: which policy a function gets, namespaces made ahead, and the node's ear in each of them.

A namespace costs a millisecond, most of it with a lock of the kernel's held: those of the policy that most functions have stand
ready. All are made in one thread of the node's, the only one that ever leaves the machine's own namespace.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cumulet.core.settings import NetworkPolicy
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.wall import WallRefused
from cumulet.sandbox import egress, network
from cumulet.sandbox.network import POLICIES

VARIABLE = "CUMULET_NETWORK"
"""The function's own variable in which it asks for a policy."""
Accept = Callable[[socket.socket, Callable[[], None]], None]
"""Serves a connection from inside a jail; calls back when it is closed."""

_READY = 12
_MOST_CONNECTIONS = 256
"""From one jail to the node at once: others have to be served too."""


@dataclass(slots=True)
class Ear:
    """The socket on which the node listens in one jail."""

    listener: socket.socket
    accept: Accept
    connections: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def open(self) -> None:
        self._loop.add_reader(self.listener.fileno(), self._on_connection)

    def close(self) -> None:
        if self.listener.fileno() >= 0:
            self._loop.remove_reader(self.listener.fileno())
            self.listener.close()

    def _on_connection(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:  # who called has hung up, or the node has no descriptors left: the next turn tries again
            return
        self.connections += 1
        if self.connections == _MOST_CONNECTIONS:
            self._loop.remove_reader(self.listener.fileno())  # the rest wait in line, in the jail's own backlog
        connection.setblocking(False)
        self.accept(connection, self._on_closed)

    def _on_closed(self) -> None:
        self.connections -= 1
        if self.connections == _MOST_CONNECTIONS - 1 and self.listener.fileno() >= 0:
            self.open()


@dataclass(slots=True)
class Network:
    """One jail's. `namespace` is to be passed on and closed by `let_go`; -1 when the jail makes its own, with an ear at `ear_port`,
    or has the machine's."""

    policy: NetworkPolicy
    namespace: int = -1
    ear: Ear | None = None
    ear_port: int = 0

    @property
    def source(self) -> str:
        """Where the jail gets it from, as `sandbox.jail.Jail` names it."""
        return "host" if self.policy == "host" else "given" if self.namespace >= 0 else "own"

    def let_go(self) -> None:
        """The jail stands in it, or never will: the namespace lives as long as what is in it."""
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1

    def close(self) -> None:
        self.let_go()
        if self.ear is not None:
            self.ear.close()


class Networks:
    """Makes networks for jails. `wanted` None: `egress` where this machine can give it, else `platform`.

    `most` is the widest policy that a function may choose; None: the default. Without `accept` nobody listens.
    """

    def __init__(
        self,
        wanted: NetworkPolicy | None = "platform",
        most: NetworkPolicy | None = None,
        *,
        port: int = 0,
        accept: Accept | None = None,
    ) -> None:
        """`port` is where the node listens, outside and in every jail."""
        self.default: NetworkPolicy = wanted or "platform"
        self.reason = ""
        self._port = port
        self._wanted = wanted
        self._most = most
        self._accept = accept
        self._is_made_here = os.getuid() == 0
        self._thread = ThreadPoolExecutor(1, "networks")
        self._router: egress.Router | None = None
        self._ready: deque[Network] = deque()
        self._filling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises WallRefused."""
        loop = asyncio.get_running_loop()
        if self._wanted == "host" and self._most in (None, "host"):
            return
        try:
            await loop.run_in_executor(self._thread, _probe if self._is_made_here else lambda: None)
        except OSError as error:
            raise WallRefused(f"this machine gives no network namespaces ({error}); --network host does without") from None
        if self._wanted is None or "egress" in (self._wanted, self._most):
            await loop.run_in_executor(self._thread, egress.sweep_stale)
            try:
                self._router = await loop.run_in_executor(self._thread, _make_router, self._wanted is not None)
                self.default = self._wanted or "egress"
            except egress.EgressUnavailable as error:
                self.reason = str(error)
                if self._wanted is not None:
                    raise WallRefused(f"no egress: {error}") from None
        if self._is_made_here:
            self._fill_soon()

    @property
    def most(self) -> NetworkPolicy:
        return self._most or self.default

    def policy_of(self, spec: FunctionSpec) -> tuple[NetworkPolicy, str]:
        """The function's policy, and a note when that is not the one it asks for."""
        wish = spec.environment.get(VARIABLE)
        if wish is None:
            return self.default, ""
        if wish not in POLICIES:
            return "none", f"{VARIABLE}={wish} is none of {', '.join(POLICIES)}: the function has no network"
        if POLICIES.index(wish) <= POLICIES.index(self.most):
            return POLICIES_BY_NAME[wish], ""
        return self.most, f"{VARIABLE}={wish} is wider than this node allows: the function has {self.most}"

    def endpoint_of(self, policy: NetworkPolicy, endpoint: str) -> str:
        """Where a function reaches the node, "" where it cannot."""
        if policy == "none":
            return ""
        return endpoint if policy == "host" or self._accept is None else f"http://127.0.0.1:{self._port}"

    def hear(self, network: Network, listener: socket.socket) -> None:
        """A jail has made its own namespace, and this is the node's ear in it."""
        assert self._accept is not None
        network.ear = Ear(listener, self._accept)
        network.ear.open()

    def __str__(self) -> str:
        """As a node says it when it starts."""
        told: list[str] = [self.default]
        if self.reason:
            told.append(f"(no egress: {self.reason})")
        if self.most != self.default:
            told.append(f"(functions may choose up to {self.most})")
        return " ".join(told)

    async def take(self, policy: NetworkPolicy) -> Network:
        """Raises OSError."""
        if policy == "host":
            return Network(policy)
        if not self._is_made_here:
            return Network(policy, ear_port=self._port if policy != "none" and self._accept is not None else 0)
        if policy == self.default:
            self._fill_soon()
            if self._ready:
                return self._ready.popleft()
        return await self._make(policy)

    async def close(self) -> None:
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        for ready in self._ready:
            ready.close()
        self._ready.clear()
        if self._router is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._router.close)
            self._router = None
        self._thread.shutdown()

    def _fill_soon(self) -> None:
        if self._filling is None and len(self._ready) < _READY:
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        try:
            while len(self._ready) < _READY:
                self._ready.append(await self._make(self.default))
        except OSError:
            pass  # who wants one tries again, and is told
        finally:
            self._filling = None

    async def _make(self, policy: NetworkPolicy) -> Network:
        port = self._port if policy != "none" and self._accept is not None else None
        router = self._router if policy == "egress" else None
        making = asyncio.get_running_loop().run_in_executor(self._thread, _make, port, router)
        try:
            namespace, listener = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_close_made)
            raise
        made = Network(policy, namespace)
        if listener is not None:
            self.hear(made, listener)
        return made


POLICIES_BY_NAME: dict[str, NetworkPolicy] = {"none": "none", "platform": "platform", "egress": "egress", "host": "host"}


def _make(port: int | None, router: egress.Router | None) -> tuple[int, socket.socket | None]:
    """In the thread."""
    namespace, listener = network.make(port)
    if router is not None:
        try:
            router.link()
        except OSError:
            os.close(namespace)
            if listener is not None:
                listener.close()
            raise
    return namespace, listener


def _close_made(making: "asyncio.Future[tuple[int, socket.socket | None]]") -> None:
    if not making.cancelled() and making.exception() is None:
        namespace, listener = making.result()
        os.close(namespace)
        if listener is not None:
            listener.close()


def _make_router(is_asked_for: bool) -> egress.Router:
    return egress.Router(is_asked_for=is_asked_for)


def _probe() -> None:
    home = network.open_own()
    network.enter_new()
    with contextlib.suppress(OSError):
        network.enter(home)
    os.close(home)
