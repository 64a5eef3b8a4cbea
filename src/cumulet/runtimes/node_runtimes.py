"""All runtimes of a node: from a function's spec to an environment that has loaded its handler."""

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cumulet.core.settings import NetworkPolicy
from cumulet.runtimes import discovery, web
from cumulet.runtimes.account_groups import AccountGroups
from cumulet.runtimes.contract import (
    Environment,
    FunctionSpec,
    InitError,
    Launch,
    Output,
    ProcessesUsedUp,
    RuntimeStatus,
    StartUnwanted,
)
from cumulet.runtimes.discovery import Interpreter, own_python
from cumulet.runtimes.framed import FramedEnvironment
from cumulet.runtimes.jails import Runtime, base_of, jail_of, limits_of
from cumulet.runtimes.local_api import LocalApi
from cumulet.runtimes.networks import Networks
from cumulet.runtimes.packages import PackageCache
from cumulet.runtimes.plans import Plan, Plans, RuntimeUnavailable
from cumulet.runtimes.process import JailFailed, ProcessTree
from cumulet.runtimes.resting import Resting
from cumulet.runtimes.runtime_api import RuntimeApiEnvironment
from cumulet.runtimes.shells import Key, Shell, Shells, StartShell
from cumulet.runtimes.snapshots import Snapshots, Template, initialised
from cumulet.runtimes.variables import LAYERS, TASK_ROOT, shell_variables, variables_of
from cumulet.runtimes.zygotes import Zygote
from cumulet.sandbox import cgroup, egress, freezer
from cumulet.sandbox.jail import Base, Jail
from cumulet.tenancy.quotas import Quotas
from cumulet.tenancy.turns import FairTurns

log = logging.getLogger("cumulet.runtimes")

_PLACEHOLDERS = ".placeholders"
_STARTS_AT_ONCE = 32
_MOST_MEMORY_MB = 10_240
_RESTORE_LIMIT_S = 10.0
"""For the hooks that run after a restore, as on Lambda."""
_SHELL_TMP_MB = 512
_MOST_SCATTERED = 64
"""Mounts for a program that cannot change its folder: more of them would cost what the shell saves."""
_MOST_PYTHON_SHELLS = 32
_PYTHON_SHELLS_OF_KIND = 8
_PYTHON_REFILL_DELAY_S = 0.005


