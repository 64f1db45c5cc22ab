import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.custody import child as child_module
from actors.custody.birth import Birth, SpawnError, environment
from actors.custody.child import spawn
from actors.runtime import process
from tests.custody.scene import SLEEPER, STRAYS, custodian_of, eventually, hub_in, program, written

SECONDS = 20.0


class Ear:
    """A sink that keeps what it is given, and may be slow."""

    def __init__(self):
        self.batches = {"out": [], "err": []}
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, stream, first, lines):
        await self.gate.wait()
        self.batches[stream].append((first, lines))

    def lines(self, stream="out"):
        return [line for _, lines in self.batches[stream] for line in lines]

    def is_without_gap(self, stream="out"):
        expected = 1
        for first, lines in self.batches[stream]:
            if first != expected or not lines:
                return False
            expected += len(lines)
        return True


def run(test):
    async def bounded():
        async with asyncio.timeout(SECONDS):
            return await test

    return asyncio.run(bounded())


def birth(*argv, **more):
    return Birth(argv, **{"cwd": str(Path.cwd()), "mark": f"test.{os.getpid()}.p1", **more})


def python(text, **more):
    return birth(sys.executable, "-I", "-S", "-c", text, **more)


async def whole(order):
    ear = Ear()
    child = await spawn(order, ear.take)
    return await child.wait(), ear, child


def test_every_line_of_both_streams_comes_numbered_without_gap_and_the_code_after_it():
    text = "import sys\nfor n in range(20000): print(n)\nprint('x', file=sys.stderr)\nsys.exit(3)"
    code, ear, child = run(whole(python(text)))
    assert code == 3
    assert ear.lines() == [str(n).encode() for n in range(20000)]
    assert ear.lines("err") == [b"x"]
    assert ear.is_without_gap()
    assert len(ear.batches["out"]) > 1
    assert child.lines == {"out": 20000, "err": 1}
    assert child.strays == 0


def test_lines_of_any_length_and_kind_come_whole_also_a_last_one_without_an_end():
    text = (
        "import sys; w = sys.stdout.buffer.write\n"
        "w(b'a' * 3_000_000 + b'\\n'); w(b'\\n'); w(b'\\xff\\r\\n'); w(b'b' * 100_000)"
    )
    _, ear, _ = run(whole(python(text)))
    assert ear.lines() == [b"a" * 3_000_000, b"", b"\xff\r", b"b" * 100_000]
    assert ear.is_without_gap()


def test_while_the_consumer_is_behind_nothing_more_is_read_and_nothing_is_lost():
    async def story():
        ear = Ear()
        ear.gate.clear()
        text = (
            "import sys, os\n"
            "line = b'x' * 999 + b'\\n'\n"
            "for n in range(4000):\n"
            "    os.write(1, line); os.write(2, b'%d\\n' % n)\n"
        )
        agent = await spawn(python(text), ear.take)
        # The agent waits at the bound: else its four megabytes would be out, and it would be gone, in an instant.
        assert not await asyncio.to_thread(process.wait, agent.who, 0.5)
        ear.gate.set()
        assert await agent.wait() == 0
        assert ear.lines() == [b"x" * 999] * 4000
        assert ear.lines("err") == [b"%d" % n for n in range(4000)]
        assert ear.is_without_gap()
        assert ear.is_without_gap("err")

    run(story())


def test_what_was_written_before_the_end_is_handed_on_however_late():
    async def story():
        ear = Ear()
        ear.gate.clear()
        agent = await spawn(python("for n in range(9000): print(n)"), ear.take)
        assert await agent.end(5.0) == 0
        waiting = asyncio.ensure_future(agent.wait())
        # Longer than the patience for a silent pipe: it is the consumer that is waited for, and that has no bound.
        done, _ = await asyncio.wait((waiting,), timeout=child_module.DRAIN + 0.2)
        assert not done
        ear.gate.set()
        assert await waiting == 0
        assert ear.lines() == [str(n).encode() for n in range(9000)]

    run(story())


