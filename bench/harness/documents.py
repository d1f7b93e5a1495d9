"""documents - tables put into Markdown files, between comments that name them.

    <!-- tools/bench: amd64 boots -->
    (these tables, if there are results for the first of them)
    <!-- tools/bench: end -->

Interface: put_into(path, rows, tables). What lies outside the comments is never touched.
"""

import re

import results
import tables as tables_room

PLACE = re.compile(r"(<!-- tools/bench: ((?!end -->)[\w ]+) -->\n).*?(<!-- tools/bench: end -->)", re.S)


def put_into(path, rows, made):
    of = {t.key: t for t in made}

    def fill(found):
        keys = found[2].split()
        if keys[0] not in of:
            return found[0]
        here = [of[key] for key in keys if key in of]
        return "%s\n%s\n\n%s\n%s" % (found[1], tables_room.host_line(rows), "\n".join(t.as_markdown() for t in here), found[3])

    with open(path, encoding="utf-8") as f:
        text = f.read()
    if not PLACE.search(text):
        raise results.BadResults("%s: no place for tables; it needs a line <!-- tools/bench: %s --> and, behind it, "
                                 "<!-- tools/bench: end -->" % (path, " ".join(of)))
    with open(path, "w", encoding="utf-8") as f:
        f.write(PLACE.sub(fill, text))
