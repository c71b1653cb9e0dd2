"""The primary fails under load: the others go on with another one, nothing acknowledged is lost, the old one comes back.

Prints how long no commit was acknowledged by the others, from the moment of the failure.
"""
import os
import signal
import threading
import time

import psycopg2

from clients import Machine
from harness import Suite, check, equal, eventually, worker_pid
from load import Load, prepare

suite = Suite("view_change", port=7990)
GAP_MAX = 2.0  # what the issue asks for; the default settings aim at 0.5 s on machines of their own


class Gap(threading.Thread):
    """The longest time without an acknowledged commit of one client on `member`, from now on."""

    def __init__(self, c, member):
        super().__init__(daemon=True)
        self.c, self.member = c, member
        self.ended = threading.Event()
        self.longest = 0.0
        self.last = time.monotonic()
        self.start()

    def run(self):
        connection = self.c.connect(self.member)
        cursor = connection.cursor()
        while not self.ended.is_set():
            try:
                cursor.execute("INSERT INTO load VALUES (%s, 0)", (f"gap-{self.member}-{time.monotonic_ns()}",))
                now = time.monotonic()
                self.longest = max(self.longest, now - self.last)
                self.last = now
            except psycopg2.Error as e:
                check(e.pgcode == "40001", f"a commit fails: {e}")

    def finish(self):
        self.ended.set()
        self.join(60)
        check(not self.is_alive(), "a client hangs")
        return self.longest


class Probes:
    def __init__(self, c, members):
        self.machine = Machine(c)
        self.gaps = [Gap(c, i) for i in members]

    def finish(self, what):
        longest = [g.finish() for g in self.gaps]
        stall = self.machine.finish()
        print(f"# {what}: no commit for {max(longest):.2f} s; the machine stood still for {stall:.2f} s", flush=True)
        check(max(longest) < GAP_MAX + 4 * stall, f"{what}: no commit for {max(longest):.2f} s")  # a commit takes a few syncs


def finish(c, load):
    """All members catch up, and hold what was acknowledged. The clients of Gap wrote rows that the load doesn't know."""
    load.stop()
    c.wait_ready()
    c.run(1, "DELETE FROM load WHERE origin = 0")
    c.settle(60)
    load.finish()


def view(c, i):
    return c.value(i, "SELECT view FROM dadbs.status")


@suite.test
def primary_killed(c):
    prepare(c)
    primary, before = c.primary(), view(c, 1)
    others = [i for i in c.members() if i != primary]
    load = Load(c, c.members(), per_member=1)
    probes = Probes(c, others)
    time.sleep(1)
    c.kill(primary)
    time.sleep(2.5)
    probes.finish("the primary's server is killed")
    equal({c.primary(but=primary)} & {primary}, set(), "another primary")
    check(view(c, others[0]) > before, "the view has changed")
    c.start_member(primary)
    finish(c, load)
    eventually(lambda: len({view(c, i) for i in c.members()}) == 1, 30, "one view")
    check("view" in c.log(others[0]) and "has begun" in c.log(others[0]), "the log says so")
    own = c.value(primary, "SELECT state || ' ' || can_write FROM dadbs.status")
    equal(own, "ready true", "the former primary takes writes")


@suite.test
def primary_frozen(c):
    """Its consensus worker stands still (SIGSTOP): connections stay, nothing comes."""
    prepare(c)
    primary = c.primary()
    others = [i for i in c.members() if i != primary]
    load = Load(c, others, per_member=1)
    probes = Probes(c, others)
    time.sleep(0.5)
    worker = worker_pid(c, primary, "consensus")
    os.kill(worker, signal.SIGSTOP)
    try:
        time.sleep(3)
        probes.finish("the primary's consensus worker is frozen")
        check(c.primary(but=primary) != primary, "another primary")
    finally:
        os.kill(worker, signal.SIGCONT)
    finish(c, load)


@suite.test
def two_primaries_in_a_row(c):
    for _ in range(2):
        prepare(c)
        load = Load(c, c.members(), per_member=1)
        primary = c.primary()
        others = [i for i in c.members() if i != primary]
        probes = Probes(c, others)
        time.sleep(0.5)
        c.kill(primary)
        time.sleep(2.5)
        probes.finish(f"member {primary} is killed")
        c.start_member(primary)
        finish(c, load)


@suite.test
def idle_members_keep_their_primary(c):
    before = view(c, 1)
    time.sleep(3)
    blocker = c.connect(2, autocommit=False)  # and a transaction that is open for long is no reason either
    cursor = blocker.cursor()
    cursor.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    time.sleep(2)
    blocker.commit()
    blocker.close()
    eventually(lambda: {view(c, i) for i in c.members()} == {before}, 30, "the view that there was")


if __name__ == "__main__":
    suite.main()
