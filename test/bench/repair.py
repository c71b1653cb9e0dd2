"""What it costs to compare and to make anew: verify_tables and rebuild_table beside pg_dump | psql of the same table, by turns; and the digest's share.

    python3 test/bench/repair.py [ROWS]

Four members on this machine, one table of ROWS (300,000) rows. Medians of three. The digest is computed by the blocks worker: its processor time beside
that of all processes of the member, under pgbench's simple-update on all members.
"""
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import Cluster, equal  # noqa: E402

TURNS = 3
SECONDS = 15
TICKS = os.sysconf("SC_CLK_TCK")


def bindir():
    return subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True, check=True).stdout.strip()


def timed(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


def copy_by_dump(c, member):
    """Into a table of the same name in a database of its own on the same server."""
    c.psql(member, "-d", "postgres", "-qc", "DROP DATABASE IF EXISTS copied", "-qc", "CREATE DATABASE copied")
    at = f"-h 127.0.0.1 -p {c.port + member - 1} -U postgres"
    subprocess.run(f"set -o pipefail; {bindir()}/pg_dump {at} -t account shared | {bindir()}/psql -qX -v ON_ERROR_STOP=1 {at} copied", shell=True, check=True,
                   executable="/bin/bash", stdout=subprocess.DEVNULL)


def processor_seconds(c, member):
    """Of the server's processes, by what they are."""
    with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
        postmaster = f.readline().strip()
    total, blocks = 0.0, 0.0
    for pid in subprocess.run(["ps", "-o", "pid=", "--ppid", postmaster], capture_output=True, text=True).stdout.split():
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            with open(f"/proc/{pid}/cmdline") as f:
                title = f.read()
        except FileNotFoundError:
            continue
        used = (int(fields[11]) + int(fields[12])) / TICKS
        total += used
        blocks += used if "dadbs blocks" in title else 0
    return total, blocks


def digest_share(c):
    subprocess.run([f"{bindir()}/pgbench", "-i", "-q", "-s", "5", "-h", "127.0.0.1", "-p", str(c.port), "-U", "postgres", "shared"], check=True, stderr=subprocess.DEVNULL)
    c.settle()
    before = processor_seconds(c, 1)
    loads = [subprocess.Popen([f"{bindir()}/pgbench", "-n", "-N", "-h", "127.0.0.1", "-p", str(c.port + m - 1), "-U", "postgres", "-c", "8", "-T", str(SECONDS), "--max-tries=10",
                               "shared"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for m in c.members()]
    time.sleep(SECONDS - 1)  # clients that have gone are in no list any more
    after = processor_seconds(c, 1)
    outs = [p.communicate()[0] for p in loads]
    tps = sum(float(re.search(r"tps = ([\d.]+)", out)[1]) for out in outs)
    share = 100 * (after[1] - before[1]) / (after[0] - before[0])
    print(f"digest under simple-update ({tps:.0f} tps): {share:.2f} % of the processor time of a member (target <= 3 %)", flush=True)


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    c = Cluster(4, int(os.environ.get("DADBS_TEST_PORT", 7970)), ("max_wal_size = 4GB",))
    try:
        c.start()
        c.run(1, "CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL, opened timestamptz NOT NULL)")
        for first in range(1, rows, 50_000):
            c.run(1, f"INSERT INTO account SELECT g, 'owner of ' || g, g * 100, '2020-01-01'::timestamptz + g * interval '1 s' "
                     f"FROM generate_series({first}, {min(rows, first + 49_999)}) g")
        c.settle(120)
        took = {"verify_tables": [], "rebuild_table": [], "pg_dump | psql": []}
        for _ in range(TURNS):
            took["pg_dump | psql"].append(timed(lambda: copy_by_dump(c, 2)))
            took["verify_tables"].append(timed(lambda: equal(c.run(2, "SELECT * FROM dadbs.verify_tables('account')"), [], "verified")))
            took["rebuild_table"].append(timed(lambda: c.run(2, "SELECT dadbs.rebuild_table('account')")))
            c.run(2, *(f"DROP TABLE {kept}" for kept, in c.run(2, "SELECT DISTINCT kept_as FROM dadbs.rebuilt_tables WHERE kept_as IS NOT NULL")))
        base = statistics.median(took["pg_dump | psql"])
        for what, seconds in took.items():
            m = statistics.median(seconds)
            print(f"{what:<15} {m:6.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), {rows / m:9.0f} rows/s, {base / m:.2f} times as fast as pg_dump | psql", flush=True)
        digest_share(c)
        return 0
    finally:
        c.remove()


if __name__ == "__main__":
    sys.exit(main())
