"""Compares dadbs with what else one could use, on this machine, in one run. See scripts/bench."""
import argparse
import os
import sys

import contracts
import curves
import flame
import growth
import pictures
import report
from comparisons import Bench, comparisons
from machine import BenchError, Folder, describe, end_all, on_signals_exit, say

PARTS = "abcdefghijn"


def options():
    p = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    p.add_argument("--only", default=",".join(PARTS), help="parts to measure, such as a,c")
    p.add_argument("--rounds", type=int, default=3, help="rounds of what is measured in turn")
    p.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    p.add_argument("--pairs", type=int, default=20, help="interleaved pairs of (d) and (f)")
    p.add_argument("--pair-seconds", type=int, default=3, help="length of each half of a pair")
    p.add_argument("--port", type=int, default=int(os.environ.get("DADBS_TEST_PORT", 7950)), help="first port of our servers")
    p.add_argument("--out", help="folder for table, CSV and pictures")
    p.add_argument("--flame", action="store_true", help="a flame graph of the load of (a) too (needs perf)")
    p.add_argument("--quick", action="store_true", help="one short round of all: does it run?")
    o = p.parse_args()
    o.only = [k for k in o.only.replace(",", "") if k in PARTS]
    if o.quick:
        o.rounds, o.seconds, o.pairs, o.pair_seconds = 1, 3, 2, 1
    return o


def measure(o, out):
    results, samples, grown = comparisons(), [], {}
    description = describe()
    for line in description:
        say(f"    {line}")
    try:
        with Folder() as folder:
            bench = Bench(o, folder, results, samples)
            bench.rounds()
            bench.pairs()
            bench.copies()
            if "i" in o.only:
                grown = curves.measure(o, folder)
            if "j" in o.only:
                grown["contracts"] = contracts.measure(o, folder)
            if "n" in o.only:
                grown["growth"] = growth.measure(o)
            if o.flame:
                flame.record(o, folder, out)
    finally:
        end_all()
        # What was measured before a failure counts.
        report.write(out, results, samples, grown, description)
        pictures.draw_ratios(out, results)
        pictures.draw_curves(out, grown)


def main():
    o = options()
    on_signals_exit()
    out = o.out or os.path.join(os.getcwd(), "bench-results")
    os.makedirs(out, exist_ok=True)
    try:
        measure(o, out)
    except BenchError as e:
        say(f"error: {e}")
        return 1
    say(f"    results are in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
