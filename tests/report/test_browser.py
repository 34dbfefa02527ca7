"""The page in a real browser: links, the drill-down, a phone, no JavaScript, text that tries to be more than text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.process
Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens a page; at the end no error may have been logged and nothing asked of a network."""
    contexts, troubles = [], []

    def open_page(path: Path, hash: str = "", width: int = 1280, scripts: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=scripts)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else troubles.append(request.url),
        )
        page.goto(f"file://{path}{hash}")
        if scripts:
            page.wait_for_selector("html[data-ready]", timeout=20_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles, troubles


def test_every_link_of_the_page_leads_somewhere(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html")
    links = page.eval_on_selector_all("a[href]", "found => found.map(one => one.getAttribute('href'))")
    assert len(links) > 50 and all(link.startswith("#") for link in links)
    for link in set(links):
        if link.startswith(("#set/", "#task/")):
            assert page.evaluate("link => location.hash = link", link)
            page.wait_for_selector("#open-task")
        else:
            assert page.evaluate("id => document.getElementById(id) !== null", link[1:]), link
    ids = page.eval_on_selector_all("[id]", "found => found.map(one => one.id)")
    assert len(ids) == len(set(ids))


def test_differing_tasks_come_first_and_open_side_by_side(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html")
    changed = page.eval_on_selector_all("#task-list li", "found => found.map(one => one.className === 'changed')")
    assert len(changed) == 164 and sum(changed) > 20 and changed == sorted(changed, reverse=True)
    link = page.locator("#task-list li.changed a").nth(3)
    name = link.locator(".name").inner_text()
    link.click()
    expect(page.locator("#open-task")).to_have_text(name)
    assert page.evaluate("location.hash").startswith("#task/humaneval/")
    assert name.replace("/", "%2F") in page.evaluate("location.hash")
    assert page.locator("#panel .prompt pre").inner_text().strip()
    sides = page.locator("#panel .side")
    assert sides.count() == 2 and all("def " in sides.nth(place).locator("pre").inner_text() for place in (0, 1))
    words = {sides.nth(place).locator(".mark").inner_text() for place in (0, 1)}
    assert len(words) == 2 and words <= {"passed", "failed", "base tests only"}


def test_a_link_opens_a_task_and_the_models_it_names(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html", "#task/humaneval/HumanEval%2F7/magicoder/base")
    expect(page.locator("#open-task")).to_have_text("HumanEval/7")
    heads = page.locator("#panel .side h4").all_inner_texts()
    assert heads[0].startswith("magicoder ") and heads[1].startswith("base ")


def test_a_link_to_a_cell_opens_the_table_that_holds_it(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html", "#cell/table-3.Magicoder-CL-7B.ds1000_overall")
    cell = page.locator("[id='cell/table-3.Magicoder-CL-7B.ds1000_overall']")
    assert cell.is_visible() and "29.9" in cell.inner_text()


def test_tasks_can_be_filtered(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html")
    page.select_option("#pick-kind", "right")
    kinds = set(page.eval_on_selector_all("#task-list li", "found => found.map(one => one.dataset.kind)"))
    assert kinds == {"right"}
    page.select_option("#pick-kind", "all")
    page.fill("#pick-text", "HumanEval/16")
    assert page.locator("#task-list li").count() == 5  # 16, 160 to 163
    page.select_option("#pick-set", "multipl-e-java")
    page.fill("#pick-text", "")
    assert page.locator("#task-list li").count() == 158 and "%" in page.locator("#task-list .mark").first.inner_text()
    assert page.locator("#panel .strip").count() == 2 and "null" not in page.locator("#browser").inner_text()


@pytest.mark.parametrize("hash", ["", "#task/humaneval/HumanEval%2F7", "#tables"])
def test_a_phone_never_scrolls_sideways(opened: Opener, small_report: Path, hash: str) -> None:
    page = opened(small_report / "report.html", hash, width=390)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_tables_and_claims_need_no_javascript(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html", scripts=False)
    for text in ("cells compared", "MagicoderS-CL-7B beats ChatGPT", "decided by", "Table 1: HumanEval(+) and MBPP(+)"):
        assert page.get_by_text(text).first.is_visible(), text
    assert page.locator("[id='cell/table-1.Magicoder-CL-7B.humaneval']").is_visible()
    assert page.get_by_text("magicoder run score/magicoder/humaneval --profile made-up").count()
    assert page.get_by_text("This part needs JavaScript").is_visible() and not page.locator("#browser").is_visible()


def test_hostile_text_stays_text(opened: Opener, hostile_report: Path) -> None:
    page = opened(hostile_report / "report.html")
    for link in page.eval_on_selector_all("#task-list a", "found => found.map(one => one.getAttribute('href'))"):
        page.evaluate("link => location.hash = link", link)
        page.wait_for_function("link => document.querySelector('#open-task a').getAttribute('href') === link", arg=link)
        assert "<img src=x" in page.locator("#panel .side pre").first.inner_text()
    assert "owned" not in page.title() and page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.scripts.length") == 2
    shown = page.evaluate("document.documentElement.innerText")
    assert "\u202e" not in shown and "\\u202eevil" in shown


def test_a_full_run_of_the_paper_stays_below_5_mb(opened: Opener, full_report: Path) -> None:
    path = full_report / "report.html"
    assert 1_000_000 < path.stat().st_size < 5_000_000
    page = opened(path)
    page.select_option("#pick-set", "ds1000")
    assert page.locator("#task-list li").count() == 1000
    assert page.locator("#panel .side pre").first.inner_text().startswith("def ")


def test_two_runs_side_by_side(opened: Opener, small: Any, tmp_path: Path) -> None:
    from magicoder_repro.report import pair

    assert pair.compare(small.folder, small.folder, tmp_path / "same.html") == 0
    page = opened(tmp_path / "same.html")
    assert "No verdict differs." in page.locator(".lead").inner_text()
    heads = page.locator("#panel .side h4").all_inner_texts()
    assert heads[0].startswith("A: base") and heads[1].startswith("B: base")
    page.locator("tbody a", has_text="humaneval").nth(2).click()
    page.wait_for_function("document.querySelector('#panel h4').textContent.startsWith('A: magicoder ')")


@pytest.mark.parametrize(
    "name", ["a", "code.command", "td", "th", ".word", "summary", "caption", "figcaption", "li", "p"]
)
def test_text_stands_out_from_what_is_behind_it(opened: Opener, small_report: Path, name: str) -> None:
    """WCAG AA: a contrast of 4.5 at least."""
    page = opened(small_report / "report.html")
    assert page.evaluate(_CONTRAST, name) >= 4.5


_CONTRAST = """name => {
  const light = (colour) => {
    const linear = (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.match(/[\\d.]+/g).map((one) => linear(one / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.startsWith('rgba(0, 0, 0, 0')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = 21;
  for (const element of document.querySelectorAll(name)) {
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    least = Math.min(least, (one + 0.05) / (other + 0.05));
  }
  return least;
}"""


def test_tables_have_headers_and_images_a_text(opened: Opener, small_report: Path) -> None:
    page = opened(small_report / "report.html")
    assert page.locator("h1").count() == 1 and page.locator("th:not([scope])").count() == 0
    alts = page.eval_on_selector_all("img", "found => found.map(one => one.alt)")
    assert len(alts) == 2 and all(len(alt) > 20 for alt in alts)
    assert "Tasks passed" in page.get_attribute("#map", "aria-label")
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "found => found.map(one => Number(one.tagName[1]))")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
