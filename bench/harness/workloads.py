"""workloads - what is measured: each function adds rows to the results.

Interface: programs, software, boots, statistics, nano, scaling, cost. Peers take turns at each program, in an order
that rotates, so that a slow second of the host hits all alike. A wrong result, and a peer that breaks, become rows
with "failed" and no time; the other peers go on.
"""

import hashlib
import json
import os
import re
import time

import bochs
import console
import peers as peers_room

RUN_TIMEOUT = 180
SLOW = 50  # a peer that cannot tell the time does so much less work
LINE = re.compile(r"^bench (\S+) (\S+) (?:(\d+) (\S+) (\S+)|(WRONG|MISSING))$", re.M)


def rotate(items, by):
    return items[by % len(items):] + items[:by % len(items)] if items else items


class Crew:
    """The peers that are there, started; one that breaks is started again, once a program."""

    def __init__(self, run, names, **guest):
        self.run, self.guest, self.members = run, guest, {}
        for name in names:
            run.progress("starting", name)
            try:
                self.members[name] = self.start(name)
            except console.Broken as e:
                run.broken(name, "does not start: %s" % e)

    def start(self, name):
        member = peers_room.make(name, self.run.places, **self.guest)
        try:
            member.start()
        except console.Broken:
            member.close()
            raise
        return member

    def replace(self, name):
        self.members.pop(name).close()
        try:
            self.members[name] = self.start(name)
        except console.Broken as e:
            self.run.broken(name, "does not start again: %s" % e)

    def close(self):
        for member in self.members.values():
            member.close()


def run_program(run, member, name):
    """(output, status, seconds): the last by the host's clock, if the guest's is not to be trusted; else None."""
    line = "%s -t %g -s %g %s"
    if member.keeps_time:
        return member.run(line % (member.program("bench-guest"), run.limit, run.scale, name), RUN_TIMEOUT) + (None,)
    return member.run_timed(line % (member.program("bench-guest -m"), run.limit, run.scale / SLOW, name), RUN_TIMEOUT)


def program_row(run, peer, member, name, round_number):
    begin = time.monotonic()
    output, status, seconds = run_program(run, member, name)
    found = LINE.search(output)
    if not found or found[1] != name:
        raise console.Broken("no result of %s (status %d): %s" % (name, status, output[-300:]))
    row = {"peer": peer, "round": round_number, "set": run.places.arch, "name": name, "group": found[2]}
    if found[6]:
        row["failed"] = found[6].lower()
    else:
        seconds = seconds or float(found[4])
        row.update(operations=int(found[3]), seconds=seconds, ns=seconds * 1e9 / int(found[3]))
    run.took(peer, name, time.monotonic() - begin)
    return row


def turn(run, crew, peer, name, round_number, measure, set_name, group):
    """One peer's turn at one program."""
    run.progress(name, peer, round_number)
    try:
        row = measure(run, peer, crew.members[peer], name, round_number)
    except console.Broken as e:
        run.broken(peer, "%s: %s" % (name, e))
        row = {"peer": peer, "round": round_number, "set": set_name, "name": name, "group": group, "failed": "failed"}
        crew.replace(peer)
    if row.get("failed") in ("wrong", "failed"):
        run.failed = True
    run.results.add("program", **row)


def take_turns(run, crew, names, rounds, measure, set_name, groups):
    for round_number in rounds:
        for i, name in enumerate(names):
            for peer in rotate(list(crew.members), round_number + i):
                if peer in crew.members and run.affordable(peer, name):
                    turn(run, crew, peer, name, round_number, measure, set_name, groups.get(name, "compute"))


def programs(run):
    known, _ = peers_room.Native(run.places).run(os.path.join(run.places.programs, "bench-guest") + " -l", 10)
    names = [n for n in known.split() if not run.names or n in run.names]
    members = run.members("programs")
    program_rounds(run, names, [p for p in members if p not in peers_room.ONCE], range(1, run.rounds + 1))
    for peer in (p for p in members if p in peers_room.ONCE):
        for name in (n for n in peers_room.ONCE[peer] if n in names):
            run.results.add("skipped", peer=peer, reason="%s takes minutes" % name)
        short = [n for n in names if n not in peers_room.ONCE[peer]]
        program_rounds(run, short, [p for p in ("native", peer) if p in members], [run.rounds + 1])


