"""A member that has forgotten what it signed: restored from an older copy of its files, started as a clone. It notices, votes
for nothing, catches up, and comes back in a new era of its incarnations; two servers with one key do not both go on."""
import contextlib
import os
import shutil
import subprocess
import time

import psycopg2

from harness import Suite, check, equal, eventually

ERA = 1 << 20

suite = Suite("amnesia", port=8120)


def data_of(c, member):
    return os.path.join(c.dir, f"m{member}")


def copy(source, to):
    """A cold copy, as a file-system snapshot or a tar of the stopped server is one."""
    if os.path.exists(to):
        shutil.rmtree(to)
    subprocess.run(["cp", "-a", source, to], check=True)


def write(c, member, rows, first):
    for k in range(rows):
        c.run(member, f"INSERT INTO t VALUES ({first + k}, {member})")


def incarnation(c, member):
    return c.value(member, "SELECT incarnation FROM dadbs.status")


def can_write(c, member):
    try:
        return c.value(member, "SELECT can_write FROM dadbs.status")
    except psycopg2.OperationalError:
        return False


def doubts(c, member, why=""):
    """How often its log says that it may have forgotten, for this reason."""
    return c.log(member).count(f"may have forgotten what it signed: {why}")


def is_back(c, member):
    """It votes: in a new era, and its clients may write."""
    eventually(lambda: can_write(c, member), 60, f"member {member} writes again")
    eventually(lambda: incarnation(c, member) >= ERA, 30, f"member {member} is in a new era")


@suite.test
def restored_from_an_older_copy(c):
    c.run(1, "CREATE TABLE t (id int PRIMARY KEY, member int)")
    c.settle()
    c.stop_member(3)
    saved = os.path.join(c.base, "saved")
    copy(data_of(c, 3), saved)
    c.start_member(3)
    c.wait_ready()
    equal(incarnation(c, 3) < ERA, True, "an ordinary start begins no era")
    write(c, 3, 10, 100)
    write(c, 1, 10, 200)
    c.settle()
    c.stop_member(3)
    write(c, 1, 5, 300)
    copy(saved, data_of(c, 3))
    c.start_member(3)
    is_back(c, 3)
    check(doubts(c, 3) > 0, "the log says that it noticed")
    write(c, 3, 5, 400)
    c.check_equal()
    equal(c.value(3, "SELECT count(*) FROM t"), 30, "rows")


@suite.test
def killed_while_it_learns(c):
    """What it has learned of itself is in its journal: a restart does not make it forget that it has forgotten."""
    saved = os.path.join(c.base, "saved")
    c.stop_member(3)
    copy(saved, data_of(c, 3))
    for _ in range(3):
        before = doubts(c, 3)
        c.start_member(3)
        eventually(lambda before=before: doubts(c, 3) > before or can_write(c, 3), 60, "it notices, or is back already")
        c.kill(3)
    c.start_member(3)
    is_back(c, 3)
    write(c, 3, 5, 500)
    c.check_equal()


