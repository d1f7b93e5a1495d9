"""main - the command line of tools/bench, behind its set-up; what is run, and what is said meanwhile.

NOVT_BENCH_* tell where the set-up has put things (peers.Places).
"""

import argparse
import os
import sys
import time

import console
import documents
import host
import peers
import report
import results
import tables
import workloads

PARTS = ["programs", "software", "boots", "statistics", "nano", "scaling", "cost"]


class Run:
    """One run of tools/bench: its options, its results, and what is left to do."""

    def __init__(self, options, places, writer):
        self.places, self.results = places, writer
        self.peers, self.names = [], options.names
        self.partly = {**peers.PARTLY, **({"interp": ("nano",)} if options.all_peers else {})}
        self.rounds = options.rounds or (1 if options.quick else 5)
        self.scale, self.limit = (0.2, 0.7) if options.quick else (0.5, 2)
        self.software_rounds = 1 if options.quick else max(1, min(3, self.rounds))
        self.nano_rounds = 1 if options.quick else 3
        self.boots = 1 if options.quick else min(3, self.rounds)
        self.machines = (1, 4) if options.quick else (1, 2, 4, 8, 16)
        self.sizes = (128, 1024) if options.quick else (128, 512, 2048)
        self.busy_seconds = 1 if options.quick else 3
        self.most = 5 if options.quick else 30  # seconds that a program may cost a peer and be run again
        self.quick, self.failed = options.quick, False
        self.expected, self.durations = {}, {}
        self.begin, self.done, self.total = time.monotonic(), 0, 0
        self.terminal = sys.stderr.isatty()

    def members(self, part):
        """The peers that take part in it; the others are named."""
        left_out = [p for p in self.peers if part not in self.parts_of(p)]
        for peer in left_out:
            self.results.add("skipped", peer=peer, reason="takes no part in %s%s" % (part, " of --quick" if self.quick else ""))
        return [p for p in self.peers if p not in left_out]

    def parts_of(self, peer):
        return ("nano",) if self.quick and peer in peers.ONCE else self.partly.get(peer, PARTS)

    def took(self, peer, name, seconds):
        self.durations[peer, name] = seconds

    def affordable(self, peer, name):
        return self.durations.get((peer, name), 0) <= self.most

    def broken(self, peer, why):
        self.failed = True
        self.say("%s: %s" % (peer, why))
        self.results.add("skipped", peer=peer, reason=why.splitlines()[0].split("; its last words")[0])

    def say(self, text):
        clear = "\r\033[K" if self.terminal else ""
        print("%s%s bench: %s" % (clear, time.strftime("%H:%M:%S"), text), file=sys.stderr, flush=True)

    def progress(self, what, peer, round_number=0):
        elapsed = time.monotonic() - self.begin
        self.done += 1
        left = elapsed / self.done * max(self.total - self.done, 0)
        text = "%s%s, %s" % ("round %d, " % round_number if round_number else "", what, peer)
        if self.terminal:
            print("\r\033[K%3d %%  %s  about %d:%02d left" %
                  (100 * min(self.done, self.total) // max(self.total, 1), text, left // 60, left % 60),
                  end="", file=sys.stderr, flush=True)
        elif self.done % 10 == 1:
            self.say("%s (%d of about %d; about %d:%02d left)" % (text, self.done, self.total, left // 60, left % 60))


def parse(arguments):
    p = argparse.ArgumentParser(prog="tools/bench", description="What translation costs: the same programs natively, "
                                "in novt, and in its peers with the same guest.")
    p.add_argument("--quick", action="store_true", help="one round of little work, under five minutes")
    p.add_argument("--rounds", type=int, metavar="N", help="rounds of the programs (default 5)")
    p.add_argument("--kernel", default="cloud", metavar="generic|cloud|686|686-pae|FILE",
                   help="an i386 kernel gets the programs built for i386")
    p.add_argument("--peers", metavar="LIST",
                   help="some of native,novt,interp,tcg,uml,bochs (default: all, and novt:tier=tlb; interp for the nanobenchmarks alone); novt:OPTIONS is novt with -accel bt,OPTIONS")
    p.add_argument("--parts", metavar="LIST", default=",".join(PARTS), help="some of " + ",".join(PARTS))
    p.add_argument("--out", metavar="FILE", help="raw results, one JSON object a line")
    p.add_argument("--html", metavar="FILE", help="the report (default: beside the raw results)")
    p.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    p.add_argument("--into", metavar="FILE", action="append", default=[],
                   help="put the tables into a Markdown file, where its comments say (bench/harness/documents.py)")
    p.add_argument("--against", metavar="FILE", help="compare with an earlier run's raw results")
    p.add_argument("--render", metavar="FILE", help="run nothing: tables and report of earlier raw results")
    p.add_argument("names", nargs="*", metavar="PROGRAM", help="only these programs")
    options = p.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        p.error("--rounds %d: at least 1" % options.rounds)
    options.parts = options.parts.split(",")
    for part in options.parts:
        if part not in PARTS:
            p.error("--parts: no part '%s'; there are %s" % (part, ", ".join(PARTS)))
    options.all_peers = options.peers is None
    options.peers = split_peers(options.peers or "native,novt,novt:tier=tlb,interp,tcg,uml,bochs")
    for peer in options.peers:
        if not peers.is_known(peer):
            p.error("--peers: no peer '%s'; there are %s and novt:OPTIONS" % (peer, ", ".join(peers.KINDS)))
    return options


def split_peers(text):
    """Commas part peers, and the options of one: what is no peer belongs to the one in front of it."""
    out = []
    for word in text.split(","):
        if out and out[-1].startswith("novt:") and not peers.is_known(word):
            out[-1] += "," + word
        else:
            out.append(word)
    return out


def count_steps(run, parts):
    def count(part):
        return sum(part in run.parts_of(p) for p in run.peers)

    once = sum("programs" in run.parts_of(p) for p in run.peers if p in peers.ONCE)
    programs = len(run.names) or 28
    return sum({"programs": (count("programs") - once) * (run.rounds * programs + 1) + once * 2 * (programs + 1),
                "software": count("software") * (run.software_rounds * len(workloads.software_names(run)) + 1),
                "boots": run.boots * count("boots"), "statistics": 2, "nano": count("nano") * run.nano_rounds,
                "scaling": sum(run.machines), "cost": 2 * len(run.sizes)}[p] for p in parts)


def choose_peers(run, wanted):
    for peer in wanted:
        reason = peers.missing(peer, run.places)
        if reason:
            run.say("%s: skipped, %s" % (peer, reason))
            run.results.add("skipped", peer=peer, reason=reason)
        else:
            run.peers.append(peer)


def measure(options, path):
    places = peers.Places(os.environ)
    writer = results.Writer(path)
    run = Run(options, places, writer)
    writer.add("host", format=results.FORMAT, guest_kernel=os.path.basename(places.kernel), rounds=run.rounds,
               scale=run.scale, qemu=host.version_of(["qemu-system-x86_64", "--version"]),
               novt=host.version_of([places.novt, "--version"]), **host.facts())
    choose_peers(run, options.peers)
    run.total = count_steps(run, options.parts)
    try:
        for part in options.parts:
            getattr(workloads, part)(run)
    finally:
        writer.close()
    run.say("%d:%02d in all" % divmod(int(time.monotonic() - run.begin), 60))
    return writer.rows, run.failed


def show(options, rows, path):
    made = tables.all_tables(rows)
    if options.against:
        made.append(tables.against(rows, results.load(options.against)))
    print(tables.host_line(rows) + "\n")
    for table in made:
        print(table.as_markdown() if options.markdown else table.as_text())
    for document in options.into:
        documents.put_into(document, rows, made)
    page = options.html or os.path.splitext(path)[0] + ".html"
    with open(page, "w", encoding="utf-8") as f:
        f.write(report.page(rows, made))
    print("bench: raw results: %s\nbench: report: %s" % (path, page), file=sys.stderr)


def main(arguments):
    options = parse(arguments)
    failed = False
    try:
        if options.against:
            results.load(options.against)  # before an hour's work
        if options.render:
            path, rows = options.render, results.load(options.render)
        else:
            path = options.out or os.environ["NOVT_BENCH_OUT"]
            rows, failed = measure(options, path)
        show(options, rows, path)
    except (results.BadResults, OSError) as e:
        print("bench: %s" % e, file=sys.stderr)
        return 1
    if failed:
        print("bench: some runs failed or gave wrong results: see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
