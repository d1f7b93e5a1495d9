"""tables - results as tables, and tables as text, Markdown or HTML.

Interface: Table; all_tables(rows) makes every table that the rows have something for.
"""

import html

import figures
import peers as peers_room


class Table:
    def __init__(self, key, title, header, rows, notes=()):
        self.key, self.title, self.header, self.rows, self.notes = key, title, header, rows, list(notes)

    def as_text(self):
        widths = [max(len(str(r[i])) for r in [self.header] + self.rows) for i in range(len(self.header))]
        lines = [self.title, ""]
        for row in [self.header] + self.rows:
            cells = [str(row[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(row[1:], widths[1:])]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines + ([""] + self.notes if self.notes else [])) + "\n"

    def as_markdown(self):
        lines = [self.title + ":", "", "| " + " | ".join(map(str, self.header)) + " |",
                 "|---|" + "---:|" * (len(self.header) - 1)]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in self.rows]
        return "\n".join(lines + ([""] + [note + "  " for note in self.notes] if self.notes else [])) + "\n"

    def as_html(self):
        def row(cells, tag):
            return "<tr>" + "".join("<%s>%s</%s>" % (tag, html.escape(str(c)), tag) for c in cells) + "</tr>"

        body = "\n".join(row(r, "td") for r in self.rows)
        notes = "".join("<p class=note>%s</p>" % html.escape(n) for n in self.notes)
        return "<h2>%s</h2>\n<div class=wide><table>\n<thead>%s</thead>\n<tbody>\n%s\n</tbody></table></div>\n%s" % (
            html.escape(self.title), row(self.header, "th"), body, notes)


def time_text(ns):
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= limit:
            return "%.3g %s" % (ns / limit, unit)
    return "%.3g ns" % ns


def ratio_text(x):
    return "%.0f" % x if x >= 100 else "%.1f" % x if x >= 10 else "%.2f" % x


def in_order(rows, field):
    """Its values as they first come; peers in the order in which they are told of."""
    values = list(dict.fromkeys(r[field] for r in rows))
    if field == "peer":
        values.sort(key=peers_room.order)
    return values


class Programs:
    """The times of one set of programs: ns[name][peer][round]."""

    def __init__(self, rows, set_name):
        self.set_name = set_name
        self.rows = [r for r in rows if r["kind"] == "program" and r["set"] == set_name]
        self.peers = in_order(self.rows, "peer")
        self.names = in_order(self.rows, "name")
        self.group = {r["name"]: r["group"] for r in self.rows}
        self.failed = {(r["name"], r["peer"]): r["failed"] for r in self.rows if "failed" in r}
        self.ns = {}
        for r in self.rows:
            if "ns" in r:
                self.ns.setdefault(r["name"], {}).setdefault(r["peer"], {})[r["round"]] = r["ns"]

    def sample(self, name, peer):
        return list(self.ns.get(name, {}).get(peer, {}).values())

    def ratios(self, name, peer, base="native"):
        of = self.ns.get(name, {})
        return figures.paired(of.get(peer, {}), of.get(base, {}))

    def ratio_cell(self, name, peer, base="native"):
        ratios = self.ratios(name, peer, base)
        if not ratios:
            return self.failed.get((name, peer), "-")
        text = ratio_text(figures.median(ratios))
        if len(ratios) < 2:
            return text
        return "%s (%s-%s)" % ((text,) + tuple(map(ratio_text, figures.interval(ratios))))

    def table(self, title):
        others = [p for p in self.peers if p != "native"]
        has_native = "native" in self.peers
        rows = []
        for name in self.names:
            cells = [name]
            for peer in self.peers:
                sample = self.sample(name, peer)
                cells.append(time_text(figures.median(sample)) if sample else self.failed.get((name, peer), "-"))
            if has_native:
                cells += [self.ratio_cell(name, p) for p in others]
            if "novt" in others and "tcg" in others:
                cells.append(self.ratio_cell(name, "tcg", "novt"))
            rows.append(cells)
        header = ["program"] + self.peers + ([p + "/native" for p in others] if has_native else [])
        if "novt" in others and "tcg" in others:
            header.append("tcg/novt")
        return Table(self.set_name, title, header, rows, self.means(others) if has_native else [])

    def means(self, others):
        notes = []
        for group in dict.fromkeys(self.group[n] for n in self.names):
            for peer in others:
                medians = [figures.median(r) for r in (self.ratios(n, peer) for n in self.names if self.group[n] == group)
                           if r]
                if len(medians) > 1:
                    notes.append("geometric mean, %s, %s/native: %s (%d programs)" %
                                 (group, peer, ratio_text(figures.geometric_mean(medians)), len(medians)))
        return notes


SETS = {
    "amd64": "64-bit programs under a 64-bit kernel",
    "i386": "32-bit programs under a 32-bit kernel",
    "software": "programs of Debian's packages",
}


def boot_table(rows):
    rows = [r for r in rows if r["kind"] == "boot"]
    if not rows:
        return None
    out = []
    for peer in in_order(rows, "peer"):
        def cell(at, field, scale=1.0):
            sample = [r[field] * scale for r in rows if r["peer"] == peer and r["at"] == at]
            return "%.2f" % figures.median(sample) if sample else "-"

        out.append([peer, cell("userspace", "wall"), cell("userspace", "cpu"), cell("shell", "wall"),
                    cell("shell", "rss_kib", 1 / 1024)])
    return Table("boots", "Boot", ["peer", "userspace wall s", "userspace CPU s", "shell wall s", "MiB beyond RAM"], out)


