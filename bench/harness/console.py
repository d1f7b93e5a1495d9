"""console - a program with a console, and what is said to it.

Interface: Console; finish(command) for one that is not talked to. The program runs without privileges, and is dead when close() returns.
"""

import bisect
import os
import select
import signal
import subprocess
import time


class Broken(Exception):
    """The program did not do what was expected of it: the text says what, and ends with its last lines."""


def unprivileged(command):
    """The command as an ordinary user runs it: as nobody if we are root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
            "--inh-caps=-all", "env", "HOME=/"] + command


def finish(command, timeout, change_user=True):
    """(output, exit status) of a command that asks nothing."""
    try:
        done = subprocess.run(unprivileged(command) if change_user else command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Broken("'%s' did not end within %g s" % (command[-1], timeout)) from None
    return done.stdout.decode("utf-8", "replace"), done.returncode


def cpu_seconds(pid):
    """User and system time of a process, in seconds."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid, ram_mib):
    """Memory besides the guest's RAM that the process accounts for: proportional set size."""
    total, is_ram = 0, False
    with open("/proc/%d/smaps" % pid, encoding="utf-8", errors="replace") as f:
        for line in f:
            word = line.split(None, 1)[0]
            if "-" in word:
                begin, end = word.split("-")
                is_ram = "guest-ram" in line or (int(end, 16) - int(begin, 16)) >> 20 == ram_mib
            elif word == "Pss:" and not is_ram:
                total += int(line.split()[1])
    return total


class Console:
    def __init__(self, command, terminal=None):
        """terminal: the master side of a pseudo-terminal, which is then the console in place of standard input and
        output; close() closes it."""
        self.text = ""
        self.at = 0
        self.lengths, self.times = [], []  # of the text, and when it had come so far
        self.command = command
        self.begin = time.monotonic()
        here = subprocess.PIPE if terminal is None else subprocess.DEVNULL
        self.process = subprocess.Popen(unprivileged(command), stdin=here, stdout=here, stderr=subprocess.STDOUT, bufsize=0,
                                        start_new_session=True)
        self.ends = [self.process.stdin, self.process.stdout] if terminal is None else [os.fdopen(terminal, "r+b", 0)]

    @property
    def pid(self):
        return self.process.pid

    def elapsed(self):
        return time.monotonic() - self.begin

    def send(self, line):
        try:
            self.ends[0].write(line.encode() + b"\n")
        except OSError:
            raise Broken("%s is gone; its last words:\n%s" % (self.command[0], self.tail())) from None

    def read(self, seconds):
        """Takes what comes within so long; False: the program has closed its output."""
        if select.select([self.ends[-1]], [], [], seconds)[0]:
            try:
                data = os.read(self.ends[-1].fileno(), 65536)
            except OSError:  # a terminal that nobody has opened yet, or that has been closed
                time.sleep(0.05)
                return self.process.poll() is None
            self.text += data.decode("utf-8", "replace").replace("\r", "")
            self.lengths.append(len(self.text))
            self.times.append(time.monotonic())
            return bool(data)
        return True

    def expect(self, text, timeout):
        """What has come before `text`, since the last time."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.text.find(text, self.at)
            if found >= 0:
                before = self.text[self.at:found]
                self.at = found + len(text)
                return before
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken("'%s' did not come within %g s; the last words:\n%s" % (text, timeout, self.tail()))
            if not self.read(left):
                raise Broken("%s ended while '%s' was expected; its last words:\n%s" %
                             (self.command[0], text, self.tail()))

    def between(self, begin, end, since):
        """Seconds from the coming of one text to that of the next, since this position; None: they have not come."""
        first = self.text.find(begin, since)
        second = self.text.find(end, first + len(begin)) if first >= 0 else -1
        if second < 0:
            return None
        a, b = (self.times[bisect.bisect_right(self.lengths, at)] for at in (first, second))
        return b - a

    def rest(self, timeout):
        """All that comes until the program ends."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.read(0.2):
            pass
        self.close()
        return self.text[self.at:]

    def tail(self, lines=8):
        return "\n".join("    " + line for line in self.text.splitlines()[-lines:])

    def close(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            try:
                os.killpg(self.process.pid, number)
            except OSError:
                pass
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                continue
        for end in self.ends:
            end.close()
