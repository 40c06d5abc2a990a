"""What this machine has: the parsers on texts from real and odd systems, and the facts of the one we run on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lightwork import _inventory, _machine
from lightwork._inventory import Machine, machine, parse_fields
from lightwork._machine import (
    cpu_quota,
    group_folders,
    parse_cfs_quota,
    parse_cpu_max,
    parse_groups,
    parse_memory_limit,
    parse_mounts,
)


@pytest.mark.parametrize(
    "text, cores",
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("200000", 2.0),
        ("", None),
        ("\n", None),
        ("max", None),
        ("many 100000", None),
        ("100000 0", None),
        ("-1 100000", None),
        ("100000 often", None),
    ],
)
def test_version_2_quota(text, cores):
    assert parse_cpu_max(text) == cores


@pytest.mark.parametrize(
    "quota, period, cores",
    [("-1\n", "100000\n", None), ("300000", "100000", 3.0), ("", "", None), ("10000", "", 0.1), ("x", "1", None)],
)
def test_version_1_quota(quota, period, cores):
    assert parse_cfs_quota(quota, period) == cores


@pytest.mark.parametrize(
    "text, limit", [("max", None), ("", None), ("1073741824\n", 1 << 30), ("9223372036854771712", None), ("0", None)]
)
def test_memory_limit(text, limit):
    assert parse_memory_limit(text) == limit


def test_groups_and_mounts():
    groups = parse_groups("9:cpu,cpuacct:/docker/a:b\n0::/user.slice\nodd line\n")
    assert groups == {"cpu": "/docker/a:b", "cpuacct": "/docker/a:b", "": "/user.slice"}
    mounts = parse_mounts(
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 /docker/a /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "38 31 0:35 / /sys/fs/with\\040space rw - cgroup2 cgroup2 rw,nsdelegate\n"
        "garbage\n"
    )
    assert mounts["cpu"] == ("/docker/a", "/sys/fs/cgroup/cpu,cpuacct")
    assert mounts[""] == ("/", "/sys/fs/with space")


@pytest.mark.parametrize(
    "path, root, folders",
    [
        ("/a/b", "/", ["/m/a/b", "/m/a", "/m"]),
        ("/", "/", ["/m"]),
        ("/docker/x", "/docker/x", ["/m"]),
        ("/docker/x/y", "/docker/x", ["/m/y", "/m"]),
        ("/elsewhere", "/docker/x", ["/m"]),
        ("/../..", "/", ["/m"]),
    ],
)
def test_folders_from_leaf_to_root(path, root, folders):
    assert [str(folder) for folder in group_folders(path, root, "/m")] == folders


def system(tmp_path, groups, files, version2=True):
    """A /proc and a control group tree of files."""
    mount = tmp_path / "cgroup"
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(groups)
    kind = "cgroup2 cgroup2 rw" if version2 else "cgroup cgroup rw,cpu,memory"
    (proc / "self/mountinfo").write_text(f"1 2 0:1 / {mount} rw - {kind}\n")
    (proc / "meminfo").write_text("MemTotal:  8000 kB\nMemAvailable:  6000 kB\n")
    return proc


def test_the_tightest_group_on_the_way_to_the_root_counts(tmp_path):
    files = {"a/b/cpu.max": "400000 100000", "a/cpu.max": "150000 100000", "cpu.max": "", "a/b/other": ""}
    assert cpu_quota(system(tmp_path, "0::/a/b\n", files)) == 1.5


def test_version_1_groups(tmp_path):
    files = {"a/cpu.cfs_quota_us": "250000", "a/cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"}
    assert cpu_quota(system(tmp_path, "4:cpu,memory:/a\n", files, version2=False)) == 2.5


def test_no_groups_at_all(tmp_path):
    assert cpu_quota(tmp_path) is None


def test_memory_by_group(tmp_path):
    files = {
        "a/memory.max": "4096000",
        "a/memory.current": "3000000",
        "a/memory.stat": "anon 1\ninactive_file 1000000\n",
        "memory.max": "max",
    }
    total, limit, available = _inventory._memory(system(tmp_path, "0::/a\n", files))
    assert (total, limit, available) == (8000 * 1024, 4096000, 4096000 - 2000000)


def test_fields():
    assert parse_fields("MemTotal: 5 kB\nodd\nanon 7\nname x\n") == {"MemTotal": 5120, "anon": 7}


@pytest.mark.parametrize(
    "may, quota, cores", [(8, None, 8), (8, 1.5, 2), (8, 0.2, 1), (2, 16.0, 2), (8, 3.0, 3), (1, 0.5, 1)]
)
def test_cores_by_affinity_and_quota(may, quota, cores):
    assert _machine.usable(may, quota) == cores


def test_this_machine():
    here = machine()
    assert 1 <= here.cores <= here.affinity <= max(here.cpu_count, here.affinity)
    assert here.cores == _machine.usable_cores()
    assert 0 < here.capacity <= here.affinity
    assert here.python.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert here.gil or here.free_threaded
    assert "spawn" in here.start_methods
    assert here.memory_total > here.memory_available > 0
    assert (here.interpreters is None) == (sys.version_info >= (3, 14))
    assert len(str(here).splitlines()) <= 6 and "core" in str(here)
    with pytest.raises(AttributeError):
        here.cores = 3


def test_it_says_start_methods_as_multiprocessing_does():
    import multiprocessing

    assert sorted(machine().start_methods) == sorted(multiprocessing.get_all_start_methods())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_is_seen():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from lightwork._inventory import machine\nfrom lightwork._machine import usable_cores\n"
    code += "print(machine().cores, usable_cores())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.split() == ["1", "1"]


def test_asking_costs_no_heavy_import():
    code = "import sys; from lightwork._machine import usable_cores, gil_enabled; usable_cores()\n"
    code += "print([m for m in ('multiprocessing', 'numpy', 'psutil', 'threadpoolctl') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.strip() == "[]"


def test_the_text_of_a_limited_machine():
    text = str(Machine(2, 8, 16, 1.5, 32 << 30, 4 << 30, 3 << 30, "3.13.5", "CPython", False, True,
                       ("spawn",), None, "linux"))  # fmt: skip
    assert "2 usable cores (16 in the machine, 8 by affinity, a quota of 1.5)" in text
    assert "limited to 4.0 GiB" in text and "free-threaded build, without the GIL" in text


def test_blas_pools_are_found():
    pytest.importorskip("numpy")
    for pool in _inventory.blas_threads():
        assert pool.threads >= 1 and pool.library


def test_available_memory_is_what_the_tightest_group_leaves(tmp_path):
    files = {
        "a/memory.max": "4096000",
        "a/memory.current": "3000000",
        "a/memory.stat": "anon 1\ninactive_file 1000000\n",
        "memory.max": "max",
    }
    proc = system(tmp_path, "0::/a\n", files)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    8000 kB\n")
    assert _machine.available_memory(str(proc)) == 4_096_000 - (3_000_000 - 1_000_000)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    assert _machine.available_memory(str(proc)) == 1_024_000


def test_available_memory_under_version_1(tmp_path):
    files = {
        "a/memory.limit_in_bytes": "4096000",
        "a/memory.usage_in_bytes": "3000000",
        "a/memory.stat": "cache 1\ntotal_inactive_file 500000\n",
        "memory.limit_in_bytes": "9223372036854771712",
    }
    proc = system(tmp_path, "4:cpu,memory:/a\n", files, version2=False)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    assert _machine.available_memory(str(proc)) == 4_096_000 - 2_500_000


def test_nobody_says_how_much_memory_is_available(tmp_path):
    assert _machine.available_memory(str(tmp_path)) is None
