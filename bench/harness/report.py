"""report - one self-contained HTML page: tables and plots, which gnuplot draws as SVG.

Interface: page(rows, tables). Without gnuplot the page has no plots and says so. Nothing in it is fetched.
"""

import html
import json
import shutil
import subprocess

import figures
import tables as tables_room

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}
h1,h2{line-height:1.2}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem}
td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:#fff}th{background:#f4f4f4}
.wide{overflow-x:auto}.note{font-size:.85rem;color:#555;margin:.2rem 0}svg{max-width:100%;height:auto}
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem}dt{font-weight:600}dd{margin:0}"""

COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"]


def gnuplot(script):
    """The SVG that a script draws, without its XML heading; nothing if it cannot be drawn."""
    if not shutil.which("gnuplot"):
        return ""
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, timeout=60, check=False)
    at = done.stdout.find("<svg")
    return done.stdout[at:] if done.returncode == 0 and at >= 0 else ""


def quoted(text):
    return '"' + str(text).replace("\\", "").replace('"', "") + '"'


def bars(title, unit, names, series):
    """Bars beside each other on a logarithmic axis. series: [(label, [value or None])]"""
    lines = ["set terminal svg size 1100,420 dynamic font 'sans-serif,12' background '#ffffff'",
             "set title %s" % quoted(title), "set ylabel %s" % quoted(unit), "set logscale y", "set grid ytics",
             "set style data histograms", "set style histogram clustered gap 1", "set style fill solid 0.9 noborder",
             "set xtics rotate by -40 nomirror", "set key top left", "$data << END"]
    for i, name in enumerate(names):
        lines.append(" ".join([quoted(name)] + ["%g" % v[i] if v[i] else "NaN" for _, v in series]))
    lines.append("END")
    plots = ["$data using %d:xtic(1) title %s linecolor rgb '%s'" % (k + 2, quoted(label), COLOURS[k % len(COLOURS)])
             for k, (label, _) in enumerate(series)]
    return gnuplot("\n".join(lines + ["plot " + ", ".join(plots)]) + "\n")


def ratio_plot(rows, set_name, title):
    p = tables_room.Programs(rows, set_name)
    others = [q for q in p.peers if q != "native"]
    series = []
    for peer in others:
        values = [figures.median(r) if r else None for r in (p.ratios(n, peer) for n in p.names)]
        if any(values):
            series.append((peer, values))
    return bars(title + ": times native", "times native", p.names, series) if series else ""


def nano_plot(rows):
    rows = [r for r in rows if r["kind"] == "nano" and "cycles" in r]
    names = tables_room.in_order(rows, "name")
    series = []
    for peer in (p for p in tables_room.in_order(rows, "peer") if p != "bochs"):
        values = []
        for name in names:
            sample = [r["cycles"] for r in rows if r["peer"] == peer and r["name"] == name]
            values.append(figures.median(sample) if sample else None)
        series.append((peer, values))
    return bars("Nanobenchmarks", "cycles", names, series) if series else ""


def scaling_plot(rows):
    busy = [r for r in rows if r["kind"] == "scaling" and r["busy"]]
    if len(busy) < 2:
        return ""
    lines = ["set terminal svg size 700,360 dynamic font 'sans-serif,12' background '#ffffff'",
             "set title 'Machines side by side'", "set xlabel 'machines'", "set ylabel 'million operations a second'",
             "set y2label 'MiB each'", "set y2tics", "set ytics nomirror", "set logscale x 2", "set key bottom right",
             "set yrange [0:]", "set y2range [0:]", "$data << END"]
    lines += ["%d %g %g" % (r["machines"], r["throughput"], r["rss_kib"] / 1024) for r in busy] + ["END"]
    lines.append("plot $data using 1:2 with linespoints title 'throughput' linecolor rgb '%s', "
                 "$data using 1:3 axes x1y2 with linespoints title 'memory' linecolor rgb '%s'" % tuple(COLOURS[:2]))
    return gnuplot("\n".join(lines) + "\n")


def plots(rows):
    out = [ratio_plot(rows, name, title) for name, title in tables_room.SETS.items()]
    return [p for p in out + [nano_plot(rows), scaling_plot(rows)] if p]


def facts(host):
    def text(value):
        if isinstance(value, dict):
            return "; ".join("%s: %s" % item for item in value.items())
        return str(value)

    return "<dl>" + "".join("<dt>%s</dt><dd>%s</dd>" % (html.escape(k.replace("_", " ")), html.escape(text(v)))
                            for k, v in host.items() if k not in ("kind", "format")) + "</dl>"


def page(rows, tables):
    drawn = plots(rows)
    raw = "\n".join(json.dumps(r, separators=(",", ":")) for r in rows).replace("</", "<\\/")
    return "\n".join([
        "<!doctype html>", "<html lang=en><meta charset=utf-8>", "<title>What translation costs: novt</title>",
        "<meta name=viewport content=\"width=device-width\"><style>%s</style>" % STYLE,
        "<h1>What translation costs</h1>", "<p>%s</p>" % html.escape(tables_room.host_line(rows)),
        "<p class=note>Medians; in brackets a 95 % interval of the ratio, over rounds in which both ran side by side.</p>",
        "\n".join("<figure>%s</figure>" % p for p in drawn) or
        "<p class=note>There are no plots: gnuplot (package gnuplot-nox) is not installed.</p>",
        "\n".join(t.as_html() for t in tables), "<h2>The host</h2>", facts(rows[0]),
        "<script type=\"application/x-ndjson\" id=raw>\n%s\n</script>" % raw, "</html>", ""])
