"""The emulated computer on which the lab's Xen runs: QEMU without hardware virtualisation.

Every option is there because it cost time to find out: see the comments.
"""
import os
import socket
import subprocess
import tempfile
import time

from . import clocks, initramfs, qemu
from .errors import LabError

# monitor: Xen's idle loop would die in MWAIT. rdtscp: a guest that uses it stalls. Both are gaps of the emulation.
_CPU = "EPYC,+svm,+npt,-monitor,-rdtscp"
# spec-ctrl=eager-fpu: lazy FPU switching under emulation loses SSE registers at world switches.
# gnttab: as Qubes sets it, grant tables of version 1 only. bootscrub=0: nobody else's secrets are in this memory, and clearing
# it takes time and, of the host's memory, all that the computer has.
_XEN = ("console=com1 com1=115200,8n1 console_timestamps=boot dom0_mem=1024M,max:1024M noreboot spec-ctrl=eager-fpu "
        "loglvl=all guest_loglvl=all gnttab=max-ver:1 bootscrub=0")


class Emulator:
    """A running QEMU. Its files lie in `folder`: xen.log (Xen's and dom0's console), lab.sock (the agent's port)."""

    def __init__(self, xenstore="xenstored", cpus=1, xen_options="", memory=4096, words=()):
        """xenstore: the daemon in dom0. words: further ones of QEMU's command line.

        One instruction, of whichever CPU, takes one nanosecond of its clock, and all CPUs take turns in one thread of QEMU's:
        with a thread for each, a world switch on a busy host once left Xen's own registers in a guest.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="lab-")
        self.folder = self._temporary.name
        self.xen_log = os.path.join(self.folder, "xen.log")
        # clock=vm keeps the host's date out of the run
        timing = ["-smp", str(cpus), "-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm"]
        # dom0 is paravirtualised: its virtio devices need the kernel's DMA interface, so iommu_platform
        port = ["-device", "virtio-serial-pci,disable-legacy=on,iommu_platform=on",
                "-chardev", "socket,id=lab,path=%s/lab.sock,server=on,wait=off" % self.folder,
                "-device", "virtserialport,chardev=lab,name=lab"]
        initrd = initramfs.image("dom0", self.folder)
        self.process = subprocess.Popen(
            qemu.command() + ["-machine", "q35,accel=tcg", "-cpu", _CPU, "-m", str(memory)] + timing + port + list(words)
            + ["-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none", "-serial", "file:" + self.xen_log,
               "-kernel", initramfs.xen(), "-append", "%s %s" % (_XEN, xen_options),
               "-initrd", "%s console=hvc0 loglevel=4 rdinit=/init xenstore=%s,%s" % (initramfs.kernel("dom0"), xenstore, initrd)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(os.path.join(self.folder, "qemu.err"), "wb"))

    def alive(self):
        return self.process.poll() is None

    def wait(self, channel):
        """A wait for something from dom0 that begins now, see clocks.py."""
        return clocks.Wait(channel, lambda: clocks.cpu_seconds(self.process.pid))

    def connect(self):
        """A socket connected to the agent's port, which QEMU opens as it starts."""
        while True:
            if not self.alive():
                raise LabError("QEMU has ended: " + self.complaint())
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(os.path.join(self.folder, "lab.sock"))
                return connection
            except OSError:
                connection.close()
                time.sleep(0.02)

    def complaint(self):
        """What QEMU itself said on its standard error."""
        with open(os.path.join(self.folder, "qemu.err"), errors="replace") as text:
            return text.read().strip()

    def stop(self):
        """End it at once; nothing in it is worth saving."""
        self.process.kill()
        self.process.wait()
        self._temporary.cleanup()