def program_rounds(run, names, members, rounds):
    crew = Crew(run, members)
    try:
        take_turns(run, crew, names, rounds, program_row, run.places.arch, {})
    finally:
        crew.close()


# --- programs of Debian's packages ---

# name: (group, shell line; what it prints must be what it prints natively)
SOFTWARE = {
    "gzip": ("compress", "gzip -9 -c /data/text | sha256sum"),
    "xz": ("compress", "xz -3 -T1 -c /data/text | sha256sum"),
    "zstd": ("compress", "zstd -q -9 -T1 -c /data/text | sha256sum"),
    "unzstd": ("compress", "for i in 1 2 3 4 5 6 7 8; do zstd -q -d -c /data/text.zst | sha256sum; done"),
    "sqlite3": ("database", "sqlite3 :memory: < /data/speed.sql"),
    "python-nbody": ("script", "python3 -S /data/nbody.py"),
    "python-json": ("script", "python3 -S /data/json_text.py"),
    "python-regex": ("script", "python3 -S /data/regex.py"),
    "perl": ("script", "perl /data/words.pl"),
    "lua": ("script", "lua5.4 /data/queens.lua"),
    "openssl-sha256": ("crypto", "for i in 1 2 3 4 5 6 7 8; do openssl dgst -sha256 /data/text /data/text /data/text /data/text; done"),
    "openssl-prime": ("crypto", "openssl prime -hex $(cat /data/prime)"),
    "openssl-speed": ("crypto", "openssl speed -mr -seconds 1 -bytes 8192 aes-256-cbc"),
    "gcc": ("compile", "gcc -O2 -S -o - /data/integer.c | sha256sum"),
}
SPEED = re.compile(r"^\+F:\d+:[^:]+:([\d.]+)", re.M)


def software_names(run):
    return [n for n in SOFTWARE if not run.names or n in run.names]


def digest_of(output):
    return hashlib.sha256(output.strip().encode()).hexdigest()


def expected(run, name, line):
    """The digest of what the program prints natively, whichever peer is the first to run it."""
    if name not in run.expected:
        output, _ = peers_room.Native(run.places).run_in_tree(line, RUN_TIMEOUT)
        run.expected[name] = digest_of(output)
    return run.expected[name]


def software_row(run, peer, member, name, round_number):
    group, line = SOFTWARE[name]
    begin = time.monotonic()
    output, status = member.run_in_tree(line, RUN_TIMEOUT)
    seconds = time.monotonic() - begin
    row = {"peer": peer, "round": round_number, "set": "software", "name": name, "group": group}
    speed = SPEED.search(output)
    if status or (name == "openssl-speed" and not speed):
        raise console.Broken("status %d: %s" % (status, output[-300:]))
    if speed:
        row.update(ns=1e9 / float(speed[1]), of="byte")
    else:
        run.took(peer, name, seconds)
        if digest_of(output) != expected(run, name, line):
            row["failed"] = "wrong"
        else:
            row.update(ns=seconds * 1e9, seconds=seconds)
    return row


def software(run):
    if not run.places.software:
        run.results.add("skipped", peer="software", reason="Debian's packages could not be fetched")
        return
    crew = Crew(run, run.members("software"), initrd=run.places.software_initrd, memory=1536)
    try:
        take_turns(run, crew, software_names(run), range(1, run.software_rounds + 1), software_row, "software",
                   {n: g for n, (g, _) in SOFTWARE.items()})
    finally:
        crew.close()


# --- whole machines ---

def boot(run, peer, round_number):
    guest = peers_room.Guest(peer, run.places)
    guest.console = c = console.Console(guest.command(""))
    try:
        for at, text in (("userspace", "novt-guest: userspace"), ("shell", "guest:~# ")):
            c.expect(text, peers_room.boot_timeout(peer))
            run.results.add("boot", peer=peer, round=round_number, at=at, wall=c.elapsed(),
                            cpu=console.cpu_seconds(c.pid), rss_kib=console.resident_kib(c.pid, guest.memory))
    finally:
        guest.close()


def boots(run):
    members = [p for p in run.members("boots") if p != "native"]
    for round_number in range(1, run.boots + 1):
        for peer in rotate(members, round_number):
            run.progress("boot", peer, round_number)
            try:
                boot(run, peer, round_number)
            except console.Broken as e:
                run.broken(peer, "boot: %s" % e)


