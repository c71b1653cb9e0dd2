"""A cluster of one takes a database as it is: owners, keys, tables that stay this member's own."""
from harness import Suite, check, equal, sqlstate

suite = Suite("adopt", members=1, port=7890, start=False)


@suite.test
def existing_database(c):
    c.start(options=["--bare"])
    c.run(1, "CREATE ROLE clerk LOGIN", "CREATE TABLE ours (a int PRIMARY KEY)", "INSERT INTO ours VALUES (1)",
          "CREATE TABLE mine (a int PRIMARY KEY)", "CREATE TABLE keyed (a int NOT NULL UNIQUE, b int)",
          "CREATE TABLE clerks (a serial PRIMARY KEY)", "ALTER TABLE clerks OWNER TO clerk", "ALTER SEQUENCE clerks_a_seq INCREMENT 5",
          "CREATE VIEW seen AS SELECT * FROM ours", "SELECT dadbs.set_local('mine')", "SELECT dadbs.create_cluster()",
          "SELECT dadbs.wait_for_ready('20 s')")
    equal(c.run(1, "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                   "AND relkind IN ('r', 'v') ORDER BY 1"),
          [("clerks", "clerk"), ("keyed", "dadbs_owner"), ("mine", "postgres"), ("ours", "dadbs_owner"), ("seen", "dadbs_owner")],
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
    c.run(1, "ALTER TABLE mine ADD COLUMN b int", "INSERT INTO mine VALUES (1, 2)")
    equal(c.value(1, "SELECT dadbs.block_count()"), before, "nothing was ordered")
    equal(sqlstate(lambda: c.run(1, "SELECT dadbs.set_local('ours')")), "55000", "set_local of a shared table")
    equal(sqlstate(lambda: c.run(1, "ALTER TABLE mine RENAME TO other")), "0A000", "its name keeps it apart")
    equal(sqlstate(lambda: c.run(1, "ALTER TABLE mine ADD FOREIGN KEY (a) REFERENCES ours")), "0A000", "a local foreign key")
    equal(sqlstate(lambda: c.run(1, "DROP TABLE mine, ours")), "0A000", "one statement for both")
    check(sqlstate(lambda: c.run(1, "CREATE TABLE child (a int REFERENCES mine)")) in ("0A000", "42501"), "a shared foreign key")
    c.run(1, "DROP TABLE mine", "CREATE TABLE mine (a int PRIMARY KEY)")
    equal(c.value(1, "SELECT dadbs.is_shared('mine')"), True, "the name is free again")


suite.main()
