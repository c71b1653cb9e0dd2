"""Runs the conflict matrix: sessions that are driven together, the three timings, what a plain database makes of it."""
import os
import select
import signal
import time

import psycopg2

from harness import CONFLICT, check

WAIT_SECONDS = 2.0      # nobody may wait longer than this for anybody
GIVE_UP_SECONDS = 30


class Session:
    """One client; statements are sent without waiting, drive() brings the answers."""

    def __init__(self, c, member):
        self.c, self.member = c, member
        self.pid = None
        self.connection = psycopg2.connect(host="127.0.0.1", port=c.port + member - 1, dbname="shared", user="postgres", async_=True)
        self.cursor = None
        self.busy = True
        self.writes = True      # what it waits for: to write or to read
        self.state = None       # SQLSTATE of the last answer, None where it was none
        self.message = ""
        self.sent = self.answered = time.monotonic()
        self.todo = []

    def send(self, *statements):
        """One after the other; those behind one that fails are not sent."""
        check(not self.busy and not self.todo, "a session that is still busy was asked")
        self.todo = list(statements)
        self.state = None
        self.sent = time.monotonic()
        self.next()

    def next(self):
        try:
            self.cursor = self.connection.cursor()
            self.busy = self.writes = True
            self.cursor.execute(self.todo.pop(0))
        except psycopg2.Error as e:
            self.fail(e)

    def fail(self, error):
        self.state, self.message = error.pgcode or "connection lost", str(error)
        self.answered = time.monotonic()
        self.todo = []
        self.busy = False

    def poll(self):
        try:
            state = self.connection.poll()
            self.writes = state == psycopg2.extensions.POLL_WRITE
            if state != psycopg2.extensions.POLL_OK:
                return
        except psycopg2.Error as e:
            return self.fail(e)
        self.busy = False
        self.answered = time.monotonic()
        if self.todo:
            self.next()

    def find_fatal(self):
        """libpq takes the last words of a session that was idle for a notice, without SQLSTATE: the server's log has them."""
        if self.state == "connection lost" and f"[{self.pid}] [unknown] FATAL:  could not complete the transaction" in self.c.log(self.member):
            self.state = CONFLICT

    @property
    def closed(self):
        return self.connection.closed != 0


def drive(sessions, until=None, seconds=GIVE_UP_SECONDS):
    """Until nobody is busy, or until() says so."""
    deadline = time.monotonic() + seconds
    while True:
        busy = {s.connection.fileno(): s for s in sessions if s.busy}
        if not busy or (until and until()):
            return
        check(time.monotonic() < deadline, f"no answer within {seconds} s by members {[s.member for s in busy.values()]}")
        readable, writable, _ = select.select(list(busy), [fd for fd, s in busy.items() if s.writes], [], 0.02)
        for fd in {*readable, *writable}:
            busy[fd].poll()


class Pool:
    """Sessions that wait for work, and one per member to look at the others."""

    def __init__(self, c):
        self.c = c
        self.free = {i: [] for i in c.members()}
        self.monitors = {i: c.connect(i) for i in c.members()}

    def ask(self, member, statement):
        with self.monitors[member].cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def settle(self):
        """What one member has applied the others have too."""
        height = max(self.ask(i, "SELECT dadbs.applied_height()")[0][0] for i in self.monitors)
        for i in self.monitors:
            check(self.ask(i, f"SELECT dadbs.wait_for({height}, '30 s')")[0][0], f"member {i} does not apply block {height}")

    def take(self, member):
        if self.free[member]:
            session = self.free[member].pop()
        else:
            session = Session(self.c, member)
            drive([session])
            session.pid = session.connection.info.backend_pid
        session.state = None
        return session

    def give(self, session):
        if session.closed:
            return
        if session.connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            session.send("ROLLBACK")
            drive([session])
        self.free[session.member].append(session)

    def close(self):
        for connection in [*self.monitors.values(), *(s.connection for sessions in self.free.values() for s in sessions)]:
            connection.close()


