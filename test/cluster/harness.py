"""Tests on real clusters: servers by scripts/cluster, clients by psycopg2, checks that every test ends with.

A test file makes a Suite, decorates functions with @suite.test and calls suite.main(). Each function gets a running
Cluster that the suite shares; after each one the members are compared. The suite prints TAP-like lines and ends with
"N passed, N failed". Servers and folders are removed whatever happens.
"""
import contextlib
import faulthandler
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.extensions

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LONG = os.environ.get("DADBS_LONG") == "1"
CONFLICT = "40001"
UNKNOWN = "40003"
# Seconds that a test may take before it counts as hanging: DADBS_TEST_LIMIT, else several times what the longest one takes.
LIMIT = int(os.environ.get("DADBS_TEST_LIMIT", 6 * 3600 if LONG else 420))
# For suites that hold commits back by stopping a consensus worker: the primary stays who it is, member 1.
HELD = ("dadbs.view_change_timeout = '1h'",)

# Lines of a server log that no test may cause. Each test may allow more of its own.
FORBIDDEN = re.compile(r"PANIC|TRAP:|broken invariant|terminated by signal (?!9)|stack smashing|double free")


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, expected, what):
    check(got == expected, f"{what}: got {got!r}, expected {expected!r}")


def eventually(condition, seconds, what):
    """Polls until condition() is true; fails with what it was waiting for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Session(psycopg2.extensions.connection):
    """Knows its member and process, also when it is lost."""
    member = pid = None


class Cluster:
    def __init__(self, n, port, confs=()):
        self.n = n
        self.port = port
        self.base = tempfile.mkdtemp(prefix="dadbs-test-")
        os.chmod(self.base, 0o755)
        self.dir = os.path.join(self.base, "cluster")
        self.confs = confs
        self.checked = 0  # height up to which chain and history were compared
        self.host = "127.0.0.1"  # of the servers, for clients
        self.surroundings = []   # of what is around the servers, each is closed after them
        if os.geteuid() == 0:
            shutil.chown(self.base, "postgres")

    def beside(self, i, what, text, mode=0o644):
        """Before a start of member i: see scripts/cluster. None: not any more."""
        path = os.path.join(self.dir, f"m{i}.{what}")
        if not os.path.isdir(self.dir):
            os.mkdir(self.dir)
        if text is None:
            os.remove(path)
            return
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def command(self, name, *arguments, options=(), check_exit=True, timeout=180):
        argv = [os.path.join(ROOT, "scripts", "cluster"), name, "--dir", self.dir, "--port", str(self.port),
                *options, *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
        if check_exit and done.returncode != 0:
            raise Failure(f"scripts/cluster {name} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, options=()):
        confs = [x for c in self.confs for x in ("--conf", c)]
        self.command("start", self.n, options=[*confs, *options])

    def remove(self):
        self.command("remove", check_exit=False)
        while self.surroundings:
            self.surroundings.pop().close()
        shutil.rmtree(self.base, ignore_errors=True)

    def kill(self, i):
        self.command("kill", i)

    def start_member(self, i):
        self.command("start-member", i)

    def stop_member(self, i, mode="fast"):
        self.command("stop-member", i, mode)

    def replace_member(self, i):
        """A new, empty server with the key of the old one, whose directory stays beside it (mI.replaced)."""
        self.command("replace-member", i)

    def cut(self, i):
        self.command("cut", i)

    def heal(self, i):
        self.command("heal", i)

    def deafen(self, i, peers):
        """Member i loses what these others send to it, until it is told otherwise or restarts. Links stay open until they are given up for silence."""
        self.run(i, f"SELECT dadbs_internal.set_deaf('{{{','.join(map(str, peers))}}}')")

    def wait_ready(self, seconds=60):
        self.command("wait-ready", seconds)

    def connect(self, i, user="postgres", autocommit=True, **more):
        connection = psycopg2.connect(host=self.host, port=self.port + i - 1, dbname="shared", user=user,
                                      connect_timeout=30, connection_factory=Session, **more)
        connection.member, connection.pid = i, connection.info.backend_pid
        connection.autocommit = autocommit
        return connection

    def lost_its_way(self, session):
        """Whether the server has ended a session since it was idle in a transaction that stood in the group's way (limitations.md).

        That is 40001 as well, but libpq takes what is said to an idle session for a notice, without SQLSTATE: the server's log has it.
        """
        return session.closed != 0 and f"[{session.pid}] [unknown] FATAL:  could not complete the transaction" in self.log(session.member)

    def rolled_back(self, session):
        """The session after ROLLBACK, or None if the server has ended it.

        That may come after its statement failed, too: a failed subtransaction still holds the locks of those above it.
        """
        try:
            session.rollback()
            return session
        except psycopg2.Error as e:
            check(self.lost_its_way(session), f"a session of member {session.member} is lost: {e}")
            return None

    def outcome(self, session, action):
        """The SQLSTATE that action() fails with in this session, or None."""
        state = sqlstate(action)
        return CONFLICT if state == "connection lost" and self.lost_its_way(session) else state

    def run(self, i, *statements, user="postgres"):
        """Executes statements on member i, returns the rows of the last one."""
        connection = self.connect(i, user)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def value(self, i, statement, user="postgres"):
        return self.run(i, statement, user=user)[0][0]

    def psql(self, i, *arguments, stdin=None, check_exit=True, timeout=300):
        argv = [os.path.join(ROOT, "scripts", "cluster"), "psql", "--dir", self.dir, "--port", str(self.port), str(i), *arguments]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout)
        if check_exit and done.returncode != 0:
            raise Failure(f"psql on member {i} failed: {done.stdout}{done.stderr}")
        return done

    def log(self, i):
        with open(os.path.join(self.dir, f"m{i}.log"), errors="replace") as f:
            return f.read()

    def members(self):
        return range(1, self.n + 1)

    def primary(self, but=None):
        """The number of the primary, as another member than `but` sees it."""
        asked = next(i for i in self.members() if i != but)
        return int(self.value(asked, 'SELECT "primary" FROM dadbs.status')[1:])

    @contextlib.contextmanager
    def asking(self):
        """ask(member, query): its rows, by one session for each member; a new one for each query would cost more than the query."""
        with contextlib.ExitStack() as stack:
            sessions = {i: stack.enter_context(contextlib.closing(self.connect(i))) for i in self.members()}

            def ask(i, query):
                with sessions[i].cursor() as cursor:
                    cursor.execute(query)
                    return cursor.fetchall()
            yield ask

    def settle(self, seconds=30):
        """Waits until all members have applied the same height, the highest that any of them knows, and for a moment no other one."""
        with self.asking() as ask:
            seen = []

            def heights():
                return {h for i in self.members() for h in ask(i, "SELECT dadbs.applied_height(), greatest(height, dadbs.applied_height()) FROM dadbs.status")[0]}

            def settled():
                seen[:] = [heights()]
                if len(seen[0]) != 1:
                    return False
                time.sleep(0.01)
                return heights() == seen[0]
            try:
                eventually(settled, seconds, "all members at the same height")
            except Failure as e:
                raise Failure(f"{e}: {seen}") from None

    def check_equal(self, whole=False):
        """Members equal by digest and by our own query; chains equal and sound; logs clean."""
        # What an earlier check has seen is checked again only at the end of the suite.
        since = 1 if whole else self.checked + 1
        # A block of a session that is gone may still come: members are compared at one height.
        deadline = time.monotonic() + 60
        while True:
            self.settle()
            with self.asking() as ask:
                with ThreadPoolExecutor(self.n) as threads:
                    seen = list(threads.map(lambda i: self.describe(i, ask, since), self.members()))
            heights = {h for member in seen for h in (member["from"], member["to"])}
            if len(heights) == 1:
                break
            check(time.monotonic() < deadline, f"blocks come all the time, though nobody should write any more: {heights}")
        first = seen[0]
        digests = {i: member["digest"] for i, member in zip(self.members(), seen)}
        if len(set(digests.values())) != 1:
            raise Failure("digests differ: " + self.describe_difference(digests))
        for i, member in zip(self.members(), seen):
            different = sorted(set(member["rows"]) ^ set(first["rows"]))
            check(not different, f"rows differ by our own query, on members 1 and {i}: {different[:10]}")
            equal(member["hash"], first["hash"], f"latest block hash on members {i} and 1")
            equal(member["problems"], [], f"verify_chain on member {i}")
            different = sorted(set(member["history"]) ^ set(first["history"]))
            check(member["history"] == first["history"], f"positions, verdicts or keys differ, on members 1 and {i}: {different[:10]}")
            equal(member["diverged"], [], f"what member {i} thinks of itself")
        self.checked = max([self.checked] + [h[0] for h in first["history"]])
        self.check_logs()

    def describe(self, i, ask, since):
        """What must be the same on all members, between two looks at the height."""
        height = "SELECT dadbs.applied_height()"
        return {"from": ask(i, height)[0][0],
                "digest": bytes(ask(i, "SELECT dadbs.database_digest()")[0][0]).hex(),
                "rows": self.own_digest(i, ask),
                "hash": bytes(ask(i, "SELECT coalesce(dadbs.latest_block_hash(), '')")[0][0]).hex(),
                "problems": ask(i, f"SELECT * FROM dadbs.verify_chain({since})"),
                "history": ask(i, "SELECT height, index, origin, incarnation, number, verdict, md5(keys) FROM dadbs_internal.transaction "
                                  f"WHERE height >= {since} ORDER BY 1, 2"),
                "diverged": ask(i, "SELECT state, reason FROM dadbs.status WHERE state = 'diverged'"),
                "to": ask(i, height)[0][0]}

    def describe_difference(self, digests):
        tables = [r[0] for r in self.run(1, "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' AND dadbs.is_shared(c.oid)")]
        different = []
        for t in tables:
            try:
                seen = {i: bytes(self.value(i, f"SELECT dadbs.table_digest('{t}')")).hex()[:8] for i in self.members()}
                if len(set(seen.values())) != 1:
                    counts = {i: self.value(i, f"SELECT count(*) FROM {t}") for i in self.members()}
                    different.append(f"{t} {seen} rows {counts}")
            except psycopg2.Error as e:
                different.append(f"{t}: {e}")
        return "; ".join(different) or str(digests)

    def own_digest(self, i, ask):
        """Not our extension's digest: rows as text, sorted by Postgres, hashed by md5."""
        tables = ask(i, "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                        "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' "
                        "AND n.nspname NOT IN ('information_schema', 'dadbs', 'dadbs_internal') AND dadbs.is_shared(c.oid) ORDER BY 1, 2")
        return [(schema, name, ask(i, "SELECT count(*) || ' ' || coalesce(md5(string_agg(h, '' ORDER BY h)), '') "
                                      f'FROM (SELECT md5(t::text) h FROM "{schema}"."{name}" t) s')[0][0]) for schema, name in tables]

    def check_logs(self, allowed=None):
        for i in self.members():
            for line in self.log(i).splitlines():
                if FORBIDDEN.search(line) and not (allowed and re.search(allowed, line)):
                    raise Failure(f"server log of member {i}: {line}")


