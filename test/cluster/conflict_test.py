"""Conflicts between members: one wins, the other is told 40001, nobody hangs, all stay equal."""
import contextlib
import random
import threading
import time

import psycopg2

from harness import CONFLICT, Suite, Workers, check, equal, eventually, sqlstate

suite = Suite("conflict", port=7720)

# Nobody may wait longer than this for anybody.
HANG_SECONDS = 10


def race(c, first, second, setup=()):
    """Both statements on two members, both open before either commits; returns their SQLSTATEs (None: committed)."""
    for statement in setup:
        c.run(1, statement)
    c.settle()
    a, b = c.connect(1, autocommit=False), c.connect(2, autocommit=False)
    results = [None, None]
    try:
        for k, (connection, statement) in enumerate(((a, first), (b, second))):
            connection.cursor().execute(statement)

        seconds = [None, None]

        def commit(k, connection):
            started = time.monotonic()
            results[k] = c.outcome(connection, connection.commit)
            seconds[k] = time.monotonic() - started
        threads = [threading.Thread(target=commit, args=(k, x)) for k, x in enumerate((a, b))]
        [t.start() for t in threads]
        [t.join(30) for t in threads]
        check(not any(t.is_alive() for t in threads), "a commit hangs")
        check(max(seconds) < HANG_SECONDS, f"commits took {seconds} s: {first} and {second}")
    finally:
        a.close()
        b.close()
    return results


def one_wins(results, what):
    equal(sorted(map(str, results)), sorted(["None", CONFLICT]), what)


@suite.test
def same_row(c):
    c.run(1, "CREATE TABLE t (id int PRIMARY KEY, v int)")
    for k in range(5):
        one_wins(race(c, f"UPDATE t SET v = v + 1 WHERE id = {k}", f"UPDATE t SET v = v + 10 WHERE id = {k}",
                      [f"INSERT INTO t VALUES ({k}, 0)"]), "two updates of one row")
        c.settle()
        check(c.value(3, f"SELECT v FROM t WHERE id = {k}") in (1, 10), "one of them")


@suite.test
def delete_and_update(c):
    one_wins(race(c, "DELETE FROM t WHERE id = 1", "UPDATE t SET v = 5 WHERE id = 1"), "delete against update")


@suite.test
def same_unique_key(c):
    c.run(1, "CREATE TABLE u (id int PRIMARY KEY, mail text UNIQUE)")
    one_wins(race(c, "INSERT INTO u VALUES (1, 'a')", "INSERT INTO u VALUES (1, 'b')"), "same primary key")
    one_wins(race(c, "INSERT INTO u VALUES (10, 'x')", "INSERT INTO u VALUES (11, 'x')"), "same unique value")


@suite.test
def child_and_parent(c):
    c.run(1, "CREATE TABLE parent (id int PRIMARY KEY, v int)",
          "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent)", "INSERT INTO parent VALUES (1, 0), (2, 0)")
    one_wins(race(c, "INSERT INTO child VALUES (1, 1)", "DELETE FROM parent WHERE id = 1"), "child against its parent's deletion")
    # A balance update of the parent must not fail its children.
    equal(race(c, "INSERT INTO child VALUES (2, 2)", "UPDATE parent SET v = v + 1 WHERE id = 2"), [None, None],
          "child and an update of another column of its parent")
    c.settle()
    equal(c.value(4, "SELECT count(*) FROM child c LEFT JOIN parent p ON p.id = c.p WHERE p.id IS NULL"), 0, "orphans")


