"""Reads test/contract_proof/published: faults written by hand from published lists, each a file with a header:

  -- class: injection            as in generate.py; "race" has no rule in the design: what the caller read is out of date
  -- source: CWE-89 ...          where the fault is published
  -- lines: 3, 4                 of the body, on which a finding may stand
  -- arguments: p_id text        default none
  -- returns: numeric            default void, without arguments trigger
  -- table: orders               of a trigger
  -- language: sql               default plpgsql
"""
import os

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "published")


class Published:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        head = {}
        while lines[0].startswith("-- "):
            key, value = lines.pop(0)[3:].split(": ", 1)
            head[key] = value
        self.name = os.path.basename(path)[:-4]
        self.fault = head["class"] + "." + self.name
        self.source = head["source"]
        self.at = [int(n) for n in head["lines"].split(",")]
        self.arguments = head.get("arguments", "")
        self.returns = head.get("returns", "void" if self.arguments else "trigger")
        self.table = head.get("table")
        self.language = head.get("language", "plpgsql")
        self.body = "\n".join(lines)


def schema():
    with open(os.path.join(HERE, "schema.sql"), encoding="utf-8") as file:
        return file.read()


def contracts():
    return [Published(os.path.join(HERE, name)) for name in sorted(os.listdir(HERE)) if name.endswith(".sql") and name != "schema.sql"]