@suite.test
def all_killed_at_once_while_idle(c):
    c.settle()
    eras = {i: incarnation(c, i) // ERA for i in c.members()}
    for i in c.members():
        c.kill(i)
    for i in c.members():
        c.start_member(i)
    c.wait_ready()
    for i in c.members():
        write(c, i, 1, 600 + i)
    equal({i: incarnation(c, i) // ERA for i in c.members()}, eras, "nobody has doubted")
    c.check_equal()


def ask_to_rejoin(c, member):
    path = os.path.join(data_of(c, member), "dadbs", "rejoin")
    with open(path, "w"):
        pass
    owner = os.stat(data_of(c, member))
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


@suite.test
def the_owner_asks_for_it(c):
    era = incarnation(c, 2) // ERA
    c.stop_member(2)
    path = ask_to_rejoin(c, 2)
    c.start_member(2)
    eventually(lambda: can_write(c, 2) and incarnation(c, 2) // ERA > era, 60, "member 2 has rejoined")
    check(not os.path.exists(path), "it is asked once")
    write(c, 2, 2, 700)
    c.check_equal()


@suite.test
def its_tables_are_further_than_its_journal(c):
    """Its journal comes from an older copy, its tables do not; what the others had seen of it is gone with their power, but for what blocks show."""
    c.settle()
    c.stop_member(3)
    saved = os.path.join(c.base, "journal")
    copy(os.path.join(data_of(c, 3), "dadbs", "journal"), saved)
    c.start_member(3)
    c.wait_ready()
    write(c, 3, 3, 750)
    c.settle()
    before, era = doubts(c, 3), incarnation(c, 3) // ERA
    c.stop_member(3)
    copy(saved, os.path.join(data_of(c, 3), "dadbs", "journal"))
    for i in (1, 2, 4):
        c.kill(i)
    for i in (1, 2, 4, 3):
        c.start_member(i)
    eventually(lambda: can_write(c, 3) and incarnation(c, 3) // ERA > era, 60, "member 3 has rejoined")
    check(doubts(c, 3) > before, "it notices")
    write(c, 3, 2, 760)
    c.check_equal()


@suite.test
def its_journal_is_lost(c):
    """Its owner lets it rejoin: it learns the whole chain from the others, and keeps its tables."""
    c.settle()
    era = incarnation(c, 4) // ERA
    c.stop_member(4)
    shutil.rmtree(os.path.join(data_of(c, 4), "dadbs", "journal"))
    c.start_member(4)
    eventually(lambda: "the journal of this member is missing" in str(c.value(4, "SELECT reason FROM dadbs.status")), 60, "it is halted")
    c.stop_member(4)
    ask_to_rejoin(c, 4)
    c.start_member(4)
    eventually(lambda: can_write(c, 4) and incarnation(c, 4) // ERA > era, 60, "member 4 has rejoined")
    write(c, 4, 2, 770)
    write(c, 1, 2, 780)
    c.check_equal()
    c.kill(4)
    c.start_member(4)
    c.wait_ready()
    write(c, 4, 2, 790)
    c.check_equal()


@suite.test
def its_server_is_lost(c):
    """But for its key. What it had signed the others know; so it learns everything from them, in a new era."""
    era = incarnation(c, 2) // ERA
    write(c, 2, 2, 795)
    c.settle()
    c.replace_member(2)
    eventually(lambda: can_write(c, 2) and incarnation(c, 2) // ERA > era, 60, "the new server is the member")
    write(c, 2, 2, 797)
    c.check_equal(whole=True)


# ---- a standby is promoted while its server lives

STANDBY_PORT = suite.port + 40


def as_postgres(*command):
    """As the user that the servers run as."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*user, *map(str, command)], capture_output=True, text=True, cwd="/", timeout=120)
    check(done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def program(name):
    return os.path.join(subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True, check=True).stdout.strip(), name)


def make_standby(c, member):
    """A running physical standby of a member: its folder. Where it waits for others its address is another one, the peer port the same."""
    standby = os.path.join(c.base, "standby")
    as_postgres(program("pg_basebackup"), "-D", standby, "-h", "127.0.0.1", "-p", c.port + member - 1, "-U", "postgres", "-R", "-c", "fast")
    with open(os.path.join(standby, "postgresql.auto.conf"), "a") as f:
        f.write(f"port = {STANDBY_PORT}\ncluster_name = 'standby'\ndadbs.listen_addresses = '127.0.0.2'\n")
    as_postgres(program("pg_ctl"), "-D", standby, "-l", os.path.join(c.dir, "standby.log"), "-w", "-t", 60, "-s", "start")
    return standby


def of_standby(query):
    """Its first row; None while it does not answer."""
    try:
        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=STANDBY_PORT, dbname="shared", user="postgres", connect_timeout=10)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchone() if cursor.description else ()
    except psycopg2.Error:
        return None


@suite.test
def standby_promoted_while_its_server_lives(c):
    """The one that is promoted notices what it is, and comes back; the other one is fenced, and stays so."""
    era = incarnation(c, 1) // ERA
    standby = make_standby(c, 1)
    try:
        write(c, 1, 5, 800)
        # It was made from a backup, and knows. Here it is to find out by its timeline.
        os.remove(os.path.join(standby, "dadbs", "rejoin"))
        as_postgres(program("pg_ctl"), "-D", standby, "-w", "-t", 60, "-s", "promote")
        eventually(lambda: c.value(1, "SELECT state FROM dadbs.status") == "halted", 60, "the old server is fenced")
        check("another server runs with this member's key" in c.value(1, "SELECT reason FROM dadbs.status"), "it says why")
        eventually(lambda: of_standby(f"SELECT 1 FROM dadbs.status WHERE can_write AND incarnation / {ERA} > {era}"), 60, "the new one has come back")
        eventually(lambda: of_standby("INSERT INTO t VALUES (900, 1) ON CONFLICT DO NOTHING") is not None, 60, "a write on it")
        c.stop_member(1)
        c.start_member(1)
        eventually(lambda: c.value(1, "SELECT state FROM dadbs.status") == "halted", 60, "the old server is fenced after a restart too")
        c.stop_member(1)
    finally:
        as_postgres(program("pg_ctl"), "-D", standby, "-m", "fast", "-w", "-t", 60, "-s", "stop")
    # In its place, so that the members can be compared.
    shutil.rmtree(data_of(c, 1))
    os.rename(standby, data_of(c, 1))
    with open(os.path.join(data_of(c, 1), "postgresql.auto.conf"), "a") as f:
        f.write(f"port = {c.port}\ndadbs.listen_addresses = ''\n")
    c.start_member(1)
    c.wait_ready()
    write(c, 1, 2, 910)
    with open(os.path.join(c.dir, "standby.log"), errors="replace") as log:
        check("may have forgotten what it signed: its data directory is on another timeline" in log.read(), "the log says how it noticed")


if __name__ == "__main__":
    suite.main()
