"""The lab's initramfs images and its kernels, made of the tool root this runs in.

dom0's: busybox, Xen's toolstack, Python and what steps of tests need. A Linux domU's: busybox and network
tools, with Python if wanted. Their archives are cached by the root's name and this file; our own scripts come
in a small one behind them (agent.py, the init scripts), so that editing them costs nothing.
"""
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess

from images import once

from . import cpio

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", "/cache"), "qubes-python-firewall", "lab")
_HERE = os.path.dirname(os.path.abspath(__file__))
_XEN = "/usr/lib/xen-4.20/bin/"
_OXENSTORED = "/usr/lib/xen-4.20/ocaml/"
_PYTHON = "/usr/lib/python3.13"
_PACKAGES = "/usr/lib/python3/dist-packages"
_COMMON = ["/usr/bin/busybox", "/usr/sbin/ip", "/usr/bin/iperf3", "/usr/sbin/nft", "/usr/bin/tcpdump", "/usr/bin/xenstore",
           "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"]  # opened by threads of iperf3 and Python when they end; ldd does not list it
_STORE_LINKS = ["xenstore-" + name for name in "read write ls list watch rm chmod exists".split()]
_DOM0 = [_XEN + name for name in "xl xenstored oxenstored xenconsoled xenconsole xen-init-dom0 xenctx libxl-save-helper".split()]
_DRIVER_DOMAIN = [_XEN + "xl"]
_LIBRARIES = ["/usr/lib/x86_64-linux-gnu/" + name for name in (
    "libxenstat.so.4.20", "libxenvchan.so.4.20", "libxenevtchn.so.1", "libxengnttab.so.1", "libxenforeignmemory.so.1",
    "libxenstore.so.4", "libxenctrl.so.4.20")]
_OMITTED = re.compile(r"/(test|tests|idlelib|tkinter|turtledemo|ensurepip|pydoc_data|lib2to3|contrib|config-[^/]*|"
                      r"tools|_pyrepl|unittest|sqlite3|curses)(/|$)")
_DIST = ["pyxs", "cffi", "pycparser", "ply", "scapy"]
_FILTER = ["crc32c_generic", "nf_tables", "nft_ct", "nft_masq", "nft_chain_nat", "nft_reject_inet"]  # the first: found by name only
_MODULES = {  # image: {list: modules}; init loads "order", tests load others with /load LIST
    # this order: xenfs needs a symbol of xen-privcmd
    "dom0": {"order": ["xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-netback"],
             "network": ["veth", "tun", "bridge", "dummy", "sch_netem"] + _FILTER},
    "domu": {"order": ["xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-netfront"],
             "network": ["veth"], "router": ["xen-netback", "nft_reject_ipv4", "nf_flow_table_inet", "nft_flow_offload"] + _FILTER},
}
_LOAD = b"""#!/bin/busybox sh
while read -r module; do insmod "/modules/$module" || echo "insmod $module failed"; done < "/modules/$1"
"""


def release(kind):
    """Release of the generic kernel ("dom0"; the cloud one has no dom0 support) or of the cloud one ("domu")."""
    (found,) = [name for name in os.listdir("/usr/lib/modules") if ("cloud" in name) == (kind == "domu")]
    return found


def _key(*more):
    digest = hashlib.sha256(os.environ["TOOLROOT"].encode())
    for path in (__file__, cpio.__file__) + more:
        with open(path, "rb") as source:
            digest.update(source.read())
    return digest.hexdigest()[:16]


def _cached(name, make):
    """Path of the cached file `name`; made by make(file) when there is no whole one yet."""
    return _file(os.path.join(CACHE, name), make)


def _file(path, make):
    def write_part(part):
        with open(part, "wb") as out:
            make(out)
    return once.made(path, write_part)


def xen():
    """Path of the hypervisor as an ELF file, which QEMU's -kernel wants."""
    def make(out):
        with gzip.open("/boot/xen-4.20-amd64.gz") as packed:
            out.write(packed.read())
    return _cached("xen-" + _key(), make)


def kernel(kind):
    """Path of a Linux kernel, unpacked: under emulation that costs Xen and libxl seconds a boot.

    Source: Linux Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).
    """
    def make(out):
        with open("/boot/vmlinuz-" + release(kind), "rb") as packed:
            data = packed.read()
        begin = (data[0x1F1] + 1) * 512 + int.from_bytes(data[0x248:0x24C], "little")
        length = int.from_bytes(data[0x24C:0x250], "little") - 4  # the last word is the unpacked size
        subprocess.run(["zstd", "-dc"], input=data[begin:begin + length], stdout=out, check=True)
    return _cached("linux-%s-%s" % (kind, _key()), make)


