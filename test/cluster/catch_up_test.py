"""A member that was away for longer than the others keep blocks in memory or journals: it takes them from their tables.

The cluster begins with three of its four members: the fourth comes later, and has everything to learn from block 1 on.
"""
import os
import signal
import threading
import time

from harness import Suite, check, equal, eventually, send, worker_pid
from load import Load, prepare

BLOCKS = 450  # the replica's memory has 256


def begin(c):
    """Member 4 of the genesis is not there yet."""
    c.start(options=["--bare"])
    lines = {i: c.value(i, f"SELECT dadbs.describe_node('m{i}', '127.0.0.1:{c.port + 49 + i}')") for i in c.members()}
    others = ", ".join(f"'{lines[i]}'" for i in (2, 3, 4))
    c.run(1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY[{others}])")
    for i in (2, 3):
        c.run(i, f"SELECT dadbs.join_cluster('{lines[i]}', '{lines[1]}')")
    for i in (1, 2, 3):
        c.run(i, "SELECT dadbs.wait_for_ready('60 s')")
    c.join_line = f"SELECT dadbs.join_cluster('{lines[4]}', '{lines[1]}')"


# Small segments, so that what the member lacks has long been recycled.
suite = Suite("catch_up", port=7960, confs=("dadbs.journal_segment_size = 1", "dadbs.journal_segments_kept = 2"), begin=begin)


def write_blocks(c, members, blocks):
    """Sequential clients, one per member: each commit is a block, or shares one."""
    goal = c.value(members[0], "SELECT dadbs.applied_height()") + blocks
    errors = []

    def write(member):
        try:
            connection = c.connect(member)
            cursor = connection.cursor()
            while True:
                cursor.execute("INSERT INTO load VALUES (%s, %s)", (f"{member}-{time.monotonic_ns()}", member))
                cursor.execute("SELECT dadbs.applied_height()")
                if cursor.fetchone()[0] >= goal:
                    return connection.close()
        except Exception as e:  # noqa: BLE001 - shown below
            errors.append(e)
    threads = [threading.Thread(target=write, args=(m,)) for m in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"a client failed: {errors}")


def watch(c, member, until):
    """What dadbs.catch_up and dadbs.status say meanwhile."""
    seen = []
    while not until():
        row = c.run(member, "SELECT c.state, c.applied_height, c.target_height, c.blocks_per_second, c.time_left, c.asked, s.state, s.reason "
                            "FROM dadbs.catch_up c, dadbs.status s")
        seen += [r for r in row if r[0] != "up to date"]
        time.sleep(0.02)
    return seen


def is_ready(c, member):
    return c.value(member, "SELECT can_write FROM dadbs.status")