def test_chunks_reach_stdin_in_order_and_closing_it_ends_a_program_that_listens():
    async def story():
        ear = Ear()
        agent = await spawn(birth("cat"), ear.take)
        await asyncio.gather(*(agent.write(b"%d " % n * 20_000 + b"\n") for n in range(10)))
        assert await agent.end(5.0) == 0
        assert await agent.wait() == 0
        assert ear.lines() == [b"%d " % n * 20_000 for n in range(10)]
        assert not agent.is_deaf

    run(story())


def test_writing_to_one_that_does_not_listen_any_more_is_noted_and_no_error():
    async def story():
        agent = await spawn(python("import os, time; os.close(0); print(flush=True); time.sleep(100)"), Ear().take)
        while not agent.is_deaf:
            await agent.write(b"hello\n")
        assert await agent.end(0.1) == -signal.SIGTERM
        await agent.write(b"hello\n")
        assert agent.is_deaf

    run(story())


def test_one_that_heeds_neither_stdin_nor_sigterm_is_killed():
    async def story():
        ear = Ear()
        text = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(100)"
        agent = await spawn(python(text), ear.take)
        await asyncio.to_thread(eventually, lambda: ear.lines() == [b"on"])
        assert await agent.end(0.1) == -signal.SIGKILL

    run(story())


def test_a_signal_reaches_the_process():
    async def story():
        agent = await spawn(birth("sleep", "100"), Ear().take)
        agent.signal(signal.SIGINT)
        return await agent.wait()

    assert run(story()) == -signal.SIGINT


def test_the_process_lives_in_a_session_of_its_own_and_is_known_by_pid_and_start():
    async def story():
        agent = await spawn(birth(*SLEEPER), Ear().take)
        assert os.getsid(agent.who.pid) == agent.who.pid
        assert process.identify(agent.who.pid) == agent.who
        await agent.end(0.0)
        assert not process.alive(agent.who)

    run(story())


def test_strays_are_ended_with_the_process_also_those_in_other_sessions(tmp_path):
    async def story():
        agent = await spawn(birth("sh", "-c", f"{STRAYS} sleep 100", cwd=str(tmp_path)), Ear().take)
        strays = [await asyncio.to_thread(written, tmp_path / name) for name in ("marked", "cleared")]
        await agent.end(0.05)
        assert not any(map(process.alive, strays))
        assert agent.strays == 3
        assert await agent.wait() == -signal.SIGTERM

    run(story())


def test_a_stray_that_holds_the_pipe_open_does_not_hold_up_the_end(tmp_path):
    async def story():
        does = "echo begun; setsid sh -c 'echo $$ > marked; exec sleep 100' & while [ ! -s marked ]; do :; done"
        code, ear, agent = await whole(birth("sh", "-c", does, cwd=str(tmp_path)))
        stray = int((tmp_path / "marked").read_text())
        sight = process.look(stray)
        assert sight is None or sight.zombie
        assert (code, agent.strays) == (0, 1)
        assert ear.lines() == [b"begun"]

    run(story())


