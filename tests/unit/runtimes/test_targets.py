from __future__ import annotations

import pytest
from packaging.markers import Marker

from packhouse.worker.runtimes.target import Target


def test_wheels_of_older_systems_go_before_those_of_newer_ones() -> None:
    tags = Target("linux_x86_64", "3.11").tags
    assert tags[0] == "manylinux_2_28_x86_64"
    assert tags.index("manylinux_2_17_x86_64") < tags.index("manylinux_2_34_x86_64")
    assert "manylinux2014_x86_64" in tags


def test_a_tag_of_wheels_is_taken_as_it_is() -> None:
    assert Target("musllinux_1_2_x86_64", "3.11").tags == ("musllinux_1_2_x86_64",)


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        ("linux_x86_64", "sys_platform == 'linux' and platform_machine == 'x86_64' and os_name == 'posix'"),
        ("linux_aarch64", "platform_system == 'Linux' and platform_machine == 'aarch64'"),
        ("musllinux_1_2_x86_64", "sys_platform == 'linux' and platform_machine == 'x86_64'"),
        ("win_amd64", "sys_platform == 'win32' and platform_machine == 'AMD64' and os_name == 'nt'"),
        ("macosx_arm64", "sys_platform == 'darwin' and platform_machine == 'arm64'"),
        ("win_amd64", "python_version == '3.12' and python_full_version < '3.13'"),
    ],
)
def test_conditions_are_those_of_the_target_not_of_this_machine(platform: str, marker: str) -> None:
    assert Target(platform, "3.12").applies(Marker(marker), frozenset())


def test_a_requirement_of_an_extra_is_one_where_the_extra_is_wanted() -> None:
    target = Target("linux_x86_64", "3.12")
    assert not target.applies(Marker("extra == 'gpu'"), frozenset())
    assert target.applies(Marker("extra == 'gpu'"), frozenset({"cpu", "gpu"}))
