"""results - raw results: JSON, one object a line.

Interface: Writer appends, load reads a file whole and checks it. Each object has a "kind" with the fields of FIELDS;
others are kept and ignored. Invariant: what load returns has all the fields that its kind must have, with numbers
where numbers are due.
"""

import json

FORMAT = 1
NUMBER = (int, float)

# kind: {field: type}; the rest is optional
FIELDS = {
    "host": {"format": int, "date": str, "cpu": str},
    "peer": {"peer": str},
    "skipped": {"peer": str, "reason": str},
    "program": {"peer": str, "round": int, "set": str, "name": str, "group": str},
    "boot": {"peer": str, "round": int, "at": str, "wall": NUMBER, "cpu": NUMBER, "rss_kib": NUMBER},
    "nano": {"peer": str, "round": int, "name": str},
    "scaling": {"peer": str, "machines": int, "busy": bool},
    "cost": {"peer": str, "of": str, "value": int, "wall": NUMBER, "rss_kib": NUMBER},
    "stats": {"peer": str, "values": dict},
}


class BadResults(Exception):
    pass


class Writer:
    """Appends to a file as results come, so that a run that is broken off leaves what it had."""

    def __init__(self, path):
        self.rows = []
        self.file = open(path, "w", encoding="utf-8")

    def add(self, kind, **fields):
        row = {"kind": kind, **fields}
        check(row)
        self.rows.append(row)
        self.file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self.file.flush()

    def close(self):
        self.file.close()


def check(row):
    if not isinstance(row, dict) or row.get("kind") not in FIELDS:
        raise BadResults("no object with a known \"kind\" (%s)" % ", ".join(FIELDS))
    for field, kind in FIELDS[row["kind"]].items():
        value = row.get(field)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise BadResults("a \"%s\" needs \"%s\", and has %r" % (row["kind"], field, value))
    for field in ("ns", "cycles", "throughput"):
        if field in row and not (isinstance(row[field], NUMBER) and row[field] > 0):
            raise BadResults("\"%s\" must be a positive number, not %r" % (field, row[field]))


def load(path):
    """The rows of a file. BadResults says which line of which file is wrong, and how."""
    rows = []
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    check(row)
                except (ValueError, BadResults) as e:
                    raise BadResults("%s, line %d: %s" % (path, number, e)) from None
                rows.append(row)
    except UnicodeDecodeError:
        raise BadResults("%s is no text: give a .jsonl file that tools/bench has written" % path) from None
    except OSError as e:
        raise BadResults("cannot read %s: %s" % (path, e.strerror)) from None
    if not rows or rows[0]["kind"] != "host":
        raise BadResults("%s does not begin with a \"host\" line: is it a result of tools/bench?" % path)
    if rows[0]["format"] != FORMAT:
        raise BadResults("%s has format %d, and this tools/bench reads %d" % (path, rows[0]["format"], FORMAT))
    return rows
