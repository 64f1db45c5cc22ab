import os
import signal
import subprocess
import sys
from dataclasses import replace

from actors.runtime import process
from actors.runtime.process import Identity
from tests.custody.scene import SLEEPER, eventually


def test_a_pid_that_was_given_to_another_is_neither_alive_nor_signalled():
    with subprocess.Popen(SLEEPER) as sleeper:
        who = process.identify(sleeper.pid)
        other = Identity(who.pid, who.born - 1)
        assert process.alive(who)
        assert not process.alive(other)
        assert not process.send(other, signal.SIGKILL)
        assert not process.terminate(other, 0.0)
        assert process.wait(other, 0.0)
        assert process.hold(other) is None
        assert sleeper.poll() is None
        sleeper.kill()


def test_a_zombie_has_ended():
    with subprocess.Popen(SLEEPER) as sleeper:
        who = process.identify(sleeper.pid)
        sleeper.send_signal(signal.SIGKILL)
        assert process.wait(who, 5.0)
        assert process.look(sleeper.pid).zombie
        assert not process.alive(who)
        assert not process.terminate(who, 0.0)


def test_one_that_ignores_sigterm_is_killed_after_its_grace():
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(100)"
    with subprocess.Popen((sys.executable, "-c", stubborn), stdout=subprocess.PIPE) as sleeper:
        sleeper.stdout.readline()
        assert process.terminate(process.identify(sleeper.pid), 0.05)
        assert sleeper.wait() == -signal.SIGKILL


def test_one_that_is_frozen_still_hears_sigterm():
    with subprocess.Popen(SLEEPER) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        assert process.terminate(process.identify(sleeper.pid), 5.0)
        assert sleeper.wait() == -signal.SIGTERM


def test_an_identity_is_read_from_the_end_of_an_id():
    assert process.read_identity("12-34") == Identity(12, 34)
    assert process.read_identity(f"a1-b2-7-{Identity(12, 34)}") == Identity(12, 34)
    assert process.read_identity("a1b2") is None
    assert process.read_identity("") is None


def test_without_proc_the_same_is_seen_by_ps():
    with subprocess.Popen(SLEEPER) as sleeper:
        seen = process.look_by_ps("-p", str(sleeper.pid))[sleeper.pid]
        assert (seen.parent, seen.zombie) == (os.getpid(), False)
        assert seen.who == process.look_by_ps("-A")[sleeper.pid].who
        sleeper.kill()
        assert eventually(lambda: process.look_by_ps("-p", str(sleeper.pid))[sleeper.pid].zombie)
    assert process.look_by_ps("-p", str(sleeper.pid)) == {}


def test_a_record_is_private_and_read_as_it_was_written(tmp_path):
    record = process.describe_myself("host", ("car-host", "--x"))
    process.write(tmp_path, record)
    assert process.read(tmp_path, "host") == record
    assert process.records(tmp_path) == (record,)
    assert (tmp_path / "host.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["host.json"]
    process.remove(tmp_path, "host")
    process.remove(tmp_path, "host")
    assert process.read(tmp_path, "host") is None


def test_a_record_from_before_the_machine_was_started_is_as_good_as_none(tmp_path):
    process.write(tmp_path, replace(process.describe_myself("host", ()), boot="another"))
    assert process.read(tmp_path, "host") is None


def test_a_broken_record_is_as_good_as_none(tmp_path):
    (tmp_path / "host.json").write_text('{"name": "host"')
    assert process.read(tmp_path, "host") is None
    (tmp_path / "host.json").write_text('{"name": "host"}')
    assert process.records(tmp_path) == ()


def test_whoever_carries_a_mark_is_found_but_not_who_carries_one_like_it():
    with subprocess.Popen(SLEEPER, env={"CAR_PROC": "tok.c.p1"}) as one:
        with subprocess.Popen(SLEEPER, env={"XCAR_PROC": "tok.c.p1", "CAR": "CAR_PROC=tok.c.p1"}) as other:
            # A fresh process shows its parent's environment until its own program is in place.
            found = eventually(lambda: process.marked("tok.c."))
            assert found == {process.identify(one.pid): "tok.c.p1"}
            other.kill()
        one.kill()
