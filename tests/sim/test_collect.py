"""The collector of port/collect.c: what is in use stays, what is not goes, and nothing else of the heap is touched."""


def test_what_is_kept_stays_and_the_rest_goes(machine):
    firewall = machine.firewall("run=try_collect")
    firewall.wait_for("done")
    assert firewall.console.count("collected after") == 4
