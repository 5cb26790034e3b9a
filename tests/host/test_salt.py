"""The Salt formula that installs the firewall in dom0: rendered with Jinja2 and YAML as Salt does it, and what it
comes to.

Where Salt itself is installed (`salt-call`), it renders the formula too, and shows that a kernel with another hash is
refused; the test root has none, for Debian has no Salt.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import jinja2
import pytest
import yaml

from images import formula
from tests.xen import domain

STATES = ("init", "kernel", "qube", "disposable", "tools", "policy")
KERNEL = b"a kernel"
SHA256 = hashlib.sha256(KERNEL).hexdigest()


class Rendered:
    """The formula with this pillar."""

    def __init__(self, top, pillar):
        self.top, self.pillar = str(top), pillar
        loader = jinja2.FunctionLoader(self._source)
        self.jinja = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
        self.jinja.globals["salt"] = {"pillar.get": self._pillar}
        self.jinja.globals["load_yaml"] = lambda path: yaml.safe_load(self._source(path))
        self.jinja.filters["json"] = json.dumps

    def _source(self, path):
        """Salt's own tag in words of Jinja's."""
        with open(os.path.join(self.top, path)) as file:
            return re.sub(r'import_yaml ("[^"]+") as (\w+)', r"set \2 = load_yaml(\1)", file.read())

    def _pillar(self, key, default, merge=False):
        assert merge
        made = dict(default, **{name: each for name, each in self.pillar.items() if not isinstance(each, dict)})
        for name, each in self.pillar.items():
            if isinstance(each, dict):
                made[name] = dict(default[name], **each)
        return made

    def state(self, name):
        return yaml.safe_load(self.jinja.get_template("python-firewall/%s.sls" % name).render())

    def file(self, name, **context):
        return self.jinja.get_template("python-firewall/files/" + name).render(**context)


def flat(pairs):
    """A list of one-key mappings, as Salt's states have them, as one mapping."""
    assert all(len(each) == 1 for each in pairs)
    made = {key: value for each in pairs for key, value in each.items()}
    assert len(made) == len(pairs), "a key stands there twice"
    return made


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    folder = tmp_path_factory.mktemp("srv")
    (folder / "vmlinuz").write_bytes(KERNEL)
    formula.write(str(folder), str(folder / "vmlinuz"))
    return folder


@pytest.fixture(
    params=[
        {},
        {
            "name": "fw2",
            "netvm": "sys-vpn",
            "admin": "sys-admin",
            "restart": False,
            "memory": 64,
            "disposable": {"base": "fedora-42-minimal"},
        },
    ],
    ids=["as it is", "with a pillar"],
)
def rendered(top, request):
    return Rendered(top, request.param)


@pytest.mark.parametrize("name", STATES)
def test_a_state_renders_to_states(rendered, name):
    for key, body in rendered.state(name).items():
        if key == "include":
            assert all(each.startswith("python-firewall.") and each.split(".")[1] in STATES for each in body)
            continue
        ((function, words),) = body.items()
        assert re.fullmatch(r"(file|qvm|service)\.\w+", function)
        flat(words)


def test_what_a_state_requires_is_there(rendered):
    known, required = set(), set()
    for name in STATES:
        for key, body in rendered.state(name).items():
            if key != "include":
                ((function, words),) = body.items()
                known.add((function.split(".")[0], key))
                required |= {pair for each in flat(words).get("require", []) for pair in each.items()}
    assert required and required <= known


def test_the_kernel_is_hashed_from_a_path_of_dom0(rendered):
    """Of salt:// sources Salt checks no hash."""
    words = flat(rendered.state("kernel")["python-firewall-kernel"]["file.managed"])
    assert words["source_hash"] == "sha256=" + SHA256 and words["source"].startswith("/")
    assert words["name"] == "/var/lib/qubes/vm-kernels/python-firewall/vmlinuz"


def qubes(rendered):
    """(present, prefs, features) of each qube that the formula makes."""
    for state in ("qube", "disposable"):
        for key, body in rendered.state(state).items():
            if key != "include":
                words = flat(body["qvm.vm"])
                yield flat(words["present"]), flat(words["prefs"]), flat(words["features"])


def test_each_qube_has_the_preferences_and_features_of_a_firewall(rendered):
    found = list(qubes(rendered))
    assert [present["class"] for present, _, _ in found] == ["StandaloneVM", "AppVM", "DispVM"]
    for _, prefs, features in found:
        assert prefs["kernel"] == "python-firewall" and prefs["kernelopts"] == "" and prefs["maxmem"] == 0
        assert prefs["guivm"] == prefs["audiovm"] == "" and prefs["provides-network"] is True
        assert prefs["include-in-backups"] is False
        assert set(features["enable"]) == {"qubes-firewall", "no-default-kernelopts", "skip-update", "qrexec"}
        assert set(features["disable"]) == {"gui", "audio"} and "memory-hotplug" not in features["enable"]


