"""claims - what a report of `novt lab run NAME --json` must say. Prints TAP.

usage: claims.py REPORT NAME STATUS
It looks at results and counters, and never at cycles: those are the machine's, and its load's.
"""

import json
import sys

NEVER_TRAP = ["SGDT", "SIDT", "SLDT", "SMSW", "STR", "PUSHF", "POPF", "LAR", "LSL", "VERR", "VERW", "MOV r, CS",
              "MOV FS, r", "PUSH FS", "POP FS", "JMP far", "CALL far", "CPUID"]
TRAP = ["INT n", "CLI, STI", "MOV r, CR0", "RDMSR"]
number = 0


def check(text, right):
    global number
    number += 1
    print("%sok %d - %s" % ("" if right else "not ", number, text))


def rows(report, table):
    """A table's rows as dictionaries, by the names of its columns."""
    t = report["tables"][table]
    return [dict(zip(t["columns"], row)) for row in t["rows"]]


def none(value):
    return value is not None and value < 0.02


def each(value):
    return value is not None and value > 0.98


def sensitive(report):
    table = {r["instruction"]: r for r in rows(report, 0)}
    check("every instruction is there", set(NEVER_TRAP + TRAP + ["RET far", "IRET"]) == set(table))
    for name, row in table.items():
        check("%s is right under bt and interp" % name, row["bt"] == row["interp"] == "right")
    for name in NEVER_TRAP:
        check("%s does not trap, and is wrong" % name, none(table[name]["traps"]) and ", not " in table[name]["trap"])
    for name in ["RET far", "IRET"]:
        check("%s stays privileged under trap" % name, table[name]["trap"] == "#UD, not #GP")
    for name in TRAP:
        check("%s traps, and is right" % name, each(table[name]["traps"]) and table[name]["trap"] == "right")


def engines(report):
    times, exits = rows(report, 0), rows(report, 2)
    check("six programs", len(times) == len(exits) == 6)
    for row in times:
        check("%s has run under every engine" % row["program"],
              all(row[engine] for engine in ("trap", "bt", "bt,tier=tlb", "interp")))
        kernel = row["program"].split(":")[0] in ("kernel", "system call")
        check("%s natively" % row["program"], (row["native"] is None) == kernel)
    for row in exits:
        kernel = row["program"].split(":")[0] in ("kernel", "system call")
        check("%s: exits under trap" % row["program"], row["trap"] >= 1 if kernel else row["trap"] < 1)
        check("%s: exits under bt" % row["program"], row["bt"] < 1)


def cache(report):
    table = {r["what"]: r for r in rows(report, 0)}
    order = list(table.values())
    new, known, interpreted, chained, unchained, cached, uncached = order[:7]
    patched, anew, revived, beside = order[9:]
    check("new code is translated, known code is not", each(new["translated"]) and none(known["translated"]))
    check("the interpreter translates nothing", interpreted["translated"] is None)
    check("chaining saves lookups", none(chained["looked up"]) and each(unchained["looked up"]))
    check("the jump cache saves lookups", none(cached["looked up"]) and each(uncached["looked up"]))
    check("changed code is translated anew", each(anew["dropped"]) and each(anew["translated"]))
    check("a changing operand is adapted to", each(patched["code writes"]) and none(patched["translated"]))
    check("the same bytes come back", each(revived["dropped"]) and none(revived["translated"]))
    check("data beside code drops nothing", each(beside["code writes"]) and none(beside["dropped"]))


def shadow(report):
    counts = {(r["event"], r["engine"]): r for r in rows(report, 1)}
    fault, switch, flush, store = ("a page fault, handled by the guest", "a switch of address spaces, 8 pages each",
                                   "an entry changed, INVLPG, a load", "an entry changed, nothing flushed")
    for tier in ("interp", "tier=tlb", "tier=window", "trap"):
        check("%s: one fault" % tier, counts[fault, tier]["guest's faults"] == 1)
        check("%s: INVLPG is followed by a walk" % tier, counts[flush, tier]["walks"] >= 1)
        check("%s: a store is followed by none" % tier, none(counts[store, tier]["walks"]))
        check("%s: a switch fills again" % tier, counts[switch, tier]["TLB fills"] >= 8)
    check("windows are filled behind a switch", counts[switch, "tier=window"]["host mappings"] >= 8)
    check("the TLB tier has no host faults", none(counts[fault, "tier=tlb"]["host faults"]))
    check("a window has", each(counts[fault, "tier=window"]["host faults"]))
    for drawing in report["drawings"]:
        pages(drawing["title"], drawing["pages"], drawing["shadow"])


def pages(title, all_pages, cache_name):
    """The eight pages of guest/shadow.c: how each is used there says what must have come of it."""
    def rights(page):
        return page[cache_name] and page[cache_name]["rights"]

    check("%s: eight pages" % title, len(all_pages) == 8)
    check("%s: rights" % title, [rights(p) for p in all_pages] == ["rw", "r-", "r-", None, None, "r-", None, "r-"])
    check("%s: A and D" % title, [p["bits"] for p in all_pages] ==
          ["PWUAD", "PWUA-", "P-UA-", "PWU--", "PW-AD", "PWUA-", "PWU--", "PWU--"])
    stale = [p[cache_name] is not None and p[cache_name]["frame"] != p["frame"] for p in all_pages]
    check("%s: the last one is stale" % title, stale == [False] * 7 + [True])
    check("%s: the kernel's page is the kernel's" % title, all_pages[4]["kernel"] and not all_pages[4]["user"])


def io(report):
    table = {(r["way"], r["engine"]): r for r in rows(report, 0)}
    for engine in ("bt", "interp", "trap"):
        accesses = [r["port accesses"] for (_, e), r in table.items() if e == engine]
        check("%s: accesses a byte" % engine, [round(a, 2) for a in accesses] == [2, 1, 1, 1, 1, 1, 0])
    for engine in ("bt", "trap"):
        exits = [r["exits"] for (_, e), r in table.items() if e == engine]
        check("%s: exits a byte" % engine, [round(x, 1) for x in exits] == [2, 1, 1, 0, 1, 0, 0])
    check("interp has none", all(r["exits"] is None for (_, e), r in table.items() if e == "interp"))


def visible(report):
    table = {r["what"]: r for r in rows(report, 0)}
    bit = table["hypervisor-bit"]
    check("the hypervisor bit", (bit["bt"], bit["bt, -hypervisor"], bit["interp"]) == ("1", "0", "1"))
    check("the vendor", table["CPUID leaf 40000000"]["bt"] == "novtnovtnovt" != table["CPUID leaf 40000000"]["bt, -hypervisor"])
    for name in ("gdt-base", "idt-base", "task-register", "machine-status", "code-segment", "interrupt-flag"):
        row = table[name]
        check("%s as on bare hardware" % name, row["bt"] == row["interp"] == row["bt, -hypervisor"] == row["on bare hardware"])
        check("%s gives trap away" % name, row["trap"] not in (None, row["on bare hardware"]))
    for name in ("own-code-sum", "faulting-address"):
        row = table[name]
        check("%s is the guest's, everywhere" % name, row["bt"] == row["interp"] == row["trap"] == row["on bare hardware"])


def main():
    path, name, status = sys.argv[1:4]
    with open(path, encoding="utf-8") as f:
        report = json.load(f)["experiments"][0]
    check("it ends well", status == "0")
    check("it is the one that was asked for", report["name"] == name)
    check("no run failed", not [r for r in report["runs"] if r["failure"]])
    check("every expectation held", report["expectations"] and all(e["held"] for e in report["expectations"]))
    globals()[name](report)
    print("1..%d" % number)


main()
