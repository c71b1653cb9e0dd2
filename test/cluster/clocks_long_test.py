"""Members whose clocks are wrong: an hour ahead, an hour behind, running a hundredth too fast, stepping while they run.

Their servers run with wrong_clock.c in front of the C library, which tells them a time that a file beside the member says, at once and while they
run; time that only measures (CLOCK_MONOTONIC) is true. What is promised (docs/protocol.md, 3): a block's time is above its
parent's, and at most ten seconds above the later of that and the clocks of those who vote for it; so a primary that is ahead finds no votes and is
replaced, and the chain goes on whatever the clocks say.
"""
import contextlib
import os
import struct
import subprocess
import threading
import time

import psycopg2

from clients import Background, end_worker, paused, transaction
from harness import CONFLICT, ROOT, UNKNOWN, Suite, Workers, check, equal, eventually, sqlstate

BOUND = 10  # seconds that a fresh proposal may be ahead, docs/protocol.md
HOUR = 3600
# Lost races, open outcomes, sessions that are ended, and members that have lost sight of the others for a moment.
ALLOWED = {CONFLICT, "40P01", UNKNOWN, "57P01", "DA001", "DA002"}


def set_clock(c, member, offset=0, drift_ppm=0):
    """Seconds ahead, and millionths of a second gained in each; for all of its processes at once."""
    path = os.path.join(c.dir, f"m{member}.clock")
    with open(path, "r+b" if os.path.exists(path) else "wb") as f:
        f.write(struct.pack("=qqq", offset * 1_000_000, drift_ppm, time.time_ns() // 1000))


def library_of(c):
    return os.path.join(c.base, "wrong_clock.so")


@contextlib.contextmanager
def clock_of(c, member):
    """What is started here has the member's clock, too. pg_ctl needs it: a postmaster.pid that is older than itself by its own clock is a stale one to
    it, so it would wait for DADBS_CTL_TIMEOUT seconds for a server that is an hour behind, and then say that it did not start."""
    os.environ.update(LD_PRELOAD=library_of(c), WRONG_CLOCK=os.path.join(c.dir, f"m{member}.clock"))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["WRONG_CLOCK"]


def begin(c):
    config = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")
    postgres = os.path.join(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip(), "postgres")
    library = library_of(c)
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, os.path.join(ROOT, "test", "cluster", "wrong_clock.c"), "-ldl"],
                   check=True)
    for i in c.members():
        c.beside(i, "server", f"#!/bin/sh\nexport LD_PRELOAD='{library}' WRONG_CLOCK='{c.dir}/m{i}.clock'\nexec '{postgres}' \"$@\"\n", 0o755)
        set_clock(c, i)
    c.start()
    c.run(1, "CREATE TABLE entry (id bigserial PRIMARY KEY, member int NOT NULL)")
    c.settle()


suite = Suite("clocks", port=8060, begin=begin)


class Writers:
    """One on each member; commits by member, and what they were told instead."""

    running = None  # also where the test before has failed

    def __init__(self, c):
        if Writers.running:
            Writers.running.workers.stop.set()
        Writers.running = self
        self.c, self.commits, self.told, self.restarting = c, {i: 0 for i in c.members()}, set(), set()
        self.workers = Workers()
        for i in c.members():
            self.workers.start(self.write, i)

    def write(self, stop, member):
        connection = None
        while not stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member)
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO entry (member) VALUES (%s)", (member,))
                self.commits[member] += 1
                time.sleep(0.02)
            except psycopg2.Error as e:
                if member not in self.restarting:
                    self.told.add(e.pgcode or "connection lost")
                time.sleep(0.1)

    def all_commit(self, what, more=20, seconds=60):
        before = dict(self.commits)
        eventually(lambda: self.workers.errors or all(self.commits[i] >= before[i] + more for i in before), seconds,
                   f"{more} commits on each member {what}: {self.commits} after {before}")

    def finish(self):
        self.workers.join()
        equal(self.told - ALLOWED, set(), "SQLSTATEs that clients were told")
        check(all(self.commits.values()), f"nobody is stuck: {self.commits}")


def times(c, since, member=1):
    """[(height, time, received by an honest member)] of the blocks above `since`, in seconds of the epoch."""
    return c.run(member, "SELECT height, extract(epoch FROM time)::float8, extract(epoch FROM received_at)::float8, proposer FROM dadbs.blocks "
                         f"WHERE height > {since} ORDER BY height")


