# Who may ask the firewall qube: dom0, which needs no line, and one admin qube, if one is named. Nobody else.
{% from "python-firewall/map.jinja" import fw with context %}

/etc/qubes/policy.d/30-python-firewall.policy:
  file.managed:
    - source: salt://python-firewall/files/python-firewall.policy
    - template: jinja
    - context:
        qubes: {{ [fw.name, fw.disposable.name] | json }}
        admin: {{ fw.admin | json }}
    - mode: "0664"
    - user: root
    - group: qubes
