"""What the tests of hazards share: transactions that are forced out after their hand-over, members that stand still.

The names of the tests carry the numbers of the hazards (docs/testing.md lists them).
"""
import contextlib
import os
import signal
import subprocess
import threading

import psycopg2

from harness import CONFLICT, Failure, check, equal, eventually, sqlstate

# Nobody waits longer than this for anybody, on a loaded machine either.
PATIENCE = 60


@contextlib.contextmanager
def standing_still(c, member, worker):
    """One worker process of a member is stopped; it goes on at the end, whatever happens."""
    pid = worker_pid(c, member, worker)
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: process_state(pid) == "T", PATIENCE, f"the {worker} worker stands still")
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def process_state(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def worker_pid(c, member, worker):
    """Not all of them are connected to a database, so pg_stat_activity doesn't know them."""
    with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
        postmaster = int(f.readline())
    for pid in subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True).stdout.split():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as f:
            if f"dadbs {worker}" in f.read():
                return int(pid)
    raise Failure(f"member {member} has no {worker} worker")


class InBackground:
    """Runs action() in a thread; outcome() is its SQLSTATE (None: it worked), within PATIENCE."""

    def __init__(self, action):
        self.error = self.text = self.message = None
        self.result = None

        def body():
            try:
                self.result = action()
            except psycopg2.Error as e:
                self.error = e.pgcode or "connection lost"
                self.text = str(e)
                self.message = e.diag.message_primary
            except Exception as e:  # noqa: BLE001 - a test looks at it
                self.error = self.text = repr(e)
        self.thread = threading.Thread(target=body, daemon=True)
        self.thread.start()

    def outcome(self):
        self.thread.join(PATIENCE)
        check(not self.thread.is_alive(), "a client hangs")
        return self.error


def execute(connection, *statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def pid_of(connection):
    return connection.get_backend_pid()


def await_hold(c, member, pid, state="ordering"):
    """Until that session waits in COMMIT, handed over."""
    eventually(lambda: c.run(member, f"SELECT 1 FROM dadbs.stat_activity WHERE pid = {pid} AND state LIKE '{state}%'"), PATIENCE,
               f"a session is held in COMMIT ({state})")


def waits_for_lock(c, session, statement):
    """InBackground of the statement, which waits for a lock now."""
    work = InBackground(lambda: execute(session, statement))
    waits = f"SELECT wait_event_type = 'Lock' AND state = 'active' FROM pg_stat_activity WHERE pid = {pid_of(session)}"
    eventually(lambda: c.value(session.member, waits), PATIENCE, f"waits for a lock: {statement}")
    return work


def forced_out(c, session, member, *rivals):
    """COMMIT of the open transaction of `session` on `member`, which is handed over; then the rivals (member, statement) are
    committed before it, and need a lock that it holds, but wrote nothing that it wrote. Returns the COMMIT's InBackground."""
    xid = execute(session, "SELECT pg_current_xact_id_if_assigned()::text")[0][0]
    with standing_still(c, member, "consensus"):
        commit = InBackground(session.commit)
        await_hold(c, member, pid_of(session))
        for other, statement in rivals:
            c.run(other, *([statement] if isinstance(statement, str) else statement))
    commit.outcome()
    # Applied from its block, so its own transaction was rolled back; only the chain knows better.
    equal(c.value(member, f"SELECT pg_xact_status('{xid}')"), "aborted", "the transaction was forced out")
    return commit


def race(c, first, second, members=(1, 2)):
    """Two transactions (lists of statements) are executed on two members before either commits; their SQLSTATEs."""
    c.settle()
    sessions = [c.connect(i, autocommit=False) for i in members]
    try:
        states = [sqlstate(lambda s=s, x=x: execute(s, *x)) for s, x in zip(sessions, (first, second))]
        commits = [InBackground(s.commit) if not state else None for s, state in zip(sessions, states)]
        states = [commit.outcome() if commit else state for commit, state in zip(commits, states)]
        return [CONFLICT if state == "connection lost" and c.lost_its_way(s) else state for s, state in zip(sessions, states)]
    finally:
        for session in sessions:
            session.close()


def one_wins(states, what, allowed=(CONFLICT,)):
    check(states.count(None) == 1 and set(states) - {None} <= set(allowed), f"{what}: {states}")


def same_everywhere(c, query, expected, what):
    c.settle()
    for i in c.members():
        equal(c.run(i, query), expected, f"{what} on member {i}")
