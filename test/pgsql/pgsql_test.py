"""PostgreSQL's own regression SQL on clusters: whatever it does, members stay equal and go on.

    pgsql_test.py PASS [FILE...]        in the order of PostgreSQL's parallel_schedule; PGSQL_SOURCE is the folder of its source (see fetch)

Each file of src/test/regress/sql is fed to psql as it is. What psql answers is not compared: dadbs refuses some of it. After each file the members are
judged (judge.py); after one that failed the cluster is thrown away, and the next one begins with test_setup on a new one.

Passes: `turns`, each file on one member, which changes with the file; `keys`, the same with primary keys for all tables (source.py); `both`, each file on two
members at once, with keys, `schemas` the same in a schema for each, with odd settings on one of them; `killed`, a server is killed while the file runs;
`isolation`, src/test/isolation's specs in place of files, each session on another member (isolation.py).

DADBS_SEED: who is killed and when, which permutations of a spec are taken. DADBS_OUTPUT=DIRECTORY keeps what psql said, and the logs of clusters with failures.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "test", "cluster")]

import isolation  # noqa: E402
import source  # noqa: E402
from harness import Cluster, Failure, Suite  # noqa: E402
from judge import PREFIX, Judge  # noqa: E402

SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
OUTPUT = os.environ.get("DADBS_OUTPUT")
CLIENT_SECONDS = 180
PERMUTATIONS = 12     # of a spec
TABLES_EVERY = 10  # files: verify_tables() reads the whole chain, and takes longer with each of them
CONFS = (f"log_line_prefix = '{PREFIX}'", "fsync = off", "max_prepared_transactions = 10", "max_wal_size = '4GB'", "shared_buffers = '256MB'")
ODD = ("quote_all_identifiers = on", "extra_float_digits = -5", "datestyle = 'SQL, DMY'", "intervalstyle = sql_standard", "timezone = 'Asia/Kolkata'",
       "bytea_output = escape", "array_nulls = off", "transform_null_equals = on", "check_function_bodies = off", "default_toast_compression = pglz",
       "default_transaction_isolation = 'repeatable read'", "xmlbinary = hex", "xmloption = document", "synchronous_commit = off",
       "enable_seqscan = off", "default_statistics_target = 10", "standard_conforming_strings = off", "escape_string_warning = off",
       "lo_compat_privileges = on", "constraint_exclusion = on", "row_security = off", "default_transaction_deferrable = on",
       "gin_fuzzy_search_limit = 10", "work_mem = '64kB'", "backslash_quote = off", "plan_cache_mode = force_generic_plan")
# name: tables get keys, members that run a file at once, in schemas of their own, a server is killed, members
PASSES = {"turns": (False, 1, False, False, 3), "keys": (True, 1, False, False, 3), "both": (True, 2, False, False, 3),
          "schemas": (True, 2, True, False, 3), "killed": (True, 1, False, True, 4), "isolation": (True, 3, False, False, 3)}


def stop(client):
    """psql, and the shell that it was started by."""
    try:
        os.killpg(client.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    client.wait()


class Pass(Suite):
    def __init__(self, name):
        self.keys, self.at_once, self.schemas, self.kills, members = PASSES[name]
        super().__init__(f"pgsql/{name}", members=members, port=8440, confs=CONFS)
        self.dice = random.Random(SEED)
        self.cluster = self.judge = None

    def begin_anew(self):
        """A new cluster, with the tables that all files use."""
        self.end()
        c = self.cluster = Cluster(self.members, self.port, self.confs)
        c.start()
        self.judge = Judge(c)
        self.prepare(c)

    def prepare(self, c):
        source.prepare(os.environ["PGSQL_SOURCE"], os.path.join(c.base, "regress"), self.keys)
        if self.schemas:
            for k in range(self.at_once):
                c.run(1, f"CREATE SCHEMA s{k + 1}")
            for setting in ODD:
                c.run(2, f"ALTER SYSTEM SET {setting}")
            c.run(2, "SELECT pg_reload_conf()")
        problems = self.run("test_setup", [1, 2] if self.schemas else [1], kills=False) + self.judge.problems(tables=True)
        if problems:
            raise Failure("test_setup: " + "\n".join(problems))

    def names(self):
        return source.schedule(os.environ["PGSQL_SOURCE"])

    def end(self):
        if self.cluster:
            self.cluster.remove()
        self.cluster = None

    def client(self, name, i, k):
        """psql with a file on member i, as pg_regress calls it."""
        c, folder = self.cluster, os.path.join(self.cluster.base, "regress")
        environment = dict(os.environ, PG_ABS_SRCDIR=folder, PG_ABS_BUILDDIR=folder, PG_LIBDIR=folder, PG_DLSUFFIX=".so", PGTZ="America/Los_Angeles",
                           PGDATESTYLE="Postgres, MDY", PGAPPNAME=name, PGOPTIONS="-c intervalstyle=postgres_verbose -c dadbs.run_shared_code=on" +
                           (f" -c search_path=s{k + 1},public" if self.schemas else ""))
        argv = [os.path.join(ROOT, "scripts", "cluster"), "psql", "--dir", c.dir, "--port", str(c.port), str(i), "-a", "-q", "-v", "HIDE_TABLEAM=on",
                "-v", "HIDE_TOAST_COMPRESSION=on", "-f", os.path.join(folder, "sql", name + ".sql")]
        with open(os.path.join(OUTPUT or c.base, f"{name}.m{i}.out"), "w") as out:
            return subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def disturb(self, client, i):
        """Kills a server while the client of member i works: mostly another one, sometimes its own."""
        c, dice = self.cluster, self.dice
        victim = i if dice.random() < 0.25 else dice.choice([m for m in c.members() if m != i])
        wait, down = dice.uniform(0.05, 0.8), dice.uniform(0, 1.5)
        try:
            client.wait(wait)
            return ""
        except subprocess.TimeoutExpired:
            c.kill(victim)
            time.sleep(down)
            c.start_member(victim)
            return f", m{victim} killed after {wait:.2f} s"

    def run(self, name, members, kills):
        """Runs a file on these members at once: what was wrong."""
        clients, problems, self.what = [], [], ", ".join(f"m{i}" for i in members)
        deadline = time.monotonic() + CLIENT_SECONDS
        try:
            clients = [self.client(name, i, k) for k, i in enumerate(members)]
            if kills:
                self.what += self.disturb(clients[0], members[0])
            for i, client in zip(members, clients):
                try:
                    client.wait(max(1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    problems.append(f"the client of m{i} hangs for {CLIENT_SECONDS} s")
                    self.show_activity(self.cluster)
        except Exception as e:  # noqa: BLE001 - a server that does not start, or does not say what it is doing
            problems.append(f"{type(e).__name__}: {e}")
        finally:
            for client in clients:
                stop(client)
        return problems

    def report(self, name, problems, took):
        title = f"{self.name}: {name} ({self.what}, {took:.1f} s)"
        print(f"ok - {title}" if not problems else f"not ok - {title}", flush=True)
        for text in problems:
            print("\n".join("#   " + line[:600] for line in text.splitlines()), flush=True)
        for note in self.judge.notes[:10]:
            print(f"#   {note}", flush=True)
        if problems:
            self.show_state(self.cluster)
            if OUTPUT:
                for i in self.cluster.members():
                    shutil.copy(os.path.join(self.cluster.dir, f"m{i}.log"), os.path.join(OUTPUT, f"{name}.m{i}.log"))

    def main(self, only=()):
        names = [name for name in self.names() if not only or name in only]
        passed = failed = 0
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        print(f"# DADBS_SEED={SEED}", flush=True)
        if OUTPUT:
            os.makedirs(OUTPUT, exist_ok=True)
        try:
            for k, name in enumerate(names):
                if not self.cluster:
                    self.begin_anew()
                started = time.monotonic()
                first = k % self.members
                members = [1, 2] if self.schemas else [(first + other) % self.members + 1 for other in range(self.at_once)]
                problems = self.run(name, members, self.kills) + self.judge.problems(tables=k % TABLES_EVERY == TABLES_EVERY - 1 or name == names[-1])
                self.report(name, problems, time.monotonic() - started)
                passed, failed = passed + (not problems), failed + bool(problems)
                if problems:
                    self.end()
        except Exception as e:  # noqa: BLE001
            failed += 1
            print(f"not ok - {self.name}: {e}", flush=True)
        finally:
            self.end()
        print(f"{passed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed or not passed else 0)


class Isolation(Pass):
    """Specs in place of files."""

    def prepare(self, c):
        pass

    def names(self):
        return isolation.specs(os.environ["PGSQL_SOURCE"])

    def run(self, name, members, kills):
        self.what, problems = ", ".join(f"m{i}" for i in members), []
        spec = isolation.Spec(os.path.join(os.environ["PGSQL_SOURCE"], "src/test/isolation/specs", name + ".spec"))
        try:
            for order in spec.orders(self.dice, PERMUTATIONS):
                said, waiting = isolation.run(self.cluster, spec, order, members[0])
                wrong = self.judge.outcomes_now() + [f"{session} did not end by itself" for session in waiting]
                if wrong:
                    return wrong + [f"permutation {' '.join(order)}", *(f"{session}: {answers}" for session, answers in said.items())]
        except Exception as e:  # noqa: BLE001 - whatever fails here is reported
            problems.append(f"{type(e).__name__}: {e}")
        return problems


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PASSES or "PGSQL_SOURCE" not in os.environ:
        sys.exit(__doc__)
    (Isolation if sys.argv[1] == "isolation" else Pass)(sys.argv[1]).main(sys.argv[2:])
