"""What functions reach under each network policy. Everything that is reached, or must not be, stands in network namespaces that
these tests make: an "internet" beside a "machine" that runs the node. Nothing leaves them."""

import io
import json
import os
import selectors
import shutil
import socket
import sys
import threading
import zipfile
from concurrent.futures import Future

import pytest

from cumulet.sandbox import egress, network
from cumulet.sandbox.netlink import LOOPBACK, Netlink, new_address, new_pair, new_route, set_up
from real_node import Node

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="making network namespaces and links wants root"),
    pytest.mark.skipif(not shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin"), reason="egress wants nft"),
]
CODE = """
import errno, os, socket, time

def reach(family, kind, address, port, bind=None):
    with socket.socket(getattr(socket, family), getattr(socket, kind)) as s:
        s.settimeout(1.0)
        try:
            if bind:
                s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
                s.bind((bind, 0))
            s.connect((address, port))
            if kind == "SOCK_DGRAM":
                s.send(b"hello")
                s.recv(64)
            return "reached"
        except TimeoutError:
            return "TIMEOUT"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))

def pour(address, count, size):
    began, data = time.monotonic(), bytes(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((address, 9))
        for _ in range(count):
            try:
                s.send(data)
            except OSError:
                pass
    return time.monotonic() - began

def flood(address, count):
    for port in range(1024, 1024 + count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((address, port))
            try:
                s.send(b"x")
            except OSError:
                pass

def listen(port):
    global ear
    ear = socket.create_server(("0.0.0.0", port))

def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("11.1.1.1", 9))
        return s.getsockname()[0]

def resolve(name):
    try:
        return socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        return str(error)

def node():
    import boto3
    return boto3.client("sts").get_caller_identity()["Account"]

def handler(event, context):
    return [globals()[name](*arguments) for name, *arguments in event]
"""
PUBLIC = "11.1.1.1"
REFUSED = [
    "10.1.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.7.1",
    "192.0.0.192",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
]
MACHINE = "12.0.0.2"
PORT = 8000
TCP, UDP = ("AF_INET", "SOCK_STREAM"), ("AF_INET", "SOCK_DGRAM")


class Place:
    """A network namespace, and code run in it."""

    def __init__(self):
        self.fd = self._in_thread(self._make)
        self.netlink = self.run(Netlink)

    @staticmethod
    def _make():
        network.enter_new()
        return network.open_own()

    def run(self, function, *arguments):
        def there():
            network.enter(self.fd)
            return function(*arguments)

        return self._in_thread(there)

    def _in_thread(self, function):
        done = Future()

        def body():
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return done.result()

    def listen(self, addresses):
        return [
            self.run(socket.create_server, ("0.0.0.0", PORT)),
            *(self.run(bound_datagram, address, PORT) for address in addresses),
        ]

    def close(self):
        self.netlink.close()
        os.close(self.fd)


def bound_datagram(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


class World:
    """The machine and the internet, with a link between them; the internet's side answers whoever comes."""

    def __init__(self):
        self.machine, self.internet = Place(), Place()
        self.names = {}
        self.resolvers = egress.resolvers()
        self.internet.netlink.ask(new_pair((5, "world", -1), (5, "wan0", self.machine.fd)))
        self.machine.netlink.ask(set_up(5), new_address(5, MACHINE), new_address(LOOPBACK, "10.2.2.2"), new_route(5))
        addresses = {PUBLIC, *REFUSED, *self.resolvers}
        self.internet.netlink.ask(*(new_address(LOOPBACK, each) for each in addresses), new_route(5))
        self.ears = [*self.machine.listen([MACHINE, "10.2.2.2"]), *self.internet.listen(addresses)]
        self.ears += [self.internet.run(bound_datagram, each, 53) for each in self.resolvers]
        self.seen = set()
        self._stop, stop = os.pipe()
        self._end = lambda: os.write(stop, b".") and os.close(stop)
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with selectors.DefaultSelector() as selector:
            for ear in [*self.ears, self._stop]:
                selector.register(ear, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == self._stop:
                        return
                    self._answer_one(key.fileobj)

    def _answer_one(self, ear):
        if ear.type == socket.SOCK_STREAM:
            ear.accept()[0].close()
            return
        data, sender = ear.recvfrom(512)
        self.seen.add(sender[0])
        if ear.getsockname()[1] == 53:
            data = self._resolved(data)
        ear.sendto(data, sender)

    def _resolved(self, question):
        """One A record for any name, by its first label."""
        label = question[13 : 13 + question[12]].decode()
        end = question.index(b"\0", 12) + 5
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(self.names.get(label, PUBLIC))
        return question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:end] + answer

    def close(self):
        self._end()
        self._thread.join()
        os.close(self._stop)
        for ear in self.ears:
            ear.close()
        self.machine.close()
        self.internet.close()


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


class NodeThere(Node):
    """A node on the world's machine."""

    def __init__(self, world, data, *options):
        self.world = world
        self.prefix = (sys.executable, "-c", _EXEC_IN, f"/proc/{os.getpid()}/fd/{world.machine.fd}")
        super().__init__(data, *options)

    def create(self, name, policy=None):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("index.py", CODE)
        variables = {"CUMULET_NETWORK": policy} if policy else {}
        self.world.machine.run(
            lambda: self.client("lambda").create_function(
                FunctionName=name,
                Runtime=f"python3.{sys.version_info.minor}",
                Handler="index.handler",
                Role="arn:aws:iam::000000000000:role/r",
                Code={"ZipFile": archive.getvalue()},
                Environment={"Variables": variables},
                MemorySize=256,
                Timeout=60,
            )
        )

    def call(self, name, *steps):
        def invoke():
            answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(steps))
            payload = json.loads(answer["Payload"].read())
            assert "FunctionError" not in answer, payload
            return payload

        return self.world.machine.run(invoke)


