"""What a container may use: by its control groups, in the shapes that container runtimes give them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry.cgroup import Limits, read_limits
from telemetry.shipper.intake.report import facts

MIB = 1 << 20
V2 = "30 29 0:26 {root} /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n"
V1 = "".join(
    f"3{number} 30 0:2{number} {{root}} /sys/fs/cgroup/{name} ro,nosuid master:1 - cgroup cgroup rw,{options}\n"
    for number, (name, options) in enumerate((("memory", "memory"), ("cpu,cpuacct", "cpu,cpuacct")))
)


def _machine(root: Path, groups: str, mounts: str, **files: str) -> Path:
    """Files as the kernel shows them, by their paths."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "limits"),
    [
        pytest.param(
            "0::/\n",
            V2.format(root="/"),
            {
                "memory.max": "536870912\n",
                "memory.current": "104857600\n",
                "memory.stat": "anon 5\ninactive_file 4194304\n",
                "cpu.max": "50000 100000\n",
            },
            Limits(512 * MIB, 96 * MIB, 0.5),
            id="Kubernetes and docker, version 2, a namespace of its own",
        ),
        pytest.param(
            "0::/kubepods.slice/pod1.slice/cri-1.scope\n",
            V2.format(root="/"),
            {
                "kubepods.slice/pod1.slice/cri-1.scope/memory.max": "max\n",
                "kubepods.slice/pod1.slice/cri-1.scope/cpu.max": "max 100000\n",
                "kubepods.slice/pod1.slice/memory.max": "268435456\n",
                "kubepods.slice/pod1.slice/memory.current": "1048576\n",
                "kubepods.slice/memory.max": "1073741824\n",
                "kubepods.slice/cpu.max": "150000 100000\n",
            },
            Limits(256 * MIB, MIB, 1.5),
            id="version 2, limits of the groups above, seen from the node",
        ),
        pytest.param(
            "0::/../../other\n",
            V2.format(root="/../.."),
            {"memory.max": "536870912\n", "cpu.max": "200000 100000\n"},
            Limits(512 * MIB, None, 2.0),
            id="version 2, a group outside its namespace",
        ),
        pytest.param(
            "11:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n1:name=systemd:/docker/0123\n",
            V1.format(root="/docker/0123"),
            {
                "memory/memory.limit_in_bytes": "536870912\n",
                "memory/memory.usage_in_bytes": "10485760\n",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 2097152\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "25000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "50000\n",
            },
            Limits(512 * MIB, 8 * MIB, 0.5),
            id="docker, version 1: mounted from the container's group on",
        ),
        pytest.param(
            "11:memory:/user.slice\n4:cpu,cpuacct:/\n0::/user.slice\n",
            V1.format(root="/") + V2.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            {
                "memory/user.slice/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            Limits(),
            id="both versions, and no limit",
        ),
        pytest.param(
            "11:memory:/\n\nnonsense\n4:cpu\n",
            "short\n1 2 3 - cgroup\n" + V1.format(root="/"),
            {
                "memory/memory.limit_in_bytes": "lots\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "0\n",
            },
            Limits(),
            id="rubbish",
        ),
    ],
)
def test_the_least_limit_of_all_groups_counts(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], limits: Limits
) -> None:
    told = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}

    assert read_limits(_machine(tmp_path, groups, mounts, **told)) == limits


def test_a_mount_point_with_a_blank_is_found(tmp_path: Path) -> None:
    mounts = r"30 29 0:26 / /my\040groups rw - cgroup2 cgroup rw" + "\n"
    root = _machine(tmp_path, "0::/\n", mounts, **{"my groups/memory.max": "1048576\n"})

    assert read_limits(root).memory_bytes == MIB


def test_without_proc_there_are_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()


def test_here_they_can_be_read() -> None:
    assert all(limit is None or limit > 0 for limit in read_limits())


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK) or not Path("/sys/fs/cgroup/cpu").exists(),
    reason="no control groups of version 1 may be made here",
)
def test_a_process_in_a_real_group_finds_its_limits() -> None:
    name = f"telemetry-test-{os.getpid()}"
    groups = [Path("/sys/fs/cgroup") / controller / name for controller in ("memory", "cpu")]
    code = """
import os, sys
from telemetry.cgroup import read_limits
from telemetry.shipper.intake.report import facts
for procs in sys.argv[1:]:
    open(procs, "w").write(str(os.getpid()))
found = facts(0.0, read_limits())
print(found["memory_total_bytes"], found["memory_used_bytes"] <= found["memory_total_bytes"], found["cpu_count"])
"""
    try:
        for group in groups:
            group.mkdir()
        (groups[0] / "memory.limit_in_bytes").write_text(str(500 * MIB))
        (groups[1] / "cpu.cfs_quota_us").write_text("50000")
        procs = [str(group / "cgroup.procs") for group in groups]
        told = subprocess.run([sys.executable, "-c", code, *procs], capture_output=True, text=True, check=True).stdout
    finally:
        for group in groups:
            group.rmdir()

    assert told.split() == [str(512 * MIB), "True", "0.5"]


@pytest.mark.parametrize(("cpus", "count"), [(0.1, 0.125), (0.25, 0.25), (0.3, 0.5), (0.5, 0.5), (0.7, 1), (1.0, 1)])
def test_a_share_of_a_processor_is_as_coarse_as_a_number_of_them(cpus: float, count: float) -> None:
    assert facts(0.0, Limits(cpus=cpus))["cpu_count"] == count


def test_limits_beyond_what_the_machine_has_say_nothing() -> None:
    beyond = Limits(memory_bytes=1 << 50, memory_used_bytes=1, cpus=1e6)
    unlimited = facts(0.0, Limits())

    assert facts(0.0, beyond)["cpu_count"] == unlimited["cpu_count"]
    assert facts(0.0, beyond)["memory_total_bytes"] == unlimited["memory_total_bytes"]
    assert facts(0.0, beyond)["memory_used_bytes"] > MIB  # type: ignore[operator] # a number
