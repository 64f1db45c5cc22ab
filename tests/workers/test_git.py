"""The hands for git, against real repositories."""

import os
import subprocess
from pathlib import Path

import anyio
import pytest

from actors.workers.git import WORKER
from protocol.address import Address
from protocol.errors import WorkFailed
from protocol.message import Event
from protocol.work import Commit, Diffstat, Inspect, Probe, Probed, Tree, Work

ASKER = Address("run", "1")


def do(command: Work) -> Event:
    return anyio.run(WORKER.does[type(command)], command, ASKER)


def git(folder: Path, *args: str) -> str:
    """Run git as a person would, untouched by whatever settings this machine has."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    me = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgSign=false")
    env = clean | {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *me, *args], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, subject: str, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


def look(folder: Path, since: str = "") -> Tree:
    tree = do(Inspect(checkout=str(folder), since=since))
    assert isinstance(tree, Tree)
    return tree


def test_a_probe_finds_the_top_from_any_folder_inside(repo: Path):
    head = commit(repo, "one")
    (repo / "deep" / "er").mkdir(parents=True)
    assert do(Probe(path=str(repo / "deep" / "er"))) == Probed(path=str(repo), branch="main", head=head)


def test_before_the_first_commit_there_is_a_branch_and_no_head(repo: Path):
    (repo / "new.txt").write_text("x")
    assert do(Probe(path=str(repo))) == Probed(path=str(repo), branch="main", head="")
    assert look(repo) == Tree(head="", branch="main", dirty=("new.txt",))


def test_a_detached_head_has_no_branch(repo: Path):
    head = commit(repo, "one")
    git(repo, "checkout", "-q", "--detach")
    assert look(repo) == Tree(head=head, branch="")


def test_dirty_is_all_that_differs_but_not_what_is_ignored(repo: Path):
    commit(repo, "one", **{"a b.txt": "a\n", "old.txt": "old\n", "gone.txt": "x", ".gitignore": "*.log\n"})
    (repo / "a b.txt").write_text("b\n")
    git(repo, "mv", "old.txt", "größe.txt")
    (repo / "gone.txt").unlink()
    (repo / "out.log").write_text("ignored")
    (repo / "fresh\nline.txt").write_text("untracked")
    (repo / "folder").mkdir()
    (repo / "folder" / "in.txt").write_text("untracked")
    dirty = look(repo).dirty
    assert sorted(dirty) == ["a b.txt", "folder/", "fresh\nline.txt", "gone.txt", "größe.txt", "old.txt"]


def test_at_most_fifty_paths_and_commits_are_told_and_of_the_commits_the_newest(repo: Path):
    first = commit(repo, "first")
    for number in range(53):
        commit(repo, f"commit {number}")
        (repo / f"{number:02d}.txt").write_text("x")
        git(repo, "reset", "-q")
    git(repo, "rm", "-r", "-q", "--cached", "--ignore-unmatch", ".")
    tree = look(repo, first)
    assert len(tree.dirty) == 50
    assert [one.subject for one in tree.commits] == [f"commit {number}" for number in range(3, 53)]


def test_the_comparison_has_commits_oldest_first_and_uncommitted_changes(repo: Path):
    since = commit(repo, "zero", **{"a.txt": "1\n2\n3\n", "moved.txt": "same\n" * 20})
    one = commit(repo, "one: größer", **{"a.txt": "1\n2\n"})
    git(repo, "mv", "moved.txt", "new\u2028name.txt")
    (repo / "pic").write_bytes(b"\0\1\2")
    two = commit(repo, "two")
    (repo / "a.txt").write_text("1\n2\nthree\nfour\n")
    tree = look(repo, since)
    assert tree.commits == (Commit(id=one, subject="one: größer"), Commit(id=two, subject="two"))
    assert tree.diffstat == Diffstat(files=3, insertions=2, deletions=1)
    assert tree.head == two


@pytest.mark.parametrize("since", ["0" * 40, "nonsense", "--output=stolen.txt", "--since=yesterday", "--all"])
def test_an_unknown_commit_leaves_the_comparison_out(repo: Path, since: str):
    head = commit(repo, "one")
    assert look(repo, since) == Tree(head=head, branch="main")
    assert sorted(path.name for path in repo.iterdir()) == [".git"]


def test_settings_of_the_person_do_not_change_what_is_read(repo: Path):
    since = commit(repo, "zero", **{"a.txt": "1\n"})
    for setting in ("color.ui=always", "status.showUntrackedFiles=no", "log.showSignature=true", "diff.external=false"):
        git(repo, "config", *setting.split("="))
    one = commit(repo, "one", **{"a.txt": "2\n"})
    (repo / "new.txt").write_text("x")
    tree = look(repo, since)
    assert (tree.dirty, tree.commits) == (("new.txt",), (Commit(id=one, subject="one"),))
    assert tree.diffstat == Diffstat(files=1, insertions=1, deletions=1)


def test_looking_runs_no_monitor_signature_check_diff_tool_or_pager_of_the_settings(repo: Path, tmp_path: Path):
    since = commit(repo, "zero", **{".gitattributes": "*.txt diff=spy\n", "a.txt": "1\n"})
    raw = git(repo, "cat-file", "commit", since).replace("\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n\n", 1)
    (tmp_path / "signed").write_text(raw.replace("\nauthor", f"\nparent {since}\nauthor", 1) + "\n")
    signed = git(repo, "hash-object", "-w", "-t", "commit", str(tmp_path / "signed"))
    git(repo, "reset", "-q", "--soft", signed)
    (repo / "a.txt").write_text("2\n")
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\necho $0 $* >> {tmp_path}/ran\n")
    spy.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "gpg.program",
        "diff.external",
        "diff.spy.textconv",
        "diff.spy.command",
        "core.pager",
    ):
        git(repo, "config", key, str(spy))
    git(repo, "config", "log.showSignature", "true")
    (tmp_path / "ran").unlink(missing_ok=True)
    tree = look(repo, since)
    assert not (tmp_path / "ran").exists()
    assert (tree.commits, tree.diffstat.files) == ((Commit(id=signed, subject="zero"),), 1)


def test_looking_writes_nothing_and_needs_no_lock(repo: Path):
    commit(repo, "one", **{"a.txt": "1\n"})
    os.utime(repo / "a.txt", (1, 1))
    before = (repo / ".git" / "index").read_bytes()
    assert look(repo).dirty == ()
    assert (repo / ".git" / "index").read_bytes() == before
    (repo / ".git" / "index.lock").touch()
    assert look(repo).dirty == ()


def test_another_repository_in_the_environment_is_not_heeded(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "other")
    commit(repo, "one")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert look(repo).branch == "main"


def test_a_worktree_is_a_checkout_of_its_own(repo: Path, tmp_path: Path):
    commit(repo, "one")
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = do(Probe(path=str(tmp_path / "side")))
    assert isinstance(found, Probed)
    assert (found.path, found.branch) == (str(tmp_path / "side"), "side")


def fails(command: Work) -> str:
    with pytest.raises(WorkFailed) as caught:
        do(command)
    return str(caught.value)


def test_a_folder_without_git_is_told_how_to_become_a_checkout(tmp_path: Path):
    plain = tmp_path / "my shop"
    plain.mkdir()
    said = f"{plain} is no git checkout; make it one with: git init '{plain}'"
    assert fails(Probe(path=str(plain))) == said
    assert fails(Inspect(checkout=str(plain))) == said


def test_a_missing_folder_and_a_file_are_no_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "none"):
        assert fails(Probe(path=str(path))) == f"{path} is no folder; name the folder of a git checkout"


def test_a_path_that_the_system_refuses_is_a_sentence_too(tmp_path: Path):
    path = f"{tmp_path}/{'x' * 300}"
    assert fails(Probe(path=path)) == f"{path}: File name too long; choose a shorter name"


def test_a_bare_repository_has_no_files_to_work_on(tmp_path: Path):
    git(tmp_path, "init", "-q", "--bare", ".")
    assert fails(Probe(path=str(tmp_path))) == (
        f"{tmp_path} has no files to work on (it is a bare repository); name a clone of it"
    )


def test_a_broken_repository_says_what_git_says(repo: Path):
    commit(repo, "one")
    (repo / ".git" / "index").write_bytes(b"nonsense")
    with pytest.raises(WorkFailed) as caught:
        look(repo)
    assert str(caught.value).startswith(f"git status failed in {repo}: ")
    assert str(caught.value).endswith("; try it there by hand")
    assert "index file" in caught.value.output


def test_without_git_the_sentence_says_so(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fails(Probe(path=str(repo))) == (
        "git is not to be found on the PATH of CAR; install git, or add its folder to PATH"
    )