@suite.test
def ddl_against_dml(c):
    """DDL takes its turn first: it wins; the open writer is told 40001 or goes on with the new definition."""
    c.run(1, "CREATE TABLE d (id int PRIMARY KEY, v int)")
    c.settle()
    writer = c.connect(2, autocommit=False)
    writer.cursor().execute("INSERT INTO d VALUES (1, 1)")
    started = time.monotonic()
    c.run(1, "ALTER TABLE d ADD COLUMN w int DEFAULT 7")
    c.settle()
    check(time.monotonic() - started < HANG_SECONDS, f"DDL waited for a writer: {time.monotonic() - started:.1f} s")
    equal(c.outcome(writer, writer.commit), CONFLICT, "the writer")
    writer.close()
    equal(c.value(3, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'd'"), 3, "columns")


@suite.test
def deadlock_with_the_apply_worker(c):
    """Postgres finds it at once, before the watcher can: the loser is told 40001 all the same, not 40P01."""
    c.run(1, "CREATE TABLE deadlock (id int PRIMARY KEY)")
    c.settle()
    first, second = c.connect(2, autocommit=False), c.connect(2, autocommit=False)
    add = "ALTER TABLE deadlock ADD COLUMN v int DEFAULT 7"
    first.cursor().execute("SELECT 1")
    first.cursor().execute(add)
    second.cursor().execute("SELECT 1")
    states = []
    waits = threading.Thread(target=lambda: states.append(sqlstate(lambda: second.cursor().execute(add))))
    waits.start()
    eventually(lambda: c.value(2, f"SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {second.pid}"), 30, "the second waits")
    c.run(4, "BEGIN", "SELECT 1", add, "COMMIT")
    waits.join(30)
    # Who has got the lock before the apply worker did loses later.
    check(states == [CONFLICT] or (states == [None] and c.outcome(second, second.commit) == CONFLICT), f"who waits beside the apply worker: {states}")
    first.close()
    second.close()


@suite.test
def floor_of_a_predecessor(c):
    """What ran while a definition changed may have seen the old one; a later process in the same place is somebody else."""
    c.run(1, "CREATE TABLE seen (id int PRIMARY KEY)")
    c.settle()

    def local_id(connection):
        cursor = connection.cursor()
        cursor.execute("SELECT split_part(virtualtransaction, '/', 2)::int FROM pg_locks WHERE pid = pg_backend_pid() LIMIT 1")
        return cursor.fetchone()[0]
    looks, low, high = c.connect(2), c.connect(2), c.connect(2)
    beginning = local_id(low)
    while local_id(high) < beginning + 100:
        pass
    high.autocommit = False
    number = local_id(high)
    c.run(1, "ALTER TABLE seen ADD COLUMN v int")
    c.settle()
    cursor = looks.cursor()

    def clients():
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return cursor.fetchone()[0]
    for others, connection in ((2, low), (1, high)):  # the next one takes the place of the last that has gone, and the lowest number
        connection.close()
        eventually(lambda: clients() == others, 30, "it is gone")
    heirs = [c.connect(2) for _ in range(2)]
    for k, heir in enumerate(heirs):
        while (at := local_id(heir)) < number - 1:
            pass
        heir.cursor().execute(f"INSERT INTO seen VALUES ({k}, {at})")
        heir.close()
    looks.close()


@suite.test
def idle_in_transaction_does_not_hold_up_others(c):
    c.run(1, "INSERT INTO t VALUES (50, 0)")
    c.settle()
    idle = c.connect(2, autocommit=False)
    idle.cursor().execute("UPDATE t SET v = 1 WHERE id = 50")
    started = time.monotonic()
    c.run(1, "UPDATE t SET v = 2 WHERE id = 50")
    c.settle()
    check(time.monotonic() - started < HANG_SECONDS, f"an idle session held up the others: {time.monotonic() - started:.1f} s")
    equal(c.outcome(idle, idle.commit), CONFLICT, "the idle session")
    idle.close()
    equal(c.value(4, "SELECT v FROM t WHERE id = 50"), 2, "value")


@suite.test
def disjoint_rows_all_commit(c):
    c.run(1, "INSERT INTO t SELECT g, 0 FROM generate_series(1000, 1099) g")
    c.settle()
    failures = []

    def writer(i):
        connection = c.connect(i)
        cursor = connection.cursor()
        for k in range(25):
            state = sqlstate(lambda k=k: cursor.execute(f"UPDATE t SET v = v + 1 WHERE id = {1000 + 25 * (i - 1) + k}"))
            if state:
                failures.append(state)
        connection.close()
    threads = [threading.Thread(target=writer, args=(i,)) for i in c.members()]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(failures, [], "failures of writers of different rows")
    c.settle()
    equal(c.value(1, "SELECT sum(v) FROM t WHERE id >= 1000"), 100, "sum")


@suite.test
def parents_that_were_updated_before_they_went(c):
    """An update that lets the key be does not keep children of other members away; what the same transaction does to the new version does."""
    c.run(1, "CREATE TABLE kept_key (id int PRIMARY KEY, v text)", "CREATE TABLE of_kept_key (id int PRIMARY KEY, p int REFERENCES kept_key)")
    update, remove, move = "UPDATE kept_key SET v = v || 'b' WHERE id = {0}", "DELETE FROM kept_key WHERE id = {0}", "UPDATE kept_key SET id = -{0} WHERE id = {0}"
    undone = ("SAVEPOINT s", remove, "ROLLBACK TO s")
    shapes = [((update,), True), ((update, update), True), ((update, *undone), True), ((*undone, update), True), (("SELECT FROM kept_key WHERE id = {0} FOR NO KEY UPDATE",), True),
              ((update, remove), False), ((update, move), False), ((update, update, remove), False), (("SAVEPOINT a", update, "SAVEPOINT b", update, "RELEASE b", remove), False),
              ((update, *undone, move), False), ((update, "SELECT FROM kept_key WHERE id = {0} FOR UPDATE"), None), ((remove,), False), ((move,), False)]
    for k, (statements, lives) in enumerate(shapes, 1):
        c.run(1, f"INSERT INTO kept_key VALUES ({k}, 'a')")
        c.settle()
        with contextlib.closing(c.connect(2, autocommit=False)) as holder:
            for statement in statements:
                holder.cursor().execute(statement.format(k))
            c.run(1, f"INSERT INTO of_kept_key VALUES ({k}, {k})")
            c.settle()
            outcome = c.outcome(holder, holder.commit)
            check(lives is None or outcome == (None if lives else CONFLICT), f"{statements}: {outcome}")
        # A child that comes between the two.
        c.run(1, f"INSERT INTO kept_key VALUES ({k + 100}, 'a')")
        c.settle()
        with contextlib.closing(c.connect(2, autocommit=False)) as holder:
            holder.cursor().execute(update.format(k + 100))
            c.run(1, f"INSERT INTO of_kept_key VALUES ({k + 100}, {k + 100})")
            c.settle()
            states = {sqlstate(lambda: [holder.cursor().execute(statement.format(k + 100)) for statement in statements]), c.outcome(holder, holder.commit)}
            check(states <= {None, "23503", "25P02", CONFLICT} and (lives is not True or remove in statements or states == {None}), f"{statements}, later: {states}")
        c.settle()
        for i in c.members():
            equal(c.value(i, "SELECT count(*) FROM of_kept_key WHERE NOT EXISTS (SELECT FROM kept_key WHERE kept_key.id = p)"), 0, f"orphans on member {i} after {statements}")
    c.run(2, "DROP TABLE of_kept_key, kept_key")


@suite.test
def rows_that_make_a_table_grow(c):
    """The lock under which a table or index gets new pages is held for a moment, not until COMMIT: nobody loses for it."""
    c.run(1, "CREATE TABLE grows (id int PRIMARY KEY, v text)", "ALTER TABLE grows ALTER v SET STORAGE EXTERNAL")
    c.settle()
    outcomes, start = [], threading.Barrier(c.n)

    def writer(i):
        connection = c.connect(i)
        with connection.cursor() as cursor:
            start.wait()
            for k in range(6):
                insert = f"INSERT INTO grows SELECT {1000 * i + 10 * k} + g, repeat('v', 200000) FROM generate_series(0, 9) g"
                outcomes.append(sqlstate(lambda: cursor.execute(insert)))
        connection.close()
    threads = [threading.Thread(target=writer, args=(i,)) for i in c.members()]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(outcomes, [None] * 24, "outcomes of writers of different rows")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT count(*), sum(length(v)) FROM grows"), [(240, 240 * 200000)], f"rows on member {i}")
    c.run(2, "DROP TABLE grows")


@suite.test
def money_is_conserved(c):
    """Transfers among ten accounts by all members at once: losers retry, the sum stays."""
    c.run(1, "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)",
          "CREATE TABLE transfer (id text PRIMARY KEY, origin int, amount int)",
          "INSERT INTO account SELECT g, 1000 FROM generate_series(1, 10) g")
    c.settle()
    acknowledged, lost, workers = [], [], Workers()

    def transfer(stop, member, seed):
        rng = random.Random(seed)
        connection = c.connect(member, autocommit=False)
        number = 0
        while not stop.is_set():
            number += 1
            a, b = rng.sample(range(1, 11), 2)
            name = f"{member}-{seed}-{number}"
            try:
                cursor = connection.cursor()
                cursor.execute("UPDATE account SET balance = balance - 1 WHERE id = %s", (a,))
                cursor.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", (b,))
                cursor.execute("INSERT INTO transfer VALUES (%s, %s, 1)", (name, member))
                connection.commit()
                acknowledged.append(name)
            except psycopg2.Error as e:
                check(e.pgcode in (CONFLICT, "40P01") or c.lost_its_way(connection), f"unexpected {e.pgcode}: {e}")
                lost.append(e.pgcode)
                connection = c.rolled_back(connection) or c.connect(member, autocommit=False)
        connection.close()

    for member in c.members():
        for seed in range(2):
            workers.start(transfer, member, seed)
    time.sleep(5)
    eventually(lambda: workers.errors or len(acknowledged) > 50, 60, "fifty transfers")
    workers.join()
    c.settle()
    check(len(acknowledged) > 50, f"only {len(acknowledged)} transfers, {len(lost)} lost")
    for i in c.members():
        equal(c.value(i, "SELECT sum(balance) FROM account"), 10000, f"sum on member {i}")
        stored = {r[0] for r in c.run(i, "SELECT id FROM transfer")}
        check(set(acknowledged) <= stored, f"member {i} lost acknowledged transfers")
        check(len(stored) == len(acknowledged), f"member {i} has {len(stored)} transfers, {len(acknowledged)} acknowledged")


@suite.test
def lost_while_commit_is_parsed(c):
    """The signal comes between the arrival of COMMIT and its command: the error must end the block, as COMMIT always does."""
    c.run(1, "CREATE TABLE parsed (id int PRIMARY KEY, n int)")
    c.run(1, "INSERT INTO parsed SELECT g, 0 FROM generate_series(1, 40) g")
    c.settle()
    long_commit = "COMMIT" + " " * (24 << 20)  # reading and parsing it takes a good while
    quiet = dict(options="-c log_min_error_statement=panic")

    def begin(k):
        connection = c.connect(2, **quiet)
        connection.cursor().execute("BEGIN")
        connection.cursor().execute(f"UPDATE parsed SET n = 1 WHERE id = {k}")
        return connection

    slow = begin(40)
    began = time.monotonic()
    slow.cursor().execute(long_commit)
    duration = time.monotonic() - began
    lost = 0
    for k in range(1, 40):  # the moment is met sooner or later
        if k > 12 and lost:
            break
        slow = begin(k)
        other = threading.Timer(duration * (k % 13) / 13, c.run, (1, f"UPDATE parsed SET n = 2 WHERE id = {k}"))
        other.start()
        state = sqlstate(lambda: slow.cursor().execute(long_commit))
        other.join()
        if state == CONFLICT and not slow.closed:
            lost += 1
            equal(slow.info.transaction_status, psycopg2.extensions.TRANSACTION_STATUS_IDLE, f"the block, in try {k}")
        else:  # None: its connection was ended, since the signal found it idle
            check(state in (None, CONFLICT) or slow.closed, f"SQLSTATE {state}")
        slow.close()
    check(lost > 0, "no COMMIT was lost")


if __name__ == "__main__":
    suite.main()
