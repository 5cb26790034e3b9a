# dom0's programs: qubes-firewall-top, -explain, -notify, and what starts a crashed firewall qube again.
{% from "python-firewall/map.jinja" import fw with context %}
{% set folder = "/usr/local/lib/qubes-python-firewall" %}

python-firewall-programs:
  file.recurse:
    - name: {{ folder }}
    - source: salt://python-firewall/files/dom0
    - file_mode: keep
    - dir_mode: "0755"
    - user: root
    - group: root
    - clean: true
{% for program in ["top", "explain", "notify", "restart"] %}
/usr/local/bin/qubes-firewall-{{ program }}:
  file.symlink:
    - target: {{ folder }}/qubes-firewall-{{ program }}
    - makedirs: true
    - require:
      - file: python-firewall-programs
{% endfor %}
{% for service in ["notify", "collect"] %}
/usr/local/lib/systemd/user/qubes-firewall-{{ service }}.service:
  file.symlink:
    - target: {{ folder }}/qubes-firewall-{{ service }}.service
    - makedirs: true
    - require:
      - file: python-firewall-programs
{% endfor %}
/usr/local/lib/systemd/system/qubes-firewall-restart@.service:
  file.symlink:
    - target: {{ folder }}/qubes-firewall-restart@.service
    - makedirs: true
    - require:
      - file: python-firewall-programs
{% if fw.restart %}
python-firewall-restart:
  service.running:
    - name: qubes-firewall-restart@{{ fw.name }}
    - enable: true
    - require:
      - file: /usr/local/lib/systemd/system/qubes-firewall-restart@.service
{% endif %}
