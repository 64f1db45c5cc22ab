"""What a person does with backups: save, lose something, put it back, and everything goes on."""

import asyncio
import json
import shutil
import tarfile

from actors.runtime import launch
from actors.runtime.nats.layout import MAIL
from actors.runtime.nats.link import connect
from actors.runtime.nats.server import login
from actors.runtime.nats.witness import Witness, survey
from actors.runtime.place import init_hub
from tests.live.checkout import checkout, demo, git, subjects
from tests.live.shell import DONE, REFUSED, UNREACHABLE, USAGE, Said, at_desk, car, nothing_runs

WRITE = demo("- write: {path: a.txt, text: a}")


async def flows(hub, at):
    """Return the repositories of a hub, and how the newest run of each stands."""
    said = await car(hub, "status", "--json", at=at)
    assert said.code == DONE, said
    repos = json.loads(said.out)["repos"]
    return {one["repo"]["repo"]: one["run"] and (one["run"]["status"], one["run"]["turns"]) for one in repos}


async def mail(hub):
    """Return how far MAIL has come."""
    link = await connect(login(hub, "host"))
    try:
        return (await survey(link))[MAIL].last
    finally:
        await link.close()


def test_a_hub_is_saved_at_rest_and_put_back_and_goes_on_as_it_was(tmp_path):
    async def tell(desk):
        hub, saved = desk.hub, tmp_path / "saved"
        assert (await desk.car("flow", "start")).code == DONE
        before = await flows(hub, desk.shop)
        assert before == {"shop": ("completed", 1)}
        runs = f"CAR runs in {hub.root}, type: car down"
        assert await desk.car("backup", str(saved)) == Said(REFUSED, "", f"car: {runs}")
        came = await mail(hub)
        assert (await desk.car("down")).code == DONE
        assert Witness(hub.nats).seen()[MAIL].last >= came > 0
        said = await desk.car("backup", str(saved))
        assert (said.code, said.err) == (DONE, "")
        assert said.out.startswith(f"✓ saved in {saved} (")
        with tarfile.open(saved) as tar:
            assert not [name for name in tar.getnames() if "seed" in name or name.endswith("conf")]

        # What comes after it is lost when it is put back.
        other = checkout(tmp_path / "other", WRITE)
        assert (await desk.car("up")).code == DONE
        assert (await desk.car("repo", "add", str(other))).code == DONE
        assert (await desk.car("down")).code == DONE
        refused = await desk.car("restore", str(saved))
        assert (refused.code, refused.out) == (REFUSED, "")
        assert refused.err.endswith(f"type: car restore {saved} --replace")
        restored = await desk.car("restore", str(saved), "--replace")
        assert (restored.code, restored.err) == (DONE, "")
        assert f"  the store of before is kept in {hub.nats}/store-until-" in restored.out
        assert (await desk.car("up")).code == DONE
        assert await flows(hub, desk.shop) == before
        assert not (hub.nats / "store" / "begin.json").exists()

        # And it goes on: a new ticket, a new run, on the machine of before.
        assert (await desk.car("ticket", "new", "More", "--agent", "demo")).code == DONE
        path = next((desk.shop / ".codex-autorunner" / "tickets").glob("TICKET-002*"))
        path.write_text(f"{path.read_text().rstrip()}\n\n{demo('- write: {path: b.txt, text: b}')}\n")
        assert (await desk.car("flow", "start")).code == DONE
        assert (await flows(hub, desk.shop))["shop"] == ("completed", 1)
        assert git(desk.shop, "show", "HEAD:b.txt") == "b"

    at_desk(tmp_path, tell, WRITE)


def test_a_backup_is_put_back_into_a_new_hub(tmp_path):
    async def run():
        shop = checkout(tmp_path / "shop", WRITE)
        old, new = tmp_path / "old", tmp_path / "new"
        try:
            hub = init_hub(old)
            for words in (
                ("up",),
                ("repo", "add", "."),
                ("flow", "start"),
                ("down",),
                ("backup", str(tmp_path / "saved")),
            ):
                said = await car(hub, *words, at=shop)
                assert said.code == DONE, said
            shutil.rmtree(old)
            hub = init_hub(new)
            for words in (("restore", str(tmp_path / "saved")), ("up",)):
                said = await car(hub, *words, at=shop)
                assert said.code == DONE, said
            assert await flows(hub, shop) == {"shop": ("completed", 1)}
            assert subjects(shop) == ["first", "Ticket 1"]
        finally:
            for root in (old, new):
                if root.exists():
                    await asyncio.to_thread(launch.stop, init_hub(root))

    asyncio.run(run())


def test_a_stream_that_is_gone_stops_the_start_until_a_person_has_said_how_to_go_on(tmp_path):
    async def tell(desk):
        hub = desk.hub
        assert (await desk.car("down")).code == DONE
        (stream,) = hub.nats.glob("store/jetstream/*/streams/MAIL")
        shutil.rmtree(stream)
        said = await desk.car("up")
        assert said.code == UNREACHABLE
        assert "the host does not start: the store is not whole: MAIL is missing, which had come to " in said.err
        assert "type: car restore --as-it-is" in said.err
        assert (await desk.car("restore", "--as-it-is")).code == REFUSED
        assert (await desk.car("down")).code == DONE
        taken = await desk.car("restore", "--as-it-is")
        assert taken == Said(DONE, "✓ the store is taken as it is\n  to go on: car up")
        assert (await desk.car("up")).code == DONE
        assert await flows(hub, desk.shop) == {"shop": None}
        assert (await desk.car("flow", "start")).code == DONE
        assert (await desk.car("down")).code == DONE
        assert (await desk.car("up")).code == DONE
        await desk.car("down")
        await nothing_runs(hub)

    at_desk(tmp_path, tell, WRITE)


def test_a_server_of_others_is_saved_with_its_own_tools(tmp_path):
    async def run():
        hub = init_hub(tmp_path / "hub")
        for words in (("backup", "saved"), ("restore", "saved")):
            said = await car(hub, *words, at=tmp_path, env={"CAR_NATS_URL": "nats://nobody:secret@127.0.0.1:1"})
            assert said == Said(
                REFUSED,
                "",
                "car: the store of this hub lies on a NATS server of its own (nats.url); save and restore it with that "
                "server's tools: nats account backup, nats account restore",
            )
        assert (await car(hub, "restore", at=tmp_path)).code == USAGE
        assert not (tmp_path / "saved").exists()

    asyncio.run(run())
