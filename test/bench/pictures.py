"""Pictures of what was measured, by gnuplot: SVG, and PNG beside it."""
import os
import subprocess

STYLE = """set border 3 lc rgb '#777777'; set tics nomirror; set grid ytics lc rgb '#dddddd'
set style line 1 lc rgb '#2a6f97' lw 2 pt 7 ps 0.6; set style line 2 lc rgb '#e07a3f' lw 2 pt 7 ps 0.6
set style fill solid 0.9 noborder; set boxwidth 0.6"""
TERMINALS = (("svg", "svg size 640,400 dynamic font 'sans,12' background rgb 'white'"), ("png", "pngcairo size 800,500 font 'sans,11'"))

MEMBERS = ("set title 'Throughput over members, 32 clients'; set xlabel 'members'; set ylabel 'transactions/s'; set yrange [0:*]; unset key",
           "plot $data using 0:2:xtic(1) with boxes ls 1, '' using 0:2:(sprintf('%.0f', $2)) with labels offset 0,0.7")
LATENCY = ("set title 'Latency over clients, 4 members'; set xlabel 'clients'; set ylabel 'ms'; set logscale x 2; set logscale y; set key left top",
           "plot $data using 1:3 with linespoints ls 1 title 'p50', '' using 1:4 with linespoints ls 2 title 'p99'")
THROUGHPUT = ("set title 'Throughput over clients, 4 members'; set xlabel 'clients'; set ylabel 'transactions/s'; set logscale x 2; "
              "set yrange [0:*]; unset key", "plot $data using 1:2 with linespoints ls 1")
BLOCKS = ("set title 'Block size over load, 4 members'; set xlabel 'clients'; set ylabel 'transactions per block'; set y2label 'kB per block'; "
          "set y2tics; set logscale x 2; set yrange [0:*]; set y2range [0:*]; set key left top",
          "plot $data using 1:6 with linespoints ls 1 title 'transactions', "
          "'' using 1:($7/1000) axes x1y2 with linespoints ls 2 title 'kB'")


def draw(folder, name, rows, settings, plot):
    data = "\n".join(" ".join(str(v) for v in row) for row in rows)
    for kind, terminal in TERMINALS:
        path = os.path.join(folder, f"{name}.{kind}")
        script = f"set terminal {terminal}\nset output '{path}'\n{STYLE}\n{settings}\n$data << EOD\n{data}\nEOD\n{plot}\n"
        subprocess.run(["gnuplot"], input=script, text=True, check=True)


GROWTH = ("set title 'Time to decide over members (virtual time; lines: what the light needs)'; set xlabel 'members'; set ylabel 'ms'; set logscale x; "
          "set xtics (4, 10, 25, 50, 100, 200, 500); set yrange [0:*]; set key left top; "
          "set arrow from graph 0, first 200 to graph 1, first 200 nohead dt 2 lc rgb '#777777'; "
          "set arrow from graph 0, first 800 to graph 1, first 800 nohead dt 2 lc rgb '#777777'",
          "plot $data using 1:2 with linespoints ls 1 title '1 MB, 50 ms', '' using 1:3 with linespoints ls 2 title '5 MB, 50 ms', "
          "'' using 1:4 with linespoints ls 1 dt 3 title '1 MB, 200 ms', '' using 1:5 with linespoints ls 2 dt 3 title '5 MB, 200 ms'")


def by_members(rows):
    """members, then the time of each (latency, size), sizes first."""
    kinds = sorted({(r["latency_ms"], r["megabytes"]) for r in rows})
    times = {(r["members"], r["latency_ms"], r["megabytes"]): r["median_ms"] for r in rows}
    return [(f"{n:.0f}", *(times.get((n, *kind), "NaN") for kind in kinds)) for n in sorted({r["members"] for r in rows})]


def draw_curves(folder, curves):
    if curves.get("growth"):
        draw(folder, "growth", by_members(curves["growth"]), *GROWTH)
    if curves.get("members"):
        draw(folder, "members", curves["members"], *MEMBERS)
    if curves.get("clients"):
        draw(folder, "latency", curves["clients"], *LATENCY)
        draw(folder, "throughput", curves["clients"], *THROUGHPUT)
        draw(folder, "blocks", curves["clients"], *BLOCKS)


def draw_ratios(folder, results):
    """How far each figure is from its target (1 is the target, more is better) and where the aim is."""
    rows = []
    for c in results.values():
        if not c.measured():
            continue
        value = c.ratio().value if c.is_ratio else max(c.ours)
        reached, aim = (c.target / value, c.target / c.aim) if c.lower_is_better else (value / c.target, c.aim / c.target)
        rows.append((f"({c.key})", f"{reached:.4f}", f"{aim:.4f}"))
    if rows:
        draw(folder, "targets", rows,
             "set title 'Reached, as a multiple of the target (line: the target; marks: the aim)'; set yrange [0:*]; unset key; "
             "set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb '#444444'",
             "plot $data using 0:2:xtic(1) with boxes ls 1, '' using 0:3 with points lc rgb '#e07a3f' pt 2 ps 1.2")
