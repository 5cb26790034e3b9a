# The kernel in dom0, if it is the one that sha256 says. Upgrade: another folder in `kernel`, then the qube's state; rollback: the old one.
{% from "python-firewall/map.jinja" import fw with context %}

python-firewall-kernel:
  file.managed:
    - name: /var/lib/qubes/vm-kernels/{{ fw.kernel }}/vmlinuz
    # a path of dom0, not salt://, whose hash Salt would not check
    - source: {{ fw.get("vmlinuz", "/srv/salt/python-firewall/files/vmlinuz") }}
    - source_hash: sha256={{ fw.sha256 }}
    - makedirs: true
    - dir_mode: "0755"
    - mode: "0644"
    - user: root
    - group: root
