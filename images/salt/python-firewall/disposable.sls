# The variant of which nothing is kept: a template for disposables, and a named one of it. The image has no disk that it writes to,
# so the difference is what dom0 keeps: `base` is a template that dom0 wants for its class, and never starts.
{% from "python-firewall/map.jinja" import fw with context %}
{% from "python-firewall/preferences.jinja" import preferences, features %}

include:
  - python-firewall.kernel

python-firewall-template:
  qvm.vm:
    - name: {{ fw.disposable.template }}
    - present:
      - class: AppVM
{%- if fw.disposable.base %}
      - template: {{ fw.disposable.base }}
{%- endif %}
      - label: {{ fw.label }}
    - prefs:
      - label: {{ fw.label }}
      - template-for-dispvms: true{{ preferences(fw) }}
    - features:{{ features() }}
    - require:
      - file: python-firewall-kernel

python-firewall-disposable:
  qvm.vm:
    - name: {{ fw.disposable.name }}
    - present:
      - class: DispVM
      - template: {{ fw.disposable.template }}
      - label: {{ fw.label }}
    - prefs:
      - label: {{ fw.label }}
      - autostart: {{ fw.autostart | lower }}{{ preferences(fw) }}
    - features:{{ features() }}
    - require:
      - qvm: python-firewall-template
