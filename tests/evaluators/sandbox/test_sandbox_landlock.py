from pathlib import Path

from evolve.evaluators.sandbox import landlock, visible


def test_older_kernels_are_asked_for_what_they_know():
    assert landlock.handled(1) == ((1 << 13) - 1, 0, 0)
    assert landlock.handled(2) == ((1 << 14) - 1, 0, 0)
    assert landlock.handled(3) == ((1 << 15) - 1, 0, 0)
    assert landlock.handled(4) == ((1 << 15) - 1, 3, 0)
    assert landlock.handled(5) == ((1 << 16) - 1, 3, 0)
    assert landlock.handled(7) == ((1 << 16) - 1, 3, 3)


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return folder.resolve()


def test_a_folder_with_nothing_hidden_is_granted_whole(tmp_path):
    root = make(tmp_path, "a/b")
    assert list(landlock.readable_without(root, frozenset())) == [(root, landlock.READ)]


def test_a_folder_with_something_hidden_is_granted_entry_by_entry(tmp_path):
    root = make(tmp_path, "open/x", "mixed/secret/x", "mixed/file")
    rules = list(landlock.readable_without(root, frozenset([root / "mixed" / "secret"])))
    assert rules == [
        (root, landlock.LIST),
        (root / "mixed", landlock.LIST),
        (root / "mixed" / "file", landlock.READ),
        (root / "open", landlock.READ),
    ]


def test_a_link_is_no_way_around(tmp_path):
    root = make(tmp_path, "secret/x")
    (root / "link").symlink_to(root / "secret")
    assert list(landlock.readable_without(root, frozenset([root / "secret"]))) == [(root, landlock.LIST)]


def test_neither_this_package_nor_the_scratchs_neighbours_are_granted(tmp_path):
    rules = [*visible.rules(visible.of_machine()), (tmp_path, landlock.WRITE)]
    readable = [path for path, rights in rules if rights & landlock.READ == landlock.READ]
    for secret in (Path(visible.__file__), tmp_path.parent / "other", Path("/etc/passwd"), Path("/proc/self/environ")):
        assert not any(secret.resolve().is_relative_to(path.resolve()) for path in readable)
    assert (tmp_path, landlock.WRITE) in rules


def test_a_hidden_package_is_left_out(tmp_path):
    numpy_folder = Path(visible.np.__file__).parent.resolve()
    readable = [path for path, rights in visible.rules(visible.of_machine([numpy_folder])) if rights == landlock.READ]
    assert not any(numpy_folder.is_relative_to(path) for path in readable)
