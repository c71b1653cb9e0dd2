"""The comparisons (a) to (h): for each the measurements of both sides, taken in turn or in interleaved pairs."""
import os
import threading
import time
from dataclasses import dataclass, field

from estimate import ratio_of_pairs
from load import pgbench, pgbench_run, sysbench_run
from machine import run, say
from systems import Dadbs, Peer, Plain, Server

CLIENTS = 32
WARMUP_SECONDS = 2
PG_SYNC_PORT = 6101  # of scripts/peers/pg_sync.sh
COPY_ROWS = 1_000_000


@dataclass
class Comparison:
    key: str
    title: str
    unit: str
    target: float
    aim: float
    lower_is_better: bool = False
    is_ratio: bool = True  # else the figure of ours is what is judged
    ours: list = field(default_factory=list)
    theirs: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def add(self, ours, theirs=None):
        self.ours.append(ours)
        if theirs is not None:
            self.theirs.append(theirs)

    def measured(self):
        return bool(self.ours) and (bool(self.theirs) or not self.is_ratio)

    def ratio(self):
        return ratio_of_pairs(self.ours, self.theirs)

    def reaches(self, value, limit):
        return value <= limit if self.lower_is_better else value >= limit


def comparisons():
    return {c.key: c for c in (
        Comparison("a", "simple update, writers on all 4, 32 clients, against Galera", "tps", 1.0, 2.0),
        Comparison("b", "the same, all caught up, against logical replication, 1 writer", "tps", 0.6, 0.85),
        Comparison("c", "one client's latency, against quorum synchronous replication", "ms", 2.5, 1.5, lower_is_better=True),
        Comparison("d", "reads (pgbench -S), against plain Postgres", "tps", 0.97, 0.99),
        Comparison("e", "memory per member: workers and shared memory", "MB", 150, 100, lower_is_better=True, is_ratio=False),
        Comparison("f", "writes to a local table, against plain Postgres", "tps", 0.95, 0.99),
        Comparison("g", "TPC-B, one hot row, 8 clients, against quorum synchronous repl.", "tps", 0.4, 0.67),
        Comparison("h", "COPY of 1,000,000 rows to all members, against plain Postgres", "s", 5.0, 3.5, lower_is_better=True),
    )}


