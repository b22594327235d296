import shutil
from pathlib import Path

import pytest
from prompt_kit import MARKED, rich, templates, text_of

from evolve.errors import ConfigError
from evolve.llm.specs import EditKind
from evolve.prompts import templates as module
from evolve.prompts.config import PromptConfig
from evolve.prompts.parts import Part
from evolve.prompts.render import Prompts
from evolve.prompts.specimens import specimens
from evolve.prompts.templates import Templates

BUILT_IN = Path(module.__file__).parent / "templates"


@pytest.fixture
def folder(tmp_path):
    def make(name: str = "prompts", /, **texts: str) -> Path:
        made = tmp_path / name
        made.mkdir()
        for stem, text in texts.items():
            (made / f"{stem}.md").write_text(text)
        return made

    return make


def written(loaded: Templates) -> str:
    return text_of(Prompts(loaded, PromptConfig()).messages(rich(MARKED), EditKind.FULL, budget_tokens=20_000))


def test_a_later_folder_replaces_an_earlier_one_file_by_file(folder):
    task = folder("task", system="Task's system.\n", ask="Task's question about {{ metric }}.\n")
    run = folder("run", ask="Run's question.\n")
    text = written(Templates.load(task, run))
    assert "Task's system." in text
    assert "Run's question." in text
    assert "Task's question" not in text
    assert "# How to answer" in text
    assert "Task's question about points." in written(Templates.load(run, task))


def test_a_run_s_templates_count_more_than_its_task_s(folder):
    task, run = folder("task", ask="Task's.\n", system="Task's system.\n"), folder("run", ask="Run's.\n")
    text = text_of(Prompts.of(PromptConfig(templates=str(run)), task).messages(rich(MARKED), EditKind.FULL, budget_tokens=20_000))
    assert "Run's." in text
    assert "Task's system." in text


def test_a_template_may_add_to_the_built_in_one(folder):
    text = written(Templates.load(folder(system='{% include "built-in/system.md" %}\nWrite British English.\n')))
    assert "You improve a program, one step at a time." in text
    assert "Write British English." in text


def test_a_folder_without_templates_changes_nothing(folder):
    assert Templates.load(folder()).sha256 == templates().sha256


def test_the_hash_is_of_all_texts_in_use(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(BUILT_IN, copy)
    assert Templates.load(copy).sha256 == templates().sha256
    hashes = {templates().sha256}
    for path in copy.glob("*.md"):
        # Alone in its folder: what else is not built in would be compiled and filled in every time.
        changed = folder(path.stem, **{path.stem: path.read_text() + "\n"})
        hashes.add(Templates.load(changed).sha256)
    assert len(hashes) == 1 + len(list(BUILT_IN.glob("*.md")))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sytem.md", "did you mean 'system.md'"), ("parent.txt", "did you mean 'parent.md'"), ("zzz", "known: advice.md")],
)
def test_an_unknown_file_is_refused_with_the_nearest_name(folder, name, hint):
    made = folder()
    (made / name).write_text("x")
    with pytest.raises(ConfigError, match=rf"{name} replaces no template; {hint}"):
        Templates.load(made)


def test_hidden_files_are_none_of_our_business(folder):
    made = folder()
    (made / ".DS_Store").write_bytes(b"\xff")
    assert Templates.load(made).sha256 == templates().sha256


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"the folder of templates '.*nowhere' cannot be read: No such file"):
        Templates.load(tmp_path / "nowhere")


