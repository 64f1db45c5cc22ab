"""How our own processes say what happens: lines on stderr, which the keeper leads into a file."""

import sys

import structlog


def open_journal() -> None:
    """Write plain lines: a traceback with all its colours and variables would hold up a host for half a second."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
