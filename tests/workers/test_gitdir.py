import pytest

from actors.workers.agents.gitdir import find_gitdirs
from protocol.errors import WorkFailed
from tests.live.checkout import checkout, git


def test_a_checkout_of_its_own_keeps_everything_in_its_folder(tmp_path):
    shop = checkout(tmp_path / "shop")
    assert find_gitdirs(f"{shop}/.git") == (f"{shop}/.git",)


@pytest.mark.parametrize("way", ["false", "true"])
def test_a_worktree_writes_to_the_folder_of_its_repository_and_to_its_own(tmp_path, way):
    shop = checkout(tmp_path / "shop")
    git(shop, "-c", f"worktree.useRelativePaths={way}", "worktree", "add", "-q", "../other")
    assert find_gitdirs(f"{tmp_path}/other/.git") == (f"{shop}/.git", f"{shop}/.git/worktrees/other")


def test_a_submodule_writes_to_its_own_folder_in_the_repository_around_it(tmp_path):
    part, shop = checkout(tmp_path / "part"), checkout(tmp_path / "shop")
    git(shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(part), "part")
    assert find_gitdirs(f"{shop}/part/.git") == (f"{shop}/.git/modules/part",)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / ".git").write_bytes(b"\xff")
    with pytest.raises(WorkFailed, match="does not say where git keeps this checkout"):
        find_gitdirs(f"{tmp_path}/.git")