def height(c, member=1):
    return c.value(member, "SELECT dadbs.applied_height()")


def times_are_sound(c, since, honest, behind=BOUND):
    """Strictly above each other, and near what the clocks of honest members say when they receive them."""
    blocks = times(c, since, honest)
    check(len(blocks) > 5, "hardly any blocks")
    for (low, before, _, _), (high, after, _, _) in zip(blocks, blocks[1:]):
        check(after > before, f"block {high} is not above block {low} in time: {after} and {before}")
    for h, at, received, proposer in blocks:
        check(at <= received + BOUND + 1, f"block {h} of {proposer} is {at - received:.1f} s ahead of the clock of member {honest}")
        check(behind is None or at >= received - behind, f"block {h} of {proposer} is {received - at:.1f} s behind the clock of member {honest}")
    return blocks


def another(c, *members):
    return next(i for i in c.members() if i not in members)


@suite.test
def backups_an_hour_off(c):
    """One ahead and one behind at the same time: they vote, and they write."""
    since, primary = height(c), c.primary()
    ahead = another(c, primary)
    behind = another(c, primary, ahead)
    writers = Writers(c)
    writers.all_commit("with true clocks")
    set_clock(c, ahead, HOUR)
    set_clock(c, behind, -HOUR)
    writers.all_commit("with two clocks an hour off")
    for i in (ahead, behind):
        set_clock(c, i)
    writers.all_commit("with true clocks again")
    writers.finish()
    equal(c.primary(), primary, "the primary, whose clock is right")
    times_are_sound(c, since, primary)


@suite.test
def primary_an_hour_ahead(c):
    """Nobody votes for its times: it is replaced, and no block is from the future."""
    since, primary = height(c), c.primary()
    honest = another(c, primary)
    writers = Writers(c)
    writers.all_commit("with true clocks")
    set_clock(c, primary, HOUR)
    eventually(lambda: c.primary(but=primary) != primary, 60, f"another primary than member {primary}, which is an hour ahead")
    writers.all_commit("with another primary")
    set_clock(c, primary)
    writers.all_commit("with true clocks again")
    writers.finish()
    times_are_sound(c, since, honest)


@suite.test
def primary_steps_back_by_an_hour(c):
    """It may stay: its blocks are a microsecond above each other until its clock, or another primary's, is past them."""
    since, primary = height(c), c.primary()
    honest = another(c, primary)
    writers = Writers(c)
    writers.all_commit("with true clocks")
    set_clock(c, primary, -HOUR)
    stepped = height(c, honest)
    writers.all_commit("with a primary an hour behind")
    last = height(c, honest)
    set_clock(c, primary)
    healed = height(c, honest)
    writers.all_commit("with true clocks again")
    writers.finish()
    times_are_sound(c, since, honest, behind=None)
    times_are_sound(c, healed + 5, honest)
    slow = [b for b in times(c, stepped, honest) if b[0] <= last]
    print(f"# {len(slow)} blocks within {slow[-1][1] - slow[0][1]:.6f} s of block time", flush=True)


@suite.test
def clocks_that_drift(c):
    """A hundredth too fast and a hundredth too slow, a primary among them; one steps back now and then."""
    since, primary = height(c), c.primary()
    fast, slow = primary, another(c, primary)
    stepping = another(c, fast, slow)
    honest = another(c, fast, slow, stepping)
    writers = Writers(c)
    set_clock(c, fast, drift_ppm=10_000)
    set_clock(c, slow, drift_ppm=-10_000)
    for step in (-3, 2, -60, 0):
        set_clock(c, stepping, step)
        writers.all_commit(f"with a clock set to {step} s")
    for i in (fast, slow):
        set_clock(c, i)
    writers.finish()
    times_are_sound(c, since, honest)


