"use strict";
// Hides and reorders what is in the page; nothing is fetched, nothing is kept, no text is read as HTML.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = document.querySelector("form.controls");
  const KEYS = ["influence", "corrected", "loss", "compression", "tokens"];

  // Samples: one board a domain, one column a rank and place, one article a document.
  const columns = all(".column").map((element) => ({
    element,
    board: element.closest(".board"),
    rank: element.dataset.rank,
    place: element.dataset.place,
    documents: all("article", element).map((article) => ({
      article,
      at: Number(article.dataset.at),
      keys: article.dataset.keys.split(" ").map(Number),
      text: all("header bdi, pre", article).map((part) => part.textContent.toLowerCase()).join("\n"),
    })),
  }));

  function order(documents, chosen) {
    const [key, direction] = chosen.split(" ");
    const at = KEYS.indexOf(key);
    const sign = direction === "up" ? 1 : -1;
    const number = (document) => (Number.isNaN(document.keys[at]) ? Infinity : sign * document.keys[at]);
    return [...documents].sort((one, other) => (at < 0 ? 0 : number(one) - number(other)) || one.at - other.at);
  }

  function mark(needle, articles) {
    if (!window.CSS || !CSS.highlights) return;
    CSS.highlights.delete("found");
    if (!needle) return;
    const ranges = [];
    for (const part of articles.flatMap((article) => all("header bdi, pre", article))) {
      const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
      while (walker.nextNode() && ranges.length < 2000) {
        const text = walker.currentNode.data.toLowerCase();
        for (let at = text.indexOf(needle); at >= 0 && text.length === walker.currentNode.length; at = text.indexOf(needle, at + needle.length)) {
          const range = new Range();
          range.setStart(walker.currentNode, at);
          range.setEnd(walker.currentNode, at + needle.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  function show() {
    const needle = form.elements.find.value.trim().toLowerCase();
    const [what, which] = form.elements.show.value.split(" ");
    const domain = form.elements.domain.value;
    const visible = [];
    let candidates = 0;
    for (const board of all(".board")) board.hidden = true;
    for (const column of columns) {
      const isShown =
        (domain === "all" || column.board.dataset.domain === domain) &&
        (what === "all" || (what === "rank" ? column.rank : column.place) === which);
      column.element.hidden = !isShown;
      if (!isShown) continue;
      let found = 0;
      for (const document of order(column.documents, form.elements.order.value)) {
        const isFound = document.text.includes(needle);
        document.article.hidden = !isFound;
        column.element.append(document.article);
        if (isFound) visible.push(document.article);
        found += isFound ? 1 : 0;
      }
      candidates += column.documents.length;
      if (found > 0 || !needle) column.board.hidden = false;
    }
    const said = needle ? `${visible.length} of ${candidates} documents have “${form.elements.find.value.trim()}”.` : `${candidates} documents.`;
    document.querySelector(".found").textContent = said;
    mark(needle, visible);
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    show();
  }

  // Texts: a long one is unfolded by its button.
  for (const button of all("button.unfold")) {
    button.hidden = false;
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const isWhole = button.previousElementSibling.classList.toggle("whole");
      button.setAttribute("aria-expanded", String(isWhole));
      button.textContent = isWhole ? "Show less" : "Show all";
    });
  }

  // Explorer: every cut of a domain is in the page; a dial looks it up.
  const cuts = JSON.parse(document.getElementById("cuts")?.textContent ?? "null");
  const LISTED = 40;

  function explore() {
    const panels = all(".explorer");
    const tried = cuts.domains.map((domain) => ({ ...domain.present, percent: null }));
    const grouped = (count) => Math.round(count).toLocaleString("en-US");
    const signed = (change) => (change > 0 ? "+" : change < 0 ? "−" : "±") + grouped(Math.abs(change));
    const sum = (of) => cuts.domains.reduce((total, domain, at) => total + of(domain, at), 0);

    // How often a training run reads the selection; null where that is not known.
    function passes(selected) {
      const corpus = cuts.corpus_tokens;
      if (corpus === null || !cuts.stages.length || !selected) return null;
      return cuts.stages.reduce((read, [tokens, weight]) => read + tokens * (weight ?? selected / (corpus + selected)), 0) / selected;
    }

    const total = (key, of) => cuts.elsewhere[key === "documents" ? 0 : 1] + sum((domain, at) => of(domain, at)[key]);
    const presentTotal = (key) => total(key, (domain) => domain.present);
    const triedTotal = (key) => total(key, (_, at) => tried[at]);
    const repeats = (times) => (times === null ? "–" : times >= 100 ? grouped(times) : times.toFixed(times >= 10 ? 1 : 2));

    function write(panel, rows) {
      all(".outcome tbody tr", panel).forEach((row, at) => {
        const [shown, present, change] = rows[at];
        row.querySelector(".tried").textContent = shown;
        row.querySelector(".present").textContent = present;
        row.querySelector(".change").textContent = change;
      });
    }

    function passesRow() {
      const [after, before] = [passes(triedTotal("tokens")), passes(presentTotal("tokens"))];
      return [repeats(after), repeats(before), after > 4 ? "above four" : ""];
    }

    // The documents of a domain, each once however many rankings show it.
    const documents = cuts.domains.map((_, at) => {
      const seen = new Map();
      for (const article of all(`.board[data-domain="${at}"] article`)) {
        const address = article.querySelector(".address").textContent;
        if (!seen.has(address)) seen.set(address, article);
      }
      return [...seen.values()].map((article) => ({
        article,
        isKept: article.hasAttribute("data-kept"),
        from: article.dataset.from === undefined ? Infinity : Number(article.dataset.from),
      }));
    });

    function list(element, found) {
      element.hidden = !found.length;
      const items = found.slice(0, LISTED).map(({ article }) => {
        const [item, link, line] = ["li", "a", "span"].map((name) => document.createElement(name));
        link.href = `#${article.id}`;
        link.textContent = (article.querySelector("header bdi") ?? article.querySelector(".address")).textContent;
        line.className = "line";
        line.textContent = (article.querySelector("pre")?.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 110);
        item.append(link, " ", line);
        return item;
      });
      if (found.length > LISTED) {
        const more = document.createElement("li");
        more.textContent = `and ${found.length - LISTED} more`;
        items.push(more);
      }
      element.querySelector("ul").replaceChildren(...items);
    }

    function showDomain(panel, at) {
      const [domain, now] = [cuts.domains[at], tried[at]];
      const present = domain.present;
      write(panel, [
        [grouped(now.documents), grouped(present.documents), signed(now.documents - present.documents)],
        [grouped(now.tokens), grouped(present.tokens), signed(now.tokens - present.tokens)],
        [now.cut, present.cut, ""],
        passesRow(),
      ]);
      const isNow = ({ from, isKept }) => (now.percent === null ? isKept : from <= now.percent);
      const known = domain.single ? documents[at] : [];
      const entering = known.filter((one) => !one.isKept && isNow(one));
      const leaving = known.filter((one) => one.isKept && !isNow(one));
      const said = domain.single
        ? `Of ${documents[at].length} documents of this domain on the page, ${entering.length} would enter and ${leaving.length} would leave.`
        : "Documents of each length have a cut of their own here, so the page does not say which would enter or leave.";
      const status = panel.querySelector(".moved");
      if (status.textContent !== said) status.textContent = said;
      list(panel.querySelector(".enter"), entering);
      list(panel.querySelector(".leave"), leaving);
      const mark = panel.closest(".domain").querySelector("g.tried");
      const place = now.percent === null ? null : domain.places[now.percent];
      if (!mark) return;
      mark.setAttribute("visibility", place === null ? "hidden" : "visible");
      if (place === null) return;
      const isLeft = place > 180;
      mark.setAttribute("transform", `translate(${place} 0)`);
      const name = mark.querySelector("text");
      name.textContent = `tried ${now.cut}`;
      name.setAttribute("x", isLeft ? -5 : 5);
      name.classList.toggle("end", isLeft);
    }

    function dial(panel, percent) {
      all("input", panel).forEach((input) => (input.value = percent));
      all(".fraction", panel).forEach((shown) => (shown.textContent = String(Number((percent / 100).toFixed(2)))));
    }

    function refresh() {
      for (const panel of panels) {
        if (panel.dataset.domain !== "all") {
          showDomain(panel, Number(panel.dataset.domain));
          continue;
        }
        const row = (key) => [grouped(triedTotal(key)), grouped(presentTotal(key)), signed(triedTotal(key) - presentTotal(key))];
        write(panel, [row("documents"), row("tokens"), passesRow()]);
        // one fraction for all says nothing once they differ
        const percents = new Set(tried.map(({ percent }) => percent));
        all(".apply", panel).forEach((command) => (command.hidden = percents.size > 1));
      }
    }

    // A percentage, or null for the present cut.
    function turn(panel, percent) {
      const isOf = (at) => panel.dataset.domain === "all" || Number(panel.dataset.domain) === at;
      cuts.domains.forEach((domain, at) => {
        if (!isOf(at) || !domain.documents.length) return;
        tried[at] =
          percent === null
            ? { ...domain.present, percent }
            : { documents: domain.documents[percent], tokens: domain.tokens[percent], cut: domain.cuts[percent], percent };
      });
      for (const other of panels) {
        const at = Number(other.dataset.domain);
        const isMoved = other === panel || (panel.dataset.domain === "all" && !Number.isNaN(at));
        if (isMoved) dial(other, percent ?? Math.round(100 * (cuts.domains[at] ?? cuts.domains[0]).present.fraction));
      }
      refresh();
    }

    for (const panel of panels) {
      panel.hidden = false;
      all(".live", panel).forEach((live) => (live.hidden = false));
      panel.addEventListener("input", (event) => {
        const percent = Math.round(Number(event.target.value));
        if (event.target.value !== "" && percent >= 0 && percent <= 100) turn(panel, percent);
      });
      panel.querySelector(".back").addEventListener("click", () => turn(panel, null));
    }
    refresh();

    // A document that is linked to may be hidden by the controls above the samples.
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.(".moves a");
      const article = link && document.getElementById(link.hash.slice(1));
      if (!article) return;
      form.elements.find.value = "";
      form.elements.domain.value = article.closest(".board").dataset.domain;
      form.elements.show.value = "all";
      show();
      article.setAttribute("tabindex", "-1");
      article.focus({ preventScroll: true });
    });
  }

  if (cuts) explore();

  // Tables: a click on a head sorts by the column, another one turns the order around.
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const isNumber = head.classList.contains("num");
        const isDown = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : isNumber;
        const sign = isDown ? -1 : 1;
        const cell = (row) => row.cells[at];
        const compare = (one, other) =>
          isNumber ? Number(cell(one).dataset.sort) - Number(cell(other).dataset.sort) : cell(one).textContent.localeCompare(cell(other).textContent);
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
        body.append(...[...body.rows].sort((one, other) => sign * compare(one, other)));
      });
    });
  }

  // The section that is being read, in the list of contents.
  const links = new Map(all("nav li a").map((link) => [link.hash.slice(1), link]));
  const inView = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) inView[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const current = [...links.keys()].find((id) => inView.has(id));
    links.forEach((link, id) => (id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  }, { rootMargin: "-15% 0px -60% 0px" });
  links.forEach((_, id) => watcher.observe(document.getElementById(id)));

  // On paper everything is open.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((details) => (details.open = true));
  });
  window.addEventListener("afterprint", () => closed.forEach((details) => (details.open = false)));
})();
