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
