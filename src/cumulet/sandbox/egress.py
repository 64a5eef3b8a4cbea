"""The way out: a router, in a network namespace of its own, between the jails and the machine's uplink.

Every rule is about a packet's address, so no name can lead anywhere else than its address may. From a jail only packets to public
addresses pass; nothing passes between jails, nothing to the router or to the machine itself, and inwards only what was asked for.
The router and all links belong to descriptors of the node and end with it; only a table of the machine's firewall, named after
the node's process, can outlive a killed node, and is removed by the next one.
"""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
from typing import Any, Dict, List, Optional

from cumulet.sandbox import network
from cumulet.sandbox.netlink import Netlink, make_no_addresses, new_address, new_pair, new_route, set_up
from cumulet.sandbox.processes import is_alive, own_name

TABLE = "cumulet_"
REFUSED = (
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carriers' NAT, and metadata services that hide there
    "127.0.0.0/8",
    "168.63.129.16/32",  # a cloud's metadata and key service behind a public address
    "169.254.0.0/16",  # link-local, and nearly all metadata services
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarks; the addresses of jails are among them
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
)
CONNECTIONS = 512
"""Flows at once that one jail may hold in the machine's connection table."""
PACKETS_PER_S, BYTES_PER_S = 20_000, 125_000_000
"""What one jail may send, and a second's worth at once; what comes faster is dropped. Packets of any size cost about the same."""
_JAILS = ipaddress.ip_network("198.19.0.0/16")
_UPLINKS = ipaddress.ip_network("198.18.0.0/16")
_UPLINK, _FIRST_LINK = 2, 16
_JAIL_LINK = 2
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_AS_TEXT: "Dict[str, Any]" = {"universal_newlines": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
_RESOLVER_FILES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")

_ROUTER_RULES = """
table inet router {
    set refused { type ipv4_addr; flags interval; elements = { %(refused)s }; }
    %(resolver_set)s
    %(flow_sets)s
    chain inwards { type filter hook input priority 0; policy drop; }
    chain through {
        type filter hook forward priority 0; policy drop;
        iifname "up" ct state established,related accept
        iifname "up" drop
        meta nfproto != ipv4 drop
        oifname != "up" reject with icmp type admin-prohibited
        %(rate_rules)s
        ct state established,related accept
        %(flow_rule)s
        %(resolver_rule)s
        ip daddr @refused reject with icmp type admin-prohibited
        accept
    }
    chain outwards { type nat hook postrouting priority 100; policy accept; oifname "up" masquerade; }
}
"""
_FLOW_SETS = """
    set flows { type ipv4_addr; size 65535; flags dynamic; }
    set packets { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 10s; }
    set volume { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 10s; }
"""
_RATE_RULES = """
        update @packets { ip saddr limit rate over %(packets)d/second burst %(packets)d packets } drop
        update @volume { ip saddr limit rate over %(bytes)d bytes/second burst %(burst)d bytes } drop
"""
_HOST_RULES = """
table ip %(table)s {
    chain inwards {
        type filter hook input priority -10; policy accept;
        iifname "%(link)s" meta l4proto tcp reject with tcp reset
        iifname "%(link)s" reject with icmp type admin-prohibited
    }
    chain through {
        type filter hook forward priority -10; policy accept;
        oifname "%(link)s" ct state established,related accept
        oifname "%(link)s" drop
    }
    chain outwards { type nat hook postrouting priority 100; policy accept; ip saddr %(address)s masquerade; }
}
"""


class EgressUnavailable(Exception):
    """This machine cannot give a way out, and the message says why."""


class Router:
    """Used by one thread, whose network namespace it changes: nothing else may run in that thread."""

    def __init__(self, *, is_asked_for: bool = False) -> None:
        """Make the router. Raises EgressUnavailable. A firewall that drops what is forwarded is a reason only where nobody has
        asked for egress, and may then have made an exception."""
        if lacking := find_lack(is_asked_for):
            raise EgressUnavailable(lacking)
        self._home = network.open_own()
        self._has_ipv6 = os.path.exists("/proc/net/if_inet6")
        self._links = _FIRST_LINK
        self._table = TABLE + own_name().replace("-", "_")
        self._namespace = -1
        try:
            self._open()
        except (OSError, subprocess.SubprocessError) as error:
            self.close()
            raise EgressUnavailable(_reason(error)) from error

    def link(self) -> None:
        """Give the jail in whose network namespace the calling thread stands its way out. Raises OSError."""
        self._links += 1
        number, address = self._links, str(_JAILS[256 + self._links % 65_000])
        inside = Netlink()
        try:
            inside.ask(
                new_pair((_JAIL_LINK, "eth0", -1), (number, "e%d" % number, self._namespace), is_up=False),
                *([make_no_addresses(_JAIL_LINK)] if self._has_ipv6 else []),
                set_up(_JAIL_LINK),
                new_address(_JAIL_LINK, address),
                new_route(_JAIL_LINK),
            )
        finally:
            inside.close()
        self._inside.ask(set_up(number), new_route(number, address))

    def go_home(self) -> None:
        """Back to the machine's own network namespace."""
        network.enter(self._home)

    def close(self) -> None:
        self.go_home()
        if self._namespace >= 0:
            self._inside.close()
            os.close(self._namespace)
            self._namespace = -1
            _remove_table(self._table)
        os.close(self._home)

    def _open(self) -> None:
        link, address = "cu%d" % os.getpid(), str(_UPLINKS[os.getpid() % 65_000 + 256])
        network.enter_new()
        self._namespace = network.open_own()
        self._inside = Netlink()
        for name, value in (
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
            ("ipv4/conf/all/rp_filter", "1"),  # no jail speaks with another's address
            ("ipv4/conf/default/rp_filter", "1"),
            ("ipv4/icmp_ratelimit", "0"),  # what is refused is refused at once
            ("ipv4/ip_forward", "1"),
        ):
            _write("/proc/sys/net/" + name, value)
        self._inside.ask(new_pair((_UPLINK, "up", -1), (0, link, self._home)))
        self._inside.ask(new_address(_UPLINK, address))
        try:
            _nft(_router_rules(is_counted=True))
        except subprocess.CalledProcessError:
            _nft(_router_rules(is_counted=False))  # a kernel that cannot count flows by address
        self.go_home()
        at_home = Netlink()
        try:
            index = socket.if_nametoindex(link)
            at_home.ask(set_up(index), new_route(index, address))
        finally:
            at_home.close()
        _write("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % link, "1")
        _nft(_HOST_RULES % {"table": self._table, "link": link, "address": address})  # before anything can be forwarded
        _write("/proc/sys/net/ipv4/ip_forward", "1")
        self._inside.ask(new_route(_UPLINK))


def find_lack(is_asked_for: bool = False) -> str:
    """Why there can be no router here, "" when there can, as far as can be told without making one."""
    if os.getuid() != 0:
        return "only root can make links"
    if _find_nft() is None:
        return "the command nft is missing (package nftables)"
    try:
        chain = "" if is_asked_for else _dropping_chain()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _reason(error)
    return "the machine's firewall drops what it should forward (%s)" % chain if chain else ""


def sweep_stale() -> None:
    """Remove the firewall tables of nodes that no longer live."""
    if os.getuid() != 0 or _find_nft() is None:
        return
    try:
        listed = _nft_says("list", "tables", "ip")
    except (OSError, subprocess.SubprocessError):
        return
    for line in listed.splitlines():
        name = line.split()[-1]
        if name.startswith(TABLE) and not is_alive(name[len(TABLE) :].replace("_", "-")):
            _remove_table(name)


def resolvers() -> "List[str]":
    """The IPv4 addresses of the machine's name servers that a jail could reach: those behind a resolver on loopback, if there is
    one."""
    for path in _RESOLVER_FILES:
        found = []
        for line in _read(path).splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                try:
                    address = ipaddress.IPv4Address(words[1])
                except ValueError:
                    continue
                if not address.is_loopback:
                    found.append(str(address))
        if found:
            return found[:3]
    return []


def _router_rules(is_counted: bool) -> str:
    servers = resolvers()
    lines = {
        "refused": ", ".join(REFUSED),
        "resolver_set": "",
        "resolver_rule": "",
        "flow_sets": "",
        "flow_rule": "",
        "rate_rules": "",
    }
    if servers:
        lines["resolver_set"] = "set resolvers { type ipv4_addr; elements = { %s }; }" % ", ".join(servers)
        lines["resolver_rule"] = "ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept"
    if is_counted:
        lines["flow_sets"] = _FLOW_SETS
        lines["rate_rules"] = _RATE_RULES % {"packets": PACKETS_PER_S, "bytes": BYTES_PER_S, "burst": BYTES_PER_S // 4}
        lines["flow_rule"] = "add @flows { ip saddr ct count over %d } reject with icmp type admin-prohibited" % CONNECTIONS
    return _ROUTER_RULES % lines


def _dropping_chain() -> str:
    """A chain of the machine's that drops what is forwarded unless a rule says otherwise, "" when there is none."""
    for entry in json.loads(_nft_says("-j", "list", "chains"))["nftables"]:
        chain = entry.get("chain", {})
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain.get("family") in ("ip", "inet"):
            return "%s %s" % (chain["table"], chain["name"])
    return ""


def _reason(error: Exception) -> str:
    said = ""
    if isinstance(error, subprocess.CalledProcessError):
        said = str(error.stderr or error.stdout).strip().split("\n")[0]
    return said or str(error)


def _find_nft() -> "Optional[str]":
    return shutil.which("nft", path=_PATH)


def _nft(rules: str) -> None:
    subprocess.run([_find_nft() or "nft", "-f", "-"], input=rules, check=True, timeout=20, **_AS_TEXT)


def _nft_says(*arguments: str) -> str:
    done = subprocess.run([_find_nft() or "nft", *arguments], check=True, timeout=20, **_AS_TEXT)
    return str(done.stdout)


def _remove_table(name: str) -> None:
    subprocess.run([_find_nft() or "nft", "delete", "table", "ip", name], check=False, timeout=20, **_AS_TEXT)


def _write(path: str, value: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(value)
    except FileNotFoundError:
        if "/ipv6/" not in path:  # a kernel without IPv6 has nothing to switch off
            raise


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
