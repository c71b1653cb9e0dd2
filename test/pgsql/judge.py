"""What must hold after each file: members ready, equal in rows, verdicts and definitions, nothing alleged, logs without what must not be there.

Definitions are compared by pg_dump, object by object, without what is each member's own (docs/limitations.md): what cannot be shared, privileges of
built-in roles, where sequences start.
"""
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

from harness import FORBIDDEN, check

READY_SECONDS = 60
SQL_SECONDS = 120
PREFIX = "%m [%p] %e <%b> "  # of each line of a server log
LINE = re.compile(r"^\S+ \S+ \S+ \[\d+\] (\w{5}) <([^>]*)> (?!STATEMENT|CONTEXT|QUERY)")
AT_A_WORKER = re.compile(r"cache lookup failed|could not open relation|could not find tuple")
ANYWHERE = re.compile(FORBIDDEN.pattern + r"|this member is diverged|has halted")
STATE = "SELECT state, height, applied_height, reason, waiting_for FROM dadbs.status"
OUTCOMES = "SELECT height, index, origin, incarnation, number, verdict, md5(keys) FROM dadbs_internal.transaction WHERE height > %s"
DEFINITIONS = "SELECT object, kind, problem, expected, found FROM dadbs.verify_definitions()"
GAPS = "SELECT reason FROM dadbs_internal.why_not_compared()"
TABLES = "SELECT table_name, problem, key, expected, found, height FROM dadbs.verify_tables()"

HEADER = re.compile(r"^-- Name: (.*); Type: (.*); Schema: (.*); Owner: (.*)$")
LOCAL_TYPES = re.compile(r"PUBLICATION|SUBSCRIPTION|FOREIGN|SERVER|USER MAPPING|TRANSFORM|EVENT TRIGGER|ACCESS METHOD|LANGUAGE|EXTENSION|CAST|"
                         r"SECURITY LABEL|TEXT SEARCH|CONVERSION|COLLATION|OPERATOR (CLASS|FAMILY)")
BUILT_IN = re.compile(r"\bpg_(catalog|monitor|read_|write_|database_owner|execute_|signal_|checkpoint|stat_)|information_schema|\bpostgres\b")
# What pg_dump writes is formed by the server's settings, too, where it does not set them itself.
PLAIN_SETTINGS = "-c bytea_output=hex -c xmlbinary=base64 -c client_min_messages=warning -c standard_conforming_strings=on -c array_nulls=on"


