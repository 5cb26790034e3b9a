# All of it but the disposable variant: sudo qubesctl state.apply python-firewall
include:
  - python-firewall.kernel
  - python-firewall.qube
  - python-firewall.tools
  - python-firewall.policy