def statistics(run):
    """Counters of novt over a boot to userspace and off again."""
    for peer in run.peers:
        if peer != "novt" and not peer.startswith("novt:"):
            continue
        run.progress("statistics", peer)
        guest = peers_room.Guest(peer, run.places, extra=["--stats=json"])
        c = console.Console(guest.command("true"))
        try:
            text = c.rest(60)
            values = json.loads(text[text.rindex("{"):text.rindex("}") + 1])
            run.results.add("stats", peer=peer, values=values)
        except (ValueError, console.Broken) as e:
            run.broken(peer, "no statistics: %s" % e)
        finally:
            c.close()


# --- nanobenchmarks ---

NANO = re.compile(r"^nano (\S+) (?:(\d+) ([\d.]+) ([\d.]+)|wrong (.*))$", re.M)


def nano_output(run, peer):
    if peer == "native":
        return peers_room.Native(run.places).run(run.places.nano_native, 120)[0]
    if peer == "bochs":
        return bochs.nano(run.places, 240)
    c = console.Console(peers_room.machine(peer, run.places, 128) +
                        ["-nographic", "-no-reboot", "-kernel", run.places.nano])
    try:
        return c.rest(240)
    finally:
        c.close()


def nano(run):
    if not run.places.nano:
        return
    members = run.members("nano")
    for round_number in range(1, run.nano_rounds + 1):
        for peer in rotate(members, round_number):
            run.progress("nanobenchmarks", peer, round_number)
            try:
                output = nano_output(run, peer)
            except console.Broken as e:
                output = str(e)
            if "nano-end" not in output:
                run.broken(peer, "nanobenchmarks did not come to their end: %s" % output[-200:])
            for name, _, _, cycles, wrong in NANO.findall(output):
                row = {"peer": peer, "round": round_number, "name": name}
                if wrong:
                    run.failed = True
                    run.results.add("nano", failed="wrong", **row)
                else:
                    run.results.add("nano", cycles=max(float(cycles), 0.1), **row)


# --- scaling ---

def side_by_side(run, peer, count):
    guests = [peers_room.Guest(peer, run.places, memory=256) for _ in range(count)]
    try:
        for i, g in enumerate(guests):
            run.progress("%d machines" % count, "%s %d" % (peer, i + 1))
            g.start()
        measure_idle(run, peer, guests)
        measure_busy(run, peer, guests)
    except console.Broken as e:
        run.broken(peer, "%d machines: %s" % (count, e))
    finally:
        for g in guests:
            g.close()


def use_of(guests):
    return sum(console.cpu_seconds(g.console.pid) for g in guests)


def memory_of(guests):
    return sum(console.resident_kib(g.console.pid, g.memory) for g in guests) / len(guests)


def measure_idle(run, peer, guests):
    before, seconds = use_of(guests), 2.0
    time.sleep(seconds)
    run.results.add("scaling", peer=peer, machines=len(guests), busy=False, rss_kib=memory_of(guests),
                    cpu_share=(use_of(guests) - before) / seconds)


def measure_busy(run, peer, guests):
    before, begin = use_of(guests), time.monotonic()
    for g in guests:
        g.begin("/bench/bench-guest -s 1000 -t %g sieve" % run.busy_seconds)
    operations = 0
    for g in guests:
        found = LINE.search(g.end(RUN_TIMEOUT)[0])
        if not found or not found[3]:
            raise console.Broken("a sieve that runs with others has no result")
        operations += int(found[3])
    seconds = time.monotonic() - begin
    run.results.add("scaling", peer=peer, machines=len(guests), busy=True, rss_kib=memory_of(guests),
                    cpu_share=(use_of(guests) - before) / seconds, throughput=operations / seconds / 1e6)


def scaling(run):
    for peer in run.peers:
        if peer == "novt":
            for count in run.machines:
                side_by_side(run, peer, count)


def cost(run):
    """Boot time and memory by the guest's RAM."""
    for peer in run.peers:
        if peer not in ("novt", "tcg"):
            continue
        for size in run.sizes:
            run.progress("RAM of %d MiB" % size, peer)
            guest = peers_room.Guest(peer, run.places, memory=size)
            try:
                guest.start()
                run.results.add("cost", peer=peer, of="RAM, MiB", value=size, wall=guest.booted,
                                rss_kib=console.resident_kib(guest.console.pid, size))
            except console.Broken as e:
                run.broken(peer, "RAM of %d MiB: %s" % (size, e))
            finally:
                guest.close()
