"""harness - tests of tools/bench's figures, results, tables, report and command line. Nothing is measured."""

import io
import json
import os
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "bench", "harness"))

# pylint: disable=wrong-import-position
import bochs
import console
import documents
import figures
import main
import peers
import report
import results
import tables
import workloads

HOST = {"kind": "host", "format": results.FORMAT, "date": "2026-11-26T00:00:00Z", "cpu": "Some <CPU>", "cpus": 2}


def program(peer, name, round_number, ns, **more):
    return {"kind": "program", "peer": peer, "round": round_number, "set": "amd64", "name": name, "group": "compute",
            **({"ns": ns} if ns else {}), **more}


def sample_rows(speed=1.0):
    rows = [HOST, {"kind": "skipped", "peer": "uml", "reason": "not installed & so on"}]
    for r in range(1, 6):
        for name, ns in (("sieve", 4.0), ("tree", 30.0)):
            rows += [program("native", name, r, ns * (1 + r / 100)), program("novt", name, r, speed * ns * (1.2 + r / 80)),
                     program("tcg", name, r, 9e3 * ns)]
    rows.append(program("novt", "hash", 1, None, failed="wrong"))
    for at, wall in (("userspace", 1.1), ("shell", 1.2)):
        rows.append({"kind": "boot", "peer": "novt", "round": 1, "at": at, "wall": wall, "cpu": 1.0, "rss_kib": 2048})
    for peer, cycles in (("native", 20.0), ("novt", 35.5)):
        rows.append({"kind": "nano", "peer": peer, "round": 1, "name": "call-ret", "cycles": cycles})
    for count in (1, 2):
        for busy in (False, True):
            row = {"kind": "scaling", "peer": "novt", "machines": count, "busy": busy, "rss_kib": 50000, "cpu_share": 0.1}
            rows.append({**row, "throughput": 200.0 * count} if busy else row)
    rows.append({"kind": "cost", "peer": "novt", "of": "RAM, MiB", "value": 128, "wall": 1.0, "rss_kib": 40000})
    rows.append({"kind": "stats", "peer": "novt", "values": {
        "translated_instructions": 1000, "translation_us": 500, "emitted_bytes": 6000, "translated_bytes": 3000,
        "exit_request": 10, "exit_halt": 0, "wall_us": 1000000, "sampled_translated": 3, "sampled_translator": 1}})
    return rows


class Figures(unittest.TestCase):
    def test_median(self):
        self.assertEqual(figures.median([3, 1, 2]), 2)
        self.assertEqual(figures.median([4, 1, 2, 3]), 2.5)
        with self.assertRaises(ValueError):
            figures.median([])

    def test_interval_holds_the_median(self):
        sample = [10, 11, 12, 13, 30]
        low, high = figures.interval(sample)
        self.assertLessEqual(low, 12)
        self.assertGreaterEqual(high, 12)
        self.assertGreaterEqual(low, min(sample))
        self.assertLessEqual(high, max(sample))
        self.assertEqual(figures.interval(sample), (low, high))

    def test_interval_of_few(self):
        self.assertEqual(figures.interval([5]), (5, 5))
        self.assertEqual(figures.interval([7, 5]), (5, 7))

    def test_paired_by_round(self):
        self.assertEqual(figures.paired({1: 10.0, 2: 30.0, 4: 1.0}, {1: 5.0, 2: 10.0, 3: 1.0}), [2.0, 3.0])

    def test_geometric_mean(self):
        self.assertAlmostEqual(figures.geometric_mean([1, 4]), 2)

    def test_differs(self):
        self.assertTrue(figures.differs([10, 10.1, 9.9, 10], [20, 20.2, 19.9, 20.1]))
        self.assertFalse(figures.differs([10, 14, 9, 12], [11, 13, 10, 12]))


class Results(unittest.TestCase):
    def load(self, text, mode="w"):
        with tempfile.NamedTemporaryFile(mode, suffix=".jsonl", delete=False) as f:
            f.write(text)
        try:
            return results.load(f.name)
        finally:
            os.unlink(f.name)

    def test_round_trip(self):
        path = tempfile.mktemp(suffix=".jsonl")
        writer = results.Writer(path)
        for row in sample_rows():
            writer.add(**row)
        writer.close()
        self.assertEqual(results.load(path), sample_rows())
        os.unlink(path)

    def test_bad_files(self):
        host = json.dumps(HOST) + "\n"
        for text, message in (("", "host"), ("no json\n", "line 1"), ("[1]\n", "kind"), ('{"kind":"odd"}\n', "kind"),
                              ('{"kind":"host","format":99,"date":"x","cpu":"y"}\n', "format 99"),
                              (host + json.dumps(program("novt", "sieve", 1, -4.0)), "positive"),
                              (host + json.dumps(program("novt", "sieve", True, 4.0)), "round"),
                              (host + '{"kind":"program","peer":"novt"}', "line 2"),
                              (host + '{"kind":"program"', "line 2")):
            with self.subTest(text=text), self.assertRaisesRegex(results.BadResults, message):
                self.load(text)
        with self.assertRaisesRegex(results.BadResults, "no text"):
            self.load(b"\xff\xfe\x00", "wb")
        with self.assertRaisesRegex(results.BadResults, "cannot read"):
            results.load("/nowhere/at/all.jsonl")