def test_by_hand_it_is_the_same_as_by_salt(top):
    with open(os.path.join(formula.kernel.CHECKOUT, "docs", "install.md")) as file:
        text = file.read()
    commands = [line.split() for line in text.split("## 2. Install, by hand")[1].split("## 3.")[0].splitlines()]
    words = {word: {} for word in ("qvm-prefs", "qvm-features")}
    for command in commands:
        if command and command[0] in words and command[1] == "sys-pyfw":
            words[command[0]][command[2].replace("_", "-")] = command[3].strip("'").lower()
    _, prefs, features = next(qubes(Rendered(top, {})))
    left_out = {"label", "autostart"}  # said when it is created; when clients are moved over
    wanted = {key: str(value).lower() for key, value in prefs.items() if key not in left_out}
    assert words["qvm-prefs"] == wanted
    assert words["qvm-features"] == dict(
        {key: "1" for key in features["enable"]}, **{key: "" for key in features["disable"]}
    )


def test_the_domain_that_dom0_makes_of_it_is_the_one_that_the_lab_boots(top):
    """Qubes: with maxmem 0 the domain has `memory` from the start on, and any end is its end."""
    booted = dict(line.replace('"', "").split("=", 1) for line in domain.settings("fw", "/k/vmlinuz", "", 32))
    for _, prefs, _ in qubes(Rendered(top, {})):
        implied = {
            "type": prefs["virt-mode"], "memory": str(prefs["memory"]),
            "maxmem": str(prefs["maxmem"] or prefs["memory"]),
            "vcpus": str(prefs["vcpus"]), "extra": prefs["kernelopts"], "tsc_mode": "native",
            "on_poweroff": "destroy", "on_reboot": "destroy", "on_crash": "destroy",
        }  # fmt: skip
        assert implied == {key: value for key, value in booted.items() if key not in ("name", "kernel")}


def test_the_policy_denies_and_names_one_admin_qube(rendered):
    words = flat(rendered.state("policy")["/etc/qubes/policy.d/30-python-firewall.policy"]["file.managed"])
    lines = [line.split() for line in rendered.file("python-firewall.policy", **words["context"]).splitlines()]
    rules = [line for line in lines if line and line[0][0] != "#"]
    services = {
        "firewall." + name for name in ("Status", "Flows", "Counters", "Watch", "Refused", "Explain", "Capture")
    }
    denied = [line for line in rules if line[4] == "deny"]
    assert {line[0] for line in denied} == services and rules[-7:] == denied
    assert all(line[1:4] == ["*", "@anyvm", "@anyvm"] for line in denied)
    allowed = [line for line in rules if line[4] != "deny"]
    if not rendered.pillar.get("admin"):
        assert allowed == []
    else:
        assert {line[2] for line in allowed} == {"sys-admin"} and {line[3] for line in allowed} == {
            "fw2",
            "disp-sys-pyfw",
        }
        assert {line[4] for line in allowed if line[0] == "firewall.Capture"} == {"ask"}


def test_the_programs_are_all_there(rendered, top):
    state = rendered.state("tools")
    for key, body in state.items():
        words = flat(next(iter(body.values())))
        if "target" in words:
            path = words["target"].replace(
                "/usr/local/lib/qubes-python-firewall", str(top / "python-firewall/files/dom0")
            )
            assert os.path.isfile(path) and os.path.basename(key) == os.path.basename(path)
            assert os.access(path, os.X_OK) == key.startswith("/usr/local/bin/")
    assert ("python-firewall-restart" in state) == rendered.pillar.get("restart", True)


def test_a_checkout_names_no_hash():
    """So that a formula taken from there installs nothing: it fails closed until a hash is set."""
    with open(os.path.join(formula.SALT, "defaults.yaml")) as file:
        assert yaml.safe_load(file)["python-firewall"]["sha256"] == "0" * 64


def salt(top, tmp_path, *words):
    (tmp_path / "minion").write_text(
        "file_client: local\nid: dom0\nfile_roots: {base: [%s]}\npillar_roots: {base: [%s]}\n" % (top, tmp_path)
        + "".join("%s: %s/%s\n" % (key, tmp_path, key) for key in ("cachedir", "pki_dir", "log_file", "sock_dir"))
    )
    program = shutil.which("salt-call")
    if not program:
        pytest.skip("Salt is not here")
    words = [program, "--local", "-c", str(tmp_path), "--out=json"] + list(words)
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)["local"]


@pytest.mark.parametrize("name", STATES)
def test_salt_renders_it_to_the_same(top, tmp_path, name):
    ours = Rendered(top, {}).state(name)
    theirs = salt(top, tmp_path, "state.show_sls", "python-firewall." + name if name != "init" else "python-firewall")
    for key, body in ours.items():
        if key != "include":
            ((function, words),) = body.items()
            module, action = function.split(".")
            assert [
                each for each in theirs[key][module] if not isinstance(each, dict) or "order" not in each
            ] == words + [action]


@pytest.mark.parametrize("right", [True, False])
def test_salt_refuses_another_kernel(top, tmp_path, right):
    shutil.copytree(str(top), str(tmp_path / "srv"))
    state = tmp_path / "srv/python-firewall/kernel.sls"
    state.write_text(state.read_text().replace("/var/lib/qubes/vm-kernels", str(tmp_path)))
    pillar = {"vmlinuz": str(top / "python-firewall/files/vmlinuz"), "kernel": "kernel"}
    if not right:
        pillar["sha256"] = "1" * 64
    told = salt(
        tmp_path / "srv",
        tmp_path,
        "state.apply",
        "python-firewall.kernel",
        "pillar=" + json.dumps({"python-firewall": pillar}),
    )
    (state,) = told.values()
    assert state["result"] is right and os.path.exists(str(tmp_path / "kernel" / "vmlinuz")) == right
    assert right or "does not match" in state["comment"]
