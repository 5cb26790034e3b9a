# The firewall qube. Clients are moved to it by hand: qvm-prefs CLIENT netvm NAME
{% from "python-firewall/map.jinja" import fw with context %}
{% from "python-firewall/preferences.jinja" import preferences, features %}

include:
  - python-firewall.kernel

python-firewall-qube:
  qvm.vm:
    - name: {{ fw.name }}
    - present:
      - class: StandaloneVM
      - label: {{ fw.label }}
    - prefs:
      - label: {{ fw.label }}
      - autostart: {{ fw.autostart | lower }}{{ preferences(fw) }}
    - features:{{ features() }}
    - require:
      - file: python-firewall-kernel
