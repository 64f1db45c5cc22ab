"""A backup is complete or not there; what is put back is looked at whole before anything is touched."""

import fcntl
import gzip
import io
import json
import stat
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest

from actors.runtime import process
from actors.runtime.nats.backup import accept, restore, save
from actors.runtime.nats.epoch import Head
from actors.runtime.nats.witness import Begin, Witness
from actors.runtime.place import init_hub
from protocol.errors import Refused
from tests.disk import fill, small_disk

STREAM = "jetstream/CAR/streams/MAIL/msgs/1.blk"
HEADS = {"MAIL": Head(epochs="a:1", last=7)}


def hub_with_store(folder, text="mail of before"):
    hub = init_hub(folder)
    block = hub.nats / "store" / STREAM
    block.parent.mkdir(parents=True)
    block.write_text(text)
    (hub.nats / "store" / "jetstream" / "CAR" / "streams" / "EVENT").mkdir()
    (hub.nats / "host.seed").write_text("SUSECRET")
    Witness(hub.nats).testify(HEADS)
    return hub


def picture(hub):
    """Return all that lies in the folder of a hub, but for locks."""
    paths = sorted(path for path in hub.root.rglob("*") if path.name != "keeper.lock")
    return {str(path.relative_to(hub.root)): path.read_bytes() if path.is_file() else b"" for path in paths}


def refusal(deed, *args, **more):
    with pytest.raises(Refused) as found:
        deed(*args, **more)
    return str(found.value)


# save


def test_a_backup_is_the_whole_store_without_keys_and_for_its_owner_alone(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    (hub.root / "codex-autorunner.yml").write_text("agents: {}\n")
    saved = save(hub, tmp_path / "saved")
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o600
    assert saved.size == (tmp_path / "saved").stat().st_size
    with tarfile.open(tmp_path / "saved") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("car-backup.json"))
    assert names[:2] == ["car-backup.json", "settings.yml"]
    assert {f"store/{STREAM}", "store/jetstream/CAR/streams/EVENT"} < set(names)
    assert (manifest["node"], manifest["files"], manifest["heads"]) == (
        hub.node,
        1,
        {"MAIL": {"epochs": "a:1", "last": 7}},
    )
    assert b"SECRET" not in gzip.decompress((tmp_path / "saved").read_bytes())