def image(kind, folder, python=False, files=None):
    """Path of a whole image, in this folder.

    python: also in a domU's, with the tests' steps; dom0's always has it. files: {name: octets} of further programs.
    """
    def make(out):
        for part in [kind, "python"] if python else [kind]:
            with open(_base(part), "rb") as archive:
                shutil.copyfileobj(archive, out)
        out.write(_scripts(kind, python, files or {}))
    python = python or kind == "dom0"
    name = kind + ("-python" if python else "")
    if files:
        name += "-" + hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:8]
    return _file(os.path.join(folder, name + ".cpio"), make)


def _base(part):
    """Path of a large archive of what comes from packages: "dom0", "domu", or "python" for behind one of these."""
    def make(out):
        archive = cpio.Writer()
        if part == "python":
            _python(archive)
            archive.write(out)
            return
        for name in "bin sbin proc sys dev run tmp etc/xen/scripts var/lib/xen var/log/xen/console images root".split():
            archive.folder(name)
        _programs(archive, _COMMON + (_DOM0 if part == "dom0" else _DRIVER_DOMAIN))
        for name in _STORE_LINKS:
            archive.link("usr/bin/" + name, "xenstore")
        archive.copy("/usr/bin/busybox", "bin/busybox")
        _modules(archive, part)
        if part == "dom0":
            _programs(archive, _LIBRARIES + [_OXENSTORED + "xsd_glue/xenctrl_plugin/domain_getinfo_v1.cmxs"])
            archive.copy("/etc/xen/oxenstored.conf")  # Debian's, with the quotas of the daemon's authors
        archive.device("dev/console", 5, 1)
        archive.write(out)
    return _cached("%s-%s.cpio" % (part, _key()), make)


def _scripts(kind, python, more):
    """The small archive behind them, as bytes: init, for dom0 the agent, what runs in Python, and more: {name: octets}."""
    archive, out = cpio.Writer(), io.BytesIO()
    files = {"init": "init-" + kind, "internet": "internet", "etc/xen/scripts/vif-site": "vif-site"}
    files.update({"agent.py": "agent.py"} if kind == "dom0" else {"netvm": "init-netvm"})
    if python:
        files.update({"steps/" + name: "steps/" + name for name in os.listdir(os.path.join(_HERE, "steps"))
                      if name.endswith(".py")})
    for name, source in files.items():
        with open(os.path.join(_HERE, source), "rb") as text:
            archive.file(name, text.read(), 0o755)
    for name, octets in more.items():
        archive.file(name, octets, 0o755)
    archive.write(out)
    return out.getvalue()


def _programs(archive, paths):
    """Programs or libraries with the libraries they need, each under the name by which it is looked up."""
    for path in paths:
        archive.copy(path)
        listed = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "--list", path], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, universal_newlines=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            archive.copy(library)


def _modules(archive, kind):
    """Kernel modules unpacked into /modules, and the lists in which /load finds their order."""
    folder = "/usr/lib/modules/%s/" % release(kind)
    needs = {}
    with open(folder + "modules.dep") as lines:
        for line in lines:
            path, _, others = line.partition(":")
            needs[os.path.basename(path).split(".")[0].replace("-", "_")] = [path] + others.split()
    for title, names in _MODULES[kind].items():
        order = []
        for name in names:
            for path in reversed(needs.get(name.replace("-", "_"), [])):  # a missing one is built in
                plain = os.path.basename(path).replace(".xz", "")
                if plain not in order:
                    order.append(plain)
                    with lzma.open(folder + path) as packed:
                        archive.file("modules/" + plain, packed.read())
        archive.file("modules/" + title, "".join(name + "\n" for name in order).encode())
    archive.file("load", _LOAD, 0o755)


def _python(archive):
    _programs(archive, ["/usr/bin/python3.13"])
    archive.link("usr/bin/python3", "python3.13")
    tops = [_PYTHON] + [os.path.join(_PACKAGES, name) for name in _DIST] + [_PACKAGES]
    for top in tops:
        for folder, folders, names in os.walk(top):
            if top == _PACKAGES:
                folders[:] = []  # single files only: _cffi_backend
                names = [name for name in names if name.startswith("_cffi")]
            folders[:] = [name for name in folders if not _OMITTED.search("%s/%s/" % (folder[len("/usr/lib/python3"):], name))]
            for name in sorted(names):
                path = os.path.join(folder, name)
                archive.copy(path)
                if name.endswith(".so"):
                    _programs(archive, [path])
