"""What everything of the lab raises."""


class LabError(Exception):
    """The lab, or a step in dom0, did not do what was asked. The text says what was seen."""
