"""peers - who runs the programs: the host itself, and guests of novt, QEMU's TCG, user-mode Linux and Bochs.

Interface: make(name, places) gives a Native or a Guest; run() takes a line of shell. A guest stays booted between
runs, idle, so that peers can take turns within seconds. Invariant: close() leaves no process behind.
"""

import os
import shlex
import shutil
import tempfile

import bochs
import console

KINDS = ["native", "novt", "interp", "tcg", "uml", "bochs"]  # "novt:OPTIONS" is one of the second
BOOT_TIMEOUT = {"novt": 60, "interp": 900, "tcg": 180, "uml": 60, "bochs": 300}
PARTLY = {"uml": ("programs", "boots"), "bochs": ("programs", "nano")}  # the others take part in everything
# Too slow for more than one round, and never idle: alone with the host, after the others, and without these programs,
# of which the least that can be run takes minutes.
ONCE = {"bochs": ("busy-1", "busy-64")}


class Places:
    """Where tools/bench has put what is needed: files, and the guest's size."""

    def __init__(self, environment):
        def place(name):
            return environment.get("NOVT_BENCH_" + name, "")

        self.novt = place("NOVT")
        self.kernel = place("KERNEL")
        self.initrd = place("INITRD")
        self.programs = place("PROGRAMS")
        self.software = place("SOFTWARE")  # a tree, or nothing
        self.software_initrd = place("SOFTWARE_INITRD")
        self.nano = place("NANO")
        self.nano_native = place("NANO_NATIVE")
        self.nano_iso = place("NANO_ISO")  # the same guest behind GRUB, for Bochs
        self.linux_iso = place("LINUX_ISO")  # likewise kernel and initrd
        self.bochs_bios, self.bochs_vga = place("BOCHS_BIOS"), place("BOCHS_VGA")
        self.arch = place("ARCH") or "amd64"
        self.memory = 1024


def is_known(name):
    return name in KINDS or name.startswith("novt:")


def order(name):
    """Where tables have it."""
    return KINDS.index(name.split(":")[0]) if is_known(name) else len(KINDS)


def boot_timeout(name):
    return BOOT_TIMEOUT[name.split(":")[0]]


def missing(name, places):
    """Why the peer cannot run here, or nothing."""
    if name == "tcg" and not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed (package qemu-system-x86)"
    if name == "uml":
        if not shutil.which("linux.uml"):
            return "linux.uml is not installed (package user-mode-linux)"
        if places.arch != "amd64":
            return "Debian's user-mode Linux is 64-bit only"
    if name == "bochs" and not (shutil.which("bochs") and places.linux_iso):
        return "bochs, or what makes a CD for it, is not installed (packages %s)" % bochs.PACKAGES
    return ""


def machine(name, places, memory=None):
    """The command of a machine, but for what it runs."""
    size = str(memory or places.memory)
    if name == "novt":
        return [places.novt, "-accel", "bt", "-cpu", "max", "-m", size]
    if name.startswith("novt:"):
        return [places.novt, "-accel", "bt," + name[5:], "-cpu", "max", "-m", size]
    if name == "interp":
        return [places.novt, "-accel", "interp", "-cpu", "max", "-m", size]
    return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", size]


class Native:
    keeps_time = True  # its clock is to be trusted

    def __init__(self, places):
        self.places = places

    def start(self):
        pass

    def run(self, line, timeout):
        """(output, exit status)"""
        return console.finish(["sh", "-c", line], timeout)

    def run_in_tree(self, line, timeout):
        """The same in the tree of Debian's packages, which takes root or a user namespace to change to."""
        if os.getuid() == 0:
            change = ["chroot", "--userspec=65534:65534"]
        else:
            change = ["unshare", "-Ur", "chroot"]
        return console.finish(change + [self.places.software, "/bin/sh", "-c", line], timeout, change_user=False)

    def program(self, name):
        return shlex.quote(os.path.join(self.places.programs, name))

    def close(self):
        pass


class Guest:
    keeps_time = True

    def __init__(self, name, places, initrd=None, memory=None, extra=()):
        self.name, self.places = name, places
        self.initrd = initrd or places.initrd
        self.memory = memory or places.memory
        self.extra = list(extra)
        self.console, self.directory = None, None
        self.booted = 0.0

    def command(self, run):
        append = "quiet novt.run=\"%s\"" % run if run else "quiet"
        if self.name == "uml":
            return ["linux.uml", "uml_dir=" + self.scratch(), "mem=%dM" % self.memory, "initrd=" + self.initrd, "con0=fd:0,fd:1", "con=null",
                    "console=tty0", append]
        return machine(self.name, self.places, self.memory) + self.extra + [
            "-nographic", "-no-reboot", "-kernel", self.places.kernel, "-initrd", self.initrd,
            "-append", "console=ttyS0 " + append]

    def scratch(self):
        """A directory of an ordinary user's, for as long as the guest lives."""
        if not self.directory:
            self.directory = tempfile.mkdtemp(prefix="novt-bench-")
            os.chmod(self.directory, 0o777)
        return self.directory

    def open_console(self):
        return console.Console(self.command("sh /bench/agent"))

    def start(self):
        self.console = self.open_console()
        self.console.expect("agent-ready", boot_timeout(self.name))
        self.booted = self.console.elapsed()

    def begin(self, line):
        self.console.send(line)

    def end(self, timeout):
        output = self.console.expect("agent-status ", timeout)
        return output, int(self.console.expect("\n", 10))

    def run(self, line, timeout):
        self.begin(line)
        return self.end(timeout)

    def run_timed(self, line, timeout):
        """(output, exit status, seconds by the host's clock between what bench-guest -m prints; None: it did not)"""
        since = self.console.at
        return self.run(line, timeout) + (self.console.between("bench-begin ", "bench ", since),)

    def run_in_tree(self, line, timeout):
        return self.run("chroot /soft /bin/sh -c " + shlex.quote(line), timeout)

    def program(self, name):
        return "/bench/" + name

    def close(self):
        if self.console:
            self.console.close()
            self.console = None
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None


class Bochs(Guest):
    keeps_time = False  # it counts instructions

    def open_console(self):
        return bochs.start(self.places, self.scratch(), self.memory)


def make(name, places, **guest):
    if name == "native":
        return Native(places)
    return (Bochs if name == "bochs" else Guest)(name, places, **guest)
