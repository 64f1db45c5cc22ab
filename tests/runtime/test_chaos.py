"""The short form of the chaos: two hosts, one seed, each fault about once. ``make chaos`` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VIOLATIONS = (
    "lost",
    "doubled",
    "reordered",
    "fenced_writes_accepted",
    "timers_early",
    "timers_after_cancel",
    "dead_woken",
    "sums_changed",
    "dead_unexpected",
    "unsettled",
    "odd",
)
KEYS = [
    "seconds",
    "seed",
    "kills",
    "pauses",
    "cuts",
    "messages",
    "lost",
    "doubled",
    "reordered",
    "fenced_writes_accepted",
    "timers_early",
    "takeover_p50_s",
    "takeover_max_s",
]


def chaos(**environment: str) -> tuple[int, dict, str]:
    """Run it as ``make chaos`` does; return its code, its last line, and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        cwd=ROOT,
        env={**os.environ, "CHAOS_HOSTS": "2", "CHAOS_SEED": "7", **environment},
        capture_output=True,
        text=True,
        timeout=220,
    )
    said = done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("{"), said
    return done.returncode, json.loads(last), said


def test_nothing_is_lost_doubled_or_overtaken_though_hosts_wires_and_server_break():
    code, last, said = chaos(CHAOS_SECONDS="13")
    assert list(last)[: len(KEYS)] == KEYS
    assert {name: last[name] for name in VIOLATIONS} == dict.fromkeys(VIOLATIONS, 0), said
    assert code == 0, said
    assert last["kills"] >= 1, said
    assert last["messages"] >= 300, said


def test_a_runtime_that_settles_a_mail_before_it_is_handled_is_found_out():
    code, last, said = chaos(CHAOS_SECONDS="6", CHAOS_SABOTAGE="ack")
    assert last["lost"] > 0, said
    assert "VIOLATED" in said
    assert code == 1
