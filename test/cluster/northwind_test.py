"""Real input: the Northwind dump and pgbench, loaded through one member as any client would, the same on all."""
import os
import re
import subprocess

from harness import ROOT, Suite, check, equal

suite = Suite("northwind", port=7760)
DUMP = os.path.join(ROOT, "test", "data", "northwind.sql")


def load(c, member, user, schema, whole_tables=False):
    """Row by row, as the dump has it, or the rows of each table in one transaction."""
    with open(DUMP) as f:
        sql = f.read()
    if whole_tables:
        sql, tables = re.subn(r"(?m)(^INSERT INTO (\w+) .*\n(?:\s*INSERT INTO \2 .*\n)*)", r"BEGIN;\n\1COMMIT;\n", sql)
        equal(tables, 12, "tables with rows in the dump")
    done = c.psql(member, "-q", "-U", user, "-v", "VERBOSITY=verbose", stdin=f"SET search_path = {schema};\n" + sql)
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line and "default_with_oids" not in line]
    equal(errors[:3], [], f"errors of the dump as {user}")


@suite.test
def dump_by_a_superuser(c):
    load(c, 1, "postgres", "public")
    c.settle(60)
    for i in c.members():
        equal(c.run(i, "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_details), (SELECT count(*) FROM customers)"),
              [(830, 2155, 91)], f"rows on member {i}")
        equal(c.value(i, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"), 13,
              f"foreign keys on member {i}")


@suite.test
def dump_by_an_application_role(c):
    c.run(2, "CREATE ROLE app LOGIN", "CREATE SCHEMA app AUTHORIZATION app")
    c.settle()
    load(c, 3, "app", "app", whole_tables=True)
    c.settle(60)
    for i in c.members():
        equal(c.value(i, "SELECT count(*) FROM app.orders"), 830, f"orders on member {i}")
        equal(c.value(i, "SELECT tableowner FROM pg_tables WHERE schemaname = 'app' AND tablename = 'orders'"), "app", "owner")


@suite.test
def orders_by_all_members(c):
    for i in c.members():
        c.run(i, f"INSERT INTO orders (order_id, customer_id, employee_id, freight) VALUES ({20000 + i}, 'ALFKI', {i}, {i}.25)",
              f"INSERT INTO order_details VALUES ({20000 + i}, 11, 14, {i}, 0)")
    c.settle()
    for i in c.members():
        equal(c.value(i, "SELECT sum(quantity) FROM order_details WHERE order_id > 20000"), 10, f"quantities on member {i}")


def pgbench(c, member, *arguments):
    binary = os.path.join(subprocess.check_output(
        [os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config"), "--bindir"], text=True).strip(), "pgbench")
    done = subprocess.run([binary, "-h", "127.0.0.1", "-p", str(c.port + member - 1), "-U", "postgres", *arguments, "shared"],
                          capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"pgbench {arguments} on member {member}: {done.stdout}{done.stderr}")
    return done.stdout


@suite.test
def pgbench_initialize_and_run(c):
    pgbench(c, 1, "-i", "-q")
    c.settle(120)
    for i in c.members():
        equal(c.run(i, "SELECT (SELECT count(*) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_tellers)"), [(100000, 10)],
              f"rows on member {i}")
    out = pgbench(c, 2, "-N", "-c", "4", "-j", "1", "-T", "5", "--max-tries", "20")
    check("tps" in out, out)
    for mode in ("extended", "prepared"):
        pgbench(c, 3, "-N", "-n", "-c", "2", "-T", "2", "-M", mode, "--max-tries", "20")
    pgbench(c, 4, "-n", "-c", "2", "-T", "3", "--max-tries", "50")
    c.settle(60)
    for i in c.members():
        equal(c.value(i, "SELECT sum(abalance) = (SELECT sum(delta) FROM pgbench_history) FROM pgbench_accounts"), True,
              f"balances on member {i}")


if __name__ == "__main__":
    suite.main()
