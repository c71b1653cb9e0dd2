"""(i): how throughput, latency and blocks grow with members and clients. No peers, no target: pictures."""
from load import sysbench_run
from machine import say
from systems import Dadbs

MEMBERS = (1, 4, 7)
CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
WARMUP_SECONDS = 2


def measure(options, folder):
    return {"members": by_members(options, folder), "clients": by_clients(options, folder)}


def by_members(options, folder):
    rows = []
    for n in MEMBERS[:2] if options.quick else MEMBERS:
        with Dadbs(folder, options.port, members=n) as cluster:
            cluster.prepare_accounts()
            sysbench_run(cluster.ports, 32, WARMUP_SECONDS)
            load = sysbench_run(cluster.ports, 32, options.seconds)
            rows.append((n, load.tps, load.mean_ms, load.conflicts))
            say(f"    (i) {n} members, 32 clients: {load.tps:.0f} tps")
    return rows


def by_clients(options, folder):
    rows = []
    with Dadbs(folder, options.port) as cluster:
        cluster.prepare_accounts()
        sysbench_run(cluster.ports, 32, WARMUP_SECONDS)
        for clients in (1, 32) if options.quick else CLIENTS:
            before = cluster.settle()
            load = sysbench_run(cluster.ports, clients, options.seconds, histogram=True)
            after = cluster.settle()
            blocks, transactions, size = map(int, cluster.members[0].sql(
                "SELECT count(*), coalesce(sum(transaction_count), 0), coalesce(sum(bytes), 0) FROM dadbs.blocks "
                f"WHERE height > {before} AND height <= {after}").split("|"))
            rows.append((clients, load.tps, load.percentile_ms(0.5), load.percentile_ms(0.99), blocks,
                         transactions / max(1, blocks), size / max(1, blocks), load.conflicts))
            say(f"    (i) {clients:>3} clients: {load.tps:.0f} tps, p50 {rows[-1][2]:.1f} ms, p99 {rows[-1][3]:.1f} ms, "
                f"{rows[-1][5]:.1f} transactions per block")
    return rows