def sqlstate(action):
    """The SQLSTATE that action() fails with, or None."""
    try:
        action()
        return None
    except psycopg2.Error as e:
        return e.pgcode or "connection lost"


def error_of(action):
    """The error that action() must fail with."""
    try:
        action()
    except psycopg2.Error as e:
        return e
    raise Failure("no error")


def worker_pid(c, member, kind):
    """By the process table: a worker without a database is not in pg_stat_activity. None: there is none now."""
    with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
        postmaster = f.readline().strip()
    rows = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", postmaster], capture_output=True, text=True).stdout.splitlines()
    title = re.compile(rf"\s*(\d+) .* dadbs {kind}\s*(waiting)?\s*$")
    return next((int(found[1]) for found in map(title.match, rows) if found), None)


def send(pids, number):
    """A signal to processes, some of which may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Throttle:
    """Lets processes run for a part of the time. `pids()` names them: workers come and go."""

    def __init__(self, pids, runs_seconds=0.02, stands_seconds=0.18):
        self.pids, self.runs, self.stands = pids, runs_seconds, stands_seconds
        self.ended = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.try_run, daemon=True)
        self.thread.start()

    def try_run(self):
        try:
            self.run()
        except Exception as e:  # noqa: BLE001 - raised by end()
            self.error = e

    def run(self):
        while not self.ended.is_set():
            try:
                stopped = list(self.pids())
            except OSError:  # the server starts or ends
                stopped = []
            send(stopped, signal.SIGSTOP)
            try:
                self.ended.wait(self.stands)
            finally:
                send(stopped, signal.SIGCONT)
            self.ended.wait(self.runs)

    def end(self):
        self.ended.set()
        self.thread.join(10)
        check(self.error is None, f"processes were not slowed down: {self.error!r}")


class Workers:
    """Threads that run until told to stop; an exception in one of them fails the test."""

    def __init__(self):
        self.stop = threading.Event()
        self.errors = []
        self.threads = []

    def start(self, function, *arguments):
        def body():
            try:
                function(self.stop, *arguments)
            except Exception:  # noqa: BLE001 - reported by join()
                self.errors.append(traceback.format_exc())
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        self.threads.append(thread)

    def join(self, seconds=60):
        self.stop.set()
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            check(not thread.is_alive(), "a client hangs")
        check(not self.errors, "a client failed: " + (self.errors[0] if self.errors else ""))


class Watchdog:
    """Ends a suite whose test hangs: a client that waits in libpq for ever can be interrupted by nothing else.

    Shows where all threads are, what the servers are doing and their logs; removes the servers; the hanging test has failed.
    """

    def __init__(self, suite, cluster, title, passed, failed):
        self.timer = threading.Timer(LIMIT, self.bite, (suite, cluster, title, passed, failed))
        self.timer.daemon = True

    def __enter__(self):
        self.timer.start()

    def __exit__(self, *_):
        self.timer.cancel()

    @staticmethod
    def bite(suite, cluster, title, passed, failed):
        print(f"not ok - {suite.name}: {title}\n#   hangs for {LIMIT} s", flush=True)
        try:
            faulthandler.dump_traceback(file=sys.stdout)
            if suite.start:
                suite.show_activity(cluster)
                suite.show_state(cluster)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
        finally:
            cluster.remove()
            print(f"{passed} passed, {failed + 1} failed", flush=True)
            os._exit(1)


class Suite:
    def __init__(self, name, members=4, port=7700, confs=(), start=True, begin=Cluster.start):
        self.name = name
        self.members = members
        self.port = int(os.environ.get("DADBS_TEST_PORT", port))
        self.confs = confs
        self.start = start
        self.begin = begin  # makes the cluster, where it is not the usual one
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def main(self):
        only = sys.argv[1:]
        cluster = Cluster(self.members, self.port, self.confs)
        passed = failed = 0
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            if self.start:
                self.begin(cluster)
            for test in self.tests:
                title = test.__name__
                if only and title not in only:
                    continue
                started = time.monotonic()
                try:
                    with Watchdog(self, cluster, title, passed, failed):
                        test(cluster)
                        if self.start:
                            cluster.check_equal(whole=test is self.tests[-1])
                    passed += 1
                    print(f"ok - {self.name}: {title} ({time.monotonic() - started:.1f} s)", flush=True)
                except Exception as e:  # noqa: BLE001 - every failure is counted and shown
                    failed += 1
                    print(f"not ok - {self.name}: {title}", flush=True)
                    text = str(e) if isinstance(e, Failure) else traceback.format_exc()
                    print("\n".join("#   " + line for line in text.splitlines()), flush=True)
                    if self.start:
                        self.show_state(cluster)
        except Exception:  # noqa: BLE001
            failed += 1
            traceback.print_exc()
            self.show_state(cluster)
        finally:
            if os.environ.get("DADBS_KEEP") == "1":
                print(f"# kept: {cluster.dir}, port {cluster.port}")
            else:
                cluster.remove()
        print(f"{passed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed or not passed else 0)

    def show_activity(self, cluster):
        for i in cluster.members():
            shown = cluster.psql(i, "-c", "SELECT pid, state, wait_event_type, wait_event, now() - state_change AS since, left(query, 80) AS query "
                                 "FROM pg_stat_activity WHERE backend_type <> 'autovacuum launcher' ORDER BY pid", check_exit=False, timeout=30)
            print(f"# activity of member {i}:\n{shown.stdout}{shown.stderr}", flush=True)

    def show_state(self, cluster):
        print("#   " + cluster.command("status", check_exit=False).replace("\n", "\n#   "))
        for i in cluster.members():
            try:
                print(f"# log of member {i}:\n" + "\n".join("#   " + x[:400] for x in cluster.log(i).splitlines()[-12:]), flush=True)
            except OSError:
                pass
