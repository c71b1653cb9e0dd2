"""How fast a member catches up against how fast the cluster had written, and what that costs the others.

    python3 test/bench/catch_up.py [SECONDS]

Four members on this machine. Three of them write at full speed for SECONDS (20) while the fourth is down; it comes back, the
others idle: its blocks and transactions per second against theirs. Then the three write at a fifth of that, by turns with and
without a fourth member that catches up (as many turns of each): throughput and latency.
"""
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import Cluster, eventually  # noqa: E402

ACCOUNTS = 20_000
CLIENTS = 8  # per member
PAIRS = 3
SCRIPT = f"\\set id random(1, {ACCOUNTS})\nUPDATE accounts SET balance = balance + 1 WHERE id = :id;\nINSERT INTO moves (id) VALUES (:id);\n"


def write(c, members, seconds, rate=None):
    """pgbench on each of the members; (transactions per second, mean latency in ms)."""
    path = os.path.join(c.base, "load.sql")
    with open(path, "w") as f:
        f.write("BEGIN;\n" + SCRIPT + "COMMIT;\n")
    bindir = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    processes = []
    for m in members:
        argv = [os.path.join(bindir, "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(c.port + m - 1), "-U", "postgres", "-f", path,
                "-c", str(CLIENTS), "-T", str(seconds), "--max-tries=10"]
        argv += ["-R", str(rate / len(members))] if rate else []
        processes.append(subprocess.Popen([*argv, "shared"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    outs = [p.communicate()[0] for p in processes]
    tps = [float(re.search(r"tps = ([\d.]+)", out)[1]) for out in outs]
    latency = [float(re.search(r"latency average = ([\d.]+)", out)[1]) for out in outs]
    return sum(tps), statistics.mean(latency)


def position(c, member):
    return c.run(member, "SELECT dadbs.applied_height(), (SELECT count(*) FROM dadbs_internal.transaction)")[0]


def catch_up(c, since, goal):
    """Seconds from the first block to the last that it lacks."""
    c.start_member(4)
    eventually(lambda: c.value(4, "SELECT dadbs.applied_height()") > since, 60, "the first block")
    began = time.monotonic()
    eventually(lambda: c.value(4, "SELECT dadbs.applied_height()") >= goal, 600, "the last block")
    return time.monotonic() - began


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    c = Cluster(4, int(os.environ.get("DADBS_TEST_PORT", 7970)), ("max_wal_size = 4GB",))
    try:
        c.start()
        c.run(1, "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)", "CREATE TABLE moves (key bigserial PRIMARY KEY, id int)",
              f"INSERT INTO accounts SELECT g, 0 FROM generate_series(1, {ACCOUNTS}) g")
        c.settle()
        c.stop_member(4)
        others = (1, 2, 3)
        height, count = position(c, 1)
        peak, latency = write(c, others, seconds)
        goal, after = position(c, 1)
        blocks, transactions = goal - height, after - count
        print(f"written in {seconds} s: {blocks} blocks, {transactions} transactions; {peak:.0f}/s, {latency:.1f} ms", flush=True)
        took = catch_up(c, height, goal)
        print(f"caught up in {took:.1f} s: {blocks / took:.0f} blocks/s, {transactions / took:.0f} transactions/s: "
              f"{transactions / took / (transactions / seconds):.1f} times as fast as written", flush=True)
        c.wait_ready()
        c.stop_member(4)
        alone, beside = [], []
        for _ in range(PAIRS):
            write(c, others, seconds)  # what the fourth will lack
            alone.append(write(c, others, max(5, seconds // 2), peak / 5))
            c.start_member(4)
            beside.append(write(c, others, max(5, seconds // 2), peak / 5))
            state = c.run(4, "SELECT state, blocks_behind FROM dadbs.catch_up")[0]
            print(f"    at a fifth of the peak: alone {alone[-1][0]:.0f}/s, {alone[-1][1]:.1f} ms; beside one that catches up "
                  f"{beside[-1][0]:.0f}/s, {beside[-1][1]:.1f} ms; it is then {state[0]}, {state[1]} blocks behind", flush=True)
            c.wait_ready()
            c.stop_member(4)
        for what, k in (("transactions per second", 0), ("mean latency, ms", 1)):
            a, b = statistics.median(x[k] for x in alone), statistics.median(x[k] for x in beside)
            print(f"{what}: alone {a:.1f}, beside {b:.1f}: {100 * (b / a - 1):+.0f} %", flush=True)
        c.start_member(4)
        c.wait_ready()
        c.check_equal(whole=True)
    finally:
        c.remove()


main()