class Tables(unittest.TestCase):
    def setUp(self):
        self.tables = tables.all_tables(sample_rows())

    def test_all_are_there(self):
        self.assertEqual(len(self.tables), 7)

    def test_ratios(self):
        text = self.tables[0].as_text()
        self.assertIn("geometric mean, compute, novt/native: 1.20", text)
        self.assertRegex(text, r"sieve +4\.12 ns +4\.95 ns")
        self.assertRegex(text, r"hash .*wrong")

    def test_markdown(self):
        lines = self.tables[0].as_markdown().splitlines()
        self.assertTrue(lines[2].startswith("| program |"))
        self.assertEqual(lines[2].count("|"), lines[3].count("|"))

    def test_skipped_are_named(self):
        self.assertIn("not installed", self.tables[-1].as_text())

    def test_times(self):
        for ns, text in ((0.5, "0.5 ns"), (1500, "1.5 us"), (2.5e6, "2.5 ms"), (3e9, "3 s")):
            self.assertEqual(tables.time_text(ns), text)

    def test_against(self):
        changed = tables.against(sample_rows(speed=2.0), sample_rows())
        self.assertEqual([row[:3] for row in changed.rows],
                         [["sieve", "amd64", "novt"], ["tree", "amd64", "novt"]])
        self.assertEqual(changed.rows[0][-1], "+100 %")
        self.assertEqual(tables.against(sample_rows(), sample_rows()).rows, [])


class Documents(unittest.TestCase):
    def put(self, text):
        with tempfile.NamedTemporaryFile("w+", suffix=".md") as f:
            f.write(text)
            f.flush()
            documents.put_into(f.name, sample_rows(), tables.all_tables(sample_rows()))
            with open(f.name, encoding="utf-8") as g:
                return g.read()

    def test_tables_where_they_are_wanted(self):
        text = self.put("before\n<!-- tools/bench: amd64 boots -->\nold\n<!-- tools/bench: end -->\nafter\n")
        self.assertTrue(text.startswith("before\n") and text.endswith("<!-- tools/bench: end -->\nafter\n"))
        self.assertNotIn("old", text)
        self.assertIn("| sieve |", text)
        self.assertIn("\nBoot:\n", text)
        self.assertEqual(self.put(text), text)

    def test_what_was_not_measured_stays(self):
        text = "<!-- tools/bench: i386 boots -->\nold\n<!-- tools/bench: end -->\n"
        self.assertEqual(self.put(text), text)

    def test_no_place(self):
        for text in ("", "<!-- tools/bench: amd64 -->\n", "<!-- tools/bench: end -->"):
            with self.assertRaisesRegex(results.BadResults, "no place for tables"):
                self.put(text)


class Consoles(unittest.TestCase):
    def test_time_between(self):
        c = console.Console(["sh", "-c", "echo begin; sleep 0.3; echo done"])
        c.expect("done", 10)
        self.assertGreater(c.between("begin", "done", 0), 0.2)
        self.assertIsNone(c.between("done", "begin", 0))
        c.close()

    def test_terminal_as_console(self):
        ours, its = os.openpty()
        os.chmod(os.ttyname(its), 0o666)
        c = console.Console(["sh", "-c", "read -r x <%s; echo got $x >%s" % ((os.ttyname(its),) * 2)], ours)
        c.send("something")
        c.expect("got something", 10)
        os.close(its)
        c.close()
        self.assertIsNotNone(c.process.poll())

    def test_one_that_ends(self):
        c = console.Console(["true"])
        with self.assertRaisesRegex(console.Broken, "true ended while 'more' was expected"):
            c.expect("more", 10)
        c.close()
        with self.assertRaisesRegex(console.Broken, "did not end within 0.2 s"):
            console.finish(["sleep", "5"], 0.2)

    def test_bochs_settings(self):
        places = peers.Places({"NOVT_BENCH_BOCHS_BIOS": "/bios"})
        with tempfile.TemporaryDirectory() as directory:
            line = bochs.command(directory, places=places, megs=64, cd="/cd.iso", serial="mode=file, dev=/serial")
            with open(line[line.index("-f") + 1], encoding="ascii") as f:
                text = f.read()
        self.assertIn("romimage: file=/bios\n", text)
        self.assertIn("com1: enabled=1, mode=file, dev=/serial\n", text)


