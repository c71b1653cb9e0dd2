"""(j): what contracts cost: for each row of a table, for a busy cluster, for calls of one hot row, and four kinds of procedures.

Per row it is the CPU time of the apply workers that counts, with the contract less without it: four members share this machine, and wall time would
count them all. Calls are set against the same function looped on one plain Postgres; the four kinds against the times that the paper gives.
"""
import os
import re

from load import pgbench_run, sysbench_run
from machine import bindir, say, together
from systems import Dadbs, Plain

WARMUP_SECONDS = 2
CLIENTS = 32
ROWS = 20_000
BODY_VALIDATES = "BEGIN IF NEW.low > NEW.high THEN RAISE EXCEPTION 'low above high'; END IF; RETURN NULL; END"
BODY_WRITES = "BEGIN INSERT INTO written VALUES (NEW.id, NEW.low); RETURN NULL; END"
BODY_ACCOUNT = "BEGIN IF NEW.abalance > 1000000000 THEN RAISE EXCEPTION 'too much'; END IF; RETURN NULL; END"
SPEND = ("DECLARE rest bigint; BEGIN UPDATE hot SET balance = balance - amount WHERE id = 1 RETURNING balance INTO STRICT rest; "
         "IF rest < 0 THEN RAISE EXCEPTION 'not enough'; END IF; RETURN rest; END")
TABLES = ("CREATE TABLE hot (id int PRIMARY KEY, balance bigint NOT NULL)", "INSERT INTO hot VALUES (1, 1000000000)",
          "CREATE TABLE sales (id int PRIMARY KEY, customer int NOT NULL, amount numeric NOT NULL)",
          "INSERT INTO sales SELECT g, g % 100, g % 977 FROM generate_series(1, 5000) g", "CREATE INDEX ON sales (customer)",
          "CREATE TABLE stock (item int PRIMARY KEY, left_over int NOT NULL)", "INSERT INTO stock SELECT g, 1000000 FROM generate_series(1, 100) g",
          "CREATE TABLE booking (id bigint PRIMARY KEY, item int NOT NULL, total numeric NOT NULL)", "CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL)",
          "INSERT INTO counter VALUES (1, 0)")
# What the paper calls them, its milliseconds, our body; all take p int.
KINDS = (
    ("simple validation", 5, "BEGIN IF p < 0 OR p > 1000000 THEN RAISE EXCEPTION 'out of range'; END IF; PERFORM 1 FROM sales WHERE id = p; "
                             "RETURN FOUND::int; END"),
    ("data transformation", 15, "DECLARE t bigint := 0; r record; BEGIN FOR r IN SELECT s.id, upper('item ' || s.id) AS name, round(s.amount * 1.19, 2) AS gross FROM sales s "
                                "WHERE s.customer = p % 100 ORDER BY s.id LOOP t := t + length(r.name) + r.gross::int; END LOOP; RETURN t; END"),
    ("multi-step transaction", 50, "DECLARE v bigint; o int; BEGIN UPDATE counter SET n = n + 1 WHERE id = 1 RETURNING n INTO STRICT v; FOR i IN 1..5 LOOP "
                                   "UPDATE stock SET left_over = left_over - 1 WHERE item = (p + i) % 100 + 1 RETURNING left_over INTO STRICT o; "
                                   "IF o < 0 THEN RAISE EXCEPTION 'sold out'; END IF; INSERT INTO booking VALUES (v * 10 + i, (p + i) % 100 + 1, i * 9.5); END LOOP; RETURN v; END"),
    ("complex analytics", 200, "DECLARE t bigint; BEGIN SELECT coalesce(sum(q.place * q.customer), 0)::bigint INTO STRICT t FROM (SELECT s.customer, "
                               "rank() OVER (ORDER BY sum(s.amount) DESC, s.customer) AS place FROM sales s GROUP BY s.customer) q; RETURN t; END"),
)


