"""The leash: what a program is run through, so that it dies with its custodian and keeps its own orphans.

It becomes the program (``exec``) and costs about 13 ms. The other way, code between fork and exec of the custodian,
is not safe once there are threads; and a signal of parent's death that is set after the start comes too late for a
parent that has died meanwhile.

Who becomes a child subreaper stays one through ``exec``: what a command of the agent starts with ``setsid`` and an
empty environment therefore stays below the agent, for as long as it lives, and is found there.

This file is read once and run as text (``python -I -S -c``): it takes nothing of the house, so that an upgrade on
disk does not change it under a custodian that is at work.
"""

import ctypes
import os
import signal
import sys


def main() -> None:
    """Become the program: ``<pid of the parent> <fd for an errno> <keep LC_CTYPE: 0 or 1> <program> <argv...>``."""
    parent, report, locale, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    libc = ctypes.CDLL(None)
    libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    if os.getppid() != parent:
        os._exit(125)
    # Two traces that this Python leaves: ignored signals, and in a bare environment a locale.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if locale == "0":
        os.environ.pop("LC_CTYPE", None)
    os.set_inheritable(report, False)  # noqa: FBT003  # closed by a successful exec: that is the good news
    try:
        os.execv(program, sys.argv[5:])  # noqa: S606  # no shell is meant
    except OSError as error:
        os.write(report, str(error.errno).encode())
        os._exit(126)


if __name__ == "__main__":
    main()
