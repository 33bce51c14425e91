"""The local page, as a browser shows it: each number is the ledger's, each control works, nothing gets in or out."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from conftest import DEADLINE_SECONDS, PROMPT, wait_until
from playwright.sync_api import Error, expect, sync_playwright

from telemetry.cli.documentation import documentation
from telemetry.cli.forget import forget
from telemetry.cli.preview import preview
from telemetry.cli.status import status
from telemetry.consent import State, read_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Collector
    from playwright.sync_api import Browser, Page

CLIENTS = Path(__file__).parent / "clients"
PAGE = Path(__file__).parent.parent / "telemetry/view/page"
expect.set_options(timeout=DEADLINE_SECONDS * 1000)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SLIP = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
LIBRARIES = {
    "marked.umd.js": "bb95d4c15f1289f78486eaacebf3bb18688475ed58a040ef762ed49337090542",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""The digests of the files of marked and uPlot, as they came. Those of their packages are
sha512-ii4bxCTCqqwpT86XZWgJNs+ZnAIZksmLGYMViWA7PDIXYIeNo1x6cDdX3JOip9NM/cI6p8z57FxliACboTruMA== and
sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==."""

CATALOG = f"""
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"

[events.query_finished]
purpose = "decide which engine {SLIP} to optimise"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
engine = {{ type = "enum", values = ["batch", "stream"], purpose = "compare engines" }}
table = {{ type = "identifier", purpose = "distinct tables in a session" }}
kind = {{ type = "enum", values = ["{SLIP}"], purpose = "what a value may hold" }}

[events.opened]
purpose = "which parts are used"
owner = "ui team"
expires = "2099-12-31"
sensitivity = "interaction"
"""