def attach(cluster, name, body, table):
    cluster.members[0].sql(f"SELECT dadbs.deploy_contract('{name}', $body${body}$body$)")
    cluster.members[0].sql(f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION dadbs.contract('{name}')")
    cluster.settle()


def callable_contract(cluster, name, body, arguments, returns):
    cluster.members[0].sql(f"SELECT dadbs.deploy_contract('{name}', $body${body}$body$, arguments => '{arguments}', returns => '{returns}')")
    cluster.settle()


class Contracts:
    def __init__(self, options, folder):
        self.options, self.folder, self.rows = options, folder, []

    def note(self, what, value, unit, target, aim=None, more=""):
        """Targets are upper bounds for ms, lower ones for ratios."""
        self.rows.append((what, f"{value:.4f}", unit, target, "" if aim is None else aim, more))
        say(f"    (j) {what:<52} {value:10.3f} {unit:<4} target {target:g}{'' if aim is None else f', aim {aim:g}'}  {more}")

    def script(self, text, name="call.sql"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text + "\n")
        return "-f", path

    def measure(self):
        with Dadbs(self.folder, self.options.port) as cluster:
            self.per_row(cluster)
            self.busy(cluster)
            for statement in TABLES:
                cluster.members[0].sql(statement)
            cluster.settle()
            self.calls(cluster)
            self.kinds(cluster)
        return self.rows

    def apply_ms_per_row(self, cluster, table):
        """Of one member, for a load of ROWS rows in one transaction."""
        before = cluster.cpu()["apply"]
        cluster.members[0].sql(f"INSERT INTO {table} SELECT g, g, g + 1 FROM generate_series(1, {ROWS}) g")
        cluster.settle()
        return (cluster.cpu()["apply"] - before) * 1000 / ROWS / len(cluster.members)

    def per_row(self, cluster):
        for table in ("bare", "checked", "writing"):
            cluster.members[0].sql(f"CREATE TABLE {table} (id int PRIMARY KEY, low int, high int)")
        cluster.members[0].sql("CREATE TABLE written (id int PRIMARY KEY, low int)")
        attach(cluster, "validates", BODY_VALIDATES, "checked")
        attach(cluster, "writes", BODY_WRITES, "writing")
        bare, checked, writing = (self.apply_ms_per_row(cluster, t) for t in ("bare", "checked", "writing"))
        self.note("validation trigger, a row, each member", checked - bare, "ms", 0.05, None, f"apply takes {bare:.4f} without it")
        self.note("contract that writes one row, each member", writing - bare, "ms", 0.2)

    def busy(self, cluster):
        cluster.prepare_accounts()
        sysbench_run(cluster.ports, CLIENTS, WARMUP_SECONDS)
        without = sysbench_run(cluster.ports, CLIENTS, self.options.seconds)
        attach(cluster, "account_limit", BODY_ACCOUNT, "accounts")
        sysbench_run(cluster.ports, CLIENTS, WARMUP_SECONDS)
        checked = sysbench_run(cluster.ports, CLIENTS, self.options.seconds)
        self.note("simple update on 4 members with a validation trigger", checked.tps / max(1e-9, without.tps), "x", 0.65, 0.8,
                  f"{checked.tps:.0f} of {without.tps:.0f} tps, {checked.conflicts} conflicts")

    def calls(self, cluster):
        callable_contract(cluster, "spend", SPEND, "amount int", "bigint")
        script = self.script("SELECT dadbs.call_contract('spend', 1);")
        small = self.script("\\set id random(1, 100)\nUPDATE stock SET left_over = left_over + 1 WHERE item = :id;", "small.sql")
        pgbench_run(cluster.port, "shared", 4, WARMUP_SECONDS, *script)
        call = pgbench_run(cluster.port, "shared", 1, self.options.seconds, *script)
        write = pgbench_run(cluster.port, "shared", 1, self.options.seconds, *small)
        self.note("latency of one client's call, against a small write", call.mean_ms / write.mean_ms, "x", 1.2, None,
                  f"{call.mean_ms:.2f} and {write.mean_ms:.2f} ms")
        loads = run_together(cluster.ports, CLIENTS, self.options.seconds, script[1])
        with Plain(self.folder, self.options.port + 40) as plain:
            for statement in TABLES[:2]:
                plain.server.sql(statement)
            plain.server.sql(f"CREATE FUNCTION spend(amount int) RETURNS bigint LANGUAGE plpgsql AS $body${SPEND}$body$")
            looped = self.script("SELECT spend(1);")
            pgbench_run(plain.port, "shared", CLIENTS, WARMUP_SECONDS, *looped)
            alone = pgbench_run(plain.port, "shared", CLIENTS, self.options.seconds, *looped)
        self.note("calls on one hot row, 32 clients on 4 members", loads / alone.tps, "x", 1 / 6, 1 / 3, f"{loads:.0f} a second, plain Postgres {alone.tps:.0f}")

    def kinds(self, cluster):
        for i, (kind, paper_ms, body) in enumerate(KINDS):
            callable_contract(cluster, f"kind{i}", body, "p int", "bigint")
            script = self.script(f"\\set p random(1, 5000)\nSELECT dadbs.call_contract('kind{i}', :p);")
            pgbench_run(cluster.port, "shared", 1, WARMUP_SECONDS, *script)
            before = cluster.cpu()["apply"]
            load = pgbench_run(cluster.port, "shared", 1, self.options.seconds, *script)
            cluster.settle()
            spent = (cluster.cpu()["apply"] - before) * 1000 / max(1, load.transactions) / len(cluster.members)
            self.note(f"{kind}, as one client waits for it", load.mean_ms, "ms", paper_ms, paper_ms / 50, f"{spent:.2f} ms of each member's apply worker")


def run_together(ports, clients, seconds, path):
    """Calls a second of all: pgbench on each member at once."""
    commands = [[os.path.join(bindir(), "pgbench"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-n", "-c", clients // len(ports), "-j", 1,
                 "-T", seconds, "-f", path, "shared"] for port in ports]
    return sum(float(re.search(r"tps = ([\d.]+)", out)[1]) for out in together(commands, seconds + 120))


def measure(options, folder):
    return Contracts(options, folder).measure()