_EXEC_IN = """
import os, sys
from cumulet.sandbox import network
fd = os.open(sys.argv[1], os.O_RDONLY)
network.enter(fd)
os.close(fd)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def there(world, tmp_path_factory):
    node = NodeThere(world, tmp_path_factory.mktemp("there") / "data", "--durability", "os", "--network-most", "host")
    assert "# network egress (functions may choose up to host)" in node.lines
    for policy in (None, "none", "platform", "host"):
        node.create(policy or "default", policy)
    yield node
    assert node.stop() == 0, "".join(node.log[-50:])


def test_egress_reaches_public_addresses(there):
    assert there.call("default", ["reach", *TCP, PUBLIC, PORT], ["reach", *UDP, PUBLIC, PORT]) == ["reached"] * 2


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_egress_reaches_nothing_else(there, kind):
    found = dict(zip(REFUSED, there.call("default", *(["reach", *kind, each, PORT] for each in REFUSED)), strict=True))
    assert found == dict.fromkeys(REFUSED, "EHOSTUNREACH")


def test_egress_does_not_reach_the_machine(there):
    steps = [["reach", *kind, address, PORT] for kind in (TCP, UDP) for address in (MACHINE, "10.2.2.2")]
    assert there.call("default", *steps) == ["ECONNREFUSED", "EHOSTUNREACH", "EHOSTUNREACH", "EHOSTUNREACH"]
    assert there.call("default", ["reach", *TCP, "127.0.0.1", PORT]) == ["ECONNREFUSED"]


def test_egress_does_not_reach_by_other_spellings(there):
    v6 = ("AF_INET6", "SOCK_STREAM")
    steps = [["reach", *v6, f"::ffff:{each}", PORT] for each in ("10.1.1.1", "169.254.169.254", MACHINE)]
    assert there.call("default", *steps) == ["EHOSTUNREACH", "EHOSTUNREACH", "ECONNREFUSED"]
    steps = [["reach", *v6, each, PORT] for each in ("fd00:ec2::254", "2600::1", "64:ff9b::a9fe:a9fe", "fe80::1")]
    assert set(there.call("default", *steps)) <= {"ENETUNREACH", "EINVAL", "EADDRNOTAVAIL"}
    assert there.call("default", ["reach", *v6, f"::ffff:{PUBLIC}", PORT]) == ["reached"]
    decimal = str(int.from_bytes(socket.inet_aton("169.254.169.254"), "big"))
    assert there.call("default", ["reach", *TCP, decimal, PORT]) == ["EHOSTUNREACH"]


def test_a_name_leads_no_further_than_its_address(there, world):
    if not world.resolvers:
        pytest.skip("this machine has no name server that a jail could ask")
    world.names |= {"good": PUBLIC, "rebound": "169.254.169.254"}
    assert there.call("default", ["resolve", "good.test"], ["resolve", "rebound.test"]) == [PUBLIC, "169.254.169.254"]
    assert there.call("default", ["reach", *TCP, "good.test", PORT]) == ["reached"]
    assert there.call("default", ["reach", *TCP, "rebound.test", PORT]) == ["EHOSTUNREACH"]
    # Of a resolver with a private address nothing but its service is reached.
    if world.resolvers[0].startswith("10."):
        assert there.call("default", ["reach", *TCP, world.resolvers[0], PORT]) == ["EHOSTUNREACH"]


def test_neighbours_do_not_reach_each_other(there):
    there.create("neighbour")
    address, _ = there.call("neighbour", ["own_address"], ["listen", PORT])
    assert there.call("neighbour", ["reach", *TCP, address, PORT]) == ["reached"]
    assert there.call("default", ["reach", *TCP, address, PORT]) == ["EHOSTUNREACH"]


def test_nothing_comes_in(there, world):
    _, address = there.call("default", ["listen", PORT], ["own_address"])
    uplink = world.machine.run(lambda: [name for _, name in socket.if_nameindex() if name.startswith("cu")])
    assert len(uplink) == 1
    for place in (world.machine, world.internet):
        with pytest.raises(OSError):
            place.run(socket.create_connection, (address, PORT), 0.5)


def test_nobody_speaks_with_another_address(there, world):
    world.seen.clear()
    assert there.call("default", ["reach", *UDP, PUBLIC, PORT, "198.19.99.99"]) != ["reached"]
    assert there.call("default", ["reach", *UDP, PUBLIC, PORT]) == ["reached"]
    assert world.seen == {MACHINE}


@pytest.mark.parametrize("policy", ["none", "platform"])
def test_without_egress_there_is_no_way_out(there, policy):
    steps = [["reach", *TCP, each, PORT] for each in (PUBLIC, *REFUSED, MACHINE, "10.2.2.2")]
    assert set(there.call(policy, *steps)) == {"ENETUNREACH"}
    assert there.call(policy, ["reach", *TCP, "127.0.0.1", PORT]) == ["ECONNREFUSED"]


@pytest.mark.parametrize("policy", ["default", "platform", "host"])
def test_the_node_is_reached(there, policy):
    assert there.call(policy, ["node"]) == ["000000000000"]


def test_under_none_not_even_the_node_is_reached(there):
    port = int(there.url.rsplit(":", 1)[1])
    assert there.call("none", ["reach", *TCP, "127.0.0.1", port]) == ["ECONNREFUSED"]


def test_host_is_the_machine_itself(there):
    steps = [["reach", *TCP, each, PORT] for each in (PUBLIC, "10.1.1.1", MACHINE)]
    assert there.call("host", *steps) == ["reached"] * 3


def test_a_function_gets_no_more_than_the_node_allows(world, tmp_path):
    node = NodeThere(world, tmp_path / "data", "--durability", "os", "--network", "platform")
    assert "# network platform" in node.lines
    for wish in ("host", "egress", "none", "nonsense"):
        node.create(wish, wish)
    found = {wish: node.call(wish, ["reach", *TCP, PUBLIC, PORT])[0] for wish in ("host", "egress", "none", "nonsense")}
    assert found == dict.fromkeys(found, "ENETUNREACH")
    assert node.call("host", ["node"]) == ["000000000000"]
    port = int(node.url.rsplit(":", 1)[1])
    assert node.call("nonsense", ["reach", *TCP, "127.0.0.1", port]) == ["ECONNREFUSED"]
    assert node.stop() == 0


def test_two_nodes_on_one_machine_and_what_a_killed_one_leaves(there, world, tmp_path):
    other = NodeThere(world, tmp_path / "data", "--durability", "os")
    other.create("f")
    for node, name in ((there, "default"), (other, "f")):
        assert node.call(name, ["reach", *TCP, PUBLIC, PORT], ["reach", *TCP, "10.1.1.1", PORT]) == ["reached", "EHOSTUNREACH"]
    assert len(tables(world)) == 2
    other.kill()
    other.start()  # it sweeps
    assert len(tables(world)) == 2
    assert other.call("f", ["reach", *TCP, PUBLIC, PORT]) == ["reached"]
    assert other.stop() == 0
    assert len(tables(world)) == 1
    assert len([name for _, name in world.machine.run(socket.if_nameindex) if name.startswith("cu")]) == 1
    assert there.call("default", ["reach", *TCP, PUBLIC, PORT]) == ["reached"]


def tables(world):
    listed = world.machine.run(egress._nft_says, "list", "tables", "ip")
    return [line for line in listed.splitlines() if egress.TABLE in line]


def test_a_flood_of_flows_stays_within_its_share(there, world):
    there.call("default", ["flood", PUBLIC, 3000])
    count = int(world.machine.run(flows), 16)
    assert egress.CONNECTIONS / 2 < count < egress.CONNECTIONS + 200


@pytest.mark.parametrize(("size", "count"), [(60_000, 10_000), (1, 200_000)])
def test_a_flood_of_packets_is_cut_to_its_rate(there, world, size, count):
    there.create(f"pours-{size}")  # in a jail that has no flows yet
    before = world.machine.run(sent)
    (took_s,) = there.call(f"pours-{size}", ["pour", PUBLIC, count, size])
    packets, volume = (after - each for after, each in zip(world.machine.run(sent), before, strict=True))
    most = {"bytes": 1.05 * egress.BYTES_PER_S * (took_s + 1.25), "packets": egress.PACKETS_PER_S * (took_s + 1.5)}
    if size == 1:
        assert egress.PACKETS_PER_S / 2 < packets < most["packets"]
    else:
        assert egress.BYTES_PER_S / 10 < volume < most["bytes"]


def sent():
    """Packets and bytes that left the machine towards the internet."""
    with open("/proc/thread-self/net/dev") as file:
        fields = next(line for line in file if line.strip().startswith("wan0:")).split()
    return int(fields[10]), int(fields[9])


def flows():
    """How many flows the machine's connection table holds, in hexadecimal."""
    with open("/proc/thread-self/net/stat/nf_conntrack") as file:
        return file.read().splitlines()[1].split()[0]
