"""The loads: sysbench with scripts/peers/simple_update.lua, and pgbench. What they print, as numbers."""
import os
import re
from dataclasses import dataclass, field

from estimate import percentile_of_histogram
from machine import PEERS, BenchError, bindir, run, together

ACCOUNTS = 200_000


@dataclass
class Load:
    transactions: int = 0
    tps: float = 0.0
    mean_ms: float = 0.0
    conflicts: int = 0
    histogram: dict = field(default_factory=dict)

    def percentile_ms(self, share):
        return percentile_of_histogram(self.histogram, share)


def sysbench_command(port, *arguments):
    return ["sysbench", os.path.join(PEERS, "simple_update.lua"), "--db-driver=pgsql", "--pgsql-host=127.0.0.1",
            f"--pgsql-port={port}", "--pgsql-user=postgres", "--pgsql-db=shared", f"--accounts={ACCOUNTS}", *arguments]


def sysbench_prepare(port):
    run(*sysbench_command(port, "prepare"))


def parse_sysbench(out):
    load = Load()
    done = re.search(r"transactions:\s+(\d+)\s+\(([\d.]+) per sec", out)
    if not done:
        raise BenchError(f"sysbench: {out[-1000:]}")
    load.transactions, load.tps = int(done.group(1)), float(done.group(2))
    load.mean_ms = float(re.search(r"avg:\s+([\d.]+)", out).group(1))
    load.conflicts = int(re.search(r"ignored errors:\s+(\d+)", out).group(1))
    for value, count in re.findall(r"^\s*([\d.]+) \|[* ]+\s(\d+)$", out, re.M):
        load.histogram[float(value)] = load.histogram.get(float(value), 0) + int(count)
    return load


def sysbench_run(ports, clients, seconds, histogram=False):
    """`clients` in all, spread over the ports as evenly as they go."""
    shares = [clients // len(ports) + (i < clients % len(ports)) for i in range(len(ports))]
    commands = [sysbench_command(port, f"--threads={share}", f"--time={seconds}", f"--histogram={'on' if histogram else 'off'}", "run")
                for port, share in zip(ports, shares) if share]
    loads = [parse_sysbench(out) for out in together(commands, seconds + 120)]
    total = Load(sum(x.transactions for x in loads), sum(x.tps for x in loads), 0.0, sum(x.conflicts for x in loads))
    total.mean_ms = sum(x.mean_ms * x.transactions for x in loads) / max(1, total.transactions)
    for one in loads:
        for value, count in one.histogram.items():
            total.histogram[value] = total.histogram.get(value, 0) + count
    return total


def pgbench(port, database, *arguments, timeout=300, options=""):
    environment = dict(os.environ, PGOPTIONS=options)
    return run(os.path.join(bindir(), "pgbench"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", *arguments, database,
               timeout=timeout, env=environment)


def pgbench_run(port, database, clients, seconds, *arguments, options=""):
    out = pgbench(port, database, "-n", "-c", clients, "-j", min(2, clients), "-T", seconds, *arguments,
                  timeout=seconds + 120, options=options)
    load = Load()
    load.tps = float(re.search(r"tps = ([\d.]+)", out).group(1))
    load.transactions = int(re.search(r"number of transactions actually processed: (\d+)", out).group(1))
    load.mean_ms = float(re.search(r"latency average = ([\d.]+)", out).group(1))
    failed = re.search(r"number of failed transactions: (\d+)", out)
    load.conflicts = int(failed.group(1)) if failed else 0
    return load
