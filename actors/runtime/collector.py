"""When Python looks for garbage in circles: seldom, since what a host holds lives long and its messages leave none."""

import gc

YOUNG, OLD, OLDEST = 20_000, 20, 50
"""New objects after which the young are looked at, and how many such looks lead to one at the old, and the oldest."""


def spare_collector() -> None:
    """Leave all that was loaded out of it, and look seldom at the rest."""
    gc.freeze()
    gc.set_threshold(YOUNG, OLD, OLDEST)
