"""Nothing grows: not the backend with its commits, not the workers with the chain; a large load is given back.

After a warm-up that fills caches (and, in the long form, the certification window) many more transactions must leave every process as
large as it was, but for a tolerance. The long form (DADBS_LONG=1) makes enough of them for a leak of less than a byte each, and tells
after each tenth what the processes take.
"""
import time

from harness import LONG, Suite, check, equal, sqlstate
from memory import measure, workers

suite = Suite("leak", members=1, port=7970)
COMMITS = 1_000_000 if LONG else 1500
ABORTS = 100_000 if LONG else 500
WARM_UP = 20_000 if LONG else 1000  # more than the certification window has blocks
LOADED_ROWS = 400_000
GROWN_KB = 512          # pages that a heap touches for the first time
WORKERS_KB = 100 * 1024  # all of the member's, when idle


def contexts(cursor):
    """Bytes of this backend's memory contexts, without those of the query itself."""
    cursor.execute("SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN "
                   "('TopMemoryContext', 'CacheMemoryContext', 'TopTransactionContext', 'dadbs shared relations', 'dadbs shared schemas')")
    return int(cursor.fetchone()[0])


def in_a_loop(statement):
    return lambda cursor, count: cursor.execute(f"DO $$BEGIN FOR i IN 1..{count} LOOP {statement}; COMMIT; END LOOP; END$$")


def flat(c, work, warm_up, count):
    """Does the work again and again in one session and compares all processes before and after."""
    connection = c.connect(1)
    cursor = connection.cursor()
    pid = connection.info.backend_pid

    def everything():
        c.settle()
        return {"backend": measure(pid), **workers(c, 1)}, contexts(cursor)

    work(cursor, warm_up)
    everything()
    before, contexts_before = everything()
    started, done = time.monotonic(), 0
    parts = 10 if LONG else 1
    for _ in range(parts):
        work(cursor, count // parts)
        done += count // parts
        after, contexts_after = everything()
        print(f"# {done} in {time.monotonic() - started:.0f} s: " +
              ", ".join(f"{name} {before[name].own_kb} -> {after[name].own_kb} kB" for name in after), flush=True)
    connection.close()
    equal(after.keys(), before.keys(), "processes")
    for name, process in after.items():
        equal(process.pid, before[name].pid, f"{name} has not been started again")
        grown = process.own_kb - before[name].own_kb
        check(grown <= GROWN_KB, f"{name} has grown by {grown} kB in {count} transactions")
        check(process.files <= before[name].files + 8, f"{name} had {before[name].files} files open, has {process.files}")
    check(contexts_after - contexts_before <= 64 * 1024, f"memory contexts: {contexts_before} -> {contexts_after} bytes")


def prepare(c):
    if c.value(1, "SELECT to_regclass('account') IS NULL"):
        c.run(1, "CREATE DOMAIN filled AS int NOT NULL", "CREATE TABLE account (id int PRIMARY KEY, balance int)",
              "CREATE TABLE replayed (id int PRIMARY KEY, balance filled)",
              "CREATE TABLE child (id int PRIMARY KEY, account int REFERENCES account)",
              "INSERT INTO account SELECT g, 0 FROM generate_series(1, 500) g", "INSERT INTO replayed SELECT g, 0 FROM generate_series(1, 500) g")


@suite.test
def commits_in_turn(c):
    prepare(c)
    flat(c, in_a_loop("UPDATE account SET balance = balance + 1 WHERE id = 1 + i % 500"), WARM_UP, COMMITS)


@suite.test
def internal_aborts(c):
    prepare(c)
    flat(c, in_a_loop("SET application_name = 'leak'; UPDATE replayed SET balance = balance + 1 WHERE id = 1 + i % 500"), WARM_UP, ABORTS)


@suite.test
def refused_by_the_replay(c):
    """Errors at COMMIT, with the session's settings and notifications to be forgotten."""
    prepare(c)

    def work(cursor, count):
        cursor.execute("SET session_replication_role = replica")
        for _ in range(count):
            state = sqlstate(lambda: cursor.execute("BEGIN; SET LOCAL work_mem = '2MB'; NOTIFY never; INSERT INTO child VALUES (1, -1); COMMIT"))
            equal(state, "23503", "an orphan")
    flat(c, work, 200, ABORTS)


@suite.test
def a_large_load_is_given_back(c):
    """What a bulk load takes on its way is free again soon after; what stays is the certification index, which has a limit."""
    c.run(1, "CREATE TABLE loaded (id int PRIMARY KEY, v text)")
    c.run(1, f"INSERT INTO loaded SELECT g, repeat('v', 20) FROM generate_series(1, {LOADED_ROWS}) g")
    for k in range(20):  # the next blocks
        c.run(1, f"UPDATE account SET balance = {k} WHERE id = 1")
    c.settle(60)
    seen = workers(c, 1)
    print("# after the load: " + ", ".join(f"{name} {p.own_kb} kB" for name, p in seen.items()), flush=True)
    total = sum(p.own_kb for p in seen.values())
    check(total <= WORKERS_KB, f"the workers keep {total} kB")


if __name__ == "__main__":
    suite.main()
