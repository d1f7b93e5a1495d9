"""peers - who runs the programs: the host itself, and guests of novt, QEMU's TCG and user-mode Linux.

Interface: make(name, places) gives a Native or a Guest; run() takes a line of shell. A guest stays booted between
runs, idle, so that peers can take turns within seconds. Invariant: close() leaves no process behind.
"""

import os
import shlex
import shutil
import subprocess
import tempfile

import console

KINDS = ["native", "novt", "interp", "tcg", "uml", "bochs"]  # "novt:OPTIONS" is one of the second
BOOT_TIMEOUT = {"novt": 60, "interp": 900, "tcg": 180, "uml": 60}


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
    if name == "bochs" and not (shutil.which("bochs") and places.nano_iso):
        return "bochs, or what makes a CD for it, is not installed (packages bochs, bochs-term, grub-pc-bin, xorriso, mtools)"
    return ""


BOCHS = """megs: 64
cpu: model=corei7_skylake_x, ips=50000000
romimage: file={0.bochs_bios}
vgaromimage: file={0.bochs_vga}
ata0-master: type=cdrom, path={0.nano_iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={1}/serial
display_library: term
clock: sync=none
log: {1}/log
"""


def bochs_nano(places, timeout):
    """What the nanobenchmarks print in Bochs, whose debugger is told to go on."""
    directory = tempfile.mkdtemp(prefix="novt-bench-")
    try:
        os.chmod(directory, 0o777)
        for name, text in (("bochsrc", BOCHS.format(places, directory)), ("go", "c\n")):
            with open(os.path.join(directory, name), "w", encoding="ascii") as f:
                f.write(text)
        command = ["env", "TERM=vt100", "bochs", "-q", "-f", directory + "/bochsrc", "-rc", directory + "/go"]
        Native.finish(console.unprivileged(command), timeout)
        with open(os.path.join(directory, "serial"), encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError as e:
        raise console.Broken("bochs wrote nothing to its serial port: %s" % e) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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
    def __init__(self, places):
        self.places = places

    def start(self):
        pass

    def run(self, line, timeout):
        """(output, exit status)"""
        return self.finish(console.unprivileged(["sh", "-c", line]), timeout)

    def run_in_tree(self, line, timeout):
        """The same in the tree of Debian's packages, which takes root or a user namespace to change to."""
        if os.getuid() == 0:
            change = ["chroot", "--userspec=65534:65534"]
        else:
            change = ["unshare", "-Ur", "chroot"]
        return self.finish(change + [self.places.software, "/bin/sh", "-c", line], timeout)

    @staticmethod
    def finish(command, timeout):
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise console.Broken("'%s' did not end within %g s" % (command[-1], timeout)) from None
        return done.stdout.decode("utf-8", "replace"), done.returncode

    def program(self, name):
        return shlex.quote(os.path.join(self.places.programs, name))

    def close(self):
        pass


class Guest:
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

    def start(self):
        self.console = console.Console(self.command("sh /bench/agent"))
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


def make(name, places, **guest):
    return Native(places) if name == "native" else Guest(name, places, **guest)
