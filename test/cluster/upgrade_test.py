"""One member after another gets a newer build of the extension, under load on all of them: docs/operations.md, "Upgrading the extension".

The builds are made of the objects of `make install`, by test/modules/newer: the same version linked again; the next version, with one
function more and the script of ALTER EXTENSION dadbs UPDATE; and the next version of the rules that decide verdicts. Clients of the members that are not
being restarted are told of nothing but lost races and open outcomes, whatever was acknowledged is there once, and whatever was refused is not.
"""
import os
import re
import shutil
import time

import psycopg2

from builds import CONFIG, Installation, out_of, start_with
from clients import Background
from harness import CONFLICT, ROOT, UNKNOWN, Suite, Workers, check, equal, error_of, eventually, sqlstate

with open(os.path.join(ROOT, "dadbs.control")) as control:
    CONTROL = control.read()
OLD, NEW = re.search(r"default_version = '(.*)'", CONTROL)[1], "1000.0"
SCRIPT = """\\echo Use "ALTER EXTENSION dadbs UPDATE" to load this file. \\quit
CREATE FUNCTION dadbs.newer() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_newer';
CREATE TABLE dadbs_internal.newer (id int PRIMARY KEY, note text);
INSERT INTO dadbs_internal.newer VALUES (1, 'by the script');
REVOKE ALL ON dadbs_internal.newer FROM PUBLIC;
COMMENT ON FUNCTION dadbs.library_version() IS 'of a newer release';
"""
# Of a member that is being restarted, besides: its sessions end, it has no quorum yet, it is not there.
ELSEWHERE = {CONFLICT, UNKNOWN}
RESTARTED = ELSEWHERE | {"57P01", "57P03", "DA001", "DA002", "connection lost"}


def build(base, *variables, version=OLD):
    made = Installation(base, extension=True)
    made.make("newer", f"NEW_VERSION={version}", *variables)
    with open(os.path.join(made.extensions, "dadbs.control"), "w") as f:
        f.write(CONTROL.replace(OLD, version))
    os.symlink(os.path.join(ROOT, "sql", f"dadbs--{OLD}.sql"), os.path.join(made.extensions, f"dadbs--{OLD}.sql"))
    if version != OLD:
        with open(os.path.join(made.extensions, f"dadbs--{OLD}--{version}.sql"), "w") as f:
            f.write(SCRIPT)
    return made


def install(build, into):
    """Over what is there, while servers run out of it: as `make install` does, a new file under the old name."""
    for folder in ("libdir", "extensions"):
        there = getattr(into, folder)
        for name in filter(lambda name: name.startswith("dadbs"), os.listdir(getattr(build, folder))):
            shutil.copy2(os.path.join(getattr(build, folder), name), os.path.join(there, "new"))
            os.rename(os.path.join(there, "new"), os.path.join(there, name))


def begin(c):
    def builds():
        return (build(os.path.join(c.base, "again")), build(os.path.join(c.base, "newer"), version=NEW),
                build(os.path.join(c.base, "rules"), "NEW_RULES=1000", version=NEW))
    made = Background(builds)
    c.start()
    c.again, c.newer, c.other_rules = made.result(300, "the compiler")
    c.run(1, "CREATE TABLE entry (member int, number int, PRIMARY KEY (member, number))")
    c.settle()


suite = Suite("upgrade", port=9900, begin=begin)


class Load:
    """A writer on each member; `restarting` is the one that its clients may lose."""

    next = 1        # of the numbers, over all tests
    running = None  # also where the test before has failed

    def __init__(self, c):
        if Load.running:
            Load.running.workers.stop.set()
        Load.running = self
        self.c, self.restarting, self.told = c, set(), []
        self.acknowledged, self.refused, self.workers = set(), set(), Workers()
        for i in c.members():
            self.workers.start(self.write, i)

    def write(self, stop, member):
        connection = None
        while not stop.is_set():
            number, Load.next = Load.next, Load.next + 1
            restarting = member in self.restarting
            sent = False
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member)
                with connection.cursor() as cursor:
                    sent = True
                    cursor.execute("INSERT INTO entry VALUES (%s, %s)", (member, number))
                self.acknowledged.add((member, number))
                time.sleep(0.01)
            except psycopg2.Error as e:
                state = e.pgcode or "connection lost"
                if not sent or (e.pgcode and e.pgcode not in (UNKNOWN, "57P01")):
                    self.refused.add((member, number))
                if state not in (RESTARTED if restarting or member in self.restarting else ELSEWHERE):
                    self.told.append((member, str(e)))
                time.sleep(0.05)

    def goes_on(self, what, members=None, more=10, seconds=60):
        def counts():
            return {i: sum(m == i for m, _ in list(self.acknowledged)) for i in members or self.c.members()}
        before = counts()
        eventually(lambda: self.workers.errors or all(counts()[i] >= n + more for i, n in before.items()), seconds, f"{more} more commits {what}: {before}")

    def finish(self):
        self.workers.join()
        equal(self.told[:5], [], "what clients of members were told that were not being restarted")
        self.c.settle()
        there = set(self.c.run(1, "SELECT member, number FROM entry"))
        equal(sorted(self.acknowledged - there)[:5], [], "acknowledged, and lost")
        equal(sorted(self.refused & there)[:5], [], "refused, and there")