def nano_table(rows):
    rows = [r for r in rows if r["kind"] == "nano"]
    if not rows:
        return None
    peers = in_order(rows, "peer")
    out = []
    for name in in_order(rows, "name"):
        cells = [name]
        for peer in peers:
            of = [r for r in rows if r["peer"] == peer and r["name"] == name]
            sample = [r["cycles"] for r in of if "cycles" in r]
            cells.append("%.0f" % figures.median(sample) if sample else of[0].get("failed", "-") if of else "-")
        out.append(cells)
    notes = ["Bochs' TSC counts the instructions that the guest executes."] if "bochs" in peers else []
    return Table("nano", "Nanobenchmarks, cycles of the TSC each", ["operation"] + peers, out, notes)


def scaling_table(rows):
    rows = [r for r in rows if r["kind"] == "scaling"]
    if not rows:
        return None
    out = [[r["machines"], "busy" if r["busy"] else "idle", "%.1f" % (r["rss_kib"] / 1024),
            "%.2f" % r["cpu_share"], "%.2f" % r["throughput"] if "throughput" in r else "-"]
           for r in rows]
    return Table("scaling", "Machines side by side", ["machines", "state", "MiB beyond RAM, each", "CPUs in use", "sieves a second"], out)


def cost_table(rows):
    rows = [r for r in rows if r["kind"] == "cost"]
    if not rows:
        return None
    out = [["%s %d" % (r["of"], r["value"]), r["peer"], "%.2f" % r["wall"], "%.1f" % (r["rss_kib"] / 1024)] for r in rows]
    return Table("cost", "Cost against the guest's size", ["guest", "peer", "wall s", "MiB beyond RAM"], out)


def stats_table(rows):
    rows = [r for r in rows if r["kind"] == "stats"]
    if not rows:
        return None
    columns = [translation_figures(r["values"]) for r in rows]
    out = [[name] + [c.get(name, "-") for c in columns] for name in columns[0]]
    return Table("statistics", "Translation, over a boot", ["figure"] + [r["peer"] for r in rows], out)


def translation_figures(v):
    def per(a, b, scale=1.0):
        return "%.3g" % (v.get(a, 0) * scale / v[b]) if v.get(b) else "-"

    out = {
        "guest instructions translated a second, million": per("translated_instructions", "translation_us"),
        "bytes emitted a guest byte": per("emitted_bytes", "translated_bytes"),
        "of these, seldom run": per("emitted_cold_bytes", "translated_bytes"),
        "instructions emitted a guest instruction": per("cached_host_instructions", "cached_instructions"),
        "and seldom run": per("cached_host_cold_instructions", "cached_instructions"),
    }
    for name in sorted(n for n in v if n.startswith("exit_") and v[n]):
        out[name.replace("_", " ") + ", a second"] = per(name, "wall_us", 1e6)
    total = sum(v[n] for n in v if n.startswith("sampled_"))
    for name in (n for n in v if n.startswith("sampled_")):
        out["time in " + name[8:].replace("_", " ") + ", %"] = "%.1f" % (100 * v[name] / total) if total else "-"
    return out


def all_tables(rows):
    tables = []
    for name, title in SETS.items():
        programs = Programs(rows, name)
        if programs.names:
            tables.append(programs.table(title[0].upper() + title[1:]))
    for make in (boot_table, nano_table, stats_table, scaling_table, cost_table):
        table = make(rows)
        if table:
            tables.append(table)
    skipped = [r for r in rows if r["kind"] == "skipped"]
    if skipped:
        tables.append(Table("skipped", "Not measured", ["peer", "reason"], [[r["peer"], r["reason"]] for r in skipped]))
    return tables


def host_line(rows):
    h = rows[0]
    return "%s, %s CPUs%s, Linux %s, governor %s; guest %s; %s" % (
        h["cpu"], h.get("cpus", "?"), " (a virtual machine)" if h.get("hypervisor") else "", h.get("kernel", "?"),
        h.get("governor", "?"), h.get("guest_kernel", "?"), h["date"][:10])


def against(rows, before):
    """What has changed since an earlier run, by more than noise. Times native where both runs have them."""
    out = []
    for set_name in SETS:
        now, then = Programs(rows, set_name), Programs(before, set_name)
        for name in now.names:
            for peer in now.peers:
                a, b = now.ratios(name, peer), then.ratios(name, peer)
                unit = "x native"
                if not a or not b or peer == "native":
                    a, b, unit = now.sample(name, peer), then.sample(name, peer), "ns"
                if a and b and figures.differs(a, b):
                    x, y = figures.median(a), figures.median(b)
                    out.append([name, set_name, peer, "%.3g %s" % (y, unit), "%.3g %s" % (x, unit),
                                "%+.0f %%" % (100 * (x / y - 1))])
    notes = ["Differences whose 95 % intervals do not touch; others are noise."]
    if not out:
        notes = ["No difference exceeds the noise."]
    return Table("against", "Against the run of %s" % before[0]["date"], ["program", "set", "peer", "then", "now", "change"], out,
                 notes)
