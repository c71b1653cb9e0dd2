"""What goes wrong in a run: each fault takes something away from some members for a while and gives it back.

More than f members may be hit at once: then nothing may commit, and nothing may be lost. All dice come from one seed; when a fault meets a
member is the machine's. `hit()` leaves every server running and every link whole.
"""
import itertools
import os
import random
import signal
import subprocess
import time

import psycopg2

from clients import Background
from harness import check, eventually, send, worker_pid

WORKERS = ("capture", "consensus", "apply", "launcher", "blocks")


def partitions(members):
    """Every way to cut the members into at least two parts."""
    def parts(rest):
        if not rest:
            yield []
            return
        first, others = rest[0], rest[1:]
        for k in range(len(others) + 1):
            for with_first in itertools.combinations(others, k):
                left = [m for m in others if m not in with_first]
                for more in parts(left):
                    yield [[first, *with_first], *more]
    return [p for p in parts(list(members)) if len(p) > 1]


def tree_of(c, member):
    """The server's processes, the postmaster first."""
    try:
        with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
            postmaster = int(f.readline())
    except (OSError, ValueError):
        return []
    out = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True).stdout
    return [postmaster, *map(int, out.split())]


def patiently(action, what, seconds=60):
    """On a server that may be starting again, or be out of reach for a moment."""
    def tried():
        try:
            action()
            return True
        except psycopg2.Error:
            return False
    eventually(tried, seconds, what)


