import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from actors.runtime import launch, process
from protocol.errors import Refused
from tests.custody.scene import (
    HOUSE,
    SLEEPER,
    STRAYS,
    custodian_of,
    eventually,
    hub_in,
    keeper_of,
    living,
    program,
    written,
)

LAST_WORDS = """
import os, signal, time


def leave(number, frame):
    with open("order", "a") as file:
        file.write({name!r} + " ")
    raise SystemExit


signal.signal(signal.SIGTERM, leave)
open({name!r} + ".ready", "w").close()
while True:
    time.sleep(1)
"""


@pytest.fixture
def hub(tmp_path):
    with hub_in(tmp_path) as made:
        yield made


def started(hub, name):
    return eventually(lambda: living(hub, name))


def starts(hub, name):
    log = hub.log / "keeper.log"
    return log.read_text().count(f"{name} started") if log.exists() else 0


def test_a_killed_child_is_started_again_and_each_time_later(hub, tmp_path):
    launch.up(hub, keeper_of(tmp_path, ("host", SLEEPER)))
    times = []
    for _ in range(3):
        host = started(hub, "host")
        times.append(host.started_at)
        killed = time.time()
        process.send(host.who, signal.SIGKILL)
        eventually(lambda gone=host: not process.alive(gone.who))
        times[-1] = killed
    again = started(hub, "host")
    assert again.started_at - times[2] >= 0.8
    assert "starts again in 0.2 s" in (hub.log / "keeper.log").read_text()
    assert "starts again in 0.8 s" in (hub.log / "keeper.log").read_text()


def test_a_program_that_is_missing_is_tried_again_and_named_in_its_log(hub, tmp_path):
    launch.up(hub, keeper_of(tmp_path, ("host", ("/nowhere/car-host",)), ("other", SLEEPER)))
    eventually(lambda: starts(hub, "host") == 2)
    assert "host cannot be started: /nowhere/car-host: No such file or directory" in (hub.log / "host.log").read_text()
    assert starts(hub, "other") == 1


def test_children_have_sessions_and_logs_of_their_own_and_know_their_hub(hub, tmp_path):
    tells = program(tmp_path, "tells", "import os, time\nprint(os.environ['CAR_HUB'], flush=True)\ntime.sleep(100)")
    launch.up(hub, keeper_of(tmp_path, ("host", tells)))
    host = started(hub, "host")
    assert os.getsid(host.pid) == host.pid
    eventually(lambda: (hub.log / "host.log").read_text() == f"{hub.root}\n")
    assert (hub.log / "host.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_has_grown_too_long_is_put_aside_once(hub, tmp_path):
    (hub.log / "host.log").write_text("x" * 5_000_001)
    launch.up(hub, keeper_of(tmp_path, ("host", SLEEPER)))
    started(hub, "host")
    assert (hub.log / "host.log").stat().st_size == 0
    assert (hub.log / "host.log.old").stat().st_size == 5_000_001


def test_killing_the_keeper_kills_nobody_and_the_next_one_adopts_and_goes_on(hub, tmp_path):
    command = keeper_of(tmp_path, ("server", SLEEPER), ("host", SLEEPER))
    keeper = launch.up(hub, command)
    before = [started(hub, name) for name in ("server", "host")]
    process.send(keeper.who, signal.SIGKILL)
    process.wait(keeper.who, 5)
    successor = launch.up(hub, command)
    assert successor.who != keeper.who
    eventually(lambda: (hub.log / "keeper.log").read_text().count(" lives (pid ") == 2)
    assert [living(hub, name) for name in ("server", "host")] == before
    process.send(before[1].who, signal.SIGKILL)
    assert eventually(lambda: started(hub, "host").who != before[1].who)
    assert living(hub, "server") == before[0]


def test_a_second_keeper_refuses_with_a_sentence(hub, tmp_path):
    command = keeper_of(tmp_path, ("host", SLEEPER))
    keeper = launch.up(hub, command)
    host = started(hub, "host")
    env = {**os.environ, "CAR_HUB": str(hub.root)}
    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=10, check=False)
    assert second.returncode == 1
    assert second.stderr == f"a keeper is at work in {hub.root} already (pid {keeper.pid})\n"
    assert launch.up(hub, command) == keeper
    assert living(hub, "host") == host


def test_of_many_that_call_at_once_all_get_the_one_keeper(hub, tmp_path):
    command = keeper_of(tmp_path, ("host", SLEEPER))
    with ThreadPoolExecutor() as pool:
        got = {record.who for record in pool.map(lambda _: launch.up(hub, command), range(4))}
    assert got == {living(hub, "keeper").who}
    started(hub, "host")
    assert starts(hub, "host") == 1
    # And the others are gone: none waits for its turn, to start all again after the stop.
    assert [pid for pid in process.table() if is_running(pid, command)] == [living(hub, "keeper").pid]