def test_a_full_disk_leaves_no_half_backup_and_says_so_in_a_sentence(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    with small_disk(tmp_path / "disk") as disk:
        fill(disk / "filler")
        why = f"no backup is made: {disk / 'saved'}: No space left on device"
        assert refusal(save, hub, disk / "saved") == why
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_nothing_is_saved_over_a_file_or_into_the_hub_or_out_of_an_empty_one(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    (tmp_path / "there").write_text("mine")
    assert refusal(save, hub, tmp_path / "there") == f"{tmp_path / 'there'} is there already, name another file"
    assert "lies inside of the hub" in refusal(save, hub, hub.nats / "store" / "saved")
    assert "No such file or directory" in refusal(save, hub, tmp_path / "nowhere" / "saved")
    empty = init_hub(tmp_path / "empty")
    assert "has no store yet" in refusal(save, empty, tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "hub", "there"]


def test_a_hub_that_runs_is_neither_saved_nor_put_back(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    save(hub, tmp_path / "saved")
    deeds = ((save, hub, tmp_path / "other"), (restore, hub, tmp_path / "saved"), (accept, hub))

    def refusals():
        return {refusal(deed, *args, **({"replace": True} if deed is restore else {})) for deed, *args in deeds}

    with (hub.run / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refusals() == {f"CAR runs in {hub.root}, type: car down"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        who = process.identify(left.pid)
        process.write(hub.run, replace(process.describe_myself("server", ()), pid=who.pid, born=who.born))
        assert refusals() == {f"CAR runs in {hub.root} (server), type: car down"}
        left.kill()
    assert not (tmp_path / "other").exists()


# restore


def test_what_is_put_back_takes_the_place_of_nothing_and_begins_a_new_epoch(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    (hub.root / "codex-autorunner.yml").write_text("agents: {}\n")
    save(hub, tmp_path / "saved")
    new = init_hub(tmp_path / "new")
    (new.nats / "store").mkdir()
    restored = restore(new, tmp_path / "saved", replace=False)
    assert (restored.kept, restored.node, restored.settings) == ("", hub.node, True)
    assert (new.nats / "store" / STREAM).read_text() == "mail of before"
    assert (new.nats / "store" / "jetstream" / "CAR" / "streams" / "EVENT").is_dir()
    assert (new.home / "node").read_text() == hub.node
    assert (new.root / "codex-autorunner.yml").read_text() == "agents: {}\n"
    begin = Witness(new.nats).beginning()
    assert (begin.heads, begin.as_it_is) == (HEADS, False)
    assert begin.epoch
    assert not (new.nats / "host.seed").exists()


def test_a_store_that_is_there_is_kept_aside_and_only_when_it_is_said(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    save(hub, tmp_path / "saved")
    (hub.nats / "store" / STREAM).write_text("mail of later")
    (hub.root / "codex-autorunner.yml").write_text("agents: {codex: {}}\n")
    before = picture(hub)
    assert f"type: car restore {tmp_path / 'saved'} --replace" in refusal(
        restore, hub, tmp_path / "saved", replace=False
    )
    assert picture(hub) == before
    restored = restore(hub, tmp_path / "saved", replace=True)
    assert (hub.nats / "store" / STREAM).read_text() == "mail of before"
    assert stat.S_IMODE((hub.nats / "store" / STREAM).stat().st_mode) == 0o600
    kept = restored.kept.removeprefix(f"{hub.nats}/")
    assert kept.startswith("store-until-")
    assert (hub.nats / kept / STREAM).read_text() == "mail of later"
    assert (hub.root / "codex-autorunner.yml").read_text() == "agents: {codex: {}}\n"


def test_a_disk_too_small_for_what_is_put_back_leaves_the_hub_as_it_was(tmp_path):
    save(hub_with_store(tmp_path / "hub", "x" * 9_000_000), tmp_path / "saved")
    with small_disk(tmp_path / "disk") as disk:
        hub = hub_with_store(disk / "hub", "y" * 6_000_000)
        before = picture(hub)
        said = refusal(restore, hub, tmp_path / "saved", replace=True)
        assert said.startswith("the backup is not put back, and the store is as it was: ")
        assert said.endswith("No space left on device")
        assert picture(hub) == before


def test_a_backup_of_what_was_just_put_back_knows_how_far_that_had_come(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    save(hub, tmp_path / "saved")
    Witness(hub.nats).testify({"MAIL": Head(epochs="a:1", last=99)})
    restore(hub, tmp_path / "saved", replace=True)
    save(hub, tmp_path / "again")
    restore(init_hub(tmp_path / "new"), tmp_path / "again", replace=False)
    assert Witness(tmp_path / "new" / ".codex-autorunner" / "hub" / "nats").beginning().heads == HEADS


def test_a_store_taken_as_it_is_says_so_and_how_far_it_had_come(tmp_path):
    hub = hub_with_store(tmp_path / "hub")
    epoch = accept(hub)
    assert Witness(hub.nats).beginning() == Begin(epoch=epoch, heads=HEADS, as_it_is=True)
    (hub.nats / "heads.json").write_text("{")
    (hub.nats / "store" / "begin.json").unlink()
    assert accept(hub) != epoch
    assert Witness(hub.nats).beginning().heads == {}


# what is no backup


def member(name, kind=tarfile.REGTYPE, data=b"x", link=""):
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    return one, data


HARMFUL = {
    "beside the store": member("nats/host.seed"),
    "above the store": member("store/../../escaped"),
    "absolute": member("/escaped"),
    "a link": member("store/link", tarfile.SYMTYPE, link="/etc/passwd"),
    "a hard link": member("store/link", tarfile.LNKTYPE, link=f"store/{STREAM}"),
    "a device": member("store/null", tarfile.CHRTYPE),
    "a pipe": member("store/pipe", tarfile.FIFOTYPE),
    "word of a new epoch": member("store/begin.json"),
    "the store itself": member("store"),
    "twice": member(f"store/{STREAM}"),
    "settings that are a link": member("settings.yml", tarfile.SYMTYPE, link="/etc/passwd"),
    "one too many": member("store/more"),
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_an_archive_with_anything_else_in_it_is_refused_and_nothing_is_touched(tmp_path, harm):
    hub = hub_with_store(tmp_path / "hub")
    save(hub, tmp_path / "saved")
    with tarfile.open(tmp_path / "saved") as old, tarfile.open(tmp_path / "bad", "w:gz") as bad:
        harmful, data = HARMFUL[harm]
        manifest = json.load(old.extractfile("car-backup.json"))
        if harmful.isreg() and harm != "one too many":
            manifest |= {"files": manifest["files"] + 1, "bytes": manifest["bytes"] + len(data)}
        said = json.dumps(manifest).encode()
        bad.addfile(member("car-backup.json", data=said)[0], io.BytesIO(said))
        for one in old:
            if one.name != "car-backup.json":
                bad.addfile(one, old.extractfile(one) if one.isreg() else None)
        bad.addfile(harmful, io.BytesIO(data))
    before = picture(hub)
    said = refusal(restore, hub, tmp_path / "bad", replace=True)
    assert said.startswith(f"{tmp_path / 'bad'} ")
    assert picture(hub) == before
    assert not (hub.nats.parent / "escaped").exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_backup_that_is_cut_off_is_refused(tmp_path, part):
    hub = hub_with_store(tmp_path / "hub", "".join(map(str, range(20_000))))
    save(hub, tmp_path / "saved")
    whole = (tmp_path / "saved").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * part)])
    before = picture(hub)
    assert refusal(restore, hub, tmp_path / "cut", replace=True).startswith(f"{tmp_path / 'cut'} is no ")
    assert picture(hub) == before


def test_a_backup_with_a_changed_byte_is_refused(tmp_path):
    hub = hub_with_store(tmp_path / "hub", "".join(map(str, range(20_000))))
    save(hub, tmp_path / "saved")
    data = bytearray((tmp_path / "saved").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "saved").write_bytes(data)
    assert "is no whole backup" in refusal(restore, hub, tmp_path / "saved", replace=True)


@pytest.mark.parametrize("what", ["nothing", "text", "tar", "newer", "folder", "missing"])
def test_what_is_no_backup_is_refused_in_a_sentence(tmp_path, what):
    hub = hub_with_store(tmp_path / "hub")
    file = tmp_path / "file"
    match what:
        case "nothing" | "text":
            file.write_text("" if what == "nothing" else "hello")
        case "tar" | "newer":
            data = b'{"format": 2, "car": "9", "node": "n", "made": "2030-01-01", "files": 0, "bytes": 0, "heads": {}}'
            one, _ = member("car-backup.json" if what == "newer" else "other", data=data)
            with tarfile.open(file, "w:gz") as tar:
                tar.addfile(one, io.BytesIO(data))
        case "folder":
            file.mkdir()
    said = refusal(restore, hub, file, replace=True)
    assert str(file) in said
    assert "\n" not in said
    if what == "newer":
        assert said == f"{file} was made by car 9, which writes backups that this one does not read"