class NodeRuntimes:
    """Keeps a zygote per interpreter, started when first needed, and every environment that they forked."""

    def __init__(
        self,
        folder: Path,
        packages: PackageCache,
        *,
        is_strict: bool = False,
        most_shells: int = 4,
        most_memory_mb: int = 0,
        quotas: Quotas | None = None,
        networks: Networks | None = None,
    ) -> None:
        quotas = quotas or Quotas()
        self._networks = networks or Networks()
        self._most_memory_mb = most_memory_mb
        self._account_groups = AccountGroups(quotas)
        self._root = folder / "root"
        self._placeholders = packages.folder / _PLACEHOLDERS
        self._hosts = folder / "hosts"
        self._resolvers = folder / "resolv.conf"
        self._known_programs = folder / "programs.json"
        self._surveying: asyncio.Task[None] | None = None
        self._shells = Shells(most_shells)
        self._python_shells = Shells(
            most_shells and _MOST_PYTHON_SHELLS, of_kind=_PYTHON_SHELLS_OF_KIND, delay_s=_PYTHON_REFILL_DELAY_S, at_once=4
        )
        self._snapshots = Snapshots(self._account_groups.below)
        self._packages = packages
        self._plans = Plans(folder / "made", is_strict=is_strict)
        self._zygotes: dict[str, Zygote] = {}
        self._opening: dict[str, asyncio.Task[Zygote]] = {}
        self._live: set[Environment] = set()
        self._starting = FairTurns(_STARTS_AT_ONCE, quotas.weight_of)
        self._started = 0
        self._resting = Resting()
        self._group: cgroup.Group = ()

    async def open(self) -> None:
        """Sweep what a killed node left. The zygote that most functions will want begins to start: their own starts wait for it."""
        self._begin_zygote(own_python().executable)
        self._root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for place in ("task", "opt"):  # with a lib: the dynamic linker remembers for good which folders it found missing
            (self._placeholders / place / "lib").mkdir(mode=0o755, parents=True, exist_ok=True)
        self._hosts.write_text("127.0.0.1 localhost sandbox.localdomain sandbox\n::1 localhost\n")
        self._resolvers.write_text("".join(f"nameserver {address}\n" for address in egress.resolvers()))
        self._packages.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        await self._networks.open()
        await asyncio.to_thread(cgroup.sweep_stale)
        self._group = await asyncio.to_thread(cgroup.open_node_group)
        if self._most_memory_mb:
            cgroup.limit_memory(self._group, self._most_memory_mb << 20)
        self._account_groups.open(self._group)
        self._surveying = asyncio.create_task(asyncio.to_thread(discovery.survey_interpreters, self._known_programs))
        self._surveying.add_done_callback(self._surveyed)

    def _surveyed(self, task: asyncio.Task[None]) -> None:
        self._surveying = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("looking for interpreters failed: %r", error)

    async def start(self, spec: FunctionSpec, launch: Launch, output: Output) -> Environment:
        try:
            return await self._start(spec, launch, output)
        except (JailFailed, InitError):
            if self._account_groups.is_full(spec.account):
                raise ProcessesUsedUp from None
            raise

    async def _start(self, spec: FunctionSpec, launch: Launch, output: Output) -> Environment:
        started = time.monotonic()
        if self._surveying is not None:
            await asyncio.wait((self._surveying,))
        plan = self._plans.plan_of(spec)
        code = await self._packages.path_of(spec.code)
        layers = await self._packages.layers_of(spec.layers) if spec.layers else None
        plan = self._plans.with_web_program(plan, spec, code, layers)
        policy, network_note = self._networks.policy_of(spec)
        launch = replace(launch, endpoint=self._networks.endpoint_of(policy, launch.endpoint))
        for note in filter(None, (plan.note, network_note and f"INIT_NOTE {network_note}")):
            output(f"{note}\n".encode())
        environment: FramedEnvironment | RuntimeApiEnvironment
        has_extensions = bool(_extensions_in(layers))
        if spec.is_snap_started and plan.is_forked and self._group and not has_extensions:
            with contextlib.suppress(JailFailed):  # why is told by the ordinary start that follows
                return await self._restored(plan, launch, spec, output, started)
        is_shell = self._can_be_shell(plan) and not has_extensions
        is_shell = is_shell and not (plan.stays_in_place and sum(1 for _ in code.iterdir()) > _MOST_SCATTERED)
        shell = self._shells_for(plan).take(*self._shell_kind(spec, plan)) if is_shell else None
        if shell is not None:
            shell.tree.output = output
            phases = {"prepare": (time.monotonic() - started) * 1000}
            environment = await self._specialised(shell, plan, launch, spec, code, layers, phases)
        else:
            environment = await self._started_afresh(plan, launch, spec, code, layers, output, started)
        try:
            await environment.initialise(launch.init_timeout_s)
        except BaseException:
            environment.kill()
            raise
        return environment

    def expect(self, spec: FunctionSpec, launch: Launch, output: Output) -> None:
        """A function was made that may be called soon: have its code unpacked, and a shell or a snapshot ready. A snapshot's init
        runs as `launch` and writes to `output`."""
        self._packages.expect(spec.code, spec.layers)
        if web.is_named(spec):
            return
        if self._surveying is not None:
            self._surveying.add_done_callback(lambda _: self.expect(spec, launch, output))
            return
        with contextlib.suppress(RuntimeUnavailable):
            plan = self._plans.plan_of(spec)
            launch = replace(launch, endpoint=self._networks.endpoint_of(self._networks.policy_of(spec)[0], launch.endpoint))
            if spec.is_snap_started and plan.is_forked and self._group:
                self._snapshots.expect(spec, partial(self._make_template, spec, plan, launch, output))
            elif self._can_be_shell(plan):
                self._shells_for(plan).expect(*self._shell_kind(spec, plan))

    def retire(self, function_id: str) -> None:
        """The function is gone."""
        self._snapshots.retire(function_id)

    async def _restored(self, plan: Plan, launch: Launch, spec: FunctionSpec, output: Output, started: float) -> FramedEnvironment:
        """An environment forked from the version's snapshot. Raises JailFailed when there can be none, and InitError."""
        shell = await self._snapshots.take(spec, partial(self._make_template, spec, plan, launch, output))
        shell.tree.output = output
        phases = {"prepare": (time.monotonic() - started) * 1000}
        environment = FramedEnvironment(launch.id, spec, shell.tree, phases)
        try:
            await asyncio.get_running_loop().create_connection(lambda: environment, sock=shell.channel)
        except BaseException:
            shell.close()
            raise
        self._keep(environment, shell.tree)
        launch = replace(launch, initialization_type="snap-start")
        environment.specialise(variables_of(spec, launch, python_version=plan.python_version))
        try:
            await environment.initialise(_RESTORE_LIMIT_S)
        except BaseException:
            environment.kill()
            raise
        del phases["jail"]
        phases["restore"] = phases.pop("init")
        return environment

    async def _make_template(self, spec: FunctionSpec, plan: Plan, launch: Launch, output: Output) -> Template:
        """Run the version's init in a jail of its own, to be forked. Raises JailFailed."""
        code = await self._packages.path_of(spec.code)
        layers = await self._packages.layers_of(spec.layers)
        shell = await self._start_shell(spec, plan, [], is_template=True)
        shell.tree.output = output
        shell.tree.resting = self._resting
        try:
            places = {TASK_ROOT: code.name, LAYERS: layers.name if layers is not None else ""}
            shell.order(places, limits_of(spec), spec.ephemeral_mb << 20)
            variables = variables_of(spec, replace(launch, initialization_type="snap-start"), python_version=plan.python_version)
            async with asyncio.timeout(launch.init_timeout_s):
                template = await initialised(shell, spec, variables)
        except TimeoutError:
            shell.close()
            raise JailFailed("the init phase of the snapshot took too long") from None
        except BaseException:
            shell.close()
            raise
        for warning in template.warnings:
            output(f"SNAPSTART_NOTE {warning}\n".encode())
        return template

    @property
    def shells_ready(self) -> int:
        """How many programs stand ready without code."""
        return self._shells.ready + self._python_shells.ready

    def _shells_for(self, plan: Plan) -> Shells:
        return self._python_shells if plan.is_forked else self._shells

    def _can_be_shell(self, plan: Plan) -> bool:
        # A forked shell's limits are set when it is known whose it is: without cgroups that is too late.
        return plan.can_be_shell and (bool(self._group) or not plan.is_forked)

    async def _specialised(
        self,
        shell: Shell,
        plan: Plan,
        launch: Launch,
        spec: FunctionSpec,
        code: Path,
        layers: Path | None,
        phases: dict[str, float],
    ) -> FramedEnvironment:
        """A shell made this function's environment: code in its place, walls shut, and only then told whose it is."""
        places = {TASK_ROOT: code.name, LAYERS: layers.name if layers is not None else ""}
        environment = FramedEnvironment(launch.id, spec, shell.tree, phases)
        try:
            if plan.is_forked:  # it waits at a gate until its jail is filled
                shell.order(places, limits_of(spec), 0 if spec.ephemeral_mb == _SHELL_TMP_MB else spec.ephemeral_mb << 20)
            else:
                shell.order(places)
                await shell.tree.specialised
            await asyncio.get_running_loop().create_connection(lambda: environment, sock=shell.channel)
        except BaseException:
            shell.close()
            raise
        self._keep(environment, shell.tree)
        environment.specialise(variables_of(spec, launch, python_version=plan.python_version))
        return environment

    def _shell_kind(self, spec: FunctionSpec, plan: Plan) -> tuple[Key, StartShell]:
        """What tells kinds of shells apart, all that a jail may differ in but its place and its ids, and the account in whose group
        it stands; and how one is started.

        A forked one is for functions of every size. Others read theirs when they start.
        """
        argv = tuple(plan.argv(self._placeholders, None))
        size = (0, 0) if plan.is_forked else (spec.memory_mb, spec.ephemeral_mb)
        policy, _ = self._networks.policy_of(spec)
        key = (spec.account, plan.forked_from.executable, plan.runtime, argv, size, policy)
        return key, partial(self._start_shell, spec, plan, list(argv))

    async def _start_shell(self, spec: FunctionSpec, plan: Plan, argv: list[str], *, is_template: bool = False) -> Shell:
        policy, _ = self._networks.policy_of(spec)
        if plan.is_forked:
            spec = replace(spec, memory_mb=_MOST_MEMORY_MB, ephemeral_mb=_SHELL_TMP_MB)
        if plan.prepare is not None:
            await plan.prepare()
        zygote = await self._zygote(plan.forked_from)
        self._started += 1
        number = self._started
        group = await self._account_groups.below(spec.account, f"shell-{number}")
        base = self._base_of(plan.runtime, policy)
        jail = jail_of(
            spec,
            base,
            code=None if plan.is_forked or plan.stays_in_place else f"{_PLACEHOLDERS}/task",
            layers=None if plan.is_forked else f"{_PLACEHOLDERS}/opt",
            group=group,
            number=number,
            is_shell=True,
        )
        if not plan.is_forked and not plan.stays_in_place:
            jail = replace(jail, cwd="/")  # a program may still be starting when its placeholder is taken away
        request = {
            "environment": shell_variables(),
            "argv": argv,
            "serves_runtime_api": False,
            "extensions": [],
            "is_shell": True,
            "scatters": plan.stays_in_place,
            "is_template": is_template,
            "is_alone": plan.is_forked and not is_template and freezer.can_freeze(group),
        }
        tree, channel = await self._fork(zygote, request, jail, policy, base, lambda _: None)
        channel.setblocking(False)
        shell = Shell(tree, channel)
        try:
            await tree.jailed
        except BaseException:
            shell.close()
            await asyncio.wait([tree.exited], timeout=10)  # also when cancelled: whoever closes the pool waits for this
            raise
        return shell

    async def _started_afresh(
        self,
        plan: Plan,
        launch: Launch,
        spec: FunctionSpec,
        code: Path,
        layers: Path | None,
        output: Output,
        started: float,
    ) -> FramedEnvironment | RuntimeApiEnvironment:
        if plan.prepare is not None:
            await plan.prepare()
        zygote = await self._zygote(plan.forked_from)
        self._started += 1
        number = self._started
        group = await self._account_groups.below(spec.account, launch.id)
        extensions = _extensions_in(layers)
        if plan.web is not None:
            extensions = [name for name in extensions if name != web.ADAPTER_EXTENSION]
        serves_api = plan.serves_runtime_api or bool(extensions)
        runtime = self._with_hosts(plan.runtime) if extensions else plan.runtime
        policy, _ = self._networks.policy_of(spec)
        base = self._base_of(runtime, policy)
        layers_name = layers.name if layers is not None else None
        jail = jail_of(spec, base, code=code.name, layers=layers_name, group=group, number=number)
        request = {
            "environment": variables_of(spec, launch, python_version=plan.python_version),
            "argv": plan.argv(code, layers),
            "serves_runtime_api": serves_api,
            "extensions": extensions,
            "web": plan.launch_of_web(),
            "is_alone": not serves_api and freezer.can_freeze(group),  # else its first process has orders to take
        }
        phases = {"prepare": (time.monotonic() - started) * 1000}
        async with self._starting.turn(spec.account):  # in a burst each start would only make the others slower
            if not launch.is_wanted():
                raise StartUnwanted
            forking = time.monotonic()
            tree, channel = await self._fork(zygote, request, jail, policy, base, output)
            phases["fork"] = (time.monotonic() - forking) * 1000
            await asyncio.wait((tree.jailed,))
        api = LocalApi(spec, tree, tuple(extensions)) if serves_api else None
        environment = await self._attached(plan, launch, spec, tree, channel, phases, api)
        self._keep(environment, tree)
        return environment

    async def _fork(
        self, zygote: Zygote, request: dict[str, Any], jail: Jail, policy: NetworkPolicy, base: Base, output: Output
    ) -> tuple[ProcessTree, socket.socket]:
        """An environment as requested, in a jail with a network of that policy. Raises JailFailed."""
        try:
            network = await self._networks.take(policy)
        except OSError as error:
            raise JailFailed(f"no network namespace: {error}") from error
        request["jail"] = replace(jail, network=network.source, ear_port=network.ear_port)
        tree, channel = await zygote.fork(request, base, output, jail.cgroup, network)
        tree.on_ear = partial(self._networks.hear, network)
        return tree, channel

    def _base_of(self, runtime: Runtime, policy: NetworkPolicy) -> Base:
        if policy != "host":  # the machine's resolver may be one that a jail does not reach
            runtime = Runtime(runtime.folders, (*runtime.bound, (str(self._resolvers), "/etc/resolv.conf")))
        return base_of(runtime, root=self._root, packages=self._packages.folder)

    def _keep(self, environment: Environment, tree: ProcessTree) -> None:
        self._live.add(environment)
        tree.resting = self._resting
        tree.on_exit = lambda: self._live.discard(environment)

    def memory_mb(self) -> int:
        return cgroup.used_memory(self._group) >> 20

    def statuses(self) -> list[RuntimeStatus]:
        return discovery.survey_runtimes(is_strict=self._plans.is_strict)

    async def close(self) -> None:
        self._resting.close()
        live = list(self._live)
        for environment in live:
            environment.kill()
        if live:
            await asyncio.wait([environment.exited for environment in live], timeout=10)
        await self._snapshots.close()  # after the environments that run from them
        await self._shells.close()
        await self._python_shells.close()
        if self._opening:
            await asyncio.wait(self._opening.values())
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()
        await self._networks.close()
        await asyncio.to_thread(cgroup.remove_whole, self._group)
        await asyncio.to_thread(shutil.rmtree, self._root, True)

    async def _attached(
        self,
        plan: Plan,
        launch: Launch,
        spec: FunctionSpec,
        tree: ProcessTree,
        channel: Any,
        phases: dict[str, float],
        api: LocalApi | None,
    ) -> FramedEnvironment | RuntimeApiEnvironment:
        if plan.serves_runtime_api:
            assert api is not None
            channel.close()
            return RuntimeApiEnvironment(launch.id, spec, tree, phases, api)
        environment = FramedEnvironment(launch.id, spec, tree, phases, api)
        channel.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: environment, sock=channel)
        return environment

    def _with_hosts(self, runtime: Runtime) -> Runtime:
        """With the name under which extensions listen: a jail's own loopback."""
        return Runtime(runtime.folders, (*runtime.bound, (str(self._hosts), "/etc/hosts")))

    async def _zygote(self, interpreter: Interpreter) -> Zygote:
        path = interpreter.executable
        zygote = self._zygotes.get(path)
        if zygote is not None and zygote.is_open:
            return zygote
        if path not in self._opening:
            self._begin_zygote(path)
        return await asyncio.shield(self._opening[path])

    def _begin_zygote(self, path: str) -> None:
        def begun(task: asyncio.Task[Zygote]) -> None:
            del self._opening[path]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("the zygote of %s does not start: %r", path, error)

        self._opening[path] = asyncio.create_task(self._open_zygote(path))
        self._opening[path].add_done_callback(begun)

    async def _open_zygote(self, path: str) -> Zygote:
        zygote = Zygote(path)
        await zygote.open()
        self._zygotes[path] = zygote
        return zygote


def _extensions_in(layers: Path | None) -> list[str]:
    """The names of the external extensions: programs that start before the runtime."""
    folder = layers / "extensions" if layers is not None else None
    if folder is None or not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
