"""A function that has been initialised once, and is forked for each environment: snapshots, inside the jail.

Three kinds of processes. The *template* has run the function's init and then only forks. A *restored* environment is a fork of it,
with mounts of its own over /tmp and /dev/shm, randomness of its own, and from then on a runtime like any other. The *maker* was
forked before any of the function's code ran: it makes those mounts, each set in a user namespace of its own whose owner may enter
it once and then gives all power over it up.
"""

import json
import os
import random
import select
import socket
import sys
from typing import Any, Callable, Dict, List, Tuple

from cumulet.sandbox import kernel, mounts, namespaces, privileges, seccomp

_HEAD_BYTES = 4
_MAX_ORDER_BYTES = 1 << 16


def start_maker(status: socket.socket) -> None:
    """Fork the maker of places, and hand its socket to the node. Called while the caller may still make namespaces."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        theirs.close()
        status.close()
        try:
            _make_places(ours)
        finally:
            os._exit(0)
    rights = theirs.fileno().to_bytes(4, sys.byteorder)
    status.sendmsg([json.dumps({"maker": True}).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    theirs.close()
    ours.close()


def _make_places(sock: socket.socket) -> None:
    """Answer each request {"tmp_bytes", "shm_bytes"} with a user and a mount namespace, until the node is gone."""
    os.closerange(3, sock.fileno())
    os.closerange(sock.fileno() + 1, 1 << 16)
    privileges.hide()  # what the function's code can see of this process, it cannot open
    while True:
        request = sock.recv(1 << 10)
        if not request:
            return
        done, begun = os.pipe()
        pid = os.fork()
        if pid == 0:
            _stand_in_new_place(json.loads(request), begun)
        os.close(begun)
        is_made = os.read(done, 1) == b"."
        os.close(done)
        places = [os.open("/proc/%d/ns/%s" % (pid, name), os.O_RDONLY) for name in ("user", "mnt")] if is_made else []
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in places)
        sock.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])
        for fd in places:
            os.close(fd)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _stand_in_new_place(sizes: Dict[str, int], begun: int) -> None:
    """Make the namespaces, say so, and wait to be killed: who has opened them keeps them. Never returns."""
    try:
        uid, gid = os.getuid(), os.getgid()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else its own /proc/self is not its own
        kernel.unshare(namespaces.NEWUSER)
        namespaces.map_ids(os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY), uid, uid, gid, gid)
        kernel.unshare(namespaces.NEWNS)
        for target, size in (("/tmp", sizes["tmp_bytes"]), ("/dev/shm", sizes["shm_bytes"])):
            mounts.cover(target, size, uid, gid)
        os.write(begun, b".")
        while True:
            select.select([], [], [])
    finally:
        os._exit(1)


def take(channel: socket.socket) -> "List[str]":
    """Run the hooks that want to be run before, and say what will not survive. Raises what a hook raises."""
    for hook, args, kwargs in reversed(_registered("_before_snapshot_registry")):
        hook(*args, **kwargs)
    warnings = []
    threads = len(os.listdir("/proc/self/task")) - 1
    if threads:
        warnings.append("%d threads ran when the snapshot was taken: a restored environment does not have them" % threads)
    sockets = _open_sockets(channel.fileno())
    if sockets:
        warnings.append("%d sockets were open when the snapshot was taken: all restored environments share them" % sockets)
    return warnings


def serve_forks(channel: socket.socket, restored: Callable[[socket.socket, socket.socket], None]) -> None:
    """Fork for each order of the node, until it closes the channel. `restored(channel, status)` is called in the forks and never
    returns. Never returns."""
    children: Dict[int, Tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        for fd, _events in poll.poll():
            if fd in children:
                poll.unregister(fd)
                _say_how_it_ended(*children.pop(fd))
                os.close(fd)
                continue
            try:
                order_fds = _receive_order(channel)
            except EOFError:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                for pidfd in children:
                    os.close(pidfd)
                for _pid, status in children.values():
                    status.close()
                channel.close()
                _restore(order_fds, restored)
            own_channel, output, status_fd, user, mount = order_fds
            for each in (own_channel, output, user, mount):
                os.close(each)
            pidfd = kernel.pidfd_open(pid)
            children[pidfd] = (pid, socket.socket(fileno=status_fd))
            poll.register(pidfd, select.POLLIN)


def _receive_order(channel: socket.socket) -> "Tuple[int, int, int, int, int]":
    """(channel, output, status, user namespace, mount namespace) of the environment to fork."""
    head, ancillary, _flags, _address = channel.recvmsg(_HEAD_BYTES, socket.CMSG_SPACE(5 * 4))
    if not head:
        raise EOFError
    for _level, kind, raw in ancillary:
        if kind == socket.SCM_RIGHTS and len(raw) >= 20:
            a, b, c, d, e = (int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, 20, 4))
            return a, b, c, d, e
    raise EOFError


def _restore(fds: "Tuple[int, int, int, int, int]", restored: Callable[[socket.socket, socket.socket], None]) -> None:
    """Become an environment of its own. Never returns."""
    try:
        own_channel, output, status_fd, user, mount = fds
        os.setsid()
        kernel.setns(user, namespaces.NEWUSER)  # its owner: this gives power over the namespaces below it
        kernel.setns(mount, namespaces.NEWNS)
        os.chdir("/var/task")
        privileges.drop()  # and this takes it away again
        kernel.install_filter(seccomp.program())
        for target in (1, 2):
            os.dup2(output, target)
        for fd in (output, user, mount):
            os.close(fd)
        restored(socket.socket(fileno=own_channel), socket.socket(fileno=status_fd))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def freshen() -> None:
    """Randomness that no other fork of the same snapshot has."""
    random.seed()
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def run_after_restore() -> None:
    """Raises what a hook raises."""
    for hook, args, kwargs in _registered("_after_restore_registry"):
        hook(*args, **kwargs)


def _registered(name: str) -> "List[Any]":
    """The hooks of AWS's `snapshot_restore_py`, when the function uses it: (callable, args, kwargs) as they were registered."""
    return list(getattr(sys.modules.get("snapshot_restore_py"), name, ()))


def _open_sockets(own: int) -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) != own and os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                count += 1
        except OSError:
            pass  # the folder's own descriptor, closed by now
    return count


def _say_how_it_ended(pid: int, status: socket.socket) -> None:
    _pid, wait_status = os.waitpid(pid, 0)
    ended = {"signal": os.WTERMSIG(wait_status)} if os.WIFSIGNALED(wait_status) else {"code": os.WEXITSTATUS(wait_status)}
    try:
        status.send(json.dumps(ended).encode())
    except OSError:
        pass
    status.close()
