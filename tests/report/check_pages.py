"""Opens report pages in headless Chromium and says what a reader would find wrong with them.

    python3 tests/report/check_pages.py FOLDER [SCREENSHOTS]

FOLDER holds pages; without SCREENSHOTS, a temporary folder gets a picture of each page at 400 and 1,400 pixels, light and dark, and
the printed page. For every page:

- nothing is fetched but the page itself, the console stays empty, and no text of a document, id, path or name runs as a script
- nothing is wider than the window, with every detail open, on a phone and on a desk
- every figure has a title, axes with titles, ticks, and a text alternative with numbers; text has the contrast of WCAG AA
- the explorer of cuts, driven by keyboard, pointer and number, says what its counts say, and lists the documents that move
- a long text unfolds and folds again
- the search leaves the documents that hold the words, every order is one, every view shows what it says; tables sort by their heads
- without scripts everything is there; on paper everything is open and nothing is a control

Ends with 0 if all is well, 1 if not, 2 if there is nothing to check or nothing to check it with.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [
    name
    for name, is_there in [("Chromium", CHROMIUM), ("playwright", importlib.util.find_spec("playwright"))]
    if not is_there
]

PHONE, DESK = 400, 1400
HEIGHT = 1000
# As --no-sandbox is only for root, and /dev/shm is small in containers.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
PLACES = ["top", "above", "below", "bottom", "spread"]
KEYS = ["influence", "corrected", "loss", "compression", "tokens"]
# Cuts that the explorer is asked for, in per cent, and documents that it lists at most.
CUTS = [1, 2, 5, 10, 20, 29, 40, 57, 80, 100]
LISTED = 40
# What an axis of a quantity must be called, unit included.
UNITS = {
    "base loss": "base loss (nats per token)",
    "length": "length (tokens)",
    "scored tokens": "scored tokens (tokens)",
    "compression": "compression (text bytes per compressed byte)",
}

# Text below a contrast of 4.5 : 1, of elements with text of their own, against the nearest background that is painted.
CONTRAST = """() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *, nav *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || element.closest(".picture svg, title, desc, option, optgroup") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const [ink, paper] = [parse(element instanceof SVGElement ? style.fill : style.color), behind(element)].map(light);
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) poor.push(`${element.tagName}.${element.getAttribute("class")}: ${contrast.toFixed(2)}`);
  }
  return [...new Set(poor)];
}"""

FIGURES = """() => [...document.querySelectorAll("figure")].map((figure) => ({
  title: figure.querySelector("figcaption b")?.textContent.trim() ?? "",
  role: figure.querySelector("svg")?.getAttribute("role"),
  named: figure.querySelector("svg > title")?.textContent.trim() ?? "",
  words: figure.querySelector("svg > desc")?.textContent.trim() ?? "",
  kind: figure.className,
  axes: [...figure.querySelectorAll(".axes .title")].map((text) => text.textContent.trim()),
  ticks: [...figure.querySelectorAll(".axes text:not(.title)")].map((text) => text.textContent.trim()),
  texts: [...figure.querySelectorAll("svg text")].map((text) => text.textContent.trim()),
}))"""

OPEN_ALL = "() => document.querySelectorAll('details').forEach((details) => (details.open = true))"

# Whatever can be seen and reaches beyond the window, outside a box that scrolls by itself.
WIDE = """() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const reaches = (element) => element.getBoundingClientRect().left + element.scrollWidth > innerWidth + 1;
  const wide = [...document.querySelectorAll("main *")].filter((element) => reaches(element) && !element.closest(".scroll, pre, svg"));
  return wide.length ? wide.map((element) => `${element.tagName}.${element.className}`).slice(-3) : ["the page"];
}"""

# The columns that are shown, with the documents that are, and their texts if asked for.
COLUMNS = """(withTexts) => [...document.querySelectorAll(".board")].filter((board) => !board.hidden).flatMap((board) =>
  [...board.querySelectorAll(".column")].filter((column) => !column.hidden).map((column) => ({
    domain: board.dataset.domain,
    rank: column.dataset.rank,
    place: column.dataset.place,
    top: Math.round(column.getBoundingClientRect().top),
    documents: [...column.querySelectorAll("article")].filter((article) => !article.hidden).map((article) => ({
      keys: article.dataset.keys.split(" ").map(Number),
      at: Number(article.dataset.at),
      text: withTexts ? article.textContent : null,
    })),
  })))"""


# Documents of a domain on the page, each counted once, and those that enter and leave at a cut.
MOVED = """([domain, percent]) => {
  const articles = new Map();
  for (const article of document.querySelectorAll(`.board[data-domain="${domain}"] article`)) {
    const address = article.querySelector(".address").textContent;
    if (!articles.has(address)) articles.set(address, article);
  }
  const all = [...articles.values()].map((article) => [article.dataset.kept !== undefined, Number(article.dataset.from ?? Infinity) <= percent]);
  return [all.length, all.filter(([was, is]) => !was && is).length, all.filter(([was, is]) => was && !is).length];
}"""


def check_figures(page) -> Iterator[str]:
    """Says what a figure lacks."""
    for figure in page.evaluate(FIGURES):
        name = figure["title"] or "a figure"
        if not figure["title"] or figure["role"] != "img" or not figure["named"]:
            yield f"{name}: no title, or no picture of that name"
        if len(figure["words"]) < 40 or not any(letter.isdigit() for letter in figure["words"]):
            yield f"{name}: no text alternative with numbers"
        if figure["kind"] == "picture":
            if not ({"head", "layer"} <= set(figure["texts"]) or {"steps", "tokens", "learning rate"} <= set(figure["texts"])):
                yield f"{name}: an axis has no title"
            continue
        # rows with names need no axis upward
        if len(figure["axes"]) < (1 if figure["kind"] in ("bars", "intervals") else 2) or not all(figure["axes"]):
            yield f"{name}: an axis has no title"
        if len(figure["ticks"]) < 2:
            yield f"{name}: no ticks"
        for quantity, title in UNITS.items():
            wrong = [axis for axis in figure["axes"] if axis.startswith(quantity) and axis != title]
            if wrong:
                yield f"{name}: the axis {wrong[0]!r} is not {title!r}"


def check_spoken(page) -> Iterator[str]:
    """Says which pictures a screen reader has no name for."""
    page.evaluate(OPEN_ALL)
    drawn = page.locator("figure svg").count()
    spoken = len(re.findall(r"""^ *- '?img \"""", page.locator("main").aria_snapshot(), re.MULTILINE))
    if drawn != spoken:
        yield f"{drawn} pictures, but {spoken} with a name for screen readers"


