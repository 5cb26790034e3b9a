"""The network of a Qubes machine around the image, on the lab's Xen.

    work 10.137.0.20 ─┐
                      ├─ firewall 10.137.0.9 ── 10.137.0.8 netvm 192.0.2.254 ── 192.0.2.1 internet
    chat 10.137.0.21 ─┘

    site = Site(lab, clients=("10.137.0.20", "10.137.0.21"))
    work = site.client("work", "10.137.0.20", rules=["action=accept proto=icmp"])
    work.sh("ping -c 3 192.0.2.1")
    site.internet.sh("ping -c 1 10.137.0.9")
    site.close()

The firewall is the image that ships, with QubesDB, created paused as Qubes does. Every interface is made by libxl, is a
point-to-point one with an address of 32 bits, and has Qubes' one MAC; those of clients are not trusted by the client.
The internet knows a way back to 10.137.0.9 alone: what reaches it with a client's own address is never answered.
The resolvers that Qubes promises, 10.139.1.1 and .2, are addresses of the internet.
"""
import time

from .channel import LabError
from .dom0_netvm import Dom0Netvm
from .qubesdb import QubesDB, firewall_keys

IMAGE = "/src/build/vmlinuz"
FIREWALL = "10.137.0.9"
MAC = "00:16:3e:5e:6c:00"
CLIENTS = ("10.137.0.20", "10.137.0.21", "10.137.0.22")
ACCEPT = ("action=accept",)
# Qubes' setup-ip, for an interface that has just appeared
_SETUP = ("until [ -e /sys/class/net/eth0 ]; do usleep 20000; done; /usr/sbin/ip link set eth0 up; "
          "/usr/sbin/ip addr replace %s/32 dev eth0; /usr/sbin/ip route replace default via %s dev eth0 onlink; "
          "printf 'nameserver 10.139.1.1\\nnameserver 10.139.1.2\\n' > /etc/resolv.conf")


# What a test has left in a client: programs (kernel threads have no command line) and files
_TIDY = ("for p in /proc/[0-9]*; do n=${p#/proc/}; c=; read -r c < $p/cmdline; "
         "[ $n = 1 ] || [ $n = $$ ] || [ -z \"$c\" ] || kill -9 $n; done 2> /dev/null; rm -rf /tmp/* /run/wire*")


