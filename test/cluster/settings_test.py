"""The documented settings are the ones that there are: names, units, defaults, ranges, contexts."""
import os
import re

from harness import ROOT, Suite, equal

suite = Suite("settings", members=1, port=7960)

UNITS_OF_OURS = {"", "µs", "blocks"}  # Postgres has no unit for these


def documented():
    with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| `(dadbs\.\w+)` \| (.*?) ?\| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", f.read(), re.M)
    return {name: (unit, default, allowed, context) for name, unit, default, allowed, context, _ in rows}


def defined(c):
    rows = c.run(1, "SELECT name, unit, boot_val, min_val, max_val, context, vartype FROM pg_settings WHERE name LIKE 'dadbs.%'")
    return {row[0]: row[1:] for row in rows}


@suite.test
def every_setting_is_documented(c):
    docs, real = documented(), defined(c)
    equal(sorted(docs), sorted(real), "names")
    for name, (unit, default, allowed, context) in docs.items():
        real_unit, boot, low, high, real_context, kind = real[name]
        if unit not in UNITS_OF_OURS or real_unit is not None:
            equal(unit, real_unit, f"unit of {name}")
        equal(default, "''" if kind == "string" else boot, f"default of {name}")
        if kind == "integer":
            equal(allowed, f"{low} to {high}", f"range of {name}")
        elif kind == "bool":
            equal(allowed, "on, off", f"range of {name}")
        equal(context, real_context, f"context of {name}")


suite.main()
