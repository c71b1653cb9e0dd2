"""dadbs.health says what is wrong with a member while it is so, and is quiet again afterwards."""
import os

from clients import Background, paused
from harness import Suite, check, equal, eventually
from tamper import empty, heap_file

FAULTS = ["behind the others", "commits wait", "different state", "durability off", "extension version", "journal", "members missing", "memory lost",
          "no writes", "other versions", "position retried", "wrong blocks"]
SOON = 30

suite = Suite("health", port=9620)


def health(c, member):
    return {fault: (state, detail) for fault, state, detail in c.run(member, "SELECT * FROM dadbs.health")}


def wrong(c, member):
    return {fault: state for fault, (state, _) in health(c, member).items() if state != "ok"}


def finds(c, member, fault, state, detail):
    def found():
        seen = health(c, member)[fault]
        return seen[0] == state and detail in (seen[1] or "")
    eventually(found, SOON, f"{fault} is {state} on member {member}, with {detail!r}")


def recovers(c):
    c.wait_ready()
    for i in c.members():
        eventually(lambda i=i: wrong(c, i) == {}, SOON, f"member {i} is well again")


@suite.test
def all_is_well(c):
    c.run(1, "CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t SELECT i, 0 FROM generate_series(1, 10) i")
    c.settle()
    recovers(c)
    for i in c.members():
        equal(sorted(health(c, i)), FAULTS, "faults that are looked for")
        equal({detail for _, detail in health(c, i).values()}, {None}, "details where nothing is wrong")
    equal(len(c.run(2, "SET ROLE pg_monitor", "SELECT * FROM dadbs.health")), len(FAULTS), "for pg_monitor")


@suite.test
def members_missing(c):
    c.stop_member(4)
    finds(c, 1, "members missing", "warning", "m4")
    equal(wrong(c, 1), {"members missing": "warning"}, "nothing else is wrong")
    c.stop_member(3)
    finds(c, 1, "members missing", "failing", "3 are needed")
    finds(c, 1, "no writes", "failing", "waiting for quorum")
    c.start_member(3)
    c.start_member(4)
    recovers(c)


@suite.test
def commits_wait(c):
    with paused(c, 2), paused(c, 3), paused(c, 4), paused(c, 1):
        commit = Background(lambda: c.run(1, "SET dadbs.commit_timeout = '60s'", "UPDATE t SET n = n + 1 WHERE id = 1"))
        finds(c, 1, "commits wait", "warning", "1, the longest since")
    commit.result(SOON)
    recovers(c)


@suite.test
def position_retried(c):
    """By a file that this member cannot read."""
    path = heap_file(c, 3, "t")
    c.stop_member(3)
    os.chmod(path, 0)
    try:
        c.start_member(3)
        c.wait_ready()
        c.run(1, "UPDATE t SET n = n + 1 WHERE id = 2")
        finds(c, 3, "position retried", "failing", "Permission denied")
    finally:
        os.chmod(path, 0o600)
    recovers(c)


@suite.test
def durability_off(c):
    c.run(2, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    finds(c, 2, "durability off", "failing", "fsync")
    c.run(2, "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
    recovers(c)


@suite.test
def different_state(c):
    path = heap_file(c, 4, "t")
    c.stop_member(4)
    empty(path)
    c.start_member(4)
    c.wait_ready()
    c.run(1, "UPDATE t SET n = n + 1 WHERE id = 3")
    finds(c, 4, "different state", "failing", "since a position")
    finds(c, 4, "no writes", "failing", "diverged")
    finds(c, 1, "different state", "warning", "m4 at height")
    check(c.value(1, "SELECT can_write FROM dadbs.status"), "the others go on")
    c.n = 3  # from here on it is compared with nobody


if __name__ == "__main__":
    suite.main()