def check_samples(page) -> Iterator[str]:
    """Searches, orders and shows the samples in every way."""
    if not page.locator("form.controls").count():
        return
    find, domain, show, order = (page.locator(f"[name={name}]") for name in ("find", "domain", "show", "order"))
    columns = page.evaluate(COLUMNS)
    if len({column["rank"] for column in columns}) < 2 or {column["place"] for column in columns} != {"top"}:
        yield "the tops of the rankings are not what is shown first"
    if len({column["top"] for column in columns}) != 1:
        yield "the tops of the rankings are not side by side"
    show.select_option("rank 0")
    if [column["place"] for column in page.evaluate(COLUMNS)] not in (PLACES, PLACES[:-1]):
        yield "one ranking does not show its places in order"
    domain.select_option("all")
    show.select_option("all")
    everything = page.evaluate(COLUMNS)
    shown = sum(len(column["documents"]) for column in everything)
    if shown != page.locator("article").count():
        yield f"everything is {shown} of {page.locator('article').count()} documents"
    for at, key in enumerate(KEYS):
        for direction, sign in [("down", -1), ("up", 1)]:
            order.select_option(f"{key} {direction}")
            for column in page.evaluate(COLUMNS):
                values = [sign * document["keys"][at] for document in column["documents"]]
                values = [value for value in values if not math.isnan(value)]
                if values != sorted(values):
                    yield f"{key} {direction} is no order: {values}"
    order.select_option("rank")
    if [[document["at"] for document in column["documents"]] for column in page.evaluate(COLUMNS)] != [
        sorted(document["at"] for document in column["documents"]) for column in everything
    ]:
        yield "the order of the ranking does not come back"
    texts = [document["text"] for column in page.evaluate(COLUMNS, True) for document in column["documents"]]
    words = next(text for text in texts if "doc-" in text)
    needle = words[words.index("doc-") :][:10]
    find.fill(needle.upper())
    found = [document["text"] for column in page.evaluate(COLUMNS, True) for document in column["documents"]]
    if not 0 < len(found) < shown or not all(needle in text for text in found):
        yield f"a search for {needle!r} leaves {len(found)} of {shown}"
    if not page.locator(".found").inner_text().startswith(f"{len(found)} of {shown}"):
        yield "the number of documents found is not said"
    find.fill("")
    if sum(len(column["documents"]) for column in page.evaluate(COLUMNS)) != shown:
        yield "an empty search does not show everything"