class Faults:
    def __init__(self, c, seed):
        self.c, self.rng = c, random.Random(f"{seed} faults")
        self.partitions = partitions(c.members())
        self.done = {}
        # Groups and one-way cuts last longer than a view change takes; some of them until links are given up for silence (10 s).
        self.kinds = [self.kill_backend, self.end_sessions, self.kill_worker, self.end_worker, self.freeze_worker, self.kill_server,
                      self.freeze_server, self.stop_immediately, self.stop_fast, self.isolate, self.partition, self.partition,
                      self.one_way, self.flap, self.hunt_primary, self.kill_primary_in_view_change, self.power_cut]
        self.waiting = []

    def hit(self):
        """The next fault: all kinds in turn, shuffled."""
        if not self.waiting:
            self.waiting = self.rng.sample(self.kinds, len(self.kinds))
        kind = self.waiting.pop()
        told = kind(self.some_member())
        name = kind.__name__.replace("_", " ")
        self.done[name] = self.done.get(name, 0) + 1
        return f"{name} {told}"

    def some_member(self):
        return self.rng.choice(list(self.c.members()))

    def some(self, low=0.3, high=4.0):
        return self.rng.uniform(low, high)

    # ---- processes

    def backends(self, member):
        try:
            return [r[0] for r in self.c.run(member, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                                     "AND datname = 'shared' AND pid <> pg_backend_pid()")]
        except psycopg2.Error:
            return []

    def kill_backend(self, member):
        """SIGKILL of one makes its server restart."""
        pids = self.backends(member)
        send(self.rng.sample(pids, min(1, len(pids))), signal.SIGKILL)
        return f"of member {member}"

    def end_sessions(self, member):
        until = time.monotonic() + self.some(1, 3)
        while time.monotonic() < until:
            pids = self.backends(self.some_member())
            send(self.rng.sample(pids, min(2, len(pids))), self.rng.choice((signal.SIGINT, signal.SIGTERM)))
            time.sleep(0.1)
        return ""

    def worker(self, member, number):
        kind = self.rng.choice(WORKERS)
        pid = worker_pid(self.c, member, kind)
        send([pid] if pid else [], number)
        return pid, f"{kind} of member {member}"

    def kill_worker(self, member):
        return self.worker(member, signal.SIGKILL)[1]

    def end_worker(self, member):
        return self.worker(member, signal.SIGTERM)[1]

    def freeze_worker(self, member):
        pid, told = self.worker(member, signal.SIGSTOP)
        time.sleep(self.some())
        send([pid] if pid else [], signal.SIGCONT)
        return told

    # ---- servers

    def kill_server(self, member):
        self.c.kill(member)
        time.sleep(self.some(0, 3))
        self.c.start_member(member)
        return f"{member}"

    def freeze_server(self, member):
        pids = tree_of(self.c, member)
        send(pids, signal.SIGSTOP)
        time.sleep(self.some())
        send(pids, signal.SIGCONT)
        return f"{member}"

    def stop(self, member, mode):
        self.c.stop_member(member, mode)
        time.sleep(self.some(0, 2))
        self.c.start_member(member)
        return f"{member}"

    def start_together(self, members):
        starting = [Background(self.c.start_member, i) for i in members]
        for s in starting:
            s.result(120, "the start of a server")

    def stop_immediately(self, member):
        return self.stop(member, "immediate")

    def stop_fast(self, member):
        return self.stop(member, "fast")

    def power_cut(self, member):
        for i in self.c.members():
            self.c.kill(i)
        self.start_together(self.c.members())
        return "of all"

    # ---- links

    def deafen(self, cuts):
        """{member: those whose messages it loses}; the others of its peers it hears."""
        for member in self.c.members():
            peers = sorted(cuts.get(member, ()))
            patiently(lambda m=member, p=peers: self.c.deafen(m, p), f"member {member} takes the cut {peers}")

    def isolate(self, member):
        patiently(lambda: self.c.run(member, "SELECT dadbs_internal.set_isolated(true)"), f"member {member} cuts its links")
        time.sleep(self.some())
        patiently(lambda: self.c.run(member, "SELECT dadbs_internal.set_isolated(false)"), f"member {member} heals its links")
        return f"of member {member}"

    def cut_into(self, parts, seconds):
        self.deafen({m: [x for other in parts if other is not part for x in other] for part in parts for m in part})
        time.sleep(seconds)
        self.deafen({})

    def partition(self, member):
        parts = self.rng.choice(self.partitions)
        self.cut_into(parts, self.rng.choice((self.some(), self.some(), self.some(10, 14))))
        return "into " + " | ".join(" ".join(map(str, p)) for p in parts)

    def directed(self):
        pairs = [(a, b) for a in self.c.members() for b in self.c.members() if a != b]
        return self.rng.sample(pairs, self.rng.randrange(1, self.c.n))

    def one_way(self, member):
        cuts = {}
        pairs = self.directed()
        for listener, speaker in pairs:
            cuts.setdefault(listener, []).append(speaker)
        self.deafen(cuts)
        time.sleep(self.rng.choice((self.some(), self.some(10, 14))))
        self.deafen({})
        return "cuts " + ", ".join(f"{b} to {a}" for a, b in pairs)

    def flap(self, member):
        for _ in range(self.rng.randrange(3, 8)):
            others = [i for i in self.c.members() if i != member]
            self.deafen({member: self.rng.sample(others, self.rng.randrange(1, self.c.n))})
            time.sleep(self.some(0.05, 0.5))
            self.deafen({})
            time.sleep(self.some(0.05, 0.5))
        return f"of the links of member {member}"

    # ---- primaries

    def primary(self):
        for i in self.c.members():
            try:
                return self.c.primary(but=i)
            except (psycopg2.Error, TypeError, ValueError):  # it does not run, or is starting
                continue
        return self.some_member()

    def hunt_primary(self, member):
        hit = []
        for _ in range(self.rng.randrange(2, 4)):
            primary = self.primary()
            hit.append(primary)
            self.rng.choice((self.kill_server, self.freeze_server, self.isolate, self.stop_immediately))(primary)
        return f"{hit}"

    def kill_primary_in_view_change(self, member):
        """The primary stands still, and while the others replace it another one of them is killed."""
        primary = self.primary()
        pids = tree_of(self.c, primary)
        send(pids, signal.SIGSTOP)
        time.sleep(self.some(0.2, 1.5))
        other = self.rng.choice([i for i in self.c.members() if i != primary])
        self.c.kill(other)
        send(pids, signal.SIGCONT)
        self.c.start_member(other)
        check(tree_of(self.c, other), f"member {other} runs")
        return f"{primary}, and {other}"
