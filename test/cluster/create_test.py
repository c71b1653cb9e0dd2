"""Creating and joining a cluster by hand: both orders, every mistake named, files that are lost, DROP EXTENSION."""
import os
import shutil
import socket
import subprocess

import psycopg2

from harness import Failure, Suite, check, equal, eventually

suite = Suite("create", port=7850, start=False)
lines = {}


def address(c, i):
    return f"127.0.0.1:{c.port + 49 + i}"


def error_of(action):
    """The whole text of the error that action() fails with."""
    try:
        action()
    except psycopg2.Error as e:
        return " ".join(x for x in (e.diag.message_primary, e.diag.message_detail, e.diag.message_hint) if x)
    raise Failure("no error")


def refused(c, i, statement, *words):
    text = error_of(lambda: c.run(i, statement))
    for word in words:
        check(word in text, f"{statement}: {word!r} is not in {text!r}")


def state(c, i):
    return c.value(i, "SELECT state FROM dadbs.status")


def directory(c, i):
    return os.path.join(c.dir, f"m{i}", "dadbs")


@suite.test
def arguments_are_checked(c):
    c.command("start", 4, options=["--bare"])
    for i in c.members():
        lines[i] = c.value(i, f"SELECT dadbs.describe_node('m{i}', '{address(c, i)}')")
        check(lines[i].endswith(c.value(i, "SELECT dadbs.node_key()")), "describe_node shows the node's key")
    key2 = lines[2].split("/", 1)[1]
    equal(state(c, 1), "unconfigured", "state before")
    refused(c, 1, "SELECT dadbs.wait_for_ready('1 s')", "not a member", "create_cluster")
    refused(c, 1, "SELECT dadbs.describe_node('a b', 'h:1')", "name holds only letters")
    refused(c, 1, "SELECT dadbs.describe_node('a', 'h:70000')", "port")
    refused(c, 1, f"SELECT dadbs.create_cluster(members => ARRAY['{lines[2]}'])", "own name and address")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['m2@h:1'])", "public key is missing")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['m2@h:1/ed25519:AAAA'])", "32 bytes")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['m1@h:1/{key2}'])", "named \"m1\"")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['m2@{address(c, 1)}/{key2}'])", "have the address")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['m2@h:1/{key2}', 'm3@h:2/{key2}'])", "same key")
    refused(c, 1, f"SELECT dadbs.create_cluster('m1@h:1/{key2}')", "is not this node's")
    refused(c, 1, "SELECT dadbs.create_cluster(schemas => '{pg_catalog}')", "cannot be shared")
    refused(c, 1, "SELECT dadbs.create_cluster(schemas => '{a,a}')", "named twice")
    refused(c, 1, f"SELECT dadbs.join_cluster('{lines[1]}', '{lines[1]}')", "node's own")
    c.run(1, "CREATE TABLE mine (id int)")
    refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY['{lines[2]}'])", "begin without shared objects", "public")
    c.run(1, "DROP TABLE mine")
    c.run(1, "BEGIN", "SAVEPOINT s")
    connection = c.connect(1, autocommit=False)
    text = error_of(lambda: connection.cursor().execute("SELECT dadbs.create_cluster()"))
    check("transaction block" in text, text)
    connection.close()
    equal(state(c, 1), "unconfigured", "state after the refusals")
    equal(sorted(os.listdir(directory(c, 1))), ["node.key"], "files after the refusals")


