"""The services by name, and who answers.

    async def handler(firewall, call): ... return exit code

call: see firewall/qubes/calls.py. A handler only reads what it is given of the main.Firewall. It works in bounded steps
with an await between them: call.write() is one. A caller that does not read stops its own handler only.
"""
from firewall.qubes.stream import CallEnded  # noqa: F401: handlers have it from here
from firewall.services import qubes, seeing

SERVICES = {}  # name -> handler
SERVICES.update(qubes.SERVICES)
SERVICES.update(seeing.SERVICES)

_LASTING = "firewall."  # what our own services are called: some of them go on for as long as somebody looks


class Services:
    """What the agent (firewall/qubes/agent.py) asks."""

    def __init__(self, firewall):
        self.firewall = firewall

    def known(self, service):
        return service in SERVICES and SERVICES[service] is not qubes.absent

    def lasts(self, service):
        """It may go on for long: it gets no place that is kept for what ends soon."""
        return service.startswith(_LASTING)

    def names(self):
        """Of all that somebody may ask for with success."""
        return sorted(name for name in SERVICES if self.known(name))

    async def serve(self, call):
        """The exit code."""
        return await SERVICES.get(call.service, qubes.absent if call.service else qubes.plain)(self.firewall, call)
