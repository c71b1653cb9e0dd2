"""Contracts made by dice (random_contract.py), run by random writes and calls of all members at once, while versions are replaced.

The members differ as honest ones may: other planner settings, statistics, time zones. Then rows, verdicts, effects, results and chains must be the
same. scripts/check runs two rounds of some seconds, always with the same dice; the long form runs for DADBS_SECONDS (ten minutes), with workers ended
meanwhile, and takes a new seed. DADBS_SEED repeats the dice, not what they lead to.
"""
import os
import random
import time

import psycopg2

from clients import end_worker
from harness import CONFLICT, LONG, UNKNOWN, Suite, Workers, check, eventually
from random_contract import Contracts

# One member is enough to replace a version: approvals have their own test.
suite = Suite("random_contracts", port=9600, begin=lambda c: c.start(["--approvals", "1"]))
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000 if LONG else 5))
SECONDS = int(os.environ.get("DADBS_SECONDS", 600 if LONG else 8))
ROUND = 20 if SECONDS > 60 else 4
os.environ.update(PGTZ="UTC", PGDATESTYLE="ISO, MDY", PGOPTIONS="-c IntervalStyle=postgres")  # of the sessions that compare rows as text
SETTINGS = {1: {}, 2: {"enable_seqscan": "off", "work_mem": "64kB", "TimeZone": "Asia/Kolkata"},
            3: {"enable_hashagg": "off", "enable_hashjoin": "off", "DateStyle": "SQL, DMY", "random_page_cost": "1"},
            4: {"enable_indexscan": "off", "enable_bitmapscan": "off", "max_parallel_workers_per_gather": "4", "IntervalStyle": "iso_8601"}}
HISTORY = {
    "verdicts": "SELECT height, index, verdict, sqlstate, message FROM dadbs_internal.transaction WHERE height > {} ORDER BY 1, 2",
    "runs": "SELECT r::text FROM dadbs_internal.contract_run r WHERE height > {} ORDER BY height, index, ordinal",
    "effects": "SELECT e::text FROM dadbs_internal.contract_effect e WHERE height > {} ORDER BY height, index, ordinal",
    "versions": "SELECT name, version, height, hash FROM dadbs.contract_versions ORDER BY 1, 2",
}
# What contracts raise, constraints, budgets; conflicts; workers that were ended. Never what is refused for the sake of determinism.
ALLOWED = ("P0001", "P0002", "22", "23", "54000", "DA001", "DA002", "57P01", "57P03", CONFLICT, UNKNOWN)


class Round:
    def __init__(self, c, number):
        self.c, self.number = c, number
        self.contracts = Contracts(random.Random(f"{SEED} {number}"), f"r{number}")
        self.states, self.workers = {}, Workers()

    def create(self):
        self.c.run(1, *self.contracts.definitions())
        self.c.settle()
        for statement in self.contracts.deployments():
            self.c.run(1, statement)
        self.c.run(1, *self.contracts.triggers())
        self.c.settle()

    def count(self, what):
        self.states[what] = self.states.get(what, 0) + 1

    def start(self):
        for member in self.c.members():
            for k in range(2):
                self.workers.start(self.work, member, random.Random(f"{SEED} {self.number} {member} {k}"))
        self.workers.start(self.replace)

    def work(self, stop, member, rng):
        connection = None
        while not stop.is_set():
            statement, kind = "connect", "called" if rng.random() < 0.5 else "written"
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member)
                with connection.cursor() as cursor:
                    statements = [self.contracts.call(rng)] if kind == "called" else ["BEGIN", *(self.contracts.write(rng) for _ in range(rng.randrange(1, 4))), "COMMIT"]
                    for statement in statements:
                        cursor.execute(statement)
                self.count(kind)
            except psycopg2.Error as e:
                check(e.pgcode is None or e.pgcode.startswith(ALLOWED), f"seed {SEED}, round {self.number}, member {member}: {statement}: {e.pgcode} {e}")
                self.count(f"{kind} {e.pgcode}")
                self.recover(connection)

    @staticmethod
    def recover(connection):
        try:
            connection.cursor().execute("ROLLBACK")
        except (psycopg2.Error, AttributeError):
            time.sleep(0.1)
            if connection is not None:
                connection.close()

    def replace(self, stop):
        rng = random.Random(f"{SEED} {self.number} replaces")
        while not stop.wait(0.4):
            try:
                self.c.run(rng.choice(list(self.c.members())), self.contracts.replacement())
                self.count("replaced")
            except psycopg2.Error as e:
                check(e.pgcode is None or e.pgcode.startswith(ALLOWED), f"seed {SEED}, round {self.number}: a new version: {e.pgcode} {e}")
                self.count(f"not replaced {e.pgcode}")

    def disturb(self, seconds):
        rng, until = random.Random(f"{SEED} {self.number} disturbs"), time.monotonic() + seconds
        while time.monotonic() < until and not self.workers.errors:
            time.sleep(min(2, max(0.1, until - time.monotonic())))
            member = rng.choice(list(self.c.members()))
            try:
                self.c.run(member, *(f"ANALYZE {t}" for t in self.contracts.tables))
            except psycopg2.Error:
                pass  # its workers are just being started again
            if SECONDS > 60 and rng.random() < 0.1:
                end_worker(self.c, member, rng.choice(("apply", "capture")))

    def happened(self):
        """What contracts raise counts: it may be all that those of some dice do."""
        return self.workers.errors or {"called", "written", "replaced"} <= {what.partition(" ")[0] for what in list(self.states)}

    def finish(self, height):
        eventually(self.happened, 90, f"seed {SEED}, round {self.number}: contracts are called, run by rows and replaced: {self.states}")
        self.workers.join()
        self.c.wait_ready()
        self.c.settle(60)
        print(f"# seed {SEED}, round {self.number}: {dict(sorted(self.states.items(), key=str))}", flush=True)
        for what, query in HISTORY.items():
            seen = [self.c.run(i, query.format(height)) for i in self.c.members()]
            for member, rows in zip(self.c.members(), seen):
                different = next(((a, b) for a, b in zip(seen[0], rows) if a != b), None)
                check(rows == seen[0], f"seed {SEED}, round {self.number}: {what} of members 1 and {member} differ: {different}, {len(seen[0])} and {len(rows)}")


@suite.test
def generated_contracts(c):
    for member, settings in SETTINGS.items():
        for name, value in settings.items():
            c.run(member, f"ALTER SYSTEM SET {name} = '{value}'")
        c.run(member, "SELECT pg_reload_conf()")
    eventually(lambda: all(c.value(m, f"SHOW {next(iter(s))}") == "off" for m, s in SETTINGS.items() if s), 30, "settings that differ")
    until, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        number += 1
        height = c.value(1, "SELECT dadbs.applied_height()")
        run = Round(c, number)
        run.create()
        run.start()
        run.disturb(min(ROUND, max(1, until - time.monotonic())))
        run.finish(height)
        c.check_equal()
    print(f"# rows that contracts wrote: {c.value(1, 'SELECT count(*) FROM dadbs_internal.contract_effect')}", flush=True)


if __name__ == "__main__":
    suite.main()
