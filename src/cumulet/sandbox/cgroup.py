"""Control groups: how much memory, how many processes and what share of the processor an environment may have.

Knows cgroup v1, v2 and both side by side. The node makes one group of its own in every hierarchy, and in it one for each account;
each environment gets a group below its account's, made and entered by its first process while that is still trusted.
"""

import errno
import os
import time
from typing import Dict, List, Optional, Tuple

from cumulet.sandbox.jail import Limits
from cumulet.sandbox.processes import is_alive, own_name

Group = Tuple[Tuple[str, str], ...]
"""(controller, absolute folder) pairs; for v2 one pair, its controller named "unified". Beside v1's, "freeze" is a group of v2
without controllers, which can be frozen nevertheless, and "freezer" stands in where there is no v2."""

_V1_WANTED = ("memory", "pids", "cpu")
_V1_FREEZER = ("freezer",)
_V2_WANTED = ("memory", "pids", "cpu")
PREFIX = "cumulet-"
_OWN_PREFIX = "cumulet.node-"
"""Of groups in which nodes themselves are: nodes of other versions must not take them for left-overs of environments."""
_OWN_SHARE = 10
"""What the node's own process weighs, as a multiple of what all environments do."""


def join(group: Group, limits: Limits) -> None:
    """Make the environment's group, set its limits, and move the calling process, which has one thread, into it. Raises OSError,
    also when the processes of the group above are used up."""
    _make(group, limits)
    for controller, folder in group:
        # v1's `tasks` and "0" let the kernel do without a lock for which it would have to wait until all processors have passed.
        _write(folder, "cgroup.procs" if controller in _V2 else "tasks", "0")
        if controller in ("pids", "unified"):
            _check_processes(folder.rpartition("/")[0])


def _check_processes(folder: str) -> None:
    """The kernel counts who joins, and refuses only who is forked."""
    most = _read(folder, "pids.max")
    if most.strip() != b"max" and int(_read(folder, "pids.current")) > int(most):
        raise OSError(errno.EAGAIN, "no process left")


def _make(group: Group, limits: Limits) -> None:
    for controller, folder in group:
        try:
            os.mkdir(folder)  # not those above it: they have limits of their own
        except FileExistsError:
            pass
        _set(folder, _settings(controller, limits))


def _set(folder: str, settings: List[Tuple[str, str]]) -> None:
    for name, value in settings:
        try:
            _write(folder, name, value)
        except OSError:
            if name not in _OPTIONAL:
                raise


def adopt(group: Group, limits: Limits, pid: int) -> None:
    """Make a group, set its limits, and move a process into it."""
    _make(group, limits)
    for _controller, folder in group:
        _write(folder, "cgroup.procs", str(pid))


class Settings:
    """A group's limits, kept open to be changed from where their paths are out of sight."""

    def __init__(self, group: Group) -> None:
        self._files: Dict[str, int] = {}
        for controller, folder in group:
            for name in _CHANGED[controller]:
                try:
                    self._files[name] = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CLOEXEC)
                except OSError:
                    if name not in _OPTIONAL:
                        raise
        self._controllers = [controller for controller, _ in group]

    def change(self, limits: Limits) -> None:
        """Set what differs between functions, and close. Limits are lowered: what is in the group is far below them."""
        for controller in self._controllers:
            for name, value in _settings(controller, limits):
                if name in self._files:
                    os.write(self._files[name], value.encode())
        self.close()

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}


_CHANGED = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    "pids": (),
    "cpu": ("cpu.shares",),
    "unified": ("memory.max", "cpu.weight"),
    "freeze": (),
    "freezer": (),
}
_V2 = ("unified", "freeze")
_OPTIONAL = ("memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group")


def _settings(controller: str, limits: Limits) -> List[Tuple[str, str]]:
    if controller == "memory":
        memory = str(limits.memory_bytes)
        return [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)]
    if controller == "pids":
        return [("pids.max", str(limits.pids))]
    if controller == "cpu":
        return [("cpu.shares", _weight("cpu", limits.cpu_share))]
    if controller == "unified":
        return [
            ("memory.max", str(limits.memory_bytes)),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
            ("pids.max", str(limits.pids)),
            ("cpu.weight", _weight("unified", limits.cpu_share)),
        ]
    return []  # what can only be frozen


def open_node_group() -> Group:
    """The node's own group, made in every hierarchy that can be had; empty when limits cannot be set at all."""
    name = PREFIX + own_name()
    found: List[Tuple[str, str]] = []
    for controller, parent in _v1_parents(_V1_WANTED):
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if controller == "memory":
            _try_write(folder, "memory.use_hierarchy", "1")
        if controller == "cpu":  # together they weigh as much as a process for every core
            _try_write(folder, "cpu.shares", str(1024 * (os.cpu_count() or 1)))
        if controller == "pids":
            _try_write(folder, "pids.max", str(_most_processes()))
        found.append((controller, folder))
    if any(controller == "memory" for controller, _ in found):
        return tuple(found + _open_freezer(name))
    unified = _open_v2(name)
    return (("unified", unified),) if unified else ()