@suite.test
def from_the_first_block(c):
    c.run(1, "CREATE TABLE load (name text PRIMARY KEY, origin int)", "CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL)",
          "INSERT INTO counter SELECT g, 0 FROM generate_series(1, 40) g", "CREATE TABLE heavy (id int PRIMARY KEY)")
    height = c.value(1, "SELECT dadbs.applied_height()")
    for i in (2, 3):
        check(c.value(i, f"SELECT dadbs.wait_for({height})"), f"member {i} does not have the tables")
    # One block in the middle takes so long that a rate can be seen meanwhile, however fast the machine is.
    write_blocks(c, (1, 2, 3), BLOCKS // 2)
    c.run(1, "INSERT INTO heavy SELECT generate_series(1, 500000)")
    write_blocks(c, (1, 2, 3), BLOCKS // 2)
    # Nobody gives block 1 before the state has been seen in which it is asked for.
    servers = [worker_pid(c, i, "blocks") for i in (1, 2, 3)]
    send(servers, signal.SIGSTOP)
    try:
        c.run(4, c.join_line)
        began = time.monotonic()
        asking = "s.state = 'catching up' AND c.state = 'fetching and applying' AND c.asked LIKE '%,%' AND s.waiting_for LIKE 'blocks of %,%'"
        eventually(lambda: c.value(4, f"SELECT EXISTS (SELECT FROM dadbs.catch_up c, dadbs.status s WHERE {asking})"), 30, "a state says that several are asked for blocks")
    finally:
        send(servers, signal.SIGCONT)
    height = c.value(1, "SELECT dadbs.applied_height()")
    seen = watch(c, 4, lambda: is_ready(c, 4) and c.value(4, f"SELECT dadbs.applied_height() >= {height}"))
    print(f"# block 1 to {height} in {time.monotonic() - began:.1f} s", flush=True)
    c.wait_ready()
    check(any(r[3] and r[4] is not None for r in seen), f"no rate and no time is shown: {seen[:5]}")
    served = {i: c.value(i, "SELECT served_blocks FROM dadbs.catch_up") for i in (1, 2, 3)}
    check(sum(n > 50 for n in served.values()) > 1, f"blocks served by the others: {served}")


@suite.test
def a_cancel_does_not_end_the_worker_that_serves(c):
    """Nor does it leave half of an answer behind: all workers would be started again, or nobody be served any more."""
    cancel = "SELECT min(pid), bool_and(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'dadbs blocks'"
    before = {i: c.run(i, cancel)[0][0] for i in (1, 2, 3)}
    check(all(before.values()), f"there is no such worker: {before}")
    c.stop_member(4)
    write_blocks(c, (1, 2, 3), BLOCKS)
    c.start_member(4)
    while not is_ready(c, 4):
        for i in (1, 2, 3):
            c.run(i, cancel)
    equal({i: c.run(i, cancel)[0][0] for i in (1, 2, 3)}, before, "the workers")


@suite.test
def killed_in_the_middle(c):
    """The others go on writing; the member is killed again and again while it catches up."""
    prepare(c)
    c.stop_member(4)
    write_blocks(c, (1, 2, 3), BLOCKS)
    load = Load(c, (1, 2, 3), per_member=1)
    reached = []
    for _ in range(3):
        c.start_member(4)
        eventually(lambda: c.value(4, "SELECT fetched_height FROM dadbs.catch_up"), 30, "the member fetches")
        time.sleep(0.15)
        reached.append(c.value(4, "SELECT fetched_height FROM dadbs.catch_up"))
        c.kill(4)
    c.start_member(4)
    eventually(lambda: is_ready(c, 4), 60, "the member has caught up")
    print(f"# killed at heights {reached}", flush=True)
    load.stop()
    check(reached == sorted(reached), f"it lost blocks: {reached}")


@suite.test
def reads_come_back_with_the_journal(c):
    """They wait for what the journal held at the start, not for what the others go on to write: that may never end."""
    def write(first, last):
        for k in range(first, last):
            c.run(1, f"INSERT INTO big SELECT {k} * 20000 + g FROM generate_series(1, 20000) g")
    c.run(1, "CREATE TABLE big (id int PRIMARY KEY)")
    c.settle()
    c.run(4, "CHECKPOINT")  # what is read is there when the server comes back: its name is looked up before the wait
    os.kill(worker_pid(c, 4, "apply"), signal.SIGSTOP)
    write(0, 2)
    height = c.value(1, "SELECT dadbs.applied_height()")
    eventually(lambda: c.value(4, "SELECT height FROM dadbs.status") >= height, 30, "member 4 has them in its journal")
    c.kill(4)
    write(2, 10)
    c.start_member(4)
    rows = c.value(4, "SELECT count(*) FROM big")
    print(f"# {rows} of 200000 rows when reads come back", flush=True)
    check(40_000 <= rows < 200_000, f"{rows} rows when reads come back")
    eventually(lambda: is_ready(c, 4), 60, "the member has caught up")


@suite.test
def peers_that_serve_wrong_blocks(c):
    """Member 2 has lost its certificates' last votes, member 3 the bodies of batches: the first one serves all."""
    c.stop_member(4)
    height = c.value(1, "SELECT dadbs.applied_height()")
    write_blocks(c, (1, 2, 3), BLOCKS)
    c.run(2, f"CREATE TABLE dadbs_internal.kept AS SELECT height, certificate FROM dadbs_internal.block WHERE height > {height}",
          "UPDATE dadbs_internal.block SET certificate = set_byte(certificate, 100, get_byte(certificate, 100) # 255) WHERE height IN (SELECT height FROM dadbs_internal.kept)")
    c.run(3, f"CREATE TABLE dadbs_internal.kept AS SELECT height, item, body FROM dadbs_internal.batch WHERE height > {height}",
          "UPDATE dadbs_internal.batch SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 255) WHERE (height, item) IN (SELECT height, item FROM dadbs_internal.kept)")
    try:
        c.start_member(4)
        eventually(lambda: is_ready(c, 4), 60, "the member has caught up")
        wrong, left = c.run(4, "SELECT wrong_answers, left_alone FROM dadbs.catch_up")[0]
        print(f"# {wrong} wrong answers; left alone: {left}", flush=True)
        check(wrong >= 2, f"wrong answers: {wrong}")
        check("gave a block" in c.log(4), "the log names nobody")
    finally:
        c.run(2, "UPDATE dadbs_internal.block b SET certificate = k.certificate FROM dadbs_internal.kept k WHERE k.height = b.height",
              "DROP TABLE dadbs_internal.kept")
        c.run(3, "UPDATE dadbs_internal.batch b SET body = k.body FROM dadbs_internal.kept k WHERE (k.height, k.item) = (b.height, b.item)",
              "DROP TABLE dadbs_internal.kept")


if __name__ == "__main__":
    suite.main()
