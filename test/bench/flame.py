"""--flame: where the CPU time of all servers goes under the load of (a), as a flame graph."""
import concurrent.futures
import os
import re
import subprocess
import time

import flamegraph
from load import sysbench_run
from machine import children, finish, say, spawn
from systems import Dadbs

CLIENTS = 32
HERTZ = 199


def role(title):
    """Of a server process, by its title: the same for all members."""
    title = re.sub(r"^postgres: m\d+: ", "", title)
    if title.startswith("dadbs "):
        return title.split()[1]
    return "client backend" if re.match(r"postgres shared ", title) else title.split(" " * 2)[0]


def record(options, folder, out):
    data = os.path.join(folder, "perf.data")
    with Dadbs(folder, options.port) as cluster:
        cluster.prepare_accounts()
        sysbench_run(cluster.ports, CLIENTS, 2)
        perf = spawn(["perf", "record", "-q", "-F", HERTZ, "-g", "-e", "cpu-clock", "-a", "-o", data, "--", "sleep", options.seconds],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        names = {}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            load = pool.submit(sysbench_run, cluster.ports, CLIENTS, options.seconds + 1)
            while not load.done():
                for pid in cluster.postmasters():
                    names.update({str(child): role(title) for child, title in children(pid).items()})
                time.sleep(0.5)
            load.result()
        finish(perf, 60)
    text = subprocess.run(["perf", "script", "-F", "comm,pid,ip,sym", "-i", data], capture_output=True, text=True, check=True).stdout
    stacks = flamegraph.without_unknown(flamegraph.fold(text.splitlines(), names))
    ours = {stack: count for stack, count in stacks.items() if stack[0] in set(names.values())}
    with open(os.path.join(out, "flame.svg"), "w", encoding="utf-8") as f:
        f.write(flamegraph.svg(ours, f"CPU time of four members on one machine, {CLIENTS} clients, simple update"))
    with open(os.path.join(out, "profile.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(flamegraph.top(ours, 12)) + "\n")
    say(f"    {sum(ours.values())} samples in flame.svg; by process in profile.txt")