def check_texts(page) -> Iterator[str]:
    """Unfolds a long text and folds it again."""
    button = page.locator("article:visible button.unfold").first
    if not page.locator("article button.unfold").count():
        return
    text = button.locator("xpath=preceding-sibling::pre")
    folded = text.bounding_box()["height"]
    button.press("Enter")
    unfolded = text.bounding_box()["height"]
    if unfolded <= folded or text.evaluate("(pre) => pre.scrollHeight > pre.clientHeight + 1"):
        yield f"a text of {folded} pixels unfolds to {unfolded}"
    button.press("Enter")
    if text.bounding_box()["height"] != folded or button.get_attribute("aria-expanded") != "false":
        yield "a text does not fold again"


def check_explorer(page) -> Iterator[str]:
    """Slides cuts by keyboard, pointer and number, and compares what the page says with the counts it holds."""
    if not page.locator("#cuts").count():
        if page.locator(".dial").count():
            yield "the explorer has nothing to look up"
        return
    counts = json.loads(page.locator("#cuts").text_content())
    page.evaluate(OPEN_ALL)
    for at, domain in enumerate(counts["domains"]):
        panel = page.locator(f".explorer[data-domain='{at}']")
        slider, number = panel.locator("input[type=range]"), panel.locator("input[type=number]")
        for percent in CUTS:
            number.fill(str(percent))
            yield from check_cut(panel, at, domain, percent)
        slider.focus()
        for key, expected in [("Home", 0), ("ArrowRight", 1), ("End", 100), ("ArrowLeft", 99), ("PageDown", 89)]:
            slider.press(key)
            if slider.input_value() != str(expected):
                yield f"{key} slides to {slider.input_value()}, not to {expected}"
            yield from check_cut(panel, at, domain, expected)
        box = slider.bounding_box()
        slider.hover()
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        if not 20 <= int(slider.input_value()) <= 30 or number.input_value() != slider.input_value():
            yield f"the pointer slides to {slider.input_value()}, the number says {number.input_value()}"
        yield from check_cut(panel, at, domain, int(slider.input_value()))
        panel.locator(".back").click()
        if tried(panel)[0] != grouped(domain["present"]["documents"]) or panel.locator(".moves li").count():
            yield "the present cut does not come back"
    everything = page.locator(".explorer[data-domain='all']")
    everything.locator("input[type=number]").fill("37")
    for row, key in enumerate(["documents", "tokens"]):
        total = counts["elsewhere"][row] + sum(domain[key][37] for domain in counts["domains"])
        if tried(everything)[row] != grouped(total):
            yield f"all domains keep {tried(everything)[row]} {key}, not {grouped(total)}"
    yield from check_passes(everything, counts)
    everything.locator(".back").click()


def check_cut(panel, at: int, domain: dict, percent: int) -> Iterator[str]:
    """Compares what a panel says of a cut with the counts, and the documents that move with their marks."""
    expected = [grouped(domain["documents"][percent]), grouped(domain["tokens"][percent]), domain["cuts"][percent]]
    if tried(panel)[:3] != expected:
        yield f"domain {at} at {percent} %: {tried(panel)}, not {expected}"
    moved = panel.page.evaluate(MOVED, [at, percent])
    said = [int(number) for number in re.findall(r"\d+", panel.locator(".moved").inner_text())]
    if said != moved:
        yield f"domain {at} at {percent} %: {said} documents, enter and leave, not {moved}"
    for name, count in zip([".enter", ".leave"], moved[1:], strict=True):
        if min(count, LISTED) != min(panel.locator(f"{name} a").count(), LISTED):
            yield f"domain {at} at {percent} %: {name} does not list {count}"


def check_passes(panel, counts: dict) -> Iterator[str]:
    """Computes the passes anew."""
    corpus, selected = counts["corpus_tokens"], int(tried(panel)[1].replace(",", ""))
    if not counts["stages"] or corpus is None:
        return
    weights = [selected / (corpus + selected) if weight is None else weight for _, weight in counts["stages"]]
    passes = sum(tokens * weight for (tokens, _), weight in zip(counts["stages"], weights, strict=True)) / selected
    if abs(float(tried(panel)[2].split()[0].replace(",", "")) - passes) > 0.006 * max(1, passes):
        yield f"{tried(panel)[2]} passes, not {passes:.2f}"


def tried(panel) -> list[str]:
    """Returns what a panel says of the cut that is tried."""
    return panel.locator(".outcome .tried").all_inner_texts()


def grouped(count: int) -> str:
    """Returns a count as the page writes it."""
    return f"{count:,}"


