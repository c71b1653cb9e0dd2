"""What a client sets in its session, and what is refused: the members stay equal, refusals say what to do, nothing hangs."""
import socket
import threading
import time

import psycopg2

from harness import CONFLICT, UNKNOWN, Suite, check, equal, eventually, sqlstate

suite = Suite("guard", port=7800)


@suite.test
def session_settings_do_not_matter(c):
    """H1, H2: time zone, DateStyle, isolation, deferred constraints, search_path, a temporary table of the same name."""
    c.run(1, "CREATE TABLE w (id int PRIMARY KEY, at timestamptz DEFAULT now(), d date, f float8, p int UNIQUE DEFERRABLE)")
    c.settle()
    sessions = [
        ["SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'German'"],
        ["SET extra_float_digits = -15", "SET IntervalStyle = 'iso_8601'"],
        ["SET search_path = pg_temp, public", "CREATE TEMP TABLE other (id int)"],
        ["SET default_transaction_isolation = 'repeatable read'"],
    ]
    for k, settings in enumerate(sessions):
        c.run(1 + k, *settings, f"INSERT INTO public.w (id, d, f, p) VALUES ({k}, '2024-03-0{k + 1}', 0.1 + {k}, {k})",
              f"UPDATE public.w SET f = f * 3 WHERE id = {k}")
    c.settle()
    deferred = c.connect(2, autocommit=False)
    cursor = deferred.cursor()
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    cursor.execute("UPDATE w SET p = p + 1")
    deferred.commit()
    deferred.close()
    c.settle()


@suite.test
def refused_with_a_hint(c):
    c.run(1, "CREATE TABLE r (id int PRIMARY KEY, v int)", "CREATE TABLE lo (id int PRIMARY KEY)")
    c.run(1, "SELECT dadbs.is_shared('r')")
    c.settle()

    def refused(expected, *statements, member=1):
        connection = c.connect(member)
        try:
            with connection.cursor() as cursor:
                for s in statements:
                    cursor.execute(s)
            check(False, f"not refused: {statements}")
        except psycopg2.Error as e:
            equal(e.pgcode, expected, f"SQLSTATE of {statements}: {e}")
            check(e.diag.message_hint or e.diag.message_detail or expected != "0A000", f"no hint: {e}")
        finally:
            connection.close()

    refused("0A000", "BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT INTO r VALUES (1, 1)", "COMMIT")
    refused("0A000", "BEGIN", "INSERT INTO r VALUES (1, 1)", "PREPARE TRANSACTION 'x'") if int(
        c.value(1, "SHOW max_prepared_transactions")) else None
    refused("0A000", "CREATE UNLOGGED TABLE u (a int)")
    refused("0A000", "CREATE TABLE z (a int PRIMARY KEY, v text COMPRESSION lz4)")
    refused("0A000", "ALTER TABLE r SET UNLOGGED")
    refused("0A000", "ALTER TABLE r REPLICA IDENTITY FULL")
    refused("0A000", "CREATE TABLE x AS SELECT * FROM r")
    c.run(1, "CREATE TABLE filled (id int PRIMARY KEY)", "INSERT INTO filled VALUES (1)")
    refused("0A000", "ALTER TABLE filled ADD COLUMN t double precision DEFAULT random()")
    equal(c.value(2, "SELECT count(*) FROM r"), 0, "rows of refused transactions")
    connection = c.connect(1)
    cursor = connection.cursor()
    cursor.execute("SET dadbs.accept_snapshot_isolation = on")
    cursor.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    cursor.execute("INSERT INTO r VALUES (2, 2)")
    cursor.execute("COMMIT")
    connection.close()


@suite.test
def local_tables(c):
    c.run(1, "CREATE TABLE mine (id int PRIMARY KEY)")
    c.settle()
    equal(c.value(2, "SELECT to_regclass('mine') IS NOT NULL"), True, "shared when created")
    c.run(2, "CREATE TABLE r2 (id int PRIMARY KEY)")
    c.settle()
    before = c.value(1, "SELECT dadbs.applied_height()")
    c.run(1, "CREATE TEMP TABLE tt (a int)", "INSERT INTO tt SELECT generate_series(1, 1000)")
    equal(c.value(1, "SELECT dadbs.applied_height()"), before, "height after temporary writes")


@suite.test
def cancel_and_terminate_while_held(c):
    """Three members are needed: with two gone a commit is held; cancelled it says 40003, and its id tells how it ended."""
    c.run(1, "CREATE TABLE h (id int PRIMARY KEY)")
    c.settle()
    connection = c.connect(1, autocommit=False)
    connection.cursor().execute("INSERT INTO h VALUES (1)")
    # Freeze two members' links after the session is ready to commit, so that it is handed over but can't be agreed.
    c.cut(3)
    c.cut(4)
    result = {}

    def commit():
        try:
            connection.commit()
            result["state"] = None
        except psycopg2.Error as e:
            result["state"] = e.pgcode
            result["text"] = str(e)
    thread = threading.Thread(target=commit)
    thread.start()
    time.sleep(1.5)
    said = eventually(lambda: c.run(1, "SELECT pid FROM dadbs.stat_activity WHERE waiting_for <> ''") or not thread.is_alive(), 30,
                      "stat_activity says what is waited for")
    if said is not True:
        c.run(1, f"SELECT pg_cancel_backend({said[0][0]})")
    thread.join(60)
    check(not thread.is_alive(), "a cancelled commit hangs")
    check(result["state"] in (UNKNOWN, "DA001", "DA002"), f"cancelled commit: {result}")
    state = sqlstate(lambda: c.run(1, "SET dadbs.commit_timeout = '2s'", "INSERT INTO h VALUES (2)"))
    check(state in (UNKNOWN, "DA001", "DA002"), f"a write without quorum: {state}")
    equal(c.value(1, "SELECT count(*) >= 0 FROM h"), True, "reads go on")
    check(c.value(1, "SELECT waiting_for || reason FROM dadbs.status") != "", "status says what it waits for")
    c.heal(3)
    c.heal(4)
    c.wait_ready()
    connection.close()
    c.run(1, "INSERT INTO h VALUES (10)")
    c.settle()


