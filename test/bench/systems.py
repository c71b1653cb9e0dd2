"""What is compared: a dadbs cluster, a plain Postgres, and the peers of scripts/peers. Each is a context: entering starts it
on empty folders, leaving stops it and removes them, whatever happened in between."""
import os
import re
import shutil
import time

from load import Load, pgbench, sysbench_prepare
from machine import PEERS, PG_CONFIG, ROOT, BenchError, bindir, children, cpu_seconds, flush_disks, pss_kb, run, together

MAX_WAL = "max_wal_size = 4GB"  # everywhere: no checkpoint of one falls into a measurement by chance


class Server:
    """A Postgres server by its port."""

    def __init__(self, port):
        self.port = port

    def command(self, text, database="shared"):
        return [os.path.join(bindir(), "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.port,
                "-U", "postgres", "-d", database, "-c", text]

    def sql(self, text, database="shared", timeout=300):
        return run(*self.command(text, database), timeout=timeout).strip()

    def checkpoint(self):
        self.sql("CHECKPOINT")


class Dadbs:
    name = "dadbs"

    def __init__(self, folder, port, members=4, local_schema=False, confs=()):
        self.dir = os.path.join(folder, "dadbs")
        self.port = port
        self.members = [Server(port + i) for i in range(members)]
        self.local_schema = local_schema  # with a schema `private` that member 1 keeps to itself
        self.confs = (MAX_WAL, *confs)

    def cluster(self, command, *arguments, timeout=300):
        return run(os.path.join(ROOT, "scripts", "cluster"), command, "--dir", self.dir, "--port", self.port, *arguments,
                   timeout=timeout, env=dict(os.environ, PG_CONFIG=PG_CONFIG))

    def __enter__(self):
        try:
            confs = [x for c in self.confs for x in ("--conf", c)]
            self.cluster("start", *confs, *(["--bare"] if self.local_schema else []), len(self.members))
            if self.local_schema:
                self.create_with_local_schema()
            return self
        except BaseException:
            self.__exit__()
            raise

    def create_with_local_schema(self):
        self.members[0].sql("CREATE SCHEMA private")
        lines = [m.sql(f"SELECT dadbs.describe_node('m{i}', '127.0.0.1:{self.port + 49 + i}')")
                 for i, m in enumerate(self.members, 1)]
        others = ", ".join(f"'{line}'" for line in lines[1:])
        self.members[0].sql(f"SELECT dadbs.create_cluster('{lines[0]}', members => ARRAY[{others}]::text[], schemas => '{{public}}')")
        for line, member in zip(lines[1:], self.members[1:]):
            member.sql(f"SELECT dadbs.join_cluster('{line}', '{lines[0]}')")
        self.cluster("wait-ready")

    def __exit__(self, *_):
        try:
            self.cluster("remove")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
            flush_disks()

    @property
    def ports(self):
        return [m.port for m in self.members]

    def settle(self):
        """Waits until every member has applied all that any of them has answered to a client so far; the height."""
        def ask(text):
            return [out.strip() for out in together([m.command(text) for m in self.members], 300)]
        height = max(map(int, ask("SELECT dadbs.applied_height()")))
        for server, reached in zip(self.members, ask(f"SELECT dadbs.wait_for({height}::bigint, '240 s')")):
            if reached != "t":
                raise BenchError(f"port {server.port} did not reach height {height}: {reached}")
        return height

    def prepare_accounts(self):
        sysbench_prepare(self.port)
        self.settle()

    def prepare_pgbench(self, scale=1):
        pgbench(self.port, "shared", "-i", "-q", "-s", scale)
        self.settle()

    def postmasters(self):
        pids = []
        for i in range(1, len(self.members) + 1):
            with open(os.path.join(self.dir, f"m{i}", "postmaster.pid"), encoding="ascii") as f:
                pids.append(int(f.readline()))
        return pids

    def workers(self, member):
        """{kind: pid} of dadbs's processes on a member."""
        postmaster = self.postmasters()[member.port - self.port]
        titles = children(postmaster)
        return {title.split("dadbs ", 1)[1]: pid for pid, title in titles.items() if "dadbs " in title}

    def memory_mb(self, member):
        """(all, private memory of the workers, their share of mapped shared memory, dadbs's shared memory)."""
        sums = [pss_kb(pid) for pid in self.workers(member).values()]
        mapped = sum(s for _, s in sums) / 1024
        private = sum(p for p, _ in sums) / 1024 - mapped
        own = int(member.sql("SELECT coalesce(sum(allocated_size), 0) FROM pg_shmem_allocations WHERE name ILIKE '%dadbs%'")) / 2**20
        return private + mapped + own, private, mapped, own

    def cpu(self):
        """CPU seconds of dadbs's workers so far, by kind, summed over members."""
        sums = {}
        for m in self.members:
            for kind, pid in self.workers(m).items():
                sums[kind] = sums.get(kind, 0.0) + cpu_seconds(pid)
        return sums


class Plain:
    """One Postgres server with its defaults, the same binaries."""
    name = "postgres"

    def __init__(self, folder, port, confs=()):
        self.dir = os.path.join(folder, "plain")
        self.server = Server(port)
        self.port = port
        self.confs = (MAX_WAL, *confs)

    def control(self, *arguments):
        return run(os.path.join(bindir(), "pg_ctl"), "-D", f"{self.dir}/data", "-l", f"{self.dir}/log", "-w", "-s", *arguments,
                   user="postgres")

    def __enter__(self):
        try:
            os.mkdir(self.dir)
            shutil.chown(self.dir, "postgres")
            run(os.path.join(bindir(), "initdb"), "-D", f"{self.dir}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", user="postgres")
            with open(f"{self.dir}/data/postgresql.conf", "a", encoding="ascii") as f:
                f.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.dir}'\n"
                        "max_connections = 200\n" + "".join(c + "\n" for c in self.confs))
            self.control("start")
            self.server.sql("CREATE DATABASE shared", database="postgres")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        try:
            if os.path.exists(f"{self.dir}/data/postmaster.pid"):
                self.control("-m", "fast", "stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
            flush_disks()


class Peer:
    """galera, pg_sync or pg_logical, by its script."""

    def __init__(self, folder, name):
        self.name = name
        self.environment = dict(os.environ, TMPDIR=folder)

    def script(self, *arguments, timeout=400):
        return run(os.path.join(PEERS, f"{self.name}.sh"), *arguments, timeout=timeout, env=self.environment)

    def __enter__(self):
        try:
            self.script("start")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        try:
            self.script("stop")
        finally:
            flush_disks()

    def run(self, clients, seconds):
        out = self.script("run", clients, seconds, timeout=seconds + 240)
        seen = dict(re.findall(r"(\w+)=([\d.]+)", out))
        if "tps" not in seen:
            raise BenchError(f"{self.name}: {out[-500:]}")
        return Load(tps=float(seen["tps"]), mean_ms=float(seen["mean_ms"]), conflicts=int(seen.get("conflicts", 0)))


def timed(action):
    started = time.monotonic()
    action()
    return time.monotonic() - started
