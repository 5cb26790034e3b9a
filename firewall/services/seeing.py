"""The services by which a person sees what the firewall does; their forms are in docs/services.md."""
from firewall.services import capture, counters, explain, flows, refused, status, watch

SERVICES = {
    "firewall.Status": status.status,
    "firewall.Flows": flows.flows,
    "firewall.Counters": counters.counters,
    "firewall.Watch": watch.watch,
    "firewall.Refused": refused.refused,
    "firewall.Explain": explain.explain,
    "firewall.Capture": capture.capture,
}
