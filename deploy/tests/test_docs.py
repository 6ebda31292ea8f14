"""The documentation: it builds, its links lead somewhere, its commands run, and its references are up to date."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BINARIES, NODE_KEY, ROOT, WAIT_MAX, Programs, free_ports, load, request, run, wait_for, wait_for_task

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TOOLS = (ROOT / os.environ["DEPLOY_TOOLS"]).resolve()


def test_the_book_builds(tmp_path):
    code, text = run("mdbook", "build", DOCS, "--dest-dir", tmp_path / "book")
    assert code == 0 and "WARN" not in text and "ERROR" not in text, text
    # Pictures and pages are where links look for them.
    for page in PAGES:
        html = tmp_path / "book" / page.with_suffix(".html").name
        if page.name == "SUMMARY.md":
            continue
        assert html.exists(), f"{page.name} is not in SUMMARY.md"
        for picture in re.findall(r'<img src="([^"]+)"', html.read_text()):
            assert (tmp_path / "book" / picture).exists(), f"{page.name}: {picture}"


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w-]", "", heading.strip().lower().replace(" ", "-")) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To a file of the repository, and to a heading that it has."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_pictures_tell_what_they_show():
    for picture in DOCS.glob("pictures/*.svg"):
        text = picture.read_text()
        assert "<title" in text and "<desc" in text, picture
    code, said = run(sys.executable, "-c", "import sys, xml.dom.minidom as x; [x.parse(p) for p in sys.argv[1:]]", *DOCS.glob("pictures/*.svg"))
    assert code == 0, said


def test_the_errors_are_up_to_date():
    assert (DOCS / "errors.md").read_text() == load(DOCS / "generate.py").errors(), "docs/generate.py writes docs/errors.md anew"


def runnable(page):
    """The blocks of a page that are marked to run, in their order."""
    return re.findall(r"^```sh runnable\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def dev_cluster(tmp_path_factory):
    """`miroir-dev` as the quick start starts it, on another port."""
    (port,) = free_ports(1)
    programs = Programs(tmp_path_factory.mktemp("dev"))
    programs.start([BINARIES / "miroir-dev", "--listen", f"127.0.0.1:{port}"])
    wait_for("the sample", lambda: request(port, "GET", "/indexes/cities/stats")[2].get("numberOfDocuments") == 4449)
    yield port
    programs.end()


RUNNABLE = [page for page in PAGES if runnable(page)]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_commands_run(page, dev_cluster):
    for command in runnable(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace("7700", str(dev_cluster))],
            capture_output=True,
            text=True,
            timeout=WAIT_MAX,
            check=False,
        )
        assert done.returncode == 0, command + done.stdout + done.stderr


def test_the_quick_start_finds_what_it_says(dev_cluster):
    assert DOCS / "quick-start.md" in RUNNABLE
    status, _, found = request(dev_cluster, "GET", "/indexes/cities/search?q=sao+palo&limit=3")
    assert status == 200 and "São Paulo" in [hit["name"] for hit in found["hits"]], found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_blocks_parse(page):
    for block in re.findall(r"^```sh[^\n]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
        assert done.returncode == 0, block + done.stderr


def programs_of_languages():
    """The command that runs each snippet; tools are installed once."""
    snippets = DOCS / "snippets"
    return {
        "python": [sys.executable, snippets / "copy_index.py"],
        "typescript": [TOOLS / "node/node_modules/.bin/tsx", TOOLS / "node/copy_index.ts"],
        "go": ["go", "run", snippets / "copy_index.go"],
        "rust": [BINARIES / "examples" / "copy_index"],
    }


@pytest.fixture(scope="session")
def node_packages():
    """The SDK for TypeScript, its checker and a runner."""
    folder = TOOLS / "node"
    if not (folder / "node_modules/.bin/tsx").exists():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text('{"type": "module", "private": true}')
        packages = ["meilisearch@0.62.0", "tsx@4.23.15", "typescript@5.9.3", "@types/node@24.10.1"]
        code, text = run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, *packages)
        assert code == 0, text
    shutil.copy(DOCS / "snippets" / "copy_index.ts", folder / "copy_index.ts")
    return folder


def test_the_typescript_is_sound(node_packages):
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]
    code, text = run(node_packages / "node_modules/.bin/tsc", *options, node_packages / "copy_index.ts", cwd=node_packages)
    assert code == 0, text


@pytest.fixture
def old_and_new(programs, tmp_path):
    """A server with an index of 2300 documents, and an empty cluster of two nodes."""
    old = programs.node(key="the-old-master-key", name="old")
    settings = {"filterableAttributes": ["year"], "sortableAttributes": ["year"], "synonyms": {"tale": ["novel"]}}
    status, _, task = request(old, "PATCH", "/indexes/books/settings", settings, "the-old-master-key")
    assert status == 202, task
    books = [{"isbn": f"b-{number}", "title": f"book {number}", "year": 1900 + number % 100} for number in range(2300)]
    status, _, task = request(old, "POST", "/indexes/books/documents?primaryKey=isbn", books, "the-old-master-key")
    assert status == 202, task
    wait_for_task(old, task["taskUid"], "the-old-master-key")
    nodes = [programs.node() for _ in range(2)]
    (new,) = free_ports(1)
    where = [f"--node=n{number}=http://127.0.0.1:{port}" for number, port in enumerate(nodes)]
    programs.gateway(
        new,
        ["--listen", f"127.0.0.1:{new}", "--metrics-listen", "off", "--store", f"sled:{tmp_path / 'store'}", *where],
        {"MIROIR_MASTER_KEY": "the-new-master-key", "MIROIR_NODE_MASTER_KEY": NODE_KEY},
    )
    return old, new


@pytest.mark.parametrize("language", ["python", "typescript", "go", "rust"])
def test_an_index_is_copied(language, old_and_new, node_packages, tmp_path):
    old, new = old_and_new
    environment = os.environ | {
        "OLD_URL": f"http://127.0.0.1:{old}",
        "OLD_KEY": "the-old-master-key",
        "NEW_URL": f"http://127.0.0.1:{new}",
        "NEW_KEY": "the-new-master-key",
        "GOCACHE": str(TOOLS / "go-cache"),
    }
    done = subprocess.run(
        [*map(str, programs_of_languages()[language]), "books"],
        capture_output=True, text=True, timeout=2 * WAIT_MAX, check=False, env=environment, cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2300 documents copied" in done.stdout + done.stderr
    body = {"q": "novel", "filter": "year = 1914", "sort": ["year:asc"], "limit": 100}
    answers = [request(port, "POST", "/indexes/books/search", body | {"q": ""}, key)[2] for port, key in [(old, "the-old-master-key"), (new, "the-new-master-key")]]
    ids = [sorted(hit["isbn"] for hit in answer["hits"]) for answer in answers]
    assert ids[0] == ids[1] and len(ids[0]) == 23
    settings = [request(port, "GET", "/indexes/books/settings", key=key)[2] for port, key in [(old, "the-old-master-key"), (new, "the-new-master-key")]]
    assert settings[0] == settings[1], json.dumps(settings)


def test_every_snippet_is_run():
    names = {path.name for path in (DOCS / "snippets").iterdir()}
    assert names == {"copy_index.py", "copy_index.ts", "copy_index.go", "copy_index.rs"}
    text = (DOCS / "migration.md").read_text()
    assert all(f"snippets/{name}" in text for name in names)
