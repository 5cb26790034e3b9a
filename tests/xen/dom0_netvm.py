"""dom0 as the netvm of a site, with the internet behind it: a network namespace on a pair of veth interfaces.

What a site wants of a netvm:
    address                 its own, in the view of the firewall: the gateway
    interface_words         of the uplink's line for xl, behind mac and ip
    backends                xenstore path below which its backends' directories lie
    internet                an Internet, or None
    sh(command), reset(), close()
"""
_SCRIPT = """#!/bin/sh
# Does for one interface what Qubes' vif-route-qubes does; libxl gives vif and XENBUS_PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip() { /usr/sbin/ip "$@"; }
if [ "$1" = online ]; then
    ip=$(xenstore-read "$XENBUS_PATH/ip")
    echo 1 > /proc/sys/net/ipv4/conf/$vif/proxy_arp
    ip neigh replace $ip lladdr $(xenstore-read "$XENBUS_PATH/mac") dev $vif nud permanent
    ip link set $vif up
    ip route replace $ip dev $vif
    ip addr replace %s/32 dev $vif
    xenstore-write "$XENBUS_PATH/hotplug-status" connected
fi
"""
_NAME = "vif-site"
SERVED = "/var/log/services.log"
HEAD = """
ip() { /usr/sbin/ip "$@"; }  # not that of busybox, which its shell takes before all others
"""
_SET_UP = """
[ -d /sys/module/veth ] || /load network
ip netns add internet
ip link add wan type veth peer name eth0 netns internet
ip addr add 192.0.2.254/24 dev wan; ip link set wan up
for resolver in 10.139.1.1 10.139.1.2; do ip route add $resolver via 192.0.2.1; done
echo 1 > /proc/sys/net/ipv4/ip_forward
ip netns exec internet sh -e -c '
    ip() { /usr/sbin/ip "$@"; }
    ip link set lo up; ip link set eth0 up
    for address in 192.0.2.1/24 192.0.2.2/24 10.139.1.1/32 10.139.1.2/32; do ip addr add $address dev eth0; done
    ip route add 10.137.0.9 via 192.0.2.254
    echo 0 > /proc/sys/net/ipv4/icmp_ratelimit'
"""
_END = """
for process in $(ip netns pids internet 2>/dev/null); do kill -9 $process || true; done  # it may have ended by itself
"""
_CLOSE = _END + "ip link del wan 2>/dev/null; ip netns del internet 2>/dev/null; true"


class Internet:
    """192.0.2.1 and .2, and the resolvers' addresses."""

    address, other = "192.0.2.1", "192.0.2.2"
    _enter = ["ip", "netns", "exec", "internet"]

    def __init__(self, lab):
        self.lab = lab

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command."""
        return self.lab.run(self._enter + ["sh", "-c", HEAD + command], timeout, check)

    def start(self, argv, log="/dev/null"):
        """Start a program that goes on running; its process id in dom0. Its output goes to a file of dom0's."""
        return self.lab.start(self._enter + list(argv), log)

    def serve(self, seconds):
        """Start steps/services.py, whose log is SERVED in dom0; True if all servers were ready in so many seconds."""
        self.lab.run(["rm", "-f", SERVED])
        self.start(["python3", "/steps/services.py"], SERVED)
        return self.lab.await_text(SERVED, "ready", seconds)


class Dom0Netvm:
    address = "10.137.0.8"
    interface_words = "script=" + _NAME
    backends = "/local/domain/0/backend/vif"

    def __init__(self, lab):
        self.lab = lab
        self.internet = Internet(lab)
        lab.write("/etc/xen/scripts/" + _NAME, (_SCRIPT % self.address).encode(), 0o755)
        self.sh(_CLOSE)  # of a site that was not closed
        self.sh("set -e" + _SET_UP)

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in dom0."""
        return self.lab.run(["sh", "-c", HEAD + command], timeout, check)

    def reset(self):
        """End all that was started in the internet."""
        self.sh(_END)

    def close(self):
        self.sh(_CLOSE)