def enter_own() -> Group:
    """Put the calling process into a group of its own, which weighs more than all environments together, where that can be had:
    what it is called, to be left by `leave_own`. A high priority alone would count within its session's share only."""
    name = _OWN_PREFIX + own_name()
    for controller, parent in _v1_parents(("cpu",)):
        group = ((controller, os.path.join(parent, name)),)
        try:
            os.makedirs(group[0][1], exist_ok=True)
            _write(group[0][1], "cpu.shares", str(_OWN_SHARE * 1024 * (os.cpu_count() or 1)))
            _write(group[0][1], "cgroup.procs", str(os.getpid()))
            return group
        except OSError:
            remove(group, 0)
    return ()


def leave_own(group: Group) -> None:
    """Back to where the process came from, with all that it has started in its own group."""
    for _controller, folder in group:
        for pid in _try_read(folder, "cgroup.procs").split():
            _try_write(os.path.dirname(folder), "cgroup.procs", pid)
    remove(group)


def _open_freezer(name: str) -> List[Tuple[str, str]]:
    """The node's group in a hierarchy that can be frozen, a list of none or one: v2's, whose switch is quick, or v1's."""
    for controller, parent in [("freeze", folder) for folder in _v2_folders()] + _v1_parents(_V1_FREEZER):
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if controller == "freezer" or os.path.exists(os.path.join(folder, "cgroup.freeze")):
            return [(controller, folder)]
    return []


def open_between(parent: Group, name: str, limits: Limits) -> Group:
    """A group for other groups, which take no more than its limits together; `memory_bytes` 0: no limit of its own for memory.
    Raises OSError."""
    group = below(parent, name)
    for controller, folder in group:
        os.makedirs(folder, exist_ok=True)
        settings = _settings(controller, limits)
        _set(folder, [each for each in settings if limits.memory_bytes or not each[0].startswith("memory.")])
        if controller == "unified":
            _hand_down(folder)
    return group


def below(group: Group, name: str) -> Group:
    """The group in that group with that name."""
    return tuple((controller, os.path.join(folder, name)) for controller, folder in group)


def _weight(controller: str, cpu_share: float) -> str:
    if controller == "cpu":
        return str(max(2, min(262144, int(1024 * cpu_share))))
    return str(max(1, min(10000, int(100 * cpu_share))))


def limit_memory(group: Group, most_bytes: int) -> None:
    """Bound what the groups below take together, where that can be had: what is over the bound is killed, nobody else."""
    for controller, folder in group:
        name = {"memory": "memory.limit_in_bytes", "unified": "memory.max"}.get(controller)
        if name:
            _try_write(folder, name, str(most_bytes))


def used_memory(group: Group) -> int:
    """Bytes that the groups below take together, without what the kernel can drop at any time; 0 where nothing counts it."""
    for controller, folder in group:
        name = {"memory": "memory.usage_in_bytes", "unified": "memory.current"}.get(controller)
        if name:
            found = _try_read(folder, name).strip()
            return max(0, int(found) - _dropped_at_will(folder)) if found else 0
    return 0


def _dropped_at_will(folder: str) -> int:
    """Cached file pages: v1 counts those of the groups below apart."""
    found = dict(line.split(" ", 1) for line in _try_read(folder, "memory.stat").splitlines())
    return int(found.get("total_inactive_file") or found.get("inactive_file") or 0)


def find_peak_memory_file(group: Group) -> Optional[str]:
    """The file that holds the most memory in bytes that the group ever had, None when nothing counts it."""
    for controller, folder in group:
        name = {"memory": "memory.max_usage_in_bytes", "unified": "memory.peak"}.get(controller)
        if name:
            return os.path.join(folder, name)
    return None


def was_out_of_memory(group: Group) -> bool:
    """True when the kernel has killed a process of the group for its memory limit."""
    for controller, folder in group:
        name = {"memory": "memory.oom_control", "unified": "memory.events"}.get(controller)
        for line in _try_read(folder, name).splitlines() if name else ():
            key, _, count = line.partition(" ")
            if key == "oom_kill":
                return int(count) > 0
    return False


def has_room_for(group: Group, processes: int) -> bool:
    """Whether so many processes and threads more may be started in it; True where nothing counts them."""
    for controller, folder in group:
        if controller in ("pids", "unified"):
            now, most = (_try_read(folder, name).strip() for name in ("pids.current", "pids.max"))
            return not (now.isdigit() and most.isdigit()) or int(now) + processes <= int(most)
    return True


def kill_all(group: Group) -> None:
    """SIGKILL to every process of the group, until there is none that could have made another."""
    for _controller, folder in group[:1]:
        for _attempt in range(100):
            pids = _try_read(folder, "cgroup.procs").split()
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(int(pid), 9)
                except OSError:
                    pass
            time.sleep(0.005)