def restart(c, load, member, config, ready=True):
    """Meanwhile the others go on."""
    if load:
        load.restarting.add(member)
    c.stop_member(member)
    if load:
        load.goes_on(f"while member {member} is down", [i for i in c.members() if i != member])
    start_with(c, member, config)
    if ready:
        c.wait_ready()
        if load:
            load.restarting.discard(member)
            load.goes_on(f"after the restart of member {member}")


def health(c, member):
    return {fault: detail for fault, state, detail in c.run(member, "SELECT * FROM dadbs.health") if state != "ok"}


def objects(c, member):
    return c.value(member, "SELECT extversion FROM pg_extension WHERE extname = 'dadbs'")


@suite.test
def same_version_built_again(c):
    load = Load(c)
    load.goes_on("at first")
    for i in c.members():
        restart(c, load, i, c.again.config)
        check("extension version" not in health(c, i), f"health: {health(c, i)}")
    load.finish()


@suite.test
def newer_objects(c):
    """The library first, then the objects; each member by itself, and nothing of it goes to the others."""
    load = Load(c)
    install(c.newer, c.again)
    load.goes_on("with servers that have not loaded what is installed")
    refused = error_of(lambda: c.run(1, "ALTER EXTENSION dadbs UPDATE"))
    check(refused.pgcode == "55000" and "restart the server first" in refused.diag.message_hint, f"objects that the running library does not know: {refused}")
    for i in c.members():
        restart(c, load, i, c.again.config)
        equal(health(c, i).get("extension version"), f"the library is version {NEW}, the objects in this database are version {OLD}", "health")
        check(f"the library of this server is version {NEW}, the extension's objects in this database are version {OLD}" in c.log(i), "a line in the log")
        load.goes_on("with the objects of the version before")
        others = {j: objects(c, j) for j in c.members() if j != i}
        equal(sqlstate(lambda: c.run(i, "SET ROLE dadbs_owner", "ALTER EXTENSION dadbs UPDATE")), "42501", "by who may not")
        c.run(i, "ALTER EXTENSION dadbs UPDATE")
        equal((objects(c, i), c.value(i, "SELECT dadbs.newer()"), c.value(i, "SELECT note FROM dadbs_internal.newer")), (NEW, f"version {NEW}", "by the script"),
              f"member {i}")
        equal({j: objects(c, j) for j in others}, others, "the others' objects")
        check("extension version" not in health(c, i), "health, afterwards")
    load.goes_on("when all are of the new version")
    load.finish()


@suite.test
def back_to_the_older_library(c):
    """Where the new build has to be taken back: the objects stay, and what is not there says so."""
    load = Load(c)
    restart(c, load, 2, CONFIG)
    equal(health(c, 2).get("extension version"), f"the library is version {OLD}, the objects in this database are version {NEW}", "health")
    log = c.log(2)
    check(f"version {OLD}, the extension's objects in this database are version {NEW}" in log and f"install version {NEW}" in log, "a line in the log, with a hint")
    equal(sqlstate(lambda: c.run(2, "SELECT dadbs.newer()")), "42883", "a function that this library does not have")
    load.goes_on("with an older library under newer objects")
    restart(c, load, 2, c.again.config)
    check("extension version" not in health(c, 2), f"health, afterwards: {health(c, 2)}")
    load.finish()


@suite.test
def other_rules(c):
    """Members whose rules differ do not connect, and say so on both sides; the one that has them alone writes nothing, and can go back. Then all at once."""
    load = Load(c)
    restart(c, load, 3, c.other_rules.config, ready=False)
    there = 'its environment differs: rules is "1000" there'
    for i in (1, 2, 4):
        eventually(lambda i=i: there in health(c, i).get("other versions", ""), 30, f"member {i} says why it has no link to member 3: {health(c, i)}")
        check("rules is" in c.log(i), "the log says so")
    eventually(lambda: health(c, 3).get("other versions", "").count("rules is") == 3, 30, f"member 3 says so of all others: {health(c, 3)}")
    eventually(lambda: c.run(3, "SELECT state, can_write FROM dadbs.status") == [("waiting for quorum", False)], 30, "it writes nothing")
    equal(sqlstate(lambda: c.run(3, "INSERT INTO entry VALUES (0, 0)")), "DA001", "a write there")
    load.goes_on("without member 3", [1, 2, 4])
    restart(c, load, 3, c.again.config)
    load.finish()
    for i in c.members():
        eventually(lambda i=i: "other versions" not in health(c, i), 30, f"all is well again: {health(c, i)}")

    # The writers have stopped, and all are at one height.
    c.settle()
    for i in c.members():
        c.stop_member(i)
    for i in c.members():
        start_with(c, i, c.other_rules.config)
    c.wait_ready()
    load = Load(c)
    load.goes_on("with other rules on all members")
    load.finish()
    with out_of(c.other_rules.config):
        c.replace_member(4)  # by an empty server that never knew the rules with which the chain began
    c.wait_ready()
    c.check_equal(whole=True)
    equal({i: health(c, i) for i in c.members()}, {i: {} for i in c.members()}, "health")


if __name__ == "__main__":
    suite.main()
