"""Who is to blame: the few errors of the house. Their text is fit to be shown to a person."""


class CarError(Exception):
    """Never raised itself. ``str(error)`` is one sentence: what, where, and how to mend it."""


class Refused(CarError):
    """The asker's fault: shown to the person, never logged as an error, never tried again."""


class Unreadable(CarError):
    """These bytes are no message, file or record of ours."""


class WorkFailed(CarError):
    """A tool failed. ``output`` is what it printed, for the log and the curious."""

    def __init__(self, what: str, output: str = "") -> None:
        """Say what failed, and keep what it printed."""
        super().__init__(what)
        self.output = output


class Unreachable(CarError):
    """The wire or the store did not answer: the only kind that is tried again."""


class Unsent(Unreachable):
    """It surely was not stored; of a plain ``Unreachable`` nobody knows."""


class Full(Unsent):
    """The mailbox holds as many messages as it may."""
