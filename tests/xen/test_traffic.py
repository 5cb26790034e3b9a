"""Traffic of Linux clients through the image that ships, with dom0 as netvm (the site)."""


def test_ping(site):
    """A client's echo request reaches the internet, with the firewall's address."""
    work = site.client("work")
    assert " 0% packet loss" in work.sh("ping -c 3 192.0.2.1")


def test_ping_counted(counting_site, figure):
    """The same where an instruction takes a nanosecond."""
    work = counting_site.client("work")
    said = work.sh("ping -c 3 192.0.2.1")
    figure("ping through the firewall, counted", said.strip().splitlines()[-1])
    assert " 0% packet loss" in said
