"""host - what the figures were measured on: recorded with them."""

import datetime
import glob
import os
import platform
import subprocess


def read(path, otherwise=""):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return otherwise


def cpu_field(name):
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return ""


def mitigations():
    return {os.path.basename(path): read(path) for path in sorted(glob.glob("/sys/devices/system/cpu/vulnerabilities/*"))}


def version_of(command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (out.stdout or out.stderr).strip().split("\n")[0]


def facts():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": cpu_field("model name") or "unknown",
        "cpus": os.cpu_count(),
        "mhz": float(cpu_field("cpu MHz") or 0),
        "hypervisor": "hypervisor" in cpu_field("flags").split(),
        "kernel": platform.release(),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none"),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "mitigations": mitigations(),
    }