@suite.test
def strangers_on_the_peer_port(c):
    before = c.value(1, "SELECT refused_peers FROM dadbs.status")
    peer_port = c.port + 50
    sockets = []
    for k in range(50):
        s = socket.create_connection(("127.0.0.1", peer_port), timeout=5)
        try:
            s.sendall([b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff", bytes(range(256)) * 20, b""][k % 4])
        except OSError:
            pass
        sockets.append(s)
    c.run(2, "CREATE TABLE IF NOT EXISTS strangers (id int PRIMARY KEY)", "INSERT INTO strangers VALUES (1)")
    for s in sockets:
        s.close()
    eventually(lambda: c.value(1, "SELECT refused_peers FROM dadbs.status") > before, 30, "refused strangers are counted")
    c.run(1, "INSERT INTO strangers VALUES (2)")


@suite.test
def constraints_refuse_alike(c):
    c.run(1, "CREATE TABLE k (id int PRIMARY KEY, v int CHECK (v > 0), u int UNIQUE)", "INSERT INTO k VALUES (1, 1, 1)")
    c.settle()
    for i in c.members():
        equal(sqlstate(lambda i=i: c.run(i, "INSERT INTO k VALUES (2, 0, 2)")), "23514", "check")
        equal(sqlstate(lambda i=i: c.run(i, "INSERT INTO k VALUES (1, 1, 9)")), "23505", "primary key")
        equal(sqlstate(lambda i=i: c.run(i, "INSERT INTO k VALUES (9, 1, 1)")), "23505", "unique")
        equal(sqlstate(lambda i=i: c.run(i, "INSERT INTO k VALUES (NULL, 1, 9)")), "23502", "not null")


@suite.test
def ddl_of_applications(c):
    """What small applications do, each statement through another member; a DDL transaction block; ends equal everywhere."""
    statements = [
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.state AS ENUM ('new', 'paid')",
        "CREATE TABLE shop.customer (id bigserial PRIMARY KEY, mail text NOT NULL UNIQUE)",
        "CREATE TABLE shop.invoice (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint REFERENCES shop.customer ON DELETE CASCADE,"
        " state shop.state DEFAULT 'new', amount numeric(10,2) CHECK (amount >= 0), at timestamptz DEFAULT now())",
        "CREATE INDEX invoice_state ON shop.invoice (state) WHERE state = 'new'",
        "CREATE VIEW shop.open AS SELECT * FROM shop.invoice WHERE state = 'new'",
        "CREATE FUNCTION shop.double(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'",
        "ALTER TABLE shop.invoice ADD COLUMN note varchar(20) DEFAULT 'x'",
        "ALTER TABLE shop.invoice ALTER COLUMN note TYPE text",
        "ALTER TABLE shop.invoice RENAME COLUMN note TO remark",
        "ALTER TYPE shop.state ADD VALUE 'void'",
        "COMMENT ON TABLE shop.invoice IS 'invoices'",
        "CREATE SEQUENCE shop.number",
        "ALTER TABLE shop.invoice DROP CONSTRAINT invoice_amount_check",
        "ALTER TABLE shop.customer RENAME TO client",
        "DROP INDEX shop.invoice_state",
        "GRANT SELECT ON shop.invoice TO PUBLIC",
        "DROP VIEW shop.open",
    ]
    for k, statement in enumerate(statements):
        c.run(1 + k % 4, statement)
        c.settle()
    c.run(2, "INSERT INTO shop.client (mail) VALUES ('a'), ('b')", "INSERT INTO shop.invoice (customer, amount) SELECT id, 5 FROM shop.client")
    c.settle()
    c.run(3, "DELETE FROM shop.client WHERE mail = 'a'")
    connection = c.connect(4, autocommit=False)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE shop.block (id int PRIMARY KEY, v text)")
    cursor.execute("INSERT INTO shop.block VALUES (1, 'in the same transaction')")
    cursor.execute("ALTER TABLE shop.block ADD COLUMN w int")
    cursor.execute("UPDATE shop.block SET w = 5")
    connection.commit()
    connection.close()
    c.settle()
    definition = ("SELECT table_name, column_name, data_type, column_default IS NOT NULL, is_nullable FROM information_schema.columns "
                  "WHERE table_schema = 'shop' ORDER BY 1, ordinal_position")
    for i in c.members():
        equal(c.run(i, definition), c.run(1, definition), f"definitions on member {i}")
        equal(c.value(i, "SELECT count(*) FROM shop.invoice"), 1, "cascade")
        equal(c.run(i, "SELECT * FROM shop.block"), [(1, "in the same transaction", 5)], "block")
    c.run(1, "DROP SCHEMA shop CASCADE")


if __name__ == "__main__":
    suite.main()