def is_running(pid, command):
    try:
        return (process.PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[:-1] == [*map(str.encode, command)]
    except OSError:
        return False


def test_a_keeper_that_is_leaving_is_waited_for(hub, tmp_path):
    slow = (
        "import signal, time\nsignal.signal(15, lambda *_: time.sleep(0.5) or exit())\nopen('on', 'w')\ntime.sleep(100)"
    )
    command = keeper_of(tmp_path, ("host", program(tmp_path, "slow", slow)))
    first = launch.up(hub, command)
    eventually((tmp_path / "on").exists)
    host = living(hub, "host")
    process.send(first.who, signal.SIGTERM)
    eventually(lambda: living(hub, "keeper").leaving)
    second = launch.up(hub, command)
    assert second.who != first.who
    assert not process.alive(host.who)
    assert started(hub, "host").who != host.who


def test_all_end_in_order_and_nothing_is_left_in_the_records(hub, tmp_path):
    names = ("server", "custodian", "host")
    children = [(name, program(tmp_path, name, LAST_WORDS.format(name=name))) for name in names]
    keeper = launch.up(hub, keeper_of(tmp_path, *children))
    eventually(lambda: all((tmp_path / f"{name}.ready").exists() for name in names))
    assert launch.stop(hub) == ("host", "custodian", "server", "keeper")
    assert (tmp_path / "order").read_text().split() == ["host", "custodian", "server"]
    assert not process.alive(keeper.who)
    assert launch.states(hub) == ()
    assert launch.stop(hub) == ()


def test_without_a_keeper_all_end_in_the_same_order(hub, tmp_path):
    names = ("server", "custodian", "host")
    children = [(name, program(tmp_path, name, LAST_WORDS.format(name=name))) for name in names]
    keeper = launch.up(hub, keeper_of(tmp_path, *children))
    eventually(lambda: all((tmp_path / f"{name}.ready").exists() for name in names))
    process.send(keeper.who, signal.SIGKILL)
    process.wait(keeper.who, 5)
    assert launch.stop(hub) == ("host", "custodian", "server")
    assert (tmp_path / "order").read_text().split() == ["host", "custodian", "server"]
    assert launch.states(hub) == ()


def test_stopping_touches_no_process_whose_pid_a_record_only_resembles(hub):
    with subprocess.Popen(SLEEPER) as bystander:
        mine = process.describe_myself("host", ())
        process.write(hub.run, replace(mine, pid=bystander.pid))
        assert launch.stop(hub) == ()
        assert bystander.poll() is None
        bystander.kill()


def test_one_that_does_not_listen_is_killed_after_its_grace(hub, tmp_path):
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('ready', 'w')\ntime.sleep(100)"
    launch.up(hub, keeper_of(tmp_path, ("host", program(tmp_path, "deaf", deaf))))
    eventually((tmp_path / "ready").exists)
    host = started(hub, "host")
    began = time.monotonic()
    launch.stop(hub)
    assert not process.alive(host.who)
    assert 2.0 <= time.monotonic() - began < 5.0


def test_renewing_starts_the_host_afresh_and_nobody_else(hub, tmp_path):
    command = keeper_of(tmp_path, ("custodian", SLEEPER), ("host", SLEEPER))
    keeper = launch.up(hub, command)
    custodian, host = started(hub, "custodian"), started(hub, "host")
    renewed = launch.renew_host(hub, command)
    assert renewed.who != host.who
    assert not process.alive(host.who)
    assert living(hub, "custodian") == custodian
    assert living(hub, "keeper") == keeper
    assert {state.name: state.alive for state in launch.states(hub)} == dict.fromkeys(
        ("keeper", "custodian", "host"), True
    )


def test_a_keeper_that_was_told_until_when_ends_with_that_process_and_takes_all_with_it(hub, tmp_path):
    tells = KEEPER_UNTIL.format(child=SLEEPER)
    with subprocess.Popen(SLEEPER) as owner:
        who = process.identify(owner.pid)
        keeper = launch.up(hub, program(tmp_path, "keeper", tells), until=who)
        host = started(hub, "host")
        owner.kill()
    assert process.wait(keeper.who, 5)
    assert not process.alive(host.who)


def test_a_keeper_whose_hub_was_deleted_ends_everything_and_itself(hub, tmp_path):
    keeper = launch.up(hub, keeper_of(tmp_path, ("server", SLEEPER), ("host", SLEEPER)))
    server, host = started(hub, "server"), started(hub, "host")
    shutil.rmtree(hub.home)
    process.send(host.who, signal.SIGKILL)
    assert process.wait(keeper.who, 5)
    assert not process.alive(server.who)


KEEPER_UNTIL = """
from actors.custody.keeper import Child, run
from actors.runtime.place import find_hub
from actors.runtime.process import read_identity

assert sys.argv[1] == "--until"
run(find_hub(), (Child("host", {child!r}),), read_identity(sys.argv[2]))
"""


def test_what_a_killed_custodian_leaves_is_ended_marked_or_not(hub, tmp_path):
    custodian = custodian_of(tmp_path, f"{STRAYS} sleep 100")
    launch.up(hub, keeper_of(tmp_path, ("custodian", custodian), ("host", SLEEPER)))
    first, host = started(hub, "custodian"), started(hub, "host")
    strays = [written(tmp_path / name) for name in ("marked", "cleared")]
    for name in ("marked", "cleared"):
        (tmp_path / name).unlink()
    process.send(first.who, signal.SIGKILL)
    eventually(lambda: not any(map(process.alive, strays)))
    # The next custodian's are none of these: they live.
    second = [written(tmp_path / name) for name in ("marked", "cleared")]
    eventually(lambda: "custodian started" in (hub.log / "keeper.log").read_text())
    assert all(map(process.alive, second))
    assert living(hub, "host") == host


def test_what_is_left_by_an_adopted_custodian_is_ended_marked_or_not(hub, tmp_path):
    custodian = custodian_of(tmp_path, f"{STRAYS} sleep 100")
    command = keeper_of(tmp_path, ("custodian", custodian))
    keeper = launch.up(hub, command)
    first = started(hub, "custodian")
    strays = [written(tmp_path / name) for name in ("marked", "cleared")]
    process.send(keeper.who, signal.SIGKILL)
    process.wait(keeper.who, 5)
    launch.up(hub, command)
    eventually(lambda: "custodian lives" in (hub.log / "keeper.log").read_text())
    assert all(map(process.alive, strays))
    # Seen once by the new keeper, the unmarked one is known too. It looks before it rests.
    eventually(lambda: is_resting(living(hub, "keeper").pid))
    assert all(map(process.alive, strays))
    process.send(first.who, signal.SIGKILL)
    eventually(lambda: not any(map(process.alive, strays)))


def is_resting(pid):
    return b") S " in (process.PROC / str(pid) / "stat").read_bytes()


def test_what_a_keeper_and_a_custodian_leave_that_are_killed_together_is_ended_by_the_next(hub, tmp_path):
    custodian = custodian_of(tmp_path, f"{STRAYS} sleep 100")
    keeper = launch.up(hub, keeper_of(tmp_path, ("custodian", custodian)))
    first = started(hub, "custodian")
    marked, cleared = (written(tmp_path / name) for name in ("marked", "cleared"))
    process.send(keeper.who, signal.SIGKILL)
    process.send(first.who, signal.SIGKILL)
    assert process.wait(keeper.who, 5)
    assert process.wait(first.who, 5)
    assert launch.up(hub, keeper_of(tmp_path, ("host", SLEEPER))).who != keeper.who
    eventually(lambda: not process.alive(marked))
    process.terminate(cleared, 0.0)  # traceless: the bound of what can be known without cgroups


def test_the_program_car_keeper_keeps_what_the_hub_is_made_of(hub, tmp_path):
    beside = tmp_path / "bin"
    beside.mkdir()
    (beside / "python").symlink_to(os.path.realpath(sys.executable))
    for name in ("nats-server", "car-custodian", "car-host"):
        (beside / name).write_text('#!/bin/sh\necho "$0 $*"\nexec sleep 100\n')
        (beside / name).chmod(0o755)
    script = beside / "car-keeper"
    script.write_text(
        f"#!{beside}/python\nimport sys\nsys.path.insert(0, {str(HOUSE)!r})\n"
        "from actors.custody.keeper import main\nmain()\n"
    )
    script.chmod(0o755)
    (hub.nats / "server.conf").write_text("")
    began = time.monotonic()
    launch.up(hub, (str(script), "--hub", str(hub.root)))
    assert time.monotonic() - began < 2.0
    eventually(lambda: all(living(hub, name) for name in ("server", "custodian", "host")))
    expected = f"{beside}/nats-server -c {hub.nats}/server.conf\n"
    eventually(lambda: (hub.log / "server.log").read_text() == expected)


def test_the_keeper_that_cannot_start_is_told_with_its_log(hub, tmp_path):
    with pytest.raises(Refused, match=f"the keeper does not start; what it said is in {hub.log}/keeper.log"):
        launch.up(hub, program(tmp_path, "keeper", "raise SystemExit('no')"))
    assert (hub.log / "keeper.log").read_text() == "no\n"
    with pytest.raises(Refused, match="the keeper cannot be started: /nowhere/x: No such file or directory"):
        launch.up(hub, ("/nowhere/x",))


def test_in_the_foreground_the_process_itself_becomes_the_keeper_and_ctrl_c_ends_all(hub, tmp_path):
    command = keeper_of(tmp_path, ("host", SLEEPER))
    becomes = "from actors.runtime import launch, place\nlaunch.foreground(place.find_hub(), {!r})"
    env = {**os.environ, "CAR_HUB": str(hub.root)}
    with subprocess.Popen(
        program(tmp_path, "front", becomes.format(command)), env=env, stderr=subprocess.PIPE
    ) as front:
        assert eventually(lambda: living(hub, "keeper")).pid == front.pid
        host = started(hub, "host")
        front.send_signal(signal.SIGINT)
        assert front.wait(10) == 0
    assert not process.alive(host.who)
