"""A store that was put back, lost a part or went back: what is counted goes on, and nobody takes it for the whole."""

import asyncio
import json
import stat
from contextlib import asynccontextmanager

import pytest

from actors.runtime.nats.epoch import NOTHING, Anew, Epochs, Head, begun, read_epochs, read_text
from actors.runtime.nats.layout import DEAD, EVENT, MAIL, PROC, STATE, STREAMS, furnish
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.witness import Begin, Witness, check, remember, survey
from protocol.errors import Refused, Unreadable
from tests.server import Server, until

# Epochs


def test_a_sequence_belongs_to_the_epoch_that_had_begun_before_it():
    epochs = read_text("a:1 b:5021 c:6000")
    assert [epochs.of(seq) for seq in (1, 5020, 5021, 5999, 6000, 9999)] == ["a", "a", "b", "b", "c", "c"]
    assert epochs.newest == "c"


def test_an_epoch_in_which_nothing_was_stored_gives_way_to_the_next():
    epochs = read_text("a:1").begun("b", 10).begun("c", 10)
    assert [epochs.of(seq) for seq in (9, 10)] == ["a", "c"]
    assert epochs.knows("b")


def test_an_epoch_begins_once_however_often_it_is_begun():
    once = read_text("a:1").begun("b", 10)
    assert once.begun("b", 12) == once


def test_epochs_are_read_as_they_were_written_and_as_the_version_before_wrote_them():
    epochs = read_text("a1b2:1 c3d4:5021")
    assert read_epochs(epochs.metadata) == epochs
    assert read_epochs({"car-epoch": "a1b2", "_nats.ver": "2"}) == begun("a1b2")
    assert read_epochs({}).of(7) == ""


@pytest.mark.parametrize("text", ["a", "a:b", "a:1  b:2", "a:1 b"])
def test_what_is_no_list_of_epochs_is_refused(text):
    with pytest.raises(Unreadable, match="is no list of epochs"):
        read_text(text)


def test_each_stream_that_is_made_has_an_epoch_of_its_own():
    assert begun() != begun()
    assert NOTHING.made("MAIL") != NOTHING.made("MAIL")


def test_a_stream_made_again_goes_on_above_the_one_that_was_lost():
    anew = Anew("b", {"MAIL": Head(epochs="a:1", last=5020)})
    assert str(anew.made("MAIL")) == "a:1 b:5021"
    assert str(anew.made("EVENT")) == "b:1"
    assert str(anew.grown(read_text("a:1"), 40)) == "a:1 b:41"
    assert NOTHING.grown(read_text("a:1"), 40) == read_text("a:1")


# the store and its witness


@asynccontextmanager
async def store(tmp_path, *, made=True):
    """Have a server with the streams, and a witness that has seen nothing yet."""
    with Server(tmp_path) as server:
        link = await connect(Login(server.url, "test"))
        try:
            if made:
                await furnish(link)
            yield link, Witness(tmp_path), server
        finally:
            await link.close()


async def mail(link, count, start=0):
    for number in range(start, start + count):
        ack = await link.store("car.mail.account.a", b"{}", {"Nats-Msg-Id": f"m{number}"})
    return ack.seq


async def record(link, key, last, epoch="a"):
    await link.store(f"$KV.STATE.account.{key}", json.dumps({"version": 1, "epoch": epoch, "last": last}).encode(), {})


async def start(link, witness):
    """Do what a host does before anything else; return the epochs of the streams."""
    epochs = await furnish(link, await check(link, witness))
    witness.testify(await survey(link))
    return epochs


async def refusal(link, witness):
    with pytest.raises(Refused) as found:
        await check(link, witness)
    return str(found.value)


async def lose(link, *names):
    for name in names:
        await link.api(f"STREAM.DELETE.{name}")


async def again(server, link):
    """Kill the server and start it again."""
    server.kill()
    await until(lambda: not link.client.is_connected)
    server.start()
    await link.here()


