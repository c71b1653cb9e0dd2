"""PostgreSQL's regression SQL, made ready for clusters: a copy of sql/ and data/, regress.so, and the order of the files.

The database is called `shared` here, not `regression`. With keys, tables get primary keys where they have none: without one, dadbs refuses
UPDATE and DELETE. That is a column more, so COPY names those that the table had; CREATE TABLE AS, which is refused, is done in steps.
"""
import os
import re
import shutil
import subprocess

KEY = "zz_key uuid DEFAULT gen_random_uuid() PRIMARY KEY"
TABLE = re.compile(r'\bcreate\s+table\s+(?:if\s+not\s+exists\s+)?([\w."]+)\s*\(', re.I)
HAS_KEY = re.compile(r"primary\s+key|\blike\b", re.I)
NO_PLAIN_TABLE = re.compile(r"partition\s+by|\bas\b|inherits", re.I)
NO_COLUMN = re.compile(r"(constraint|check|unique|primary|foreign|exclude|like)\b", re.I)
COPY = re.compile(r'^(copy\s+)([\w."]+)(\s+from\b)', re.I | re.M)
AS_QUERY = re.compile(r'\bcreate\s+table\s+([\w."]+)\s+as\s+((?:select|values|table|with)\b[^;]*);', re.I)


def elements(sql, at):
    """What stands between the bracket before `at` and the one that closes it, split at commas: the parts, and where the closing one is."""
    depth, quote, began, parts = 1, None, at, []
    while at < len(sql):
        char = sql[at]
        if quote:
            quote = None if char == quote else quote
        elif sql.startswith("--", at):
            at = sql.find("\n", at)
            if at < 0:
                return parts, len(sql)
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                break
        elif char == "," and depth == 1:
            parts.append(sql[began:at])
            began = at + 1
        at += 1
    return parts + [sql[began:at]], at


def with_keys(sql):
    done, at, columns = [], 0, {}
    for found in TABLE.finditer(sql):
        if found.start() < at:
            continue
        parts, end = elements(sql, found.end())
        rest = sql[end:end + 200].split(";")[0]
        if HAS_KEY.search(sql, found.end(), end) or NO_PLAIN_TABLE.search(rest):
            continue
        plain = [part for part in (re.sub(r"--.*", "", part).strip() for part in parts) if part]
        columns[found[1].lower()] = [part.split()[0] for part in plain if not NO_COLUMN.match(part)]
        done.append(sql[at:end] + ("\n, " if plain else " ") + KEY)
        at = end
    sql = "".join(done) + sql[at:]

    def copy(found):
        names = columns.get(found[2].lower())
        return f"{found[1]}{found[2]} ({', '.join(names)}){found[3]}" if names else found[0]

    sql = COPY.sub(copy, sql)
    return AS_QUERY.sub(lambda m: f"CREATE VIEW zz_query AS {m[2]}; CREATE TABLE {m[1]} (LIKE zz_query, {KEY}); "
                                  f"INSERT INTO {m[1]} SELECT * FROM zz_query; DROP VIEW zz_query;", sql)


def schedule(source):
    """The files in the order in which they find what they need, without test_setup."""
    with open(os.path.join(source, "src/test/regress/parallel_schedule")) as f:
        lines = [line.split(":", 1) for line in f if re.match(r"(test|ignore):", line)]
    return [name for _, names in lines for name in names.split() if name != "test_setup"]


def prepare(source, folder, keys):
    """Copies the tests into a folder that servers and clients can read and write."""
    regress = os.path.join(source, "src/test/regress")
    os.makedirs(os.path.join(folder, "sql"))
    for name in os.listdir(os.path.join(regress, "sql")):
        if name.endswith(".sql"):
            with open(os.path.join(regress, "sql", name), encoding="latin-1", newline="") as f:
                sql = re.sub(r"(?i)\b(database )regression\b", r"\1shared", f.read())
            with open(os.path.join(folder, "sql", name), "w", encoding="latin-1", newline="") as f:
                f.write(with_keys(sql) if keys else sql)
    shutil.copytree(os.path.join(regress, "data"), os.path.join(folder, "data"))
    os.mkdir(os.path.join(folder, "results"))
    os.chmod(os.path.join(folder, "results"), 0o777)
    includes = [subprocess.run([os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config"), option], capture_output=True, text=True,
                               check=True).stdout.strip() for option in ("--includedir-server", "--includedir")]
    built = subprocess.run(["gcc", "-shared", "-fPIC", *(f"-I{i}" for i in includes), "-o", os.path.join(folder, "regress.so"),
                            os.path.join(regress, "regress.c")], capture_output=True, text=True)
    if built.returncode != 0:  # functions in C are refused in shared schemas anyway
        print(f"# without regress.so: {built.stderr.splitlines()[:1]}", flush=True)