@contextlib.contextmanager
def going_back(c, member):
    """A minute in each twentieth of a second: whoever computes what is left of a wait from this clock waits for ever."""
    ended, offset = threading.Event(), 0

    def steps():
        nonlocal offset
        while not ended.wait(0.05):
            offset -= 60
            set_clock(c, member, offset)
    thread = threading.Thread(target=steps, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        set_clock(c, member)


def between(low, action, high, what):
    """What action() returns; it takes so many seconds."""
    began = time.monotonic()
    result = Background(action).result(high, what)
    check(time.monotonic() - began >= low, f"{what} ended after {time.monotonic() - began:.1f} s")
    return result


@suite.test
def waits_under_a_clock_that_goes_back(c):
    """Timeouts, sessions that are in the way of the turn's holder, and pauses before workers start again: none of them is measured by the clock."""
    primary = c.primary()
    member = another(c, primary)
    c.run(primary, "INSERT INTO entry (id, member) VALUES (-1, 0)")
    c.settle()
    with going_back(c, member), transaction(c, member, "UPDATE entry SET member = member WHERE id = -1"):
        c.run(primary, "UPDATE entry SET member = 1 WHERE id = -1")
        eventually(lambda: c.value(member, "SELECT member FROM entry WHERE id = -1") == 1, 15, "a session that is idle gives way")
    ahead = height(c, member) + 1000
    with going_back(c, member):
        wait_for = f"SELECT dadbs.wait_for({ahead}, '2 s')"
        equal(between(1.9, lambda: c.value(member, wait_for), 15, wait_for), False, wait_for)
    with paused(c, member, "consensus"), going_back(c, member):
        commit = ("SET dadbs.commit_timeout = '2s'", "INSERT INTO entry (member) VALUES (0)")
        equal(between(1.9, lambda: sqlstate(lambda: c.run(member, *commit)), 15, "commit_timeout"), "40003", "commit_timeout")
    c.wait_ready()
    with going_back(c, member):
        for _ in range(4):  # the pause before the next start doubles
            end_worker(c, member, "capture")
            eventually(lambda: not c.value(member, "SELECT can_write FROM dadbs.status"), 15, "the workers have ended")
        eventually(lambda: c.value(member, "SELECT can_write FROM dadbs.status"), 30, "the workers are back")


# Seconds from the call of pg_ctl until the member takes writes again: a restart takes two or three, on a machine that has time.
BACK = 20


@suite.test
def started_with_a_wrong_clock(c):
    """Stopped or killed, a backup or the primary, and then there with another time: an hour ahead, an hour behind, two hours back at once, a day, and the true one."""
    since, honest = height(c), another(c, c.primary())
    writers, took = Writers(c), {}
    for how in ("stop", "kill"):
        for who in ("backup", "primary"):
            if who == "primary" and c.primary() == honest:
                writers.restarting.add(honest)
                c.stop_member(honest)
                eventually(lambda: c.primary(but=honest) != honest, 60, "another primary")
                c.start_member(honest)
                c.wait_ready()
                writers.restarting.discard(honest)
            member = c.primary() if who == "primary" else another(c, c.primary(), honest)
            for offset in (HOUR, -HOUR, -24 * HOUR, 0):
                writers.all_commit(f"before member {member} is started with {offset} s")
                writers.restarting.add(member)
                getattr(c, {"stop": "stop_member", "kill": "kill"}[how])(member)
                set_clock(c, member, offset)
                began = time.monotonic()
                with clock_of(c, member):
                    c.start_member(member)
                eventually(lambda i=member: c.value(i, "SELECT can_write FROM dadbs.status"), 120, f"member {member} ({who}, {how}), started with {offset} s, takes writes")
                took[how, who, offset] = time.monotonic() - began
                writers.all_commit(f"with member {member} ({who}, {how}) started with {offset} s")
                writers.restarting.discard(member)
    writers.finish()
    print("# " + ", ".join(f"{' '.join(map(str, k))}: {v:.1f} s" for k, v in took.items()), flush=True)
    check(max(took.values()) < BACK, f"seconds until a member is back: {took}")
    times_are_sound(c, since, honest, behind=None)


@suite.test
def all_start_with_different_clocks(c):
    """Two of them are wrong by an hour, in opposite directions; nobody was running."""
    since, offsets = height(c), dict(zip(c.members(), (HOUR, -HOUR, 0, 0)))
    for i in c.members():
        c.stop_member(i)
    began = time.monotonic()
    for i, offset in offsets.items():
        set_clock(c, i, offset)
        with clock_of(c, i):
            c.start_member(i)
    c.wait_ready()
    took = time.monotonic() - began
    writers = Writers(c)
    writers.all_commit("with two clocks an hour off since the start")
    for i in c.members():
        set_clock(c, i)
    writers.all_commit("with true clocks again")
    writers.finish()
    times_are_sound(c, since, 3, behind=None)
    check(took < 2 * BACK, f"{took:.1f} s until all members are back")


if __name__ == "__main__":
    suite.main()