class Site:
    """Netvm, firewall and clients. Attributes, all to be read only:

    firewall: the image's Domain; database: its QubesDB; clients: {name: Linux}; uplink: the netvm's interface towards
    the firewall; internet: what is behind the netvm, see internet.py.
    """

    def __init__(self, lab, netvm="dom0", memory=32, cmdline="", clients=CLIENTS, features=None,
                 files=None):
        """netvm: "dom0", "driver" (a Linux domU, see domu_netvm.py), or the class of one. memory: of the firewall, in MB.
        clients: addresses of those that exist, running or not. features: {node: value} put over those that the netvm's
        backend offers. files: {name: octets} of further programs in the Linux clients."""
        self.lab, self.memory, self.cmdline, self.known = lab, memory, cmdline, tuple(clients)
        self.features, self.files = dict(features or {}), files
        self.clients = {}
        self.held = False  # by somebody who has its clients for longer than a test
        self.netvm = _netvm_class(netvm)(lab)
        self.firewall = self.database = None
        self._keys = firewall_keys(FIREWALL, self.netvm.address, self.known)
        self._start_firewall(self._keys)

    def _start_firewall(self, keys):
        self.create_firewall(keys)
        self.firewall.unpause()
        self.await_firewall()

    def create_firewall(self, keys):
        """Make it, paused, with its uplink and its QubesDB."""
        lab = self.lab
        self.firewall = lab.domain("firewall", lab.upload(IMAGE), self.cmdline, self.memory, paused=True,
                                   config='vif=["%s"]' % self.uplink_words())
        for node, value in self.features.items():
            lab.store_write("%s/%d/0/%s" % (self.netvm.backends, self.firewall.domid, node), value)
        self.database = QubesDB(lab, self.firewall, keys)

    def await_firewall(self):
        """Wait until it runs, and has asked QubesDB for everything."""
        self.firewall.wait_for("memory: ", timeout=60)
        self.until(lambda: self.database.state()["asked"], 60)

    def uplink_words(self):
        """What `xl network-attach` wants to know to give the firewall its uplink."""
        return "mac=%s,ip=%s,%s" % (MAC, FIREWALL, self.netvm.interface_words)

    @property
    def internet(self):
        return self.netvm.internet

    @property
    def uplink(self):
        return "vif%d.0" % self.firewall.domid

    # ---- clients

    def client(self, name, ip=CLIENTS[0], rules=ACCEPT, config="", memory=0, python=False):
        """The running Linux client of that name, started if need be, with these rules in force.

        config: further lines for xl; memory, python: see Lab.linux().
        """
        self.set_rules(ip, rules)
        client = self.clients.get(name)
        if client and python and not client.python:
            self.clients.pop(name).destroy()  # another test did without
            client = None
        if client is None:
            self.announce(ip)
            words = self.client_words(ip)
            client = self.lab.linux(name, memory, 'vif=["%s"]\n%s' % (words, config), 240, python, files=self.files)
            client.ip, client.python = ip, python
            self.clients[name] = client
            self.set_up(client)
        return client

    def announce(self, ip):
        """Let QubesDB name a client's address, before it is attached: what is not named gets nothing."""
        if ip not in self.known:
            self.known += (ip,)
            self.database.write("/connected-ips", " ".join(self.known))

    def client_words(self, ip):
        """What xl is told of a client's interface; Qubes trusts no backend but dom0's."""
        return "mac=%s,ip=%s,backend=%d,untrusted" % (MAC, ip, self.firewall.domid)

    def set_up(self, client, gateway=FIREWALL):
        """Give the client's interface its address and routes, once it is there."""
        client.sh(_SETUP % (client.ip, gateway), timeout=60)

    def attach(self, client, ip=None):
        """Give a running client an interface of this firewall, as `qvm-prefs client netvm firewall` does."""
        client.ip = ip or client.ip
        self.announce(client.ip)
        self.lab.run(self.attaching(client), timeout=60)
        self.set_up(client)

    def attaching(self, client):
        """What is run in dom0 for that."""
        return ["xl", "network-attach", str(client.domid)] + self.client_words(client.ip).split(",")

    def attach_and_ping(self, client, seconds):
        """attach(), and seconds from then until its first ping is answered; None: not in so many.

        All of it goes on in the lab: its clock runs ahead while the host asks.
        """
        ping = "until ping -c 1 -W 1 192.0.2.1 | grep 'bytes from'; do usleep 20000; done"
        client.sh("(%s; %s) > /dev/console 2>&1 &" % (_SETUP % (client.ip, FIREWALL), ping))
        return self.lab.call("driver.said", self.attaching(client), {"answered": (client.log, "bytes from")}, seconds,
                             timeout=seconds + 120)["answered"]

    def detach(self, client):
        """Take a client's interface away. It goes even if the firewall no longer exists."""
        self.lab.run(["xl", "network-detach", str(client.domid), "0"], timeout=60)
        client.sh("while [ -e /sys/class/net/eth0 ]; do usleep 20000; done", timeout=30)

    def set_rules(self, ip, rules):
        """Commit a client's rules. They are in force on return if the client is attached; else before its first packet."""
        attached = any(client.ip == ip for client in self.clients.values())
        if not attached:
            self.database.commit(ip, list(rules))
        elif self.database.commit_and_wait(ip, list(rules), 30) is None:
            raise LabError("the rules of %s are not in force after 30 s" % ip)

    # ---- what can happen to the machine

    def restart_firewall(self, how="kill"):
        """End the firewall ("kill" or "shutdown"), start it afresh and re-attach its clients, as qubesd does."""
        if how == "kill":
            self.firewall.destroy()
        else:
            self.firewall.shutdown()
            self.firewall.wait_for_end(30)
            self.firewall.destroy()
        keys = self.database.state()["keys"]
        self.database.stop()
        for client in self.clients.values():
            self.detach(client)
        keys["/qubes-iptables-error"] = ""
        self._start_firewall(keys)
        for client in self.clients.values():
            self.attach(client)

    def detach_uplink(self):
        """Take the firewall's uplink away. It goes even if the netvm no longer exists."""
        self.lab.run(["xl", "network-detach", str(self.firewall.domid), "0"], timeout=60)

    def renew_uplink(self):
        """Give the firewall a new uplink, whether it has one or not."""
        if self.firewall.store_read("device/vif/0/state") is not None:
            self.detach_uplink()
        self.attach_uplink()

    def attach_uplink(self):
        """Give the firewall an interface of self.netvm."""
        self.lab.run(self.attaching_uplink(), timeout=60)

    def attaching_uplink(self):
        """What is run in dom0 for that."""
        return ["xl", "network-attach", str(self.firewall.domid)] + self.uplink_words().split(",")

    # ---- looking

    def netvm_sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in the netvm."""
        return self.netvm.sh(command, timeout, check)

    def uplink_counters(self):
        """{"rx_packets": n, "rx_bytes": ..., "tx_...": ...} of the netvm's interface: rx is what the firewall sent.

        Linux' backend counts what crosses the ring: a super-frame is one packet.
        """
        names = ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"]
        text = self.netvm_sh("cd /sys/class/net/%s/statistics; cat %s" % (self.uplink, " ".join(names)))
        return dict(zip(names, map(int, text.split())))

    def uptime(self):
        """Seconds of the emulated computer's clock."""
        return float(self.lab.run("cat /proc/uptime").split()[0])

    def until(self, condition, seconds=30.0):
        """Wait for condition() to be true; its value. LabError when the time, by the lab's clock, is over."""
        end = self.lab.clock() + seconds
        while True:
            late = self.lab.clock() > end  # before the look: an idle lab's clock runs on while the host asks
            value = condition()
            if value:
                return value
            if late:
                raise LabError("not so after %g s" % seconds)
            time.sleep(0.1)

    def usable(self):
        """Can a further test use it: do the lab, the firewall and all clients still run?"""
        return (self.lab.usable() and self.firewall.state() == "running"
                and all(client.state() == "running" and not client.stuck for client in self.clients.values()))

    def reset(self):
        """For the next test: nothing runs in internet and clients, no setting is there, each may do everything."""
        self.netvm.reset()
        for path in self.database.state()["keys"]:
            if path.startswith("/vm-config/") and path not in self._keys:
                self.database.remove(path)
        for client in self.clients.values():
            if not self.held and client.state() == "running":
                client.sh(_TIDY, 60)
            self.set_rules(client.ip, ACCEPT)

    def close(self):
        """End firewall, clients and netvm."""
        self.database.stop()
        for domain in list(self.clients.values()) + [self.firewall]:
            domain.destroy()
        self.netvm.close()


def _netvm_class(kind):
    if kind == "dom0":
        return Dom0Netvm
    if kind == "driver":
        from .domu_netvm import DomuNetvm
        return DomuNetvm
    return kind