class Judge:
    def __init__(self, cluster):
        self.c = cluster
        self.read = {i: 0 for i in cluster.members()}  # of each log
        self.compared = 0  # height up to which verdicts and keys were
        self.notes = []

    def ask(self, i, query, *arguments):
        limit = f"-c statement_timeout={SQL_SECONDS}s -c lock_timeout={READY_SECONDS}s -c client_min_messages=warning"
        connection = self.c.connect(i, options=limit)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, arguments or None)
                return cursor.fetchall()
        finally:
            connection.close()

    def of_all(self, function):
        """{member: function(member)}, at once."""
        with ThreadPoolExecutor(self.c.n) as threads:
            return dict(zip(self.c.members(), threads.map(function, self.c.members())))

    def wait(self):
        """Until all are ready at one height; that height."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                states = self.of_all(lambda i: self.ask(i, STATE)[0])
                heights = {h for state in states.values() for h in state[1:3]}
                if len(heights) == 1 and {state[0] for state in states.values()} == {"ready"}:
                    return heights.pop()
            except psycopg2.OperationalError as e:  # a server that starts
                states = str(e).strip()
            check(time.monotonic() < deadline and "'diverged'" not in str(states), f"not ready, or not within {READY_SECONDS} s: {states}")
            time.sleep(0.1)

    def digests_at_rest(self):
        """A block of a session that is gone may still come: taken again until none has."""
        while True:
            height = self.wait()
            digests = self.of_all(lambda i: bytes(self.ask(i, "SELECT dadbs.database_digest()")[0][0]).hex())
            if self.wait() == height:
                return digests

    def compare_outcomes(self):
        """A verdict of one member alone shows in no table where what it was about is gone again."""
        outcomes = self.of_all(lambda i: set(self.ask(i, OUTCOMES, self.compared)))
        self.compared = max([self.compared, *(row[0] for row in outcomes[1])])
        return [f"verdicts or keys differ on m1 and m{i}: {sorted(outcomes[i] ^ outcomes[1])[:6]}" for i in outcomes if outcomes[i] != outcomes[1]]

    def outcomes_now(self):
        """A quick look, between files."""
        try:
            self.wait()
            return self.compare_outcomes()
        except Exception as e:  # noqa: BLE001 - whatever fails here is reported
            return [f"{type(e).__name__}: {e}"]

    def logs(self):
        """Lines since the last look that must not be there. What clients caused there may be PostgreSQL's own: noted."""
        found = []
        for i in self.c.members():
            with open(os.path.join(self.c.dir, f"m{i}.log"), errors="replace") as f:
                f.seek(self.read[i])
                text = f.read()
                self.read[i] = f.tell()
            for line in text.splitlines():
                head = LINE.match(line)
                if not head:
                    continue
                worker = head[2] not in ("client backend", "parallel worker")
                if ANYWHERE.search(line) or (worker and AT_A_WORKER.search(line)):
                    found.append(f"m{i}: {line[:400]}")
                elif head[1].startswith("XX") or (worker and "is retried" in line):
                    self.notes.append(f"m{i}: {line[:300]}")
        return found

    @staticmethod
    def is_local(name, kind, schema, owner):
        return LOCAL_TYPES.search(name if kind == "COMMENT" else kind) or ("ACL" in kind and BUILT_IN.search(owner if kind == "DEFAULT ACL" else schema))

    def definitions(self, i):
        """Texts of pg_dump by object."""
        config = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")
        bin_folder = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        dump = subprocess.run([os.path.join(bin_folder, "pg_dump"), "--schema-only", "--quote-all-identifiers", "-h", self.c.host, "-p",
                               str(self.c.port + i - 1), "-U", "postgres", "shared"], env=dict(os.environ, PGOPTIONS=PLAIN_SETTINGS),
                              capture_output=True, text=True, errors="replace", timeout=SQL_SECONDS)
        check(dump.returncode == 0, f"pg_dump of member {i}: {dump.stderr.strip()}")
        objects, name = {}, ""
        for line in dump.stdout.splitlines():
            header = HEADER.match(line)
            if header:
                name = line
                if not self.is_local(*header.groups()):
                    objects.setdefault(name, []).append([])
            elif name in objects and line and not line.startswith(("--", "\\", "SET default_t")) and not re.search("START WITH|CACHE", line):
                objects[name][-1].append(line)
        return {name: sorted("\n".join(lines) for lines in texts) for name, texts in objects.items()}

    def compare_definitions(self):
        dumps = self.of_all(self.definitions)
        different = []
        for i in self.c.members():
            for name in sorted(set(dumps[1]) | set(dumps[i])):
                if dumps[1].get(name) != dumps[i].get(name):
                    different.append(f"{name}\n  m1: {dumps[1].get(name)}\n  m{i}: {dumps[i].get(name)}")
        return different

    def problems(self, tables):
        """All that is wrong, as text; a check that cannot be made is one."""
        self.notes = []
        try:
            digests = self.digests_at_rest()
            found = self.logs() + self.compare_outcomes()
            if len(set(digests.values())) != 1:
                found.append("digests differ: " + self.c.describe_difference(digests))
            for what, query in [("not compared", GAPS), ("verify_definitions()", DEFINITIONS)] + [("verify_tables()", TABLES)] * tables:
                for i, rows in self.of_all(lambda i: self.ask(i, query)).items():
                    found += [f"{what} on m{i}: {row}" for row in rows[:5]]
            different = self.compare_definitions()
            found += [f"pg_dump differs in {len(different)} objects"] * bool(different) + different[:5]
            return found
        except Exception as e:  # noqa: BLE001 - whatever fails here is reported
            return [f"{type(e).__name__}: {e}", *self.logs()]
