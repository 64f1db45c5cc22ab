"""How far hypothesis looks: at the same few examples each time, or with CAR_SEARCH=<n> at n times as many new ones."""

import os

from hypothesis import HealthCheck, settings


def search(examples: int) -> settings:
    """Return the settings of a test that looks at so many examples."""
    times = int(os.environ.get("CAR_SEARCH", "0"))
    return settings(
        max_examples=examples * max(times, 1),
        derandomize=not times,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