def remove(group: Group, patience_s: float = 2.0) -> bool:
    """Remove a group whose processes are gone; False when the kernel still holds on to one after `patience_s`."""
    deadline = time.monotonic() + patience_s
    is_gone = True
    for _controller, folder in group:
        while True:
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    is_gone = False
                    break
                time.sleep(0.01)
    return is_gone


def remove_whole(group: Group) -> None:
    """Remove a node's own group with all that is left below it: a start that was given up as the node ended leaves one behind."""
    for _controller, folder in group:
        _remove_tree(folder)


def sweep_stale() -> int:
    """Remove the groups of nodes that no longer live, and kill what is left in them. How many were found."""
    swept = 0
    for parent in {parent for _, parent in _v1_parents(_V1_WANTED + _V1_FREEZER)} | set(_v2_folders()):
        for name in _names(parent):
            for prefix in (PREFIX, _OWN_PREFIX):
                if name.startswith(prefix) and not is_alive(name[len(prefix) :]):
                    _remove_tree(os.path.join(parent, name))
                    swept += 1
    return swept


def _remove_tree(folder: str) -> None:
    for name in _names(folder):
        if os.path.isdir(os.path.join(folder, name)):
            _remove_tree(os.path.join(folder, name))
    for pid in _try_read(folder, "cgroup.procs").split():
        try:
            os.kill(int(pid), 9)
        except OSError:
            pass
    _try_write(folder, "freezer.state", "THAWED")  # v1: what is frozen dies only then
    remove((("", folder),))


def _v1_parents(wanted: Tuple[str, ...]) -> List[Tuple[str, str]]:
    """(controller, folder of this process's group) of those v1 hierarchies that are mounted; its group is the one that the node was
    started in, not its own."""
    own: Dict[str, str] = {}
    for line in _try_read("/proc/self", "cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = _started_in(path)
    found: List[Tuple[str, str]] = []
    for line in _try_read("/proc/self", "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind != "cgroup":
            continue
        mounted_at = before.split(" ")[4]
        for controller in wanted:
            if controller in options.split(",") and controller in own and controller not in (name for name, _ in found):
                folder = mounted_at + own[controller].rstrip("/")
                found.append((controller, folder if os.path.isdir(folder) else mounted_at))
    return found


def _started_in(path: str) -> str:
    """The group that a node in the group at `path` was started in."""
    return os.path.dirname(path) if os.path.basename(path).startswith(_OWN_PREFIX) else path


def _v2_folders() -> List[str]:
    """This process's group in the v2 hierarchy, when it is mounted: a list of none or one."""
    own = ""
    for line in _try_read("/proc/self", "cgroup").splitlines():
        if line.startswith("0::"):
            own = _started_in(line[3:]).rstrip("/")
    for line in _try_read("/proc/self", "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            mounted_at = before.split(" ")[4]
            return [mounted_at + own if os.path.isdir(mounted_at + own) else mounted_at]
    return []


def _open_v2(name: str) -> Optional[str]:
    """The node's group under v2 with the controllers handed down to it, None when this machine doesn't let us."""
    for own in _v2_folders():
        leaf = os.path.join(own, _OWN_PREFIX + own_name())
        if not set(_V2_WANTED) <= set(_try_read(own, "cgroup.controllers").split()):
            continue
        try:
            if os.path.exists(os.path.join(own, "cgroup.type")):
                # Not the root group: only a group without processes of its own may hand controllers down.
                os.makedirs(leaf, exist_ok=True)
                for pid in _try_read(own, "cgroup.procs").split():
                    _write(leaf, "cgroup.procs", pid)
            _hand_down(own)
            _try_write(leaf, "cpu.weight", str(100 * _OWN_SHARE))  # the node's own, above what it runs
            folder = os.path.join(own, name)
            os.makedirs(folder, exist_ok=True)
            _hand_down(folder)
            _try_write(folder, "pids.max", str(_most_processes()))
            return folder
        except OSError:
            continue
    return None


def _hand_down(folder: str) -> None:
    """v2: let the groups below have limits."""
    _write(folder, "cgroup.subtree_control", " ".join("+" + controller for controller in _V2_WANTED))


def _most_processes() -> int:
    """For all environments together: three quarters of what the machine can number or manage, so that it can still be used."""
    most = [int(_try_read("/proc/sys/kernel", name) or 32768) for name in ("pid_max", "threads-max")]
    return min(most) * 3 // 4


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _write(folder: str, name: str, value: str) -> None:
    file = os.open(folder + "/" + name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, value.encode())
    finally:
        os.close(file)


def _read(folder: str, name: str) -> bytes:
    file = os.open(folder + "/" + name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 64)
    finally:
        os.close(file)


def _try_write(folder: str, name: str, value: str) -> None:
    try:
        _write(folder, name, value)
    except OSError:
        pass


def _try_read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name)) as file:
            return file.read()
    except OSError:
        return ""
