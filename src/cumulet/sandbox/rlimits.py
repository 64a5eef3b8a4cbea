"""Resource limits of a process: the second line behind the cgroup's, and the only one where there is none."""

import resource

from cumulet.sandbox.jail import Jail


def set_all(jail: Jail) -> None:
    for number, soft, hard in jail.rlimits:
        resource.setrlimit(number, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 << 10, 64 << 10))
    if not jail.cgroup:
        # Counts each process alone, and each user: weak, but better than nothing. Address space is left alone: V8 and
        # others reserve far more of it than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (jail.limits.memory_bytes, jail.limits.memory_bytes))
