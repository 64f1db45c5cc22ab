"""The hub: repositories come in by a look at the disk, get an id, and are told to pause."""

from actors import hub
from protocol.address import Address, token, worker
from protocol.hub import AddRepo, DescribeHub, HubView, Quiesce, Quiesced, RepoAdded, RepoEntry
from protocol.node import Refusal, Undelivered
from protocol.repo import Adopt, DescribeRepo, PauseFlow
from protocol.session import Place
from protocol.work import Failed, Probe, Probed
from tests.actors.say import Table

GIT = worker("n1", "git", "probe")


def here(path):
    return Place(node="n1", path=path)


def probed(path):
    return Probed(path=path, branch="main", head="abc")


def table():
    return Table(hub.ACTOR, Address("hub", "main"))


def add(it, path, repo="", top=""):
    it.say(AddRepo(place=here(path), repo=repo))
    assert it.sent(GIT) == (Probe(path=path),)
    it.say(probed(top or path), GIT, re=it.id(GIT))
    return it.replies


def test_a_checkout_is_looked_at_before_it_comes_in():
    it = table()
    it.say(AddRepo(place=here("/srv/shop/src")))
    assert it.sent(GIT) == (Probe(path="/srv/shop/src"),)
    assert it.replies == []
    it.say(probed("/srv/shop"), GIT, re=it.id(GIT))
    assert it.sent(Address("repo", "shop")) == (Adopt(place=here("/srv/shop")),)
    assert it.replies == [RepoAdded(repo="shop", place=here("/srv/shop"), fresh=True)]
    assert it.answered == ["m1"]
    assert it.ask(DescribeHub()) == HubView(repos=(RepoEntry(repo="shop", place=here("/srv/shop")),))


def test_a_look_that_nobody_waits_for_adds_nothing():
    it = table()
    it.say(AddRepo(place=here("/srv/shop")))
    asked = it.id(GIT)
    assert it.say(probed("/srv/shop"), GIT, re="another") == ()
    it.say(probed("/srv/shop"), GIT, re=asked)
    assert it.say(probed("/srv/other"), GIT, re=asked) == ()
    assert it.ask(DescribeHub()) == HubView(repos=(RepoEntry(repo="shop", place=here("/srv/shop")),))


def test_the_same_checkout_comes_in_once():
    it = table()
    add(it, "/srv/shop")
    again = RepoAdded(repo="shop", place=here("/srv/shop"), fresh=False)
    assert add(it, "/srv/shop/src", top="/srv/shop") == [again]
    assert add(it, "/srv/shop", repo="store") == [again]
    assert it.receivers == []
    assert len(it.state.repos) == 1


def test_a_folder_gives_its_name_as_far_as_it_can_be_typed():
    it = table()
    assert add(it, "/srv/My Shop (new)")[0].repo == "My-Shop--new"
    assert add(it, "/srv/a.b_c-d")[0].repo == "a.b_c-d"
    assert add(it, "/srv/--")[0].repo == "repo"
    assert add(it, "/srv/läden")[0].repo == "l-den"
    assert add(it, "/srv/" + "x" * 100)[0].repo == "x" * 64


def test_the_address_of_a_repository_is_its_id_as_a_token():
    it = table()
    add(it, "/srv/a.b")
    assert it.sent(Address("repo", token("a.b"))) == (Adopt(place=here("/srv/a.b")),)


def test_folders_of_the_same_name_are_numbered():
    it = table()
    assert [add(it, f"/{top}/shop")[0].repo for top in "abc"] == ["shop", "shop-2", "shop-3"]


def test_a_given_id_is_taken():
    assert add(table(), "/srv/shop", repo="store")[0].repo == "store"


def test_a_given_id_of_another_checkout_is_refused():
    it = table()
    add(it, "/srv/shop")
    said = "shop is already the id of /srv/shop; choose another one for /old/shop"
    assert add(it, "/old/shop", repo="shop") == [Refusal(text=said)]
    assert len(it.state.repos) == 1


def test_a_given_id_that_cannot_be_typed_is_refused_with_one_that_can():
    it = table()
    it.say(AddRepo(place=here("/srv/shop"), repo="my shop"))
    said = "a repository's id is made of letters, digits, dots, dashes and underscores, at most 64 of them; try my-shop"
    assert it.replies == [Refusal(text=said)]
    it.say(AddRepo(place=here("/srv/shop"), repo="-"))
    assert it.replies[0].text.endswith("; try repo")
    assert it.state == hub.Hub()


def test_what_the_worker_cannot_do_is_told_in_its_words():
    it = table()
    it.say(AddRepo(place=here("/srv/plain")))
    it.say(Failed(what="/srv/plain is no git repository; make one there with: git init"), GIT, re=it.id(GIT))
    assert it.replies == [Refusal(text="/srv/plain is no git repository; make one there with: git init")]
    assert it.answered == ["m1"]
    assert it.state == hub.Hub()


def test_a_machine_that_is_not_reached_is_told():
    it = table()
    it.say(AddRepo(place=here("/srv/api")))
    other = it.id(GIT)
    it.say(AddRepo(place=here("/srv/shop")))
    it.say(Undelivered(to=GIT, id=it.id(GIT), why="its queue is full"))
    assert it.answered == ["m2"]
    said = "nobody on the machine n1 could look at the folder (its queue is full); add it again in a moment"
    assert it.replies == [Refusal(text=said)]
    assert it.say(Undelivered(to=GIT, id="another", why="full")) == ()
    it.say(probed("/srv/api"), GIT, re=other)
    assert it.answered == ["m1"]


def test_twenty_may_wait_and_no_more():
    it = table()
    for number in range(20):
        it.say(AddRepo(place=here(f"/srv/{number}")))
        assert it.replies == []
    it.say(AddRepo(place=here("/srv/21")))
    said = "the hub is looking at 20 folders already; wait a moment and add this one again"
    assert it.replies == [Refusal(text=said)]


def test_a_hub_has_a_limit():
    it = table()
    for number in range(hub.REPOS):
        add(it, f"/srv/{number}")
    said = "this hub holds 250 repositories, and that is its limit; make another hub for more: car init"
    assert add(it, "/srv/more") == [Refusal(text=said)]
    assert add(it, "/srv/7")[0].fresh is False


def test_the_repositories_are_shown_in_the_order_of_their_ids():
    it = table()
    for name in ("web", "api", "shop"):
        add(it, f"/srv/{name}")
    assert [one.repo for one in it.ask(DescribeHub()).repos] == ["api", "shop", "web"]


def test_a_hub_that_ends_lets_every_repository_pause():
    it = table()
    add(it, "/srv/a")
    add(it, "/srv/b")
    it.say(Quiesce(reason="stopped by car down"))
    for name in ("a", "b"):
        assert it.sent(Address("repo", name)) == (PauseFlow(reason="stopped by car down"),)
    assert it.replies == [Quiesced(repos=("a", "b"))]


def test_what_the_hub_does_not_know_changes_nothing():
    it = table()
    assert it.say(PauseFlow(reason="x")) == ()
    assert it.state == hub.Hub()
    assert it.ask(DescribeRepo()) == HubView()
