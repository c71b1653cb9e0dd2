"""Clients and faults that several suites need: races of two transactions, sessions in the background, a worker that pauses.

Nobody waits for anybody without a limit here: a client that hangs is a failed test.
"""
import contextlib
import os
import signal
import threading
import time

import psycopg2

from harness import CONFLICT, check, equal, eventually, sqlstate, worker_pid

# What a session may read that stood in the way while it was idle in a transaction: its connection is ended too.
LOST = {CONFLICT, "57P01", "connection lost"}
OWNER = "SET ROLE dadbs_owner"  # superusers do not run functions that came over the chain


class Background:
    """An action in a thread; result() is what it returned, or the exception that it raised."""

    def __init__(self, action, *arguments):
        self.outcome = None

        def body():
            try:
                self.outcome = action(*arguments)
            except Exception as e:  # noqa: BLE001 - handed to the caller
                self.outcome = e
        self.thread = threading.Thread(target=body, daemon=True)
        self.thread.start()

    def waits(self):
        return self.thread.is_alive()

    def result(self, seconds=30, what="a client"):
        self.thread.join(seconds)
        check(not self.thread.is_alive(), f"{what} hangs")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def commit_in_background(connection, c=None):
    """result() is the SQLSTATE, None if it was committed; with the cluster, 40001 also where the session was ended while it was idle."""
    return Background(c.outcome, connection, connection.commit) if c else Background(sqlstate, connection.commit)


@contextlib.contextmanager
def transaction(c, member, *statements, user="postgres"):
    """A session whose transaction has executed the statements and is open."""
    connection = c.connect(member, user, autocommit=False)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield connection
    finally:
        connection.close()


def race(c, first, second, members=(1, 2), before=()):
    """Both executed on two members before either commits; their SQLSTATEs (None: committed)."""
    c.settle()
    with transaction(c, members[0], *before, first) as a, transaction(c, members[1], *before, second) as b:
        commits = [commit_in_background(x, c) for x in (a, b)]
        return [commit.result(60, "a commit") for commit in commits]


def one_wins(results, what, loser=(CONFLICT,)):
    check(results.count(None) == 1 and (set(results) - {None}) <= set(loser), f"{what}: {results}")


def refused(c, expected, *statements, member=1, user="postgres"):
    """The SQLSTATE is the expected one (or one of them); what is not supported comes with a detail or a hint."""
    try:
        c.run(member, *statements, user=user)
    except psycopg2.Error as e:
        check(e.pgcode in ((expected,) if isinstance(expected, str) else expected), f"{statements}: {e.pgcode} {e}")
        check(e.pgcode != "0A000" or e.diag.message_hint or e.diag.message_detail, f"{statements}: no hint: {e}")
        return
    check(False, f"not refused: {statements}")


def everywhere(c, query, expected, what):
    c.settle()
    for i in c.members():
        equal(c.run(i, query), expected, f"{what} on member {i}")


@contextlib.contextmanager
def paused(c, member, kind="apply"):
    """The worker does not run for as long; with `apply`, the member's clients see an old state and write on it."""
    pid = eventually(lambda: worker_pid(c, member, kind), 20, f"a {kind} worker on member {member}")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def end_worker(c, member, kind):
    """SIGTERM: the set of workers comes back without a restart of the server."""
    os.kill(eventually(lambda: worker_pid(c, member, kind), 20, f"a {kind} worker on member {member}"), signal.SIGTERM)


def await_applied(c, member, query, what, seconds=20):
    eventually(lambda: c.value(member, query), seconds, f"{what} on member {member}")


class Machine(threading.Thread):
    """How long the machine itself stands still meanwhile: a process that sleeps, and a disk that syncs, as the servers do."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.path = os.path.join(c.base, "stall")
        self.ended = threading.Event()
        self.longest = 0.0
        self.start()

    def run(self):
        with open(self.path, "w") as file:
            while not self.ended.is_set():
                began = time.monotonic()
                time.sleep(0.02)
                file.write("x")
                file.flush()
                os.fdatasync(file.fileno())
                self.longest = max(self.longest, time.monotonic() - began - 0.02)

    def finish(self):
        self.ended.set()
        self.join(60)
        return self.longest