@suite.test
def joiners_come_first(c):
    """Member 2 is right, 3 has another founder's key, 4 another address and then another encoding: each is told what is wrong."""
    c.run(2, f"SELECT dadbs.join_cluster('{lines[2]}', '{lines[1]}', approvals => 2)")
    c.run(3, f"SELECT dadbs.join_cluster('{lines[3]}', 'm1@{address(c, 1)}/{lines[2].split('/', 1)[1]}')")
    c.run(4, f"SELECT dadbs.join_cluster('m4@127.0.0.1:9', '{lines[1]}')")
    refused(c, 2, "SELECT dadbs.wait_for_ready('2 s')", "founder m1", "connection refused")
    refused(c, 2, "CREATE TABLE mine (id int)", "while this database joins")
    c.run(2, "CREATE TEMP TABLE mine (id int)")
    others = ", ".join(f"'{lines[i]}'" for i in (2, 3, 4))
    for approvals in (0, 5):
        refused(c, 1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY[{others}], approvals => {approvals})", "between 1 and the number of members, 4")
    c.run(1, f"SELECT dadbs.create_cluster('{lines[1]}', ARRAY[{others}], approvals => 2)")
    refused(c, 1, "SELECT dadbs.create_cluster()", "already a member")
    refused(c, 1, "SELECT dadbs.wait_for_ready('1 s')", "did not become ready", "m3", "m4")
    eventually(lambda: "not the one expected" in (c.value(3, "SELECT reason FROM dadbs.status") or ""), 20, "member 3 told why")
    eventually(lambda: "not at 127.0.0.1:9" in (c.value(4, "SELECT reason FROM dadbs.status") or ""), 20, "member 4 told why")
    refused(c, 4, "SELECT dadbs.wait_for_ready('30 s')", "cannot join", address(c, 4))
    c.run(4, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = psycopg2.connect(host="127.0.0.1", port=c.port + 3, dbname="latin", user="postgres")
    latin.autocommit = True
    latin.cursor().execute("CREATE EXTENSION dadbs")
    latin.cursor().execute(f"SELECT dadbs.join_cluster('{lines[4]}', '{lines[1]}')")
    text = error_of(lambda: latin.cursor().execute("SELECT dadbs.wait_for_ready('30 s')"))
    check("encoding is LATIN1 here and UTF8 there" in text and "database is latin here and shared there" in text, text)
    latin.close()
    c.run(3, f"SELECT dadbs.join_cluster('{lines[3]}', '{lines[1]}')")  # expects a quorum
    refused(c, 3, "SELECT dadbs.wait_for_ready('30 s')", "2 members must approve", "not 3", "approvals => 2")
    refused(c, 3, f"SELECT dadbs.join_cluster('{lines[3]}', '{lines[1]}', approvals => 0)", "at least 1")
    for i in (3, 4):
        c.run(i, f"SELECT dadbs.join_cluster('{lines[i]}', '{lines[1]}', approvals => 2)")
    for i in c.members():
        equal(c.value(i, "SELECT dadbs.wait_for_ready('60 s')"), "ready", f"member {i}")
    seen = {i: c.run(i, 'SELECT state, can_write, "primary", members, quorum, connected, chain_id::text FROM dadbs.status')[0]
            for i in c.members()}
    equal(len(set(seen.values())), 1, f"status on all members: {seen}")
    equal(seen[1][:6], ("ready", True, "m1", 4, 3, 4), "status")
    c.run(1, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    c.settle()
    for i in c.members():
        c.run(i, f"INSERT INTO t VALUES ({i}, 'm{i}')")
    c.check_equal()


@suite.test
def strangers_are_counted(c):
    before = c.value(1, "SELECT refused_peers FROM dadbs.status")
    for k in range(30):
        s = socket.create_connection(("127.0.0.1", c.port + 50))
        s.sendall([os.urandom(4000), b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01", b""][k % 4])
        s.close()
    subprocess.run(["openssl", "s_client", "-connect", address(c, 1)], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    eventually(lambda: c.value(1, "SELECT refused_peers FROM dadbs.status") > before, 30, "refused peers counted")
    c.run(1, "INSERT INTO t VALUES (100, 'after strangers')")
    c.check_equal()


@suite.test
def lost_files_stop_a_member(c):
    """A key, journal or genesis that is not the member's: it says so and signs nothing; with the files back it goes on."""
    d = directory(c, 3)
    saved = d + ".saved"

    def with_files(change, expect):
        c.stop_member(3)
        shutil.copytree(d, saved, copy_function=copy_owned)
        change()
        c.start_member(3)
        eventually(lambda: expect in (c.value(3, "SELECT reason FROM dadbs.status") or ""), 20, expect)
        c.run(1, "INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), 'without member 3')")
        c.stop_member(3)
        shutil.rmtree(d)
        os.rename(saved, d)
        own(d)
        c.start_member(3)
        c.wait_ready()

    with_files(lambda: write(os.path.join(d, "node.key"), os.urandom(32)), "the node key is not this member's")
    with_files(lambda: os.remove(os.path.join(d, "node.key")), "is missing")
    with_files(lambda: shutil.rmtree(os.path.join(d, "journal")), "the journal of this member is missing")
    c.stop_member(3)
    path = os.path.join(d, "genesis")
    whole = open(path, "rb").read()
    write(path, whole[:100])
    try:
        c.start_member(3)
        raise Failure("a member with half a genesis starts")
    except Failure as e:
        check("did not start" in str(e), str(e))
    write(path, whole)
    c.start_member(3)
    c.wait_ready()
    c.check_equal()


def own(path):
    for root, folders, files in os.walk(path):
        for name in [root, *(os.path.join(root, x) for x in folders + files)]:
            if os.geteuid() == 0:
                shutil.chown(name, "postgres", "postgres")


def copy_owned(source, target):
    shutil.copy2(source, target)
    return target


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)
    own(os.path.dirname(path))


@suite.test
def drop_extension_ends_the_membership(c):
    c.run(4, "DROP EXTENSION dadbs")
    equal(c.value(4, "SELECT count(*) > 4 FROM t"), True, "user tables stay")
    c.run(4, "INSERT INTO t VALUES (-1, 'local now')", "CREATE EXTENSION dadbs")
    eventually(lambda: state(c, 4) == "unconfigured", 30, "member 4 unconfigured")
    refused(c, 4, "SELECT dadbs.create_cluster()", "was a member of a cluster before", "key included")
    refused(c, 4, f"SELECT dadbs.join_cluster('{lines[4]}', '{lines[1]}')", "was a member of a cluster before")
    c.run(4, "BEGIN", "DROP EXTENSION dadbs", "ROLLBACK")
    c.stop_member(4)
    c.start_member(4)
    equal(state(c, 4), "unconfigured", "state after a restart")
    c.run(1, "INSERT INTO t VALUES (-2, 'three of four')")
    equal(c.value(1, "SELECT state FROM dadbs.nodes WHERE name = 'm4'"), "unreachable", "member 4 as member 1 sees it")
    c.n = 3
    c.check_equal()
    c.n = 4


if __name__ == "__main__":
    suite.main()
