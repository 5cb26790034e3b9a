"""The bench's profile: counted instructions become names; and its curves become a table."""
import array
import subprocess
from types import SimpleNamespace

import pytest
from tests.bench import curves
from tests.bench.profile import counters, symbols
from tests.bench.profile.bytecode import Bytecode
from tests.bench.profile.report import group


def test_an_address_belongs_to_the_symbol_before_it():
    found = symbols.Symbols([(0x200, "second"), (0x100, "first")])
    of = [found.of(at) for at in (0x50, 0x100, 0x1FF, 0x250)]
    assert of == [("?", 0), ("first", 0), ("first", 0xFF), ("second", 0x50)]
    assert found.address("second") == 0x200


def test_the_symbols_of_an_elf_file_are_by_offset(tmp_path):
    (tmp_path / "a.c").write_text("int used = 1; int main(void) { return used; }")
    subprocess.run(["gcc", "-no-pie", "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    text = symbols.image(str(tmp_path / "a"), "t")
    assert "main" in text.names and "used" not in text.names
    assert "used" in symbols.image(str(tmp_path / "a"), "d").names


def copy_of(path, insns, entries):
    """A file as count.c leaves it: octets of zero but for these."""
    words = array.array("Q", bytes(8 * 8))
    words[1] = entries
    counts = array.array("Q", bytes(8 * counters.SIZE))
    for at, n in insns.items():
        counts[at] = n
    with open(path, "wb") as out:
        out.write(words.tobytes() + counts.tobytes())
        out.truncate(8 * 8 + 8 * (6 * counters.SIZE + counters.XEN_SIZE) + counters.SIZE + counters.XEN_SIZE)
    return counters.Counters(path)


def test_a_profile_is_the_difference_of_two_copies(tmp_path):
    before = copy_of(tmp_path / "before", {0x10: 5, 0x20: 7}, 3)
    difference = counters.Difference(before, copy_of(tmp_path / "after", {0x10: 25, 0x20: 7, 0x30: 1}, 9))
    assert difference.insns == {0x10: 20, 0x30: 1} and difference.entries == 6 and difference.hypervisor == {}
    assert counters.by_name(difference.insns, symbols.Symbols([(0, "a"), (0x30, "b")])) == {"a": 20, "b": 1}


def test_lines_of_bytecode():
    """Prelude (no cells, one name), three octets of line 1, then 5 of the line 2 further on, then the code."""
    info = bytes([1, 3 | 1 << 5, 5 | 2 << 5])
    function = Bytecode(bytes([0, len(info) << 1]) + info + b"\xb0" + bytes(20), 0)
    assert function.code == 5
    assert [function.line(5 + at) for at in (0, 2, 3, 7, 8)] == [1, 1, 2, 2, 4]
    assert function.calls({5: 8}) == 4  # an opcode that is loaded twice


def test_functions_of_c_are_grouped():
    names = ("gc_collect_start", "mp_execute_bytecode", "hal_copy", "mp_map_lookup", "fun_data_collect", "strlen")
    assert [group(name) for name in names] == [
        "garbage collection", "interpreter's loop", "our C: xen, grants, events, clock", "attributes and globals: maps",
        "Python compiled to machine code", "other C"]


def test_curves_as_a_table():
    text = curves.lines({"ours": [float(i) for i in range(len(curves.POINTS))], "linux": [None] * len(curves.POINTS)})
    assert text[0].split()[-2:] == ["linux", "ours"] and len(text) == 2 + len(curves.POINTS)
    assert text[2].split() == ["flows", "1", "ns", "–", "0"]


def test_the_rules_of_a_curve_end_by_accepting():
    assert curves.rules(1) == ["action=accept"]
    many = curves.rules(4000)
    assert len(set(many)) == 4000 and many[-1] == "action=accept"


def test_a_list_that_is_refused_is_no_figure():
    """Nothing passed, and a dash did not say why."""
    console = """2026-11-27T09:00:00.000Z info settings: 0 rule trees, 7 keys
2026-11-27T09:00:01.000Z error settings: 10.137.0.20: denied: its rules could not be put in force: NoRoom: 4001 nodes
"""
    assert curves.refused(console, "10.137.0.20") == "its rules could not be put in force: NoRoom: 4001 nodes"
    assert curves.refused(console, "10.137.0.2") == curves.refused("", "10.137.0.20") == ""


def test_no_point_asks_for_more_flows_than_a_client_may_have():
    assert all(point.flows <= 65536 - 512 * (curves.CLIENTS - 1) for point in curves.POINTS)
    assert all(point.flows * point.clients <= 65536 for point in curves.POINTS)


@pytest.mark.parametrize("begun, slowly", [([64000], []), ([63999, 64000], ["700"]), ([63999] * 3, ["700", "700"])])
def test_packets_of_flows_that_have_not_begun_are_no_packets_of_known_flows(begun, slowly):
    """What a client's queue drops begins no flow, and each packet of it would be a miss: they are sent once more."""
    class Bench:
        variant, left, commands = "linux", list(begun), []
        clients = [SimpleNamespace(ip="10.137.0.2%d" % i) for i in range(4)]
        site = SimpleNamespace(set_rules=lambda ip, rules: None)

        def flows(self):
            return self.left.pop(0)

        def watch(self, commands, warm, seconds):
            self.commands.append(commands[0].split())
            moment = {"ns": 0, "cpu": {"firewall": 0}, "uplink": {"rx_packets": 0}, "counters": {}, "all": {}}
            after = dict(moment, ns=1, cpu={"firewall": 500}, uplink={"rx_packets": 5})
            return [moment, after, []]

    bench = Bench()
    point = curves.Point("flows", 64000, 16000, 1, 4, 0)
    each, why = curves.measure(bench, point)
    assert [words[1] for words in bench.commands][:1] == ["flows"]
    assert [words[4] for words in bench.commands[1:] if words[3] == "23"] == slowly
    assert (each, why) == ((100, "") if begun[-1] == 64000 else (None, "only 63999 flows began"))
