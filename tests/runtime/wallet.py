"""What became of the purse: in version 2 it holds cents and a note, in version 3 cents and notes."""

from dataclasses import dataclass, replace

from actors.runtime.actor import Actor, Cause, Former, Step
from protocol.message import Command, Message, Query, View
from tests.runtime.purse import Counted, Purse, Put, effects


class Note(Command):
    """Write something on it: version 1 knows no such message and has no room for it."""

    text: str


@dataclass(frozen=True, slots=True)
class Wallet:
    cents: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bank:
    cents: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def _step2(wallet: Wallet, message: Message, _: Cause) -> Step[Wallet]:
    match message:
        case Put(coins=coins):
            wallet = replace(wallet, cents=(*wallet.cents, coins * 100))
        case Note(text=text):
            wallet = replace(wallet, note=text)
    return Step(wallet, effects(message))


def _step3(bank: Bank, message: Message, _: Cause) -> Step[Bank]:
    match message:
        case Put(coins=coins):
            bank = replace(bank, cents=(*bank.cents, coins * 100))
        case Note(text=text):
            bank = replace(bank, notes=(*bank.notes, text))
    return Step(bank, effects(message))


def _answer(one: Wallet | Bank, _: Query, __: Cause) -> View:
    return Counted(coins=tuple(cents // 100 for cents in one.cents))


FIRST = Former(
    Purse,
    rise=lambda purse: Wallet(tuple(one * 100 for one in purse.coins)),
    sink=lambda wallet: Purse(tuple(one // 100 for one in wallet.cents)),
)
SECOND = Former(
    Wallet,
    rise=lambda wallet: Bank(wallet.cents, (wallet.note,) if wallet.note else ()),
    sink=lambda bank: Wallet(bank.cents, "".join(bank.notes)),
    before=FIRST,
)
TWO = Actor("purse", Wallet, lambda _: Wallet(), _step2, _answer, version=2, former=FIRST)
THREE = Actor("purse", Bank, lambda _: Bank(), _step3, _answer, version=3, former=SECOND)
