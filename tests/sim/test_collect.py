"""port/collect.c and port/allocate.c: what is in use stays, what is not goes, and nobody gets what is another's."""


def test_what_is_kept_stays_and_the_rest_goes(machine):
    firewall = machine.firewall("run=try_collect")
    firewall.wait_for("done")
    assert firewall.console.count("collected after") == 7