HOST = """
import json, sys, telemetry
from telemetry.settings import ShipperSettings
telemetry.init(**json.loads(sys.argv[1]), shipper=ShipperSettings(**json.loads(sys.argv[2])))
slip = sys.argv[3]
print("ready", flush=True)
for line in sys.stdin:
    for number in range(int(line)):
        telemetry.emit("query_finished", engine="batch", table=f"t{number}", kind=slip, wokers=1)
        telemetry.emit("opened")
    telemetry.emit(slip)
    print(telemetry.flush(60), flush=True)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here")
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        except Error as fault:
            pytest.skip(f"chromium does not start here: {fault.message[:80]}")
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    place = tmp_path_factory.mktemp("axe")
    for file in (CLIENTS / "page").glob("*.json"):
        shutil.copy(file, place)
    install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    if subprocess.run(install, cwd=place, capture_output=True, timeout=100, check=False).returncode:
        pytest.skip("axe-core can't be installed")
    return (place / "node_modules/axe-core/axe.min.js").read_text()


class Served(NamedTuple):
    """A page that is served, and a host that emits."""

    url: str
    emit: Callable[[int], None]
    home: Path


@pytest.fixture
def served(home: Path, collector: Collector, tmp_path: Path) -> Iterator[Served]:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    init = {"product": "acme-db", "catalog": str(catalog), "endpoint": collector.endpoint, "consent": "on"}
    settings = {**PROMPT, "segment_seconds": 0.5}
    view = [sys.executable, "-m", "telemetry", "view", "--json"]
    host = [sys.executable, "-c", HOST, json.dumps(init), json.dumps(settings), SLIP]
    with (
        subprocess.Popen(host, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as emitting,
        subprocess.Popen(view, stdout=subprocess.PIPE, text=True) as viewing,
    ):
        assert emitting.stdin
        assert emitting.stdout
        assert viewing.stdout
        stdin, stdout = emitting.stdin, emitting.stdout
        assert stdout.readline() == "ready\n"

        def emit(number: int) -> None:
            stdin.write(f"{number}\n")
            stdin.flush()
            assert stdout.readline() == "True\n"

        emit(20)
        yield Served(json.loads(viewing.stdout.readline())["url"], emit, home)
        viewing.terminate()
        emitting.kill()
    assert viewing.returncode == 0


def report() -> Any:
    return json.loads(CliRunner().invoke(status, ["--product", "acme-db", "--json"]).stdout)


def opened(browser: Browser, served: Served, **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(DEADLINE_SECONDS * 1000)
    page.goto(served.url)
    page.locator("#ledger dd").first.wait_for()
    page.locator("#batches button").first.wait_for()
    return page


def settled() -> Any:
    """The report once all that was emitted is delivered, so that nothing changes any more."""
    wait_until(lambda: not (found := report())["ledger"]["on_disk"] and not found["ledger"]["in_flight"])
    return report()


def cells(page: Page, table: str) -> list[list[str]]:
    rows = page.locator(f"#{table} tbody tr")
    return [rows.nth(number).locator("td").all_inner_texts() for number in range(rows.count())]


def test_every_number_is_that_of_the_ledger(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    served.emit(5)
    found = settled()
    ledger = found["ledger"]
    expect(page.locator("[data-figure=delivered]")).to_have_text(str(ledger["delivered"]))
    shown = {name: page.locator(f"[data-figure={name}]").inner_text() for name in ("emitted", "on_disk", "in_flight")}

    assert shown == {"emitted": "52", "on_disk": "0", "in_flight": "0"}
    assert (ledger["emitted"], ledger["delivered"]) == (52, 50)
    assert page.locator("[data-figure=dropped]").inner_text() == str(sum(ledger["dropped"].values())) == "2"
    assert [row[:2] for row in cells(page, "dropped")] == [["undeclared", "2"]]
    assert "declare it" in cells(page, "dropped")[0][2]
    assert [row[1:3] for row in cells(page, "fields")] == [["undeclared", "25"]]
    assert ledger["fields_dropped"] == {"undeclared": 25}
    unknown = {name: str(number) for name, number in found["shipper"]["undeclared"].items()}
    assert dict(cells(page, "undeclared")) == unknown
    assert [*unknown.values()] == ["25"]  # the other name is none that a catalog could declare
    assert cells(page, "redacted") == [["identifier", "query_finished.table", "25"]]
    assert sorted(row[:2] for row in cells(page, "names")) == [["opened", "25"], ["query_finished", "25"]]
    assert [row[1] for row in cells(page, "sessions")] == ["50"]
    assert cells(page, "shippers")[0][0] == f"pid {found['shipper']['pid']}"
    folders = {"being written": "active", "waiting": "sealed", "sent": "sent", "kept here": "local"}
    assert {row[0]: row[1] for row in cells(page, "spool") if row[0] in folders} == {
        said: str(found["spool"]["segments"][folder]) for said, folder in folders.items()
    }
    assert sum(int(row[3]) for row in cells(page, "batches")) == 50
    assert page.locator("#batch-count").inner_text() == "{0} of {0}".format(len(cells(page, "batches")))


def test_what_left_is_shown_as_it_was_sent_and_can_be_searched(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    settled()
    page.locator("#state").select_option("sent")
    id_ = page.locator("#batches button").first.inner_text()
    page.locator("#batches button").first.click()
    expect(page.locator("#batch-title")).to_have_text(f"Batch {id_}, sent")

    told = json.loads(CliRunner().invoke(preview, ["--batch", id_, "--json"]).stdout)
    lines = [json.loads(line) for line in page.locator("#batch-lines").inner_text().splitlines()]
    assert lines == told["body"]["events"]
    assert page.locator("#batch-head").inner_text().splitlines() == [
        told["request"]["line"],
        *(f"{name}: {value}" for name, value in told["request"]["headers"]),
    ]
    page.locator("#text").fill("QUERY_finished")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#hit-count")).to_have_text("20 events found")
    page.locator("#hits button").first.click()
    expect(page.locator("#batch-touched td", has_text="identifier")).to_have_count(1)
    page.locator("#text").fill("t19")  # a table's name, which never left
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#hit-count")).to_have_text("0 events found")
    page.locator("#state").select_option("quarantine")
    expect(page.locator("#batch-count")).to_contain_text("0 of")


def test_a_session_can_be_asked_to_be_forgotten_and_is(browser: Browser, served: Served, collector: Collector) -> None:
    page = opened(browser, served)
    settled()
    session = cells(page, "sessions")[0][0]
    page.get_by_role("button", name=f"Ask to be forgotten: session {session}").click()
    assert session in page.locator("#request").input_value()
    expect(page.locator("#forget-policy")).to_contain_text("https://acme.example/privacy")
    page.locator("#forget-copy").click()
    expect(page.locator("#forget-done")).not_to_be_empty()
    page.locator("#forget-close").click()
    expect(page.locator("#forget")).to_be_hidden()

    told = CliRunner().invoke(forget, [session, "--store", str(collector.store), "--json"])
    assert json.loads(told.stdout)["events"] == 40
    assert (
        json.loads(CliRunner().invoke(forget, [session, "--store", str(collector.store), "--json"]).stdout)["events"]
        == 0
    )


def test_what_is_collected_is_said_with_its_purpose(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    expect(page.locator("#found")).to_have_text("2 events")
    page.locator("summary", has_text="query_finished").click()
    assert ["table", "distinct tables in a session"] in [row[:2] for row in cells(page, "catalogs")]
    page.locator("#find").fill("which parts")
    expect(page.locator("#found")).to_have_text("1 event")
    expect(page.locator("#catalogs summary")).to_contain_text("opened to which parts are used")
    expect(page.locator("#policy")).to_contain_text("https://acme.example/privacy")


def test_each_choice_works_and_is_confirmed_by_the_ledger(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    for choice in ("technical", "local", "on", "off"):
        button = page.locator(f"[data-choice={choice}]")
        button.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#done")).to_contain_text(f"Stored: {choice}.")
        expect(button).to_have_attribute("aria-pressed", "true")
        assert read_stored("acme-db").choice == choice
        assert f"You chose {choice} on 2" in page.locator("#chosen").inner_text()
    assert "0 events lie on this machine" in page.locator("#done").inner_text()
    assert report()["ledger"]["on_disk"] == 0

    page.locator("[data-choice=erase]").click()
    page.locator("#sure-no").click()
    assert report()["ledger"]["emitted"]
    page.locator("[data-choice=erase]").click()
    expect(page.locator("#sure-product")).to_have_text("acme-db")
    page.locator("#sure-yes").click()
    expect(page.locator("#done")).to_have_text("Everything is erased: 0 events lie on this machine.")
    assert (report()["ledger"]["emitted"], read_stored("acme-db").choice) == (0, State.OFF)


def test_nothing_hostile_gets_in_and_nothing_is_asked_elsewhere(browser: Browser, served: Served) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def change(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        found["kept"]["names"][SLIP] = found["ledger"]["dropped"][SLIP] = 7
        found["errors"].append(SLIP)
        found["consent"]["rule"] = SLIP
        route.fulfill(response=answer, json=found)

    page.route("**/api/now*", change)
    page.goto(served.url)
    page.locator("#names td", has_text="onerror").wait_for()
    page.locator("#batches button").first.click()
    page.locator("#batch:not([hidden])").wait_for()
    page.locator("#find").fill("optimise")
    page.locator("#text").fill("onerror")
    page.get_by_role("button", name="Search").click()
    page.locator("#hits td", has_text="onerror").first.wait_for()

    assert page.evaluate("window.hurt") is None
    assert page.locator("img, iframe, main script").count() == 0
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(served.url).netloc}
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hurt = 1'}))")
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'asked', (fault) => fault.message)") != "asked"
    assert page.evaluate("window.hurt") is None


def test_everybody_can_use_it(browser: Browser, served: Served, axe: str) -> None:
    page = opened(browser, served)
    page.locator("#batches button").first.click()
    page.locator("#batch:not([hidden])").wait_for()
    page.locator("summary").first.click()
    assert_fit_for_everybody(page, axe, "view")


def assert_fit_for_everybody(page: Page, axe: str, name: str) -> None:
    page.evaluate(axe)
    for scheme, width in (("light", 1100), ("dark", 1100), ("light", 360), ("dark", 360)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of the two
        page.set_viewport_size({"width": width, "height": 800})
        found = page.evaluate("axe.run()")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if directory := os.environ.get("VIEW_SHOTS"):
            page.screenshot(path=f"{directory}/{name}-{scheme}-{width}.png", full_page=name == "view")


def test_the_documentation_can_be_searched_and_its_chapters_lead_to_each_other(
    browser: Browser, served: Served, axe: str
) -> None:
    page = opened(browser, served)
    page.get_by_role("link", name="Documentation").click()
    page.locator("article").first.wait_for()
    titles = page.locator("#chapters a").all_inner_texts()
    assert titles == [chapter.title for chapter in documentation()]
    assert page.locator("article > section:first-child h2").all_inner_texts() == titles

    leading = page.locator("article a[href^='#']").evaluate_all("all => all.map((each) => each.getAttribute('href'))")
    there = page.locator("article, article section[id]").evaluate_all("all => all.map((each) => `#${each.id}`)")
    assert leading
    assert set(leading) <= set(there)

    page.locator("#find").fill("spool_full  raise")
    expect(page.locator("#found")).to_have_text(re.compile(r"^[1-9]\d* sections?$"))
    shown = page.locator("section:visible").all_inner_texts()
    assert all("spool_full" in text.lower() and "raise" in text.lower() for text in shown)
    assert any("dropped" in text.lower() for text in shown)
    page.locator("#find").fill("")
    assert_fit_for_everybody(page, axe, "docs")


def ask(served: Served, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, dict[str, str]]:
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.headers)


def test_only_who_was_given_the_address_is_let_in_and_once(served: Served) -> None:
    parts = urlsplit(served.url)
    first, host = f"/?{parts.query}", parts.netloc
    assert ask(served, "/")[0] == ask(served, "/?token=x")[0] == ask(served, "/api/products")[0] == 403
    assert ask(served, first, Host=f"evil.example:{parts.port}")[0] == 403
    answered, headers = ask(served, first)
    assert (answered, headers["Location"]) == (303, "/")
    assert ask(served, first)[0] == 403
    flags = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= {*flags}
    cookie = flags[0]

    answered, headers = ask(served, "/", Cookie=cookie)
    assert answered == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")
    assert "Python" not in headers["Server"]
    for told in ("localhost", "evil.example", f"localhost:{parts.port}", f"evil.example:{parts.port}", "127.0.0.1"):
        assert ask(served, "/api/products", Cookie=cookie, Host=told)[0] == 403
    assert ask(served, "/api/products", Cookie=cookie, Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(served, "/api/products", Cookie=f"{cookie}x")[0] == 403
    assert ask(served, "/../page.py", Cookie=cookie)[0] == ask(served, "/api/x", Cookie=cookie)[0] == 404
    assert ask(served, "/api/now?product=../x", Cookie=cookie)[0] == 400

    said = json.dumps({"product": "acme-db", "choice": "off"})
    right = {"Cookie": cookie, "Origin": f"http://{host}", "Content_Type": "application/json"}
    for wrong in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Cookie": "x=y"}):
        assert ask(served, "/api/choice", "POST", said, **{**right, **wrong})[0] == 403
    assert ask(served, "/api/choice", "POST", said, Cookie=cookie, Content_Type="application/json")[0] == 403
    assert ask(served, "/api/choice", "POST", said, **{**right, "Content_Type": "text/plain"})[0] == 404
    assert ask(served, "/api/choice", "POST", "x" * 5000, **right)[0] == 413
    assert ask(served, "/api/choice", "POST", "[" * 3000, **right)[0] == 400
    assert ask(served, "/api/choice", "POST", json.dumps({"product": "acme-db", "choice": "sell"}), **right)[0] == 400
    assert read_stored("acme-db").choice is None
    assert ask(served, "/api/choice", "POST", said, **right)[0] == 200
    assert read_stored("acme-db").choice is State.OFF


def test_only_this_machine_can_reach_it(served: Served) -> None:
    assert urlsplit(served.url).hostname == "127.0.0.1"
    port = urlsplit(served.url).port
    listening = (
        subprocess.run(["ss", "-ltn"], capture_output=True, text=True, check=False) if shutil.which("ss") else None
    )
    assert listening is None or [line.split()[3] for line in listening.stdout.splitlines() if f":{port} " in line] == [
        f"127.0.0.1:{port}"
    ]


def test_the_libraries_are_as_they_came_with_their_licences() -> None:
    digests = {name: hashlib.sha256((PAGE / name).read_bytes()).hexdigest() for name in LIBRARIES}
    assert digests == LIBRARIES
    assert all("MIT" in (PAGE / f"{library}.LICENSE").read_text() for library in ("uPlot", "marked"))
    ours = ["page.js", "page.css", "index.html", "docs.js", "docs.html"]
    assert not [name for name in ours if re.search("https?://", (PAGE / name).read_text())]