class Report(unittest.TestCase):
    def test_page_stands_alone(self):
        rows = sample_rows()
        page = report.page(rows, tables.all_tables(rows))
        self.assertIn("Some &lt;CPU&gt;", page)
        for reference in ("src=", "href=\"http", "@import", "url("):
            self.assertNotIn(reference, page)
        self.assertEqual(page.count("<table>"), 7)

    def test_without_gnuplot(self):
        had = report.shutil.which
        report.shutil.which = lambda name: None
        try:
            page = report.page(sample_rows(), [])
        finally:
            report.shutil.which = had
        self.assertIn("gnuplot-nox", page)

    def test_raw_data_cannot_end_its_element(self):
        rows = [{**HOST, "cpu": "</script><b>"}]
        self.assertEqual(report.page(rows, []).count("</script>"), 1)


class CommandLine(unittest.TestCase):
    def test_options_of_novt_may_hold_commas(self):
        self.assertEqual(main.split_peers("native,novt:chain=off,group=off,tcg"),
                         ["native", "novt:chain=off,group=off", "tcg"])

    def refuse(self, *arguments):
        err = io.StringIO()
        with redirect_stderr(err), self.assertRaises(SystemExit) as end:
            main.parse(list(arguments))
        self.assertNotEqual(end.exception.code, 0)
        return err.getvalue()

    def test_bad_options(self):
        self.assertIn("no peer 'kvm'", self.refuse("--peers", "native,kvm"))
        self.assertIn("no part 'odd'", self.refuse("--parts", "odd"))
        self.assertIn("at least 1", self.refuse("--rounds", "0"))

    def test_render(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x.jsonl")
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(json.dumps(row) + "\n" for row in sample_rows())
            out = io.StringIO()
            with redirect_stdout(out), redirect_stderr(io.StringIO()):
                self.assertEqual(main.main(["--render", path, "--against", path]), 0)
            self.assertIn("No difference exceeds the noise", out.getvalue())
            self.assertTrue(os.path.exists(os.path.join(directory, "x.html")))

    def test_render_of_rubbish(self):
        err = io.StringIO()
        with tempfile.NamedTemporaryFile("w") as f, redirect_stderr(err):
            f.write("rubbish\n")
            f.flush()
            self.assertEqual(main.main(["--render", f.name]), 1)
        self.assertIn("line 1", err.getvalue())

    def test_progress_estimates(self):
        options = main.parse(["--quick", "sieve"])
        run = main.Run(options, peers.Places({}), None)
        run.peers = ["native", "novt"]
        self.assertEqual(main.count_steps(run, ["programs"]), 4)

    def test_who_takes_part(self):
        for quick, part, there in (("--quick", "programs", ["native", "uml"]), ("--quick", "nano", ["native", "bochs"]),
                                   ("--rounds=2", "programs", ["native", "uml", "bochs"]), ("--rounds=2", "software", ["native"])):
            path = tempfile.mktemp(suffix=".jsonl")
            run = main.Run(main.parse([quick]), peers.Places({}), results.Writer(path))
            run.peers = ["native", "uml", "bochs"]
            self.assertEqual(run.members(part), there)
            self.assertEqual([r["peer"] for r in run.results.rows], [p for p in run.peers if p not in there])
            run.results.close()
            os.unlink(path)

    def test_the_interpreter_is_slow_unless_asked_for(self):
        for arguments, parts in (([], ("nano",)), (["--peers", "native,interp"], main.PARTS)):
            run = main.Run(main.parse(arguments), peers.Places({}), None)
            self.assertEqual(run.parts_of("interp"), parts)

    def test_turns_rotate(self):
        self.assertEqual(workloads.rotate(["a", "b", "c"], 4), ["b", "c", "a"])
        self.assertEqual(workloads.rotate([], 3), [])

    def test_lines_of_the_programs(self):
        self.assertEqual(workloads.LINE.search("x\nbench sieve compute 10 0.5 50000.0\n")[5], "50000.0")
        self.assertEqual(workloads.LINE.search("bench sieve compute WRONG\n")[6], "WRONG")
        self.assertIsNone(workloads.LINE.search("bench sieve compute ten 0.5\n"))


def sample_report(path):
    rows = sample_rows()
    with open(path, "w", encoding="utf-8") as f:
        f.write(report.page(rows, tables.all_tables(rows)))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--sample":
        sample_report(sys.argv[2])
    else:
        unittest.main()
