"""bochs - how Bochs is started: it boots a CD with GRUB, since it cannot load a kernel by itself.

Interface: nano(places, timeout), start(places, directory). Its debugger, which Debian builds in, is told to go on.
"""

import os
import shutil
import tempfile
import tty

import console

PACKAGES = "bochs, bochs-term, grub-pc-bin, xorriso, mtools"
SETTINGS = """megs: {megs}
cpu: model=corei7_skylake_x, ips=50000000
romimage: file={places.bochs_bios}
vgaromimage: file={places.bochs_vga}
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
com1: enabled=1, {serial}
display_library: term
clock: sync=none
log: {directory}/log
"""


def command(directory, **settings):
    for name, text in (("bochsrc", SETTINGS.format(directory=directory, **settings)), ("go", "c\n")):
        with open(os.path.join(directory, name), "w", encoding="ascii") as f:
            f.write(text)
    return ["env", "TERM=vt100", "bochs", "-q", "-f", directory + "/bochsrc", "-rc", directory + "/go"]


def nano(places, timeout):
    """What the nanobenchmarks print."""
    directory = tempfile.mkdtemp(prefix="novt-bench-")
    try:
        os.chmod(directory, 0o777)
        line = command(directory, places=places, megs=64, cd=places.nano_iso, serial="mode=file, dev=%s/serial" % directory)
        console.finish(line, timeout)
        with open(os.path.join(directory, "serial"), encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError as e:
        raise console.Broken("bochs wrote nothing to its serial port: %s" % e) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def start(places, directory, megs):
    """The console of a Linux with the programs and the agent; `directory` must be writable for an ordinary user."""
    ours, its = os.openpty()
    try:
        tty.setraw(its)
        os.chmod(os.ttyname(its), 0o666)
        line = command(directory, places=places, megs=megs, cd=places.linux_iso, serial="mode=term, dev=" + os.ttyname(its))
        return console.Console(line, ours)
    finally:
        os.close(its)