def test_a_pipe_that_an_unknown_process_holds_open_is_given_up_after_a_while(tmp_path):
    async def story():
        # Without its mark, and orphaned by its own death of the process: nothing leads to it, where nobody adopts.
        does = (
            "echo begun; env -i PATH=$PATH setsid sh -c 'echo $$ > it; exec sleep 100' & while [ ! -s it ]; do :; done"
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        code, ear, agent = await whole(birth("sh", "-c", does, cwd=str(tmp_path)))
        assert process.terminate(written(tmp_path / "it"), 1.0)
        assert (code, agent.strays) == (0, 0)
        assert ear.lines() == [b"begun"]
        assert child_module.DRAIN <= loop.time() - began < child_module.DRAIN + 2

    run(story())


def test_a_custodian_that_adopts_ends_also_the_traceless_ones_when_their_agent_dies(tmp_path):
    does = f"{STRAYS} while [ ! -s marked -o ! -s cleared ]; do :; done; kill -9 $$"
    with hub_in(tmp_path) as hub:
        env = {**os.environ, "CAR_HUB": str(hub.root)}
        with subprocess.Popen(custodian_of(tmp_path, does), env=env, stdout=subprocess.PIPE) as custodian:
            strays = [written(tmp_path / name) for name in ("marked", "cleared")]
            assert custodian.wait(10) == 0
    assert not any(map(process.alive, strays))


def test_when_the_custodian_is_killed_its_agent_dies(tmp_path):
    with hub_in(tmp_path) as hub:
        env = {**os.environ, "CAR_HUB": str(hub.root)}
        with subprocess.Popen(custodian_of(tmp_path, "exec sleep 100"), env=env, stdout=subprocess.PIPE) as custodian:
            agent = process.read_identity(custodian.stdout.readline().decode().strip())
            assert process.alive(agent)
            custodian.kill()
        assert process.wait(agent, 5.0)


def test_the_environment_is_what_is_listed_named_and_given_and_no_more():
    here = {
        "PATH": "/bin",
        "LC_TIME": "C",
        "XDG_CACHE_HOME": "/c",
        "https_proxy": "p",
        "SECRET": "s",
        "KEY": "k",
        "CAR_HUB": "/h",
        "CAR_NATS_URL": "n",
        "PYTHONPATH": "x",
    }
    order = birth("x", env={"A": "1", "LC_TIME": "D", "CAR_B": "2"}, inherit=("KEY", "MISSING", "CAR_NATS_URL"))
    assert environment(order, here) == {
        "PATH": "/bin",
        "LC_TIME": "D",
        "XDG_CACHE_HOME": "/c",
        "https_proxy": "p",
        "KEY": "k",
        "A": "1",
        "CAR_PROC": order.mark,
    }


def test_the_process_itself_sees_this_environment_and_no_trace_of_how_it_was_started(monkeypatch):
    for name in [*os.environ]:
        if name != "PATH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SECRET", "s")
    order = birth("sh", "-c", "tr '\\0' '\\n' < /proc/self/environ; grep SigIgn /proc/self/status", env={"A": "1"})
    _, ear, _ = run(whole(order))
    *seen, ignored = ear.lines()
    shell_made = {b"PWD", b"OLDPWD", b"SHLVL", b"_"}
    assert {line for line in seen if line.partition(b"=")[0] not in shell_made} == {
        f"PATH={os.environ['PATH']}".encode(),
        b"A=1",
        f"CAR_PROC={order.mark}".encode(),
    }
    pythons = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT))
    assert int(ignored.split()[1], 16) & pythons == 0


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (birth("codex"), "codex is not installed on this machine: no program 'codex' on the PATH"),
        (birth("/x/codex"), "codex is not installed on this machine: no program '/x/codex'"),
        (birth("sh", cwd="/x/y"), "sh cannot be started in /x/y: there is no such folder"),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(order, sentence, monkeypatch):
    monkeypatch.setenv("PATH", "/bin")
    with pytest.raises(SpawnError) as caught:
        run(whole(order))
    assert str(caught.value) == sentence


def test_a_program_that_the_machine_cannot_run_is_told_in_a_sentence(tmp_path):
    tool = tmp_path / "tool"
    tool.write_bytes(b"\0\1\2")
    with pytest.raises(SpawnError, match=f"tool cannot be started: '{tool}' may not be run"):
        run(whole(birth(str(tool))))
    tool.chmod(0o755)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(SpawnError, match=f"^{tool} cannot be started: Exec format error$"):
        run(whole(birth(str(tool))))
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)


def test_agents_are_started_from_the_main_thread_alone():
    async def story():
        with pytest.raises(RuntimeError, match="main thread"):
            await asyncio.to_thread(asyncio.run, spawn(birth("true"), Ear().take))

    run(story())


def test_when_all_is_over_no_file_and_no_zombie_is_left():
    def is_left():
        zombies = {sight.who for sight in process.table().values() if sight.parent == os.getpid() and sight.zombie}
        return zombies, len(list(Path("/proc/self/fd").iterdir()))

    before = is_left()
    run(whole(birth("true")))
    run(whole(birth("sh", "-c", "kill -9 $$")))
    assert is_left() == before


def test_a_program_may_be_named_relative_to_its_folder(tmp_path):
    program(tmp_path, "tool", "")
    tool = tmp_path / "tool.sh"
    tool.write_text("#!/bin/sh\necho $0\n")
    tool.chmod(0o755)
    _, ear, _ = run(whole(birth("./tool.sh", cwd=str(tmp_path))))
    assert Path(ear.lines()[0].decode()).name == "tool.sh"