def test_a_store_of_its_own_stream_by_stream_is_the_whole_that_was_seen(tmp_path):
    async def run():
        async with store(tmp_path, made=False) as (link, witness, server):
            first = await start(link, witness)
            await mail(link, 3)
            await record(link, "a", 3)
            assert await start(link, witness) == first
            await again(server, link)
            assert await start(link, witness) == first
            assert witness.seen()[MAIL] == Head(epochs=str(first[MAIL]), last=3)
            assert set(witness.seen()) == set(STREAMS)
            assert stat.S_IMODE((tmp_path / "heads.json").stat().st_mode) == 0o600

    asyncio.run(run())


def test_what_was_acknowledged_and_is_gone_from_a_work_queue_counts_after_a_killed_server(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, server):
            await mail(link, 20)
            await link.api(f"STREAM.PURGE.{MAIL}", {"keep": 0})
            witness.testify(await survey(link))
            await again(server, link)
            assert await check(link, witness) == NOTHING
            assert await mail(link, 1, start=100) == 21

    asyncio.run(run())


def test_a_missing_stream_stops_the_start_and_says_what_to_type(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            await start(link, witness)
            await lose(link, MAIL)
            assert await refusal(link, witness) == (
                "the store is not whole: MAIL is missing, which had come to 7; bring back the last backup, type: car "
                "restore FILE --replace, or go on without what is lost, type: car restore --as-it-is"
            )
            await lose(link, EVENT)
            assert "; EVENT is missing, which had come to 0; " in await refusal(link, witness)
            assert await link.find(f"STREAM.INFO.{MAIL}") is None

    asyncio.run(run())


def test_a_stream_that_ends_below_what_was_seen_stops_the_start(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            heads = await survey(link)
            epochs = heads[MAIL].epochs
            witness.testify({**heads, MAIL: Head(epochs=epochs, last=8)})
            assert "MAIL ends at 7, but had come to 8;" in await refusal(link, witness)
            witness.testify(heads)
            assert await check(link, witness) == NOTHING

    asyncio.run(run())


def test_a_stream_that_somebody_made_anew_stops_the_start(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await start(link, witness)
            seen = read_text(witness.seen()[PROC].epochs).newest
            await lose(link, PROC)
            now = (await furnish(link))[PROC].newest
            said = f"PROC is another one, of epoch {now}, than was seen, of epoch {seen};"
            assert said in await refusal(link, witness)

    asyncio.run(run())


def test_a_new_epoch_that_another_machine_has_begun_is_no_fault(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            heads = await survey(link)
            witness.testify({**heads, MAIL: Head(epochs=heads[MAIL].epochs, last=9)})
            await furnish(link, Anew("another"))
            assert await check(link, witness) == NOTHING

    asyncio.run(run())


@pytest.mark.parametrize("gone", ["older", "missing"])
def test_records_that_know_of_mail_which_nobody_has_stop_the_start_without_any_witness(tmp_path, gone):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            await record(link, "old", 2)
            await record(link, "new", 9)
            for number in range(50):
                await record(link, f"other{number}", 1)
            if gone == "missing":
                await lose(link, MAIL)
            came = "ends at 7" if gone == "older" else "is missing"
            assert f"MAIL {came}, but records know of mail up to 9;" in await refusal(link, witness)
            await mail(link, 2, start=7) if gone == "older" else await furnish(
                link, Anew("b", {MAIL: Head(epochs="a:1", last=9)})
            )
            assert await check(link, witness) == NOTHING

    asyncio.run(run())


def test_mail_without_any_records_beside_it_stops_the_start(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await lose(link, STATE)
            assert await check(link, witness) == NOTHING
            await mail(link, 1)
            assert "KV_STATE is missing beside MAIL, which ends at 1;" in await refusal(link, witness)

    asyncio.run(run())


def test_what_was_seen_and_cannot_be_read_stops_the_start(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            (tmp_path / "heads.json").write_text("{")
            assert "what was seen of the store cannot be read" in await refusal(link, witness)

    asyncio.run(run())


def test_a_stream_that_goes_back_while_it_is_in_use_ends_the_host(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            watching = asyncio.create_task(remember(link, witness))
            await until(lambda: witness.seen().get(MAIL, Head(epochs="", last=0)).last == 7)
            watching.cancel()
            await asyncio.wait([watching])
            await lose(link, MAIL)
            with pytest.raises(Refused, match="the store has gone back while it was in use: MAIL is missing"):
                await remember(link, witness)

    asyncio.run(run())


def test_the_end_of_a_host_is_seen_too(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            watching = asyncio.create_task(remember(link, witness))
            await until(lambda: MAIL in witness.seen())
            await mail(link, 5)
            watching.cancel()
            await asyncio.wait([watching])
            assert witness.seen()[MAIL].last == 5

    asyncio.run(run())


# a new epoch


def restored(tmp_path, heads, **more):
    (tmp_path / "store").mkdir(exist_ok=True)
    Witness(tmp_path).announce(Begin(epoch="new", heads=heads, **more))


def test_after_a_restore_every_stream_begins_a_new_epoch_once(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            before = await start(link, witness)
            witness.testify({**await survey(link), MAIL: Head(epochs=str(before[MAIL]), last=99)})  # of a later time
            restored(tmp_path, await survey(link) | {MAIL: Head(epochs=str(before[MAIL]), last=7)})
            after = await start(link, witness)
            assert {name: epochs.newest for name, epochs in after.items()} == dict.fromkeys(STREAMS, "new")
            assert [after[MAIL].of(seq) for seq in (7, 8)] == [before[MAIL].newest, "new"]
            assert witness.beginning() is None
            await mail(link, 1, start=7)
            assert await start(link, witness) == after
            assert await survey(link) == witness.seen()

    asyncio.run(run())


def test_a_start_that_was_cut_short_goes_on_with_the_same_epoch(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            restored(tmp_path, await survey(link))
            begun_ = await furnish(link, await check(link, witness))  # and then the host was killed
            await mail(link, 3, start=7)
            assert await start(link, witness) == begun_
            assert begun_[MAIL].all[-1].first == 8

    asyncio.run(run())


def test_a_restored_store_that_lacks_something_stops_the_start(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            restored(tmp_path, {MAIL: Head(epochs=(await survey(link))[MAIL].epochs, last=4)})
            assert "MAIL ends at 0, but had come to 4;" in await refusal(link, witness)

    asyncio.run(run())


def test_a_store_taken_as_it_is_goes_on_above_all_that_was_ever_counted(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 7)
            before = await start(link, witness)
            await lose(link, MAIL, EVENT)
            restored(tmp_path, witness.seen(), as_it_is=True)
            after = await start(link, witness)
            assert str(after[MAIL]) == f"{before[MAIL]} new:8"
            assert await mail(link, 1, start=50) == 8
            assert await check(link, witness) == NOTHING

    asyncio.run(run())


def test_mail_older_than_the_records_is_kept_for_a_person_when_the_store_is_taken_as_it_is(tmp_path):
    async def run():
        async with store(tmp_path) as (link, witness, _):
            await mail(link, 3)
            await record(link, "a", 40)
            restored(tmp_path, {}, as_it_is=True)
            await start(link, witness)
            dead = await read_all(link, DEAD, "car.dead.>")
            assert [(one.subject, one.headers["Car-Why"]) for one in dead] == [
                ("car.dead.account.a", "this mail was older than the records")
            ] * 3
            assert await mail(link, 1, start=50) == 41
            assert await check(link, witness) == NOTHING

    asyncio.run(run())


def test_two_hosts_that_make_the_streams_at_once_agree(tmp_path):
    async def run():
        async with store(tmp_path, made=False) as (link, _, server):
            other = await connect(Login(server.url, "other"))
            one, two = await asyncio.gather(furnish(link), furnish(other))
            await other.close()
            assert one == two
            assert all(isinstance(epochs, Epochs) for epochs in one.values())

    asyncio.run(run())
