// The table: what there is, sorted and filtered, and which images are chosen.
"use strict";

const FIRST_ROWS = 200;
const IMAGES = "images to remove", THINGS = "everything";

const VIEWS = {
  [IMAGES]: {
    rows: () => data.holders.filter((one) => one.roots),
    columns: [
      ["image", (one) => one.label, "name"],
      ["usage", (one) => one.usage, "bytes"],
      ["gives back", (one) => one.own || 0, "bytes"],
      ["made", (one) => (one.created || "").slice(0, 10), "text"],
      ["platform", (one) => one.platform || "", "text"],
      ["id", (one) => (one.image_id || "").replace("sha256:", "").slice(0, 12), "text"],
      ["stays", (one) => one.kept || "", "text"],
    ],
    words: (one) => [one.label, ...(one.names || []), one.image_id, one.platform, one.kept],
    // A name by digest says no more than the id.
    more: (one) => (one.names || []).filter((name) => name !== one.label && !name.includes("@")).join(", "),
  },
  [THINGS]: {
    rows: () => data.things.filter((one) => one.usage > 0),
    columns: [
      ["name", (one) => one.name, "name"],
      ["kind", (one) => kindWord(one.category), "text"],
      ["usage", (one) => one.usage, "bytes"],
      ["size", (one) => one.size, "bytes"],
      ["images", (one) => one.images || 0, "number"],
      ["digest", (one) => (one.digest || "").replace("sha256:", "").slice(0, 12), "text"],
      ["why", (one) => one.reason || one.step || "", "text"],
    ],
    words: (one) => [one.name, kindWord(one.category), one.digest, one.diff_id, one.step, one.path, one.reason],
    more: () => "",
  },
};

/** The table and the choice in it. */
class Listing {
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.chosen = new Set();
    this.head = document.querySelector("#table thead");
    this.body = document.querySelector("#table tbody");
    this.filter = document.getElementById("filter");
    this.choice = document.getElementById("view");
    const images = VIEWS[IMAGES].rows().length > 0;
    for (const name of images ? [IMAGES, THINGS] : [THINGS]) this.choice.append(element("option", name));
    this.filter.addEventListener("input", () => this.fill());
    this.choice.addEventListener("change", () => this.show());
    document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("more").addEventListener("click", () => this.fill(Infinity));
    document.getElementById("clear").addEventListener("click", () => this.choose([]));
    this.show();
  }

  get isOfImages() {
    return this.choice.value === IMAGES;
  }

  /** Show the view that is asked for, the largest first. */
  show() {
    const view = VIEWS[this.choice.value], rows = view.rows();
    const says = ([, value, kind]) => kind !== "text" || rows.some((one) => value(one));
    this.view = { ...view, columns: view.columns.filter(says) };
    this.sorted = [this.view.columns.findIndex(([name]) => name === "usage"), -1];
    const row = element("tr");
    if (this.isOfImages) {
      this.all = element("input");
      this.all.type = "checkbox";
      this.all.title = "choose all that are listed and can be removed";
      this.all.setAttribute("aria-label", this.all.title);
      this.all.addEventListener("change", () => this.choose(this.all.checked ? this.found.filter(canGo) : []));
      row.append(element("th"));
      row.firstChild.append(this.all);
    }
    this.view.columns.forEach(([name, , kind], place) => {
      const head = element("th", undefined, kind), button = element("button", name);
      head.scope = "col";
      button.type = "button";
      button.addEventListener("click", () => this.sort(place, kind));
      head.append(button);
      row.append(head);
    });
    this.head.replaceChildren(row);
    this.fill();
  }

  /** Sort by a column: figures from the largest, words from A; again turns it round. */
  sort(place, kind) {
    const [before, way] = this.sorted;
    const first = kind === "bytes" || kind === "number" ? -1 : 1;
    this.sorted = [place, before === place ? -way : first];
    this.fill();
  }

  /** Fill in the rows that the filter leaves, at most so many. */
  fill(most = FIRST_ROWS) {
    const wanted = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = this.view.rows();
    this.found = rows.filter((one) => {
      const text = this.view.words(one).filter(Boolean).join("\n").toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
    const [place, way] = this.sorted, value = this.view.columns[place][1];
    const rank = (one) => (value(one) === undefined ? -1 : value(one));
    const order = (a, b) => (a < b ? -1 : Number(a > b));
    this.found.sort((a, b) => way * order(rank(a), rank(b)) || order(a.label || a.name, b.label || b.name));
    this.body.replaceChildren(...this.found.slice(0, most).map((one) => this.row(one)));
    const heads = [...this.head.querySelectorAll("th[scope]")];
    heads.forEach((head, at) => {
      head.setAttribute("aria-sort", at !== place ? "none" : way > 0 ? "ascending" : "descending");
    });
    const number = document.getElementById("number"), more = document.getElementById("more");
    number.textContent = `${grouped(this.found.length)} of ${grouped(rows.length)}`;
    more.hidden = this.found.length <= most;
    more.textContent = `Show all ${grouped(this.found.length)} rows`;
    this.tick();
  }

  row(one) {
    const row = element("tr");
    if (this.isOfImages) row.append(this.box(one));
    for (const [name, value, kind] of this.view.columns) {
      const cell = element(kind === "name" ? "th" : "td", undefined, kind), found = value(one);
      cell.dataset.column = name;
      if (kind === "name") {
        cell.scope = "row";
        cell.append(element("span", found));
        if (this.view.more(one)) cell.append(element("small", this.view.more(one)));
      } else if (kind === "bytes") cell.append(...(found === undefined ? [] : [figure(found)]));
      else cell.textContent = kind === "number" ? (found ? grouped(found) : "") : found;
      row.append(cell);
    }
    return row;
  }

  box(one) {
    const cell = element("td"), box = element("input");
    box.type = "checkbox";
    box.disabled = !canGo(one);
    box.title = one.kept ? `cannot be removed: ${one.kept}` : "";
    box.setAttribute("aria-label", `choose ${one.label}`);
    box.holder = one;
    box.addEventListener("change", () => {
      const others = [...this.chosen].filter((other) => other !== one);
      this.choose(box.checked ? [...others, one] : others);
    });
    cell.append(box);
    return cell;
  }

  /** Choose these images, and no others. */
  choose(holders) {
    this.chosen = new Set(holders);
    this.tick();
    const found = removal([...new Set(holders.flatMap((one) => one.roots))]);
    const aside = document.getElementById("chosen");
    aside.hidden = !holders.length;
    const images = counted(holders.length, "images");
    document.getElementById("freed").replaceChildren(
      `Removing ${images} would give back `, figure(found.bytes), ".");
    this.onChoice(found.freed);
  }

  /** Make the boxes show what is chosen. */
  tick() {
    if (!this.isOfImages) return;
    for (const box of this.body.querySelectorAll("input")) box.checked = this.chosen.has(box.holder);
    const possible = this.found.filter(canGo);
    const number = possible.filter((one) => this.chosen.has(one)).length;
    this.all.checked = number > 0 && number === possible.length;
    this.all.indeterminate = number > 0 && number < possible.length;
    this.all.disabled = !possible.length;
  }
}
