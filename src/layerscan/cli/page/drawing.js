// The picture: nested rectangles, as large as what they stand for; and what is said of each.
"use strict";

const map = document.getElementById("map");
const tip = document.getElementById("tip");
const HEAD = 20; // pixels of a frame's heading
const DEEPEST = 3; // frames in each other

/** An element with text, which is never markup. */
function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A figure: for people, with its bytes as value. */
function figure(bytes) {
  const made = element("data", human(bytes));
  made.value = bytes;
  made.title = `${grouped(bytes)} bytes`;
  return made;
}

/** What there is to say of a node: pairs of a word and a text. */
function facts(node) {
  const thing = node.thing || {}, holder = node.holder || {};
  const share = node.usage / data.total;
  const found = [["usage", `${human(node.usage)} (${grouped(node.usage)} bytes, ${(100 * share).toFixed(1)} % of all)`]];
  const add = (word, text) => text !== undefined && text !== "" && found.push([word, text]);
  if (node.sum && node.sum.freeable !== undefined) add("could be freed", human(node.sum.freeable));
  if (thing.size !== undefined) add("size", `${human(thing.size)} (${grouped(thing.size)} bytes)`);
  if (thing.images > 1) add("shared by", `${grouped(thing.images)} images`);
  if (thing.step) add("is", thing.name);
  add("made by", thing.step);
  add("digest", thing.digest);
  add("diff_id", thing.diff_id);
  add("why here", thing.reason);
  if (thing.in_use) add("in use", "by a running container or build");
  add("changed", thing.since);
  add("path", thing.path);
  add("not listed", thing.unlisted);
  if (holder.roots) {
    add("names", (holder.names || []).join(", "));
    add("image id", holder.image_id);
    add("platform", holder.platform);
    add("made", holder.created);
    add("with what it shares", human(holder.usage));
    add("would give back", holder.kept ? `nothing yet: ${holder.kept}` : human(holder.own));
  }
  return found;
}

/** What a rectangle says: of an image what comes after its registry and its path. */
function label(node) {
  return node.holder && node.kind === "images" ? node.name.slice(node.name.lastIndexOf("/") + 1) : node.name;
}

/** How far the colour of a rectangle is from that of its kind: neighbours differ a little. */
function shade(one) {
  const holder = one.ancestors().reverse()[Math.min(2, one.depth)];
  const place = holder.parent ? holder.parent.children.indexOf(holder) : 0;
  return ((place * 7) % 19) - 9;
}

/** Show what there is to say of a node beside its rectangle, within the window. */
function showTip(node, target) {
  const list = element("dl");
  for (const [word, text] of facts(node)) list.append(element("dt", word), element("dd", text));
  tip.replaceChildren(element("strong", node.name), list);
  tip.hidden = false;
  const at = target.getBoundingClientRect(), own = tip.getBoundingClientRect(), gap = 6;
  const width = document.documentElement.clientWidth, height = window.innerHeight;
  const below = at.bottom + gap + own.height <= height;
  const top = below ? at.bottom + gap : at.top - gap - own.height;
  tip.style.left = `${Math.max(gap, Math.min(at.left, width - own.width - gap))}px`;
  tip.style.top = `${Math.max(gap, Math.min(top, height - own.height - gap))}px`;
}

function hideTip() {
  tip.hidden = true;
}

/** The picture of a tree, and where in it one is. */
class Picture {
  constructor(tree, onMove) {
    this.trail = [tree];
    this.onMove = onMove;
    this.freed = new Set();
    map.addEventListener("keydown", (event) => this.pressed(event));
    map.addEventListener("pointerleave", hideTip);
    map.addEventListener("focusout", hideTip);
    map.addEventListener("pointerover", (event) => this.pointed(event.target));
    map.addEventListener("focusin", (event) => this.pointed(event.target));
    map.addEventListener("click", (event) => this.clicked(event.target));
    window.addEventListener("scroll", hideTip, { passive: true });
    new ResizeObserver(() => map.clientWidth !== this.width && this.draw()).observe(map);
  }

  /** Show the node at the end of a trail. */
  go(trail) {
    const hadFocus = map.contains(document.activeElement), last = this.trail[this.trail.length - 1];
    this.trail = trail;
    hideTip();
    this.draw();
    this.onMove(trail);
    if (!hadFocus) return;
    const again = this.tiles.find((tile) => tile.node === last) || this.tiles[0];
    if (again) this.focus(again);
  }

