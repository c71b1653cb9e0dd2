"""A cluster of one takes a database as it is: owners, keys, tables that stay this member's own."""
from harness import Cluster, Suite, check, equal, sqlstate
from hazards import waits_for_lock

suite = Suite("adopt", members=1, port=7890, start=False)


@suite.test
def existing_database(c):
    c.start(options=["--bare"])
    c.run(1, "CREATE ROLE clerk LOGIN", "CREATE TABLE ours (a int PRIMARY KEY)", "INSERT INTO ours VALUES (1)",
          "CREATE TABLE mine (a int PRIMARY KEY, s serial, x text CHECK (x <> ''))", "CREATE STATISTICS mine_stat ON a, s FROM mine", "CREATE TABLE keyed (a int NOT NULL UNIQUE, b int)",
          "CREATE TABLE clerks (a serial PRIMARY KEY)", "ALTER TABLE clerks OWNER TO clerk", "ALTER SEQUENCE clerks_a_seq INCREMENT 5",
          "CREATE VIEW seen AS SELECT * FROM ours", "SELECT dadbs.set_local('mine')",
          "CREATE TABLE refers (a int REFERENCES ours, b int REFERENCES ours)", "SELECT dadbs.set_local('refers')", "SELECT dadbs.create_cluster()",
          "SELECT dadbs.wait_for_ready('20 s')")
    equal(c.run(1, "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                   "AND relkind IN ('r', 'v') ORDER BY 1"),
          [("clerks", "clerk"), ("keyed", "dadbs_owner"), ("mine", "postgres"), ("ours", "dadbs_owner"), ("refers", "postgres"), ("seen", "dadbs_owner")],
          "owners")
    equal(c.value(1, "SELECT relreplident FROM pg_class WHERE relname = 'keyed'"), "i", "replica identity")
    c.run(1, "ALTER TABLE ours ADD COLUMN b int DEFAULT 3", "INSERT INTO keyed VALUES (1, 1)", "UPDATE keyed SET b = 2")
    c.run(1, "ALTER TABLE clerks ADD COLUMN v text", "INSERT INTO clerks (v) VALUES ('x'), ('y')", user="clerk")
    equal(c.run(1, "SELECT a FROM clerks ORDER BY 1"), [(1,), (6,)], "the increment stays")
    equal(c.run(1, "SELECT * FROM dadbs.verify_chain()"), [], "verify_chain")


@suite.test
def a_table_of_this_member(c):
    equal(c.value(1, "SELECT dadbs.is_shared('mine')"), False, "shared")
    before = c.value(1, "SELECT dadbs.block_count()")
    c.run(1, "ALTER TABLE mine ADD COLUMN b int", "INSERT INTO mine (a, b) VALUES (1, 2)", "ALTER TABLE mine ADD n bigserial, ADD i int GENERATED ALWAYS AS IDENTITY", "ALTER TABLE mine ADD r float DEFAULT random()",
          "ALTER TABLE mine ALTER x TYPE varchar(50)", "ALTER TABLE mine ALTER b TYPE bigint, DROP n", "CREATE INDEX CONCURRENTLY mine_b ON mine (b)", "DROP INDEX CONCURRENTLY mine_b", "REINDEX TABLE CONCURRENTLY mine",
          "ALTER TABLE mine REPLICA IDENTITY FULL", "VACUUM FULL mine", "CLUSTER mine USING mine_pkey", "DROP TABLE refers")
    equal(c.value(1, "SELECT dadbs.block_count()"), before, "nothing was ordered")
    equal(sqlstate(lambda: c.run(1, "SELECT dadbs.set_local('ours')")), "55000", "set_local of a shared table")
    equal(sqlstate(lambda: c.run(1, "ALTER TABLE mine RENAME TO other")), "0A000", "its name keeps it apart")
    equal(sqlstate(lambda: c.run(1, "ALTER TABLE mine ADD FOREIGN KEY (a) REFERENCES ours")), "0A000", "a local foreign key")
    equal(sqlstate(lambda: c.run(1, "DROP TABLE mine, ours")), "0A000", "one statement for both")
    check(sqlstate(lambda: c.run(1, "CREATE TABLE child (a int REFERENCES mine)")) in ("0A000", "42501"), "a shared foreign key")
    c.run(1, "DROP TABLE mine", "CREATE TABLE mine (a int PRIMARY KEY)")
    equal(c.value(1, "SELECT dadbs.is_shared('mine')"), True, "the name is free again")


def a_local_table_goes(c, statement):
    """While the statement waits for it; then the name is that of the shared table behind it."""
    parts = ["CREATE TABLE mine.part PARTITION OF mine.seen DEFAULT"] if "PARTITION" in statement else []
    c.run(1, f"CREATE TABLE mine.seen (id int PRIMARY KEY, v int) {'PARTITION BY RANGE (id)' if parts else ''}", *parts, "CREATE INDEX seen_v ON mine.seen (v)")
    holder = c.connect(1, autocommit=False)
    holder.cursor().execute("DROP TABLE mine.seen")
    session = c.connect(1)
    session.cursor().execute("SET search_path = mine, public")
    work = waits_for_lock(c, session, statement)
    holder.commit()
    holder.close()
    check(work.outcome() in ("40001", "0A000"), f"{statement}: {work.error} {work.text}")
    session.close()


@suite.test
def names_that_change_their_meaning(c):
    """What a session looks up before it waits for a lock may be another object afterwards. Nothing shared is changed on one member alone."""
    own = Cluster(1, c.port + 20)
    try:
        own.start(options=["--bare"])
        own.run(1, "CREATE SCHEMA mine", "CREATE TABLE seen (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF seen DEFAULT", "CREATE INDEX seen_v ON seen (v)",
                "SELECT dadbs.create_cluster(schemas => ARRAY['public'])", "SELECT dadbs.wait_for_ready('20 s')")
        before = own.run(1, "SELECT oid, relname, relacl, relreplident FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
        for statement in ("DROP TABLE seen", "DROP TABLE IF EXISTS none_such, seen", "DROP INDEX seen_v", "DROP INDEX CONCURRENTLY seen_v", "ALTER TABLE seen ADD w int",
                          "ALTER TABLE seen RENAME TO unseen", "ALTER TABLE seen SET SCHEMA mine", "ALTER TABLE seen DETACH PARTITION part CONCURRENTLY", "ALTER TABLE seen DETACH PARTITION part",
                          "ALTER TABLE seen REPLICA IDENTITY NOTHING", "REINDEX TABLE CONCURRENTLY seen", "REINDEX INDEX CONCURRENTLY seen_v", "CREATE INDEX here ON seen (v)",
                          "CREATE INDEX CONCURRENTLY here ON seen (v)", "COMMENT ON TABLE seen IS 'mine'",
                          "CREATE TRIGGER t BEFORE UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"):
            a_local_table_goes(own, statement)
            equal(own.run(1, "SELECT * FROM dadbs.verify_definitions()"), [], statement)
            equal(own.run(1, "SELECT oid, relname, relacl, relreplident FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"), before, statement)
        own.run(1, "CREATE TABLE mine.seen (id int)", "SET search_path = mine, public", "CREATE INDEX CONCURRENTLY here ON seen (id)", "CREATE INDEX CONCURRENTLY IF NOT EXISTS here ON seen (id)",
                "DROP INDEX CONCURRENTLY here", "DROP INDEX CONCURRENTLY IF EXISTS here", "DROP TABLE seen")
        for statement in ("CREATE INDEX CONCURRENTLY IF NOT EXISTS seen_v ON seen (v)", "DROP INDEX CONCURRENTLY IF EXISTS none_such"):
            equal(sqlstate(lambda: own.run(1, "BEGIN", statement)), "25001", statement)
        equal(own.run(1, "SELECT * FROM dadbs.verify_chain()"), [], "verify_chain")
    finally:
        own.remove()


suite.main()
