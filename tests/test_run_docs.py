import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "run_docs.py"


def run(folder, text, name="page.md"):
    page = folder / name
    page.write_text(text)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(page)], capture_output=True, text=True, timeout=60, cwd=folder
    )
    return done.returncode, done.stdout


def test_blocks_of_a_page_run_in_order_and_share_a_folder_and_variables(tmp_path):
    status, shown = run(
        tmp_path,
        "# Page\n```console\n$ echo 3 \\\n    > number\nshown, not run\n```\n\n"
        "```python\nnumber = int(open('number').read())\n```\nand\n```python\nassert number == 3\n```\n",
    )
    assert status == 0, shown
    assert not (tmp_path / "number").exists()


def test_a_failing_python_block_is_named_by_page_and_line(tmp_path):
    status, shown = run(tmp_path, "# Page\n\n```python\nx = 1\nassert x == 2\n```\n")
    assert status == 1
    assert 'File "page.md:4", line 5' in shown
    assert "page.md:4: failed:" in shown


def test_a_failing_command_fails_the_page(tmp_path):
    status, shown = run(tmp_path, "```console\n$ false\n$ true\n```\n")
    assert status == 1
    assert "page.md:2: ended with status 1" in shown


def test_a_block_that_is_marked_does_not_run_and_its_reason_is_listed(tmp_path):
    status, shown = run(tmp_path, "<!-- not run: takes an hour -->\n\n```console\n$ false\n```\n")
    assert status == 0
    assert "line 4 not run: takes an hour" in shown


def test_an_example_runs_in_a_folder_with_a_memory_of_its_own(tmp_path):
    code = "import os, pathlib\nassert pathlib.Path(os.environ['TANAS_DICTIONARY']).parent.samefile('.')"
    status, shown = run(tmp_path, code, name="example.py")
    assert status == 0, shown
