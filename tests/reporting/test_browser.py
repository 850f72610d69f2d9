"""The page in a real browser: it opens silently, sorts, filters, and serves every reader."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from make_pages import empty, page
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Page as Tab

from lapbench.reports.page.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE = {"width": 390, "height": 844}
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}
INK = {"light": "rgb(26, 30, 35)", "dark": "rgb(228, 231, 235)"}
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here; Debian's package has one")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page, and of one without any number."""
    folder: Path = tmp_path_factory.mktemp("pages")
    violations = {}
    for name, content in {"full": page(), "empty": empty()}.items():
        path = folder / f"{name}.html"
        path.write_text(render(content), encoding="utf-8")
        violations[name] = path.as_uri()
    return violations


@pytest.fixture
def tab(browser: Browser, files: dict[str, str]) -> Iterator[Tab]:
    tab = browser.new_page()
    tab.goto(files["full"])
    yield tab
    tab.close()


def head(section: str, column: str) -> str:
    """A column's head in the first table of a section."""
    return f"#{section} figure.table >> nth=0 >> th[scope=col]:has(:text-is('{column}'))"


def rows(tab: Tab, section: str) -> list[str]:
    """What names the rows that are shown in the first table of a section."""
    units = tab.locator(f"#{section} figure.table").first.locator(".unit:not([hidden])")
    return [text.strip() for text in units.locator("th bdi").all_text_contents()]


@pytest.mark.parametrize("scheme", PAPER)
@pytest.mark.parametrize("name", ["full", "empty"])
def test_every_reader_is_served_in_silence(
    browser: Browser, files: dict[str, str], name: str, scheme: str
):
    """No message, no request, the rules of axe, light and dark, and nothing wider than a phone."""
    context = browser.new_context(color_scheme=scheme)
    tab = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(files[name])
    tab.locator("footer").scroll_into_view_if_needed()
    assert (said, asked) == ([], [files[name]])

    page_color = "getComputedStyle(document.documentElement).backgroundColor"
    assert tab.evaluate(page_color) == PAPER[scheme]
    if name == "full":
        line = "getComputedStyle(document.querySelector('.drawing svg [style*=stroke]')).stroke"
        assert tab.evaluate(line) == INK[scheme]

    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    violations = Axe().run(tab)
    assert violations.violations_count == 0, violations.generate_report()
    tab.set_viewport_size(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    context.close()


def test_a_script_that_got_into_the_page_does_not_run(browser: Browser):
    tab = browser.new_page()
    html = render(page(title="MARK")).replace("MARK", "<script>document.title = 'run'</script>")
    tab.set_content(html)
    assert tab.evaluate("document.title") != "run"
    tab.close()


def test_numbers_sort_as_numbers_and_what_is_missing_stays_last(tab: Tab):
    button = tab.locator(f"{head('leaderboard', 'accuracy [%]')} >> button")
    before = rows(tab, "leaderboard")
    button.click()
    assert rows(tab, "leaderboard") == ["wnll", "softmax", "gll", "svm"]
    button.click()
    assert rows(tab, "leaderboard") == ["gll", "softmax", "wnll", "svm"]
    button.click()
    assert rows(tab, "leaderboard") == before


def test_texts_sort_by_the_keyboard_and_the_order_is_announced(tab: Tab):
    column = tab.locator(head("cells", "method"))
    column.locator("button").focus()
    tab.keyboard.press("Enter")
    assert rows(tab, "cells") == ["gll"] * 2 + ["softmax"] * 2 + ["svm"] * 2 + ["wnll"] * 2
    assert column.get_attribute("aria-sort") == "ascending"
    tab.keyboard.press("Space")
    assert rows(tab, "cells")[0] == "wnll"
    assert column.get_attribute("aria-sort") == "descending"
    assert tab.locator("#cells th[aria-sort]").count() == 1


def test_filters_leave_what_was_asked_for(tab: Tab):
    form = tab.locator("form[data-for=cells]")
    form.locator("input").fill("KARATE")
    assert rows(tab, "cells") == ["softmax", "gll", "wnll", "svm"]
    assert form.locator("output").text_content() == "4 of 8 rows"
    form.locator("select[name=status]").select_option("failed")
    assert rows(tab, "cells") == ["svm"]
    form.locator("select[name=task]").select_option(label="digits")
    assert rows(tab, "cells") == []
    form.locator("input").fill("")
    assert rows(tab, "cells") == ["svm"]


@pytest.mark.parametrize("text", ["karate", "MLP", "natural"])
def test_filters_find_what_all_rows_of_a_table_share(tab: Tab, text: str):
    tables = tab.locator("#leaderboard figure.table:visible")
    tab.locator("form[data-for=leaderboard] input").fill(text)
    captions = tables.locator("figcaption").all_text_contents()
    assert captions[-1] == "karate, mlp, natural training"
    assert len(captions) == (1 if text == "karate" else 2)
    assert len(rows(tab, "leaderboard")) == (0 if text == "karate" else 4)


def test_a_task_that_is_filtered_out_leaves_no_empty_table(tab: Tab):
    tables = tab.locator("#leaderboard figure.table:visible")
    before = tables.count()
    tab.locator("form[data-for=leaderboard] select[name=task]").select_option(label="karate")
    assert tables.count() == before - 1
    assert tables.first.locator("figcaption").text_content() == "karate, mlp, natural training"


def test_a_cell_opens_by_the_keyboard_to_its_configuration(tab: Tab):
    summary = tab.locator("#cells .unit summary").nth(1)
    opened = tab.locator("#cells .unit").nth(1).locator(".drill")
    assert not opened.is_visible()
    summary.focus()
    tab.keyboard.press("Enter")
    opened.locator("pre", has_text="gll: configured").wait_for()
    assert opened.locator("pre", has_text="commit: 9cf1aab").is_visible()
    tab.keyboard.press("Enter")
    opened.wait_for(state="hidden")


def test_the_first_stop_of_the_keyboard_skips_to_the_results(tab: Tab):
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"


def test_without_script_everything_can_be_read(browser: Browser, files: dict[str, str]):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(files["full"])
    assert not tab.locator("form.filter").first.is_visible()
    failed = tab.locator("#cells .unit").nth(3)
    failed.locator("summary").click()
    assert failed.locator("pre", has_text="line 2").is_visible()
    failed.locator("a[href='#configuration-3']").click()
    assert tab.locator("#configuration-3").is_visible()
    context.close()