def check_tables(page) -> Iterator[str]:
    """Sorts the first table by a column, both ways."""
    if not page.locator("#domains table.sortable").count():
        return
    values = "() => [...document.querySelectorAll('#domains tbody tr')].map((row) => Number(row.cells[1].dataset.sort))"
    button = page.locator("#domains thead th:nth-child(2) button")
    for expected, sign in [("descending", -1), ("ascending", 1)]:
        button.click()
        sorts = [sign * value for value in page.evaluate(values)]
        if sorts != sorted(sorts) or page.locator("#domains th[aria-sort]").get_attribute("aria-sort") != expected:
            yield f"the table of domains is not {expected}"


def check_keyboard(page) -> Iterator[str]:
    """Walks to the search by the tabulator alone."""
    page.keyboard.press("Tab")
    if page.evaluate("() => document.activeElement.className") != "skip":
        yield "the first stop is not the way past the contents"
    if not page.locator("form.controls").count():
        return
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.name === 'find'"):
            if page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "none":
                yield "the focus cannot be seen"
            return
    yield "the search cannot be reached by keyboard"


def check_paper(page, path: Path) -> Iterator[str]:
    """Prints the page."""
    page.emulate_media(media="print")
    for name in ("nav", "form.controls"):
        if page.locator(name).first.is_visible():
            yield f"{name} is printed"
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    if page.locator("details:not([open])").count():
        yield "something is closed on paper"
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media=None)
    page.pdf(path=path, prefer_css_page_size=True, print_background=True)
    printed = path.read_bytes()
    if not printed.startswith(b"%PDF-") or len(printed) < 5_000:
        yield "the page cannot be printed"


def check_looks(page, stem: Path) -> Iterator[str]:
    """Looks at the page on a phone and on a desk, light and dark, with everything open."""
    page.evaluate(OPEN_ALL)
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.add(page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"))
        yield from (f"{scheme}: too little contrast, {poor}" for poor in page.evaluate(CONTRAST))
        for width in (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            yield from (f"at {width} pixels {wide} is too wide" for wide in page.evaluate(WIDE))
            page.evaluate("() => scrollTo({ top: 0, behavior: 'instant' })")
            # as they are: nothing is added to the page, which its policy would forbid
            page.screenshot(path=f"{stem}-{width}-{scheme}.png", animations="allow", caret="initial")
    if len(backgrounds) != 2:
        yield "light and dark are alike"


def check_without_scripts(browser, url: str) -> Iterator[str]:
    """Opens the page where scripts are off."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(url)
    if page.locator("form.controls").count() and page.locator("form.controls").is_visible():
        yield "controls are shown that do nothing"
    articles = page.locator("article")
    if articles.count() and not all(articles.nth(at).is_visible() for at in (0, articles.count() - 1)):
        yield "documents are hidden without scripts"
    page.context.close()


def check_page(browser, path: Path, shots: Path) -> Iterator[str]:
    """Says what is wrong with one page."""
    page = browser.new_page(viewport={"width": DESK, "height": HEIGHT})
    page.set_default_timeout(10_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(f"console: {message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    for check in (check_keyboard, check_figures, check_samples, check_texts, check_explorer, check_tables, check_spoken):
        yield from check(page)
    yield from check_looks(page, shots / path.stem)
    yield from check_paper(page, shots / f"{path.stem}.pdf")
    if page.evaluate("() => window.hacked") is not None:
        yield f"hostile text ran: payload {page.evaluate('() => window.hacked')}"
    yield from (f"asks for {url}" for url in asked if url != path.as_uri() and not url.startswith("data:"))
    yield from said
    page.close()
    yield from check_without_scripts(browser, path.as_uri())


@contextlib.contextmanager
def opened_browser():
    """Starts Chromium, and ends it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def check(folder: Path, shots: Path) -> dict[str, list[str]]:
    """Returns what is wrong with every page of a folder."""
    with opened_browser() as browser:
        return {path.name: list(check_page(browser, path, shots)) for path in sorted(folder.glob("*.html"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("screenshots", type=Path, nargs="?")
    arguments = parser.parse_args()
    if MISSING:
        print(f"skipped: {' and '.join(MISSING)} not installed")
        return 2
    shots = arguments.screenshots or Path(tempfile.mkdtemp(prefix="report-"))
    shots.mkdir(parents=True, exist_ok=True)
    found = check(arguments.folder, shots)
    for name, wrong in found.items():
        print(f"{name}: {'in order' if not wrong else ''}", *wrong, sep="\n    ")
    print(f"pictures are in {shots}")
    return 2 if not found else int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