class Bench:
    def __init__(self, options, folder, results, samples):
        self.options = options
        self.folder = folder
        self.results = results
        self.samples = samples  # rows of samples.csv

    def wants(self, keys):
        return any(k in self.options.only for k in keys)

    def note(self, key, system, number, value, unit, more=""):
        self.samples.append((key, system, number, value, unit, more))
        say(f"    ({key}) {number:>3}  {system:<12} {value:10.2f} {unit:<4} {more}")

    # ---- (a) (b) (c) (e) (g): a cluster and its peers, in turn ----

    def rounds(self):
        for number in range(1, self.options.rounds + 1):
            if self.wants("abceg"):
                self.round_dadbs(number)
            if self.wants("a"):
                with Peer(self.folder, "galera") as peer:
                    peer.run(CLIENTS // 4, WARMUP_SECONDS)
                    self.take("a", "galera", number, peer.run(CLIENTS // 4, self.options.seconds))
            if self.wants("b"):
                with Peer(self.folder, "pg_logical") as peer:
                    peer.run(CLIENTS, WARMUP_SECONDS)
                    self.take("b", "pg_logical", number, peer.run(CLIENTS, self.options.seconds))
            if self.wants("cg"):
                self.round_pg_sync(number)

    def take(self, key, system, number, load):
        value = load.mean_ms if self.results[key].unit == "ms" else load.tps
        self.note(key, system, number, value, self.results[key].unit, f"{load.conflicts} conflicts" if load.conflicts else "")
        (self.results[key].ours if system == "dadbs" else self.results[key].theirs).append(value)

    def round_dadbs(self, number):
        with Dadbs(self.folder, self.options.port) as cluster:
            if self.wants("abce"):
                cluster.prepare_accounts()
                sysbench_run(cluster.ports, CLIENTS, WARMUP_SECONDS)
            if self.wants("abe"):
                self.all_writers(cluster, number)
            if self.wants("c"):
                # At each member in turn: an application is next to one, and only one of them proposes.
                each = max(2, self.options.seconds // 4)
                loads = [sysbench_run([port], 1, each) for port in cluster.ports]
                latency = sum(x.mean_ms for x in loads) / len(loads)
                self.note("c", "dadbs", number, latency, "ms", "per member " + " ".join(f"{x.mean_ms:.2f}" for x in loads))
                self.results["c"].add(latency)
            if self.wants("g"):
                cluster.prepare_pgbench()
                pgbench_run(cluster.port, "shared", 8, WARMUP_SECONDS)
                self.take("g", "dadbs", number, pgbench_run(cluster.port, "shared", 8, self.options.seconds))
            self.stages = cluster.members[0].sql("SELECT stage, count, mean_us, max_us FROM dadbs.stat_stages")

    def all_writers(self, cluster, number):
        memory = MemoryWatch(cluster) if self.wants("e") else None
        before = cluster.cpu()
        started = time.monotonic()
        load = sysbench_run(cluster.ports, CLIENTS, self.options.seconds)
        cluster.settle()
        caught_up = load.transactions / (time.monotonic() - started)
        if memory:
            self.memory(memory.end(), number)
        spent = {k: v - before.get(k, 0) for k, v in cluster.cpu().items()}
        per = 1e6 / max(1, load.transactions)
        workers = "CPU us per transaction, all members: " + ", ".join(f"{k} {v * per:.0f}" for k, v in sorted(spent.items()))
        if self.wants("a"):
            self.take("a", "dadbs", number, load)
            say("          " + workers)
        if self.wants("b"):
            self.note("b", "dadbs", number, caught_up, "tps", f"{load.conflicts} conflicts" if load.conflicts else "")
            self.results["b"].add(caught_up)

    def memory(self, peak, number):
        total, private, mapped, own = peak
        self.note("e", "dadbs", number, total, "MB",
                  f"workers' own {private:.0f}, their share of what is mapped (mostly shared_buffers) {mapped:.0f}, dadbs's shared memory {own:.0f}")
        self.results["e"].add(total)

    def round_pg_sync(self, number):
        with Peer(self.folder, "pg_sync") as peer:
            if self.wants("c"):
                peer.run(1, WARMUP_SECONDS)
                self.take("c", "pg_sync", number, peer.run(1, self.options.seconds))
            if self.wants("g"):
                Server(PG_SYNC_PORT).sql("CREATE DATABASE tpcb", database="postgres")
                pgbench(PG_SYNC_PORT, "tpcb", "-i", "-q")
                pgbench_run(PG_SYNC_PORT, "tpcb", 8, WARMUP_SECONDS)
                self.take("g", "pg_sync", number, pgbench_run(PG_SYNC_PORT, "tpcb", 8, self.options.seconds))

    # ---- (d) (f): what is to be told apart by a few percent, in interleaved pairs ----

    def pairs(self):
        if not self.wants("df"):
            return
        with Dadbs(self.folder, self.options.port, local_schema=True) as cluster, Plain(self.folder, self.options.port + 40) as plain:
            local = "-c search_path=private"
            plain.server.sql("CREATE SCHEMA private")
            for port in (cluster.port, plain.port):
                pgbench(port, "shared", "-i", "-q", options=local)
            if self.wants("d"):
                cluster.prepare_pgbench()
                pgbench(plain.port, "shared", "-i", "-q")
                self.interleave("d", cluster.members[0], plain.server, "", ("-S", "-M", "prepared"), 4)
            if self.wants("f"):
                self.interleave("f", cluster.members[0], plain.server, local, ("-N",), 8)

    def interleave(self, key, ours, theirs, options, arguments, clients):
        seconds = self.options.pair_seconds
        for server in (ours, theirs):
            server.checkpoint()
            pgbench_run(server.port, "shared", clients, WARMUP_SECONDS, *arguments, options=options)
        for number in range(1, self.options.pairs + 1):
            order = [("dadbs", ours), ("postgres", theirs)]
            for system, server in order if number % 2 else reversed(order):
                self.take(key, system, number, pgbench_run(server.port, "shared", clients, seconds, *arguments, options=options))

    # ---- (h) ----

    def copies(self):
        if not self.wants("h"):
            return
        rows = os.path.join(self.folder, "rows.csv")
        with open(rows, "w", encoding="ascii") as f:
            f.writelines(f"{i},{i * 7919 % 100003},{'x' * (i % 20)}some text {i}\n" for i in range(COPY_ROWS))
        create = "CREATE TABLE loaded (id bigint PRIMARY KEY, number integer, note text)"
        for number in range(1, self.options.rounds + 1):
            with Plain(self.folder, self.options.port + 40) as plain:
                plain.server.sql(create)
                self.copy("postgres", number, plain.server, rows, lambda: None)
            with Dadbs(self.folder, self.options.port) as cluster:
                cluster.members[0].sql(create)
                cluster.settle()
                watch = MemoryWatch(cluster)
                self.copy("dadbs", number, cluster.members[0], rows, cluster.settle)
                counts = {m.sql("SELECT count(*) FROM loaded") for m in cluster.members}
                assert counts == {str(COPY_ROWS)}, f"rows that arrived: {counts}"
                self.results["h"].notes.append(f"memory of the largest member during COPY: {watch.end()[0]:.0f} MB")

    def copy(self, system, number, server, rows, wait):
        started = time.monotonic()
        server_copy(server, rows)
        answered = time.monotonic() - started
        wait()
        seconds = time.monotonic() - started
        self.note("h", system, number, seconds, "s", f"answered after {answered:.2f} s")
        (self.results["h"].ours if system == "dadbs" else self.results["h"].theirs).append(seconds)


def server_copy(server, rows):
    run(*server.command(f"\\copy loaded FROM '{rows}' (FORMAT csv)"), timeout=600)


class MemoryWatch:
    """Samples the memory of all members until end(), which gives the largest that any member had."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.peak = (0.0, 0.0, 0.0, 0.0)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self):
        while True:
            for member in self.cluster.members:
                self.peak = max(self.peak, self.cluster.memory_mb(member))
            if self.stop.wait(1.0):
                return

    def end(self):
        self.stop.set()
        self.thread.join()
        return self.peak
