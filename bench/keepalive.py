"""Keep-alive policies over days of calls, in seconds: the node's own pool, policies and eviction, run by a clock that jumps.

    python bench/keepalive.py [--functions 400] [--days 7] [--seed 1] [--trace FILE_OR_FOLDER] [--budgets 4000,8000]

Prints a table and JSON lines. `cold` is the share of calls that found no environment; `p75` the same for the function at the 75th
percentile (most functions are called seldom: this is what their users see); `idle GB h` what was kept in memory without running;
`refused` counts calls that found no room. A budget is the memory in MB for all environments together; `greedy-dual alone` keeps
everything until that is full.
"""

import argparse
import heapq
import sys
import time
from pathlib import Path

from cumulet.core.clock import ManualClock
from cumulet.invoke.keep_alive import keep_alive_of
from cumulet.invoke.pool import Pool
from cumulet.runtimes.contract import FunctionSpec
from http_client import emit
from keepalive_traces import DAY_S, Function, generate, read

STEP_S = 10.0
"""How often the pool is asked what falls due: a node does so every second."""
UNBOUNDED_MB = 1 << 40


class Exited:
    """Stands in for the future of an environment's end."""

    def __init__(self):
        self.is_done, self.callbacks = False, []

    def done(self):
        return self.is_done

    def add_done_callback(self, callback):
        self.callbacks.append(callback)


class SimulatedEnvironment:
    """An environment that only has a size and a time since when it is idle."""

    calls_at_once = 1

    def __init__(self, id, spec, simulation):
        self.id, self.spec, self.simulation, self.exited, self.idle_since_s = id, spec, simulation, Exited(), None

    def wake(self):
        self.simulation.idle_mb_s += (self.simulation.now_s - self.idle_since_s) * self.spec.memory_mb
        self.idle_since_s = None

    def rest(self):
        self.idle_since_s = self.simulation.now_s

    def kill(self):
        if not self.exited.is_done:
            self.exited.is_done = True
            if self.idle_since_s is not None:
                self.wake()
            for callback in self.exited.callbacks:
                callback(self.exited)


class Simulation:
    """One policy over one trace. The pool is the node's own."""

    def __init__(self, functions: list[Function], policy: str, budget_mb: int = UNBOUNDED_MB):
        self.clock = ManualClock(0)
        self.pool = Pool(self.clock, budget_mb, keep_alive_of(policy))
        self.functions, self.now_s, self.idle_mb_s, self.made, self.prewarmed, self.refused = functions, 0.0, 0.0, 0, 0, 0
        self.cold = [0] * len(functions)
        self.specs = [
            FunctionSpec("0", "r", each.name, str(at), "1", "1", "python3.11", "h", "c", "r", memory_mb=each.memory_mb)
            for at, each in enumerate(functions)
        ]
        for spec in self.specs:
            self.pool.room.learn(spec, int(spec.memory_mb / 1.25))

    def run(self) -> None:
        calls = sorted(
            (arrival_s, at, turn) for at, each in enumerate(self.functions) for turn, arrival_s in enumerate(each.arrivals)
        )
        ends: list[tuple[float, int, object]] = []
        step_s, order = STEP_S, 0
        for arrival_s, at, turn in calls:
            while step_s <= arrival_s or (ends and ends[0][0] <= arrival_s):
                if ends and ends[0][0] <= step_s:
                    end_s, _, member = heapq.heappop(ends)
                    self.move(end_s)
                    self.pool.release(member)
                else:
                    self.move(step_s)
                    self.keep()
                    step_s += STEP_S
            self.move(arrival_s)
            member = self.pool.lease(self.specs[at])
            if member is None:
                self.cold[at] += 1
                if not self.pool.make_room_now(self.specs[at]):
                    self.refused += 1
                    continue
                member = self.pool.add(self.environment(at), self.functions[at].cold_ms)
            order += 1
            heapq.heappush(ends, (arrival_s + self.functions[at].durations[turn], order, member))

    def move(self, now_s: float) -> None:
        self.now_s = max(self.now_s, now_s)
        self.clock.advance(seconds=self.now_s - self.clock.monotonic_s())

    def keep(self) -> None:
        self.pool.expire()
        while (spec := self.pool.pop_expected()) is not None:
            if self.pool.find_room(spec):
                at = int(spec.function_id)
                self.prewarmed += 1
                self.pool.release(self.pool.add(self.environment(at), self.functions[at].cold_ms, is_prewarmed=True))

    def environment(self, at: int) -> SimulatedEnvironment:
        self.made += 1
        return SimulatedEnvironment(str(self.made), self.specs[at], self)

    def told(self) -> dict:
        calls = sum(len(each.arrivals) for each in self.functions)
        shares = sorted(cold / len(each.arrivals) for cold, each in zip(self.cold, self.functions, strict=True) if each.arrivals)
        return {
            "calls": calls,
            "cold_percent": round(100 * sum(self.cold) / calls, 2),
            "p75_cold_percent": round(100 * shares[len(shares) * 3 // 4], 1),
            "idle_gb_h": round(self.idle_mb_s / 1024 / 3600, 1),
            "prewarmed": self.prewarmed,
            "refused": self.refused,
        }


def main(options) -> None:
    functions = read(options.trace, options.functions) if options.trace else generate(options.seed, options.functions, options.days)
    days = max(each.arrivals[-1] for each in functions if each.arrivals) / DAY_S
    print(f"{len(functions)} functions over {days:.1f} days, {sum(len(each.arrivals) for each in functions)} calls")
    heads = ("policy", "budget MB", "cold %", "p75 %", "idle GB h", "started ahead", "refused", "took s")
    print("{:<22} {:>9} {:>7} {:>6} {:>10} {:>14} {:>8} {:>7}".format(*heads))
    runs = [(policy, UNBOUNDED_MB) for policy in ("fixed:600", "fixed:1200", "fixed:3600", "hybrid")]
    for budget_mb in options.budgets:
        runs += [("fixed:600", budget_mb), ("fixed:9999999", budget_mb), ("hybrid", budget_mb)]
    for policy, budget_mb in runs:
        started = time.perf_counter()
        simulation = Simulation(functions, policy, budget_mb)
        simulation.run()
        told, took_s = simulation.told(), time.perf_counter() - started
        name = "greedy-dual alone" if policy == "fixed:9999999" else policy
        shown = "none" if budget_mb == UNBOUNDED_MB else str(budget_mb)
        print(
            f"{name:<22} {shown:>9} {told['cold_percent']:>7.2f} {told['p75_cold_percent']:>6.1f} {told['idle_gb_h']:>10.1f} "
            f"{told['prewarmed']:>14} {told['refused']:>8} {took_s:>7.1f}"
        )
        emit(what="keep-alive", policy=name, budget_mb=shown, days=round(days, 1), seed=options.seed, **told)
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=400)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--budgets", type=lambda text: [int(each) for each in text.split(",")], default=[4000, 8000])
    main(parser.parse_args())