class Stopped:
    """The consensus worker of the primary is stopped: commits are handed over and stay held. It always goes on."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


class Outcome:
    """What became of both sides of a case: SQLSTATE or None; how long each waited for others; whether a had to wait for a lock."""

    def __init__(self):
        self.a = self.b = None
        self.messages = []
        self.waited = 0.0
        self.blocked = False


class Wave:
    """Cases of one timing, all at once."""

    def __init__(self, c, pool, consensus_pid, cases):
        self.c, self.pool, self.pid, self.cases = c, pool, consensus_pid, cases
        self.outcomes = {case.number: Outcome() for case in cases}
        self.a = {case.number: pool.take(case.members[0]) for case in cases}
        self.b = {case.number: pool.take(case.members[1]) for case in cases}
        self.all = [*self.a.values(), *self.b.values()]

    def texts(self, case, op, level):
        """What comes before COMMIT; nothing for a definition that is alone."""
        return [] if op.lone else [f"BEGIN ISOLATION LEVEL {level}", *map(case.text, op.sql)]

    def end(self, case, op):
        return case.text(op.sql[0]) if op.lone else "COMMIT"

    def begin(self, which, sessions):
        for case in self.cases:
            op, level = (case.a, case.isolation[0]) if which == "a" else (case.b, case.isolation[1])
            texts = self.texts(case, op, level)
            if texts:
                sessions[case.number].send(*texts)

    def held(self, member):
        return self.pool.ask(member, "SELECT count(*) FROM dadbs.stat_activity WHERE state <> 'capturing'")[0][0]

    def run_held(self):
        """Both have executed; both commits are handed over before either is ordered."""
        self.begin("a", self.a)
        self.begin("b", self.b)
        drive(self.all)
        with Stopped(self.pid):
            for case in self.cases:
                for session, op in ((self.a[case.number], case.a), (self.b[case.number], case.b)):
                    if session.state is None:
                        session.send(self.end(case, op))
            expected = {i: sum(s.busy for s in self.all if s.member == i) for i in self.c.members()}
            drive(self.all, lambda: all(self.held(i) >= sum(s.busy for s in self.all if s.member == i) for i in self.c.members()))
            early = {i: sum(s.busy for s in self.all if s.member == i) for i in self.c.members()}
            started = time.monotonic()
        check(early == expected, f"answered before anything was ordered: {[(s.member, s.state) for s in self.all if not s.busy]}")
        drive(self.all)
        for case in self.cases:
            out = self.outcomes[case.number]
            out.waited = max(self.a[case.number].answered, self.b[case.number].answered) - started

    def commit_b(self):
        """b from its first statement to its end, while a is open; then it is applied where a is."""
        for case in self.cases:
            self.b[case.number].send(*self.texts(case, case.b, case.isolation[1]), self.end(case, case.b))
        drive(self.all, lambda: not any(s.busy for s in self.b.values()))
        for case in self.cases:
            out, session = self.outcomes[case.number], self.b[case.number]
            out.waited = session.answered - session.sent
        self.pool.settle()

    def commit_a(self):
        for case in self.cases:
            if self.a[case.number].state is None:
                self.a[case.number].send("COMMIT")
        drive(self.all)

    def close_gates(self):
        """Sessions that go through a gate are busy until it is opened: a signal reaches them at once."""
        gates = [self.pool.take(i) for i in self.c.members()]
        for gate in gates:
            gate.send("SELECT pg_advisory_lock(1)")
        drive(gates)
        return gates

    def go_through_gates(self, sessions):
        for session in sessions:
            if session.state is None:
                session.send("SELECT pg_advisory_xact_lock_shared(1)")

    def open_gates(self, gates):
        for gate in gates:
            gate.send("SELECT pg_advisory_unlock(1)")
        drive(gates)
        for gate in gates:
            self.pool.give(gate)

    def run_executing(self):
        """a has executed and is busy with something else, or its client is idle, when b is committed and applied."""
        self.begin("a", self.a)
        drive(self.all)
        gates = self.close_gates()
        self.go_through_gates(self.a[case.number] for case in self.cases if not case.idle)
        self.commit_b()
        self.open_gates(gates)
        drive(self.all)
        self.commit_a()

    def waiting_pids(self, member):
        return {r[0] for r in self.pool.ask(member, "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")}

    def run_waiting(self):
        """a waits for the lock of a neighbour that has executed the same, when b is committed and applied; the neighbour gives up."""
        neighbours = {case.number: self.pool.take(case.members[0]) for case in self.cases}
        self.begin("a", neighbours)
        drive(neighbours.values())
        gates = self.close_gates()
        self.go_through_gates(neighbours.values())
        self.begin("a", self.a)

        def settled():
            waiting = {i: self.waiting_pids(i) for i in self.c.members()}
            return all(not s.busy or s.pid in waiting[s.member] for s in self.a.values())
        drive(self.all, settled)
        check(settled(), "sessions neither finish nor wait")
        for case in self.cases:
            self.outcomes[case.number].blocked = self.a[case.number].busy
        self.commit_b()
        self.open_gates(gates)
        drive(neighbours.values())
        for session in neighbours.values():
            if not session.closed:
                session.send("ROLLBACK")
        drive([*neighbours.values(), *self.all])
        for session in neighbours.values():
            self.pool.give(session)
        self.commit_a()

    def run(self):
        try:
            {"held": self.run_held, "executing": self.run_executing, "waiting": self.run_waiting}[self.cases[0].timing]()
            for number, out in self.outcomes.items():
                for session in (self.a[number], self.b[number]):
                    session.find_fatal()
                out.a, out.b = self.a[number].state, self.b[number].state
                out.messages = [s.message for s in (self.a[number], self.b[number]) if s.state is not None]
        finally:
            for session in self.all:
                if session.busy:
                    session.connection.close()
                else:
                    self.pool.give(session)
        return self.outcomes


class Plain:
    """The same statements on an ordinary database, one after the other: rows and SQLSTATEs as they have to be."""

    def __init__(self, c, kinds):
        c.run(1, "CREATE DATABASE plain")
        self.connection = psycopg2.connect(host="127.0.0.1", port=c.port, dbname="plain", user="postgres")
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET allow_system_table_mods = on; " + COLLATION)
        for kind in kinds:
            for statement in kind.create:
                self.cursor.execute(statement.format(s=""))
        self.connection.commit()

    def rows(self, case):
        out = []
        for table in case.kind.tables:
            self.cursor.execute(case.text(rows_of(table)))
            out.append([r[0] for r in self.cursor.fetchall()])
        return out

    def execute(self, case, op):
        """SQLSTATE of one transaction, None where it succeeds."""
        self.cursor.execute("SAVEPOINT op; SET CONSTRAINTS ALL DEFERRED")
        try:
            for statement in op.sql:
                self.cursor.execute(case.text(statement))
            self.cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return None
        except psycopg2.Error as e:
            self.cursor.execute("ROLLBACK TO op")
            return e.pgcode

    def results(self, case):
        """{order: (SQLSTATEs in that order, rows)} for '', 'a', 'b', 'ab' and 'ba'."""
        if case.own_tables:
            for statement in case.kind.create:
                self.cursor.execute(case.text(statement))
        for statement in case.kind.setup:
            self.cursor.execute(case.text(statement))
        out = {}
        for order in ("", "a", "b", "ab", "ba"):
            self.cursor.execute("SAVEPOINT one")
            states = [self.execute(case, case.a if side == "a" else case.b) for side in order]
            out[order] = (states, self.rows(case))
            self.cursor.execute("ROLLBACK TO one")
        self.connection.rollback()
        return out


COLLATION = "CREATE COLLATION pg_catalog.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


def rows_of(table):
    return f"SELECT t::text FROM {table}{{s}} t WHERE c = {{c}} ORDER BY t::text COLLATE \"C\""