def test_a_file_that_is_no_text_is_refused(folder):
    made = folder()
    (made / "ask.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"the template .*ask\.md cannot be read"):
        Templates.load(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fine\n{% if brief %}\nno end\n", r"ask\.md line 3: .*endif"),
        ("one\n\n{{ 1 + }}\n", r"ask\.md line 3"),
        ("{{ metrik }}", r"ask\.md line 1: 'metrik' is undefined"),
        ("{% if False %}\n{{ metrik }}\n{% endif %}", r"ask\.md: unknown name 'metrik'; did you mean 'metric'\?"),
        ("a\n{{ metric.size }}", r"ask\.md line 2: .*has no attribute 'size'"),
        ("{{ none }}", r"ask\.md.*would be filled with None"),
        ("{{ '' if brief else none }}", r"ask\.md.*would be filled with None"),
        ("x\n{{ 1 / 0 }}", r"ask\.md line 2: division by zero"),
        ("{{ metric.__class__.__mro__ }}", r"ask\.md line 1: .*unsafe"),
        ("{{ cycler.__init__.__globals__.os }}", r"ask\.md line 1: .*unsafe"),
        ('{% include "nothing.md" %}', r"ask\.md.*nothing\.md"),
        ('{% include "built-in/../render.py" %}', r"ask\.md.*render\.py"),
        ("{% include '/etc/hostname' %}", r"ask\.md.*hostname"),
    ],
)
def test_a_mistake_is_found_when_templates_are_loaded(folder, text, message):
    with pytest.raises(ConfigError, match=message):
        Templates.load(folder(ask=text))


def test_a_template_reaches_nothing_but_what_a_view_shows(folder):
    with pytest.raises(ConfigError, match=r"parent\.md line 1: .*unsafe"):
        Templates.load(folder(parent="{{ parent.__class__.__mro__ }}"))


def test_a_mistake_in_what_a_template_includes_is_placed_there(folder):
    with pytest.raises(ConfigError, match=r"retry\.md line 2: 'wy' is undefined"):
        Templates.load(folder(retry="\n{{ wy }}"))


def test_a_name_of_another_template_is_unknown_in_this_one(folder):
    with pytest.raises(ConfigError, match=r"system\.md line 1: 'feedback' is undefined"):
        Templates.load(folder(system="{{ feedback }}"))


def test_specimens_lead_through_every_template_and_every_line_of_the_built_in_ones():
    loaded = templates()
    reached = {part.template for part in specimens(loaded.variants[1:])}
    assert reached == set(_texts())
    text = "\n".join(loaded.fill(part) for part in specimens(loaded.variants[1:]))
    for path in BUILT_IN.rglob("*.md"):
        for line in path.read_text().splitlines():
            if line.strip() and "{" not in line:
                assert line in text, f"{path.name}: {line}"


def test_a_value_that_prints_as_a_word_without_meaning_is_refused():
    for value in (None, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=rf"advice\.md.*filled with {value!r}"):
            Templates({**_texts(), "advice.md": "{{ advice }}"}, {name: BUILT_IN / name for name in _texts()}).fill(
                Part("advice.md", {"advice": value})
            )


def _texts() -> dict[str, str]:
    return {str(path.relative_to(BUILT_IN)): path.read_text() for path in BUILT_IN.rglob("*.md")}


def test_a_folder_may_bring_variants_of_the_system_text_and_replace_built_in_ones(folder):
    made = folder()
    (made / "variants").mkdir()
    (made / "variants" / "terse.md").write_text('{% include "system.md" %}\nFew words.\n')
    (made / "variants" / "bold.md").write_text('{% include "built-in/variants/bold.md" %}\nVery bold.\n')
    loaded = Templates.load(made)
    assert loaded.variants == ["default", "bold", "careful", "terse"]
    assert loaded.sha256 != templates().sha256
    for variant, line in (("terse", "Few words."), ("bold", "Very bold.")):
        prompt = Prompts(loaded, PromptConfig()).messages(rich(MARKED), EditKind.FULL, budget_tokens=20_000, variant=variant)
        assert line in prompt.messages[0].text
        assert "You improve a program, one step at a time." in prompt.messages[0].text


@pytest.mark.parametrize("name", ["default.md", "Über.md", "a b.md", "terse.txt"])
def test_a_variant_whose_name_cannot_stand_in_a_spec_is_refused(folder, name):
    made = folder()
    (made / "variants").mkdir()
    (made / "variants" / name).write_text("x")
    with pytest.raises(ConfigError, match="no variant of the system text"):
        Templates.load(made)


def test_a_mistake_in_a_variant_is_found_when_templates_are_loaded(folder):
    made = folder()
    (made / "variants").mkdir()
    (made / "variants" / "terse.md").write_text("{{ feedback }}")
    with pytest.raises(ConfigError, match=r"terse\.md line 1: 'feedback' is undefined"):
        Templates.load(made)