  draw() {
    this.width = map.clientWidth;
    const size = [this.width, map.clientHeight];
    const isFrame = (one) => one.children && one.depth < DEEPEST && (one.depth === 0
      || (one.x1 - one.x0 > 56 && one.y1 - one.y0 > HEAD + 22));
    const root = d3.hierarchy(this.trail[this.trail.length - 1])
      .sum((one) => (one.children ? 0 : one.usage));
    d3.treemap().size(size).round(true).tile(d3.treemapSquarify.ratio(1.2))
      .paddingOuter((one) => (one.depth && isFrame(one) ? 3 : 0))
      .paddingTop((one) => (one.depth && isFrame(one) ? HEAD : 0))
      .paddingInner((one) => (one.depth < 2 ? 2 : 1))(root);
    this.tiles = [];
    const drawn = document.createDocumentFragment();
    const draw = (one) => {
      const inside = isFrame(one);
      if (one.depth || !inside) drawn.append(this.rectangle(one, inside, size));
      if (inside) for (const child of one.children) {
        if (child.x1 - child.x0 >= 2 && child.y1 - child.y0 >= 2) draw(child);
      }
    };
    if (root.value > 0) draw(root);
    map.replaceChildren(drawn);
    if (this.tiles.length) this.tiles[0].element.tabIndex = 0;
    this.mark(this.freed);
  }

  /** One rectangle: a frame with a heading that can be pressed, or all of it can. */
  rectangle(one, inside, [width, height]) {
    const node = one.data, button = element("button");
    button.type = "button";
    button.tabIndex = -1;
    button.setAttribute("aria-label", `${node.name}, ${human(node.usage)}`);
    const wide = one.x1 - one.x0, images = node.thing && node.thing.images > 1 ? node.thing.images : 0;
    if (wide > 34 && one.y1 - one.y0 > 15) {
      button.append(element("span", label(node), "name"));
      if (wide > 72) button.append(element("span", human(node.usage), "usage"));
      if (wide > 130 && images) button.append(element("span", `in ${grouped(images)} images`, "images"));
    }
    const box = inside ? element("div") : button;
    if (inside) box.append(button);
    box.className = [inside ? "box" : "tile", `kind-${node.kind || "none"}`,
      node.isRest && "rest", node.isShared && "together", node.thing && node.thing.images > 1 && "shared",
      one.y1 - one.y0 < (node.thing && node.thing.images > 1 ? 50 : 34) && "flat"].filter(Boolean).join(" ");
    box.style.setProperty("--shade", shade(one));
    const part = (length, all) => `${(100 * length) / all}%`;
    box.style.left = part(one.x0, width);
    box.style.top = part(one.y0, height);
    box.style.width = part(one.x1 - one.x0, width);
    box.style.height = part(one.y1 - one.y0, height);
    button.place = this.tiles.length;
    this.tiles.push({ node, element: button, box, one });
    return box;
  }

  /** Mark the rectangles of things that would be freed. */
  mark(freed) {
    this.freed = freed;
    const isFreed = (node) => freed.has(node.place)
      || Boolean(node.children && !node.thing && node.children.every(isFreed));
    for (const { one, box } of this.tiles) {
      box.classList.toggle("freed", one.ancestors().some(({ data: node }) => isFreed(node)));
    }
  }

  tile(target) {
    const button = target.closest("button");
    return button === null ? undefined : this.tiles[button.place];
  }

  pointed(target) {
    const tile = this.tile(target);
    if (tile) showTip(tile.node, tile.element);
  }

  clicked(target) {
    const tile = this.tile(target);
    if (!tile) return;
    const steps = tile.one.ancestors().reverse().map((one) => one.data);
    // What has nothing in it shows where it is.
    if (!tile.node.children) steps.pop();
    if (steps.length > 1) this.go([...this.trail, ...steps.slice(1)]);
  }

  up() {
    if (this.trail.length > 1) this.go(this.trail.slice(0, -1));
  }

  focus(tile) {
    for (const other of this.tiles) other.element.tabIndex = -1;
    tile.element.tabIndex = 0;
    tile.element.focus();
  }

  pressed(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape" || event.key === "Backspace") this.up();
    else if (ways[event.key]) this.move(this.tile(event.target), ways[event.key]);
    else return;
    event.preventDefault();
  }

  /** Move the focus to what is nearest in a direction. */
  move(from, [x, y]) {
    const middle = (tile) => {
      const at = tile.element.getBoundingClientRect();
      return [(at.left + at.right) / 2, (at.top + at.bottom) / 2];
    };
    const [left, top] = middle(from);
    let nearest, least = Infinity;
    for (const tile of this.tiles) {
      const [right, bottom] = middle(tile), along = (right - left) * x + (bottom - top) * y;
      const across = Math.abs((right - left) * y) + Math.abs((bottom - top) * x);
      if (along > 1 && along + 2 * across < least) [nearest, least] = [tile, along + 2 * across];
    }
    if (nearest) this.focus(nearest);
  }
}
