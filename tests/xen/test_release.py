"""The archive of a release unpacks into what dom0's kernel folder wants."""
import os
import subprocess

from images import release
from tests.xen.test_boot import BUILT


def test_boots_from_the_unpacked_archive(lab, tmp_path):
    """Boots: the image that ships, from the folder that the archive holds."""
    release.write_archive(str(tmp_path / "release.tar"), BUILT)
    kernels = tmp_path / "vm-kernels"
    kernels.mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / "release.tar"), "-C", str(kernels)], check=True)
    (name,) = os.listdir(kernels)
    assert os.listdir(kernels / name) == ["vmlinuz"]
    guest = lab.domain("unpacked", lab.upload(str(kernels / name / "vmlinuz")))
    guest.wait_for("memory: ")
    assert guest.state() == "running"
