// What the data means: the tree to draw, the rule of what is given back, figures in words.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

/** A kind of things in words. */
function kindWord(kind) {
  return kind.replace("_", " ");
}

/** How many of a kind, in words. */
function counted(number, kind) {
  const word = ["images", "containers", "volumes"].includes(kind) ? kind : "things";
  return `${grouped(number)} ${number === 1 ? word.slice(0, -1) : word}`;
}

/** Bytes for people, as the program's tables show them. */
function human(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = bytes, unit = -1;
  do {
    size /= 1024;
    unit += 1;
  } while (size >= 1023.95 && unit < units.length - 1);
  return `${size.toFixed(1)} ${units[unit]}`;
}

/** A number with its thousands set apart, the same in every language. */
function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * What the removal of these roots gives back, as `layerscan reclaim` says it: whatever no
 * root that stays keeps, directly or not, without what hard links from elsewhere share.
 */
function removal(roots) {
  const things = data.things, gone = new Set(roots), lost = new Map(), freed = new Set();
  const isFree = (key) => (things[key].keepers || 0) === (lost.get(key) || 0);
  const left = roots.filter(isFree);
  let bytes = 0;
  while (left.length) {
    const key = left.pop();
    freed.add(key);
    bytes += things[key].usage - (things[key].shared || 0);
    for (const other of things[key].keeps || []) {
      lost.set(other, (lost.get(other) || 0) + 1);
      if (isFree(other) && (!things[other].is_root || gone.has(other))) left.push(other);
    }
  }
  return { bytes, freed };
}

/** Whether an image can be chosen for removal. */
function canGo(holder) {
  return Boolean(holder.roots) && !holder.kept;
}

const sum = (nodes) => nodes.reduce((total, one) => total + one.usage, 0);

/** Nodes with something in them, the largest first, and what they lack of `usage`. */
function complete(nodes, usage, rest) {
  const found = nodes.filter((one) => one.usage > 0).sort((a, b) => b.usage - a.usage);
  const missing = usage - sum(found);
  return missing > 0 && found.length ? [...found, { ...rest, usage: missing, isRest: true }] : found;
}

function fileNode([path, usage, inside], kind) {
  const root = `${data.about.root}/`;
  const node = { name: path.startsWith(root) ? path.slice(root.length) : path, usage, kind };
  if (inside) {
    const below = inside.map((one) => fileNode(one, kind));
    node.children = complete(below, usage, { name: "smaller ones", kind });
  }
  return node;
}

function thingNode(thing, place) {
  const kind = thing.category;
  const node = { name: thing.step || thing.name, usage: thing.usage, kind, thing, place };
  if (thing.files) {
    const files = thing.files.map((one) => fileNode(one, kind));
    node.children = complete(files, thing.usage, { name: "smaller ones and records", kind });
  }
  return node;
}

/** The things of a kind: those of one holder together, those that several images share too. */
function kindNodes(kind) {
  const held = new Map(), shared = [], single = [];
  data.things.forEach((thing, place) => {
    if (thing.category !== kind || !thing.usage) return;
    const node = thingNode(thing, place);
    if (thing.images > 1) shared.push(node);
    else if (thing.holder === undefined) single.push(node);
    else if (held.has(thing.holder)) held.get(thing.holder).push(node);
    else held.set(thing.holder, [node]);
  });
  const nodes = [...single];
  for (const [place, children] of held) {
    const holder = data.holders[place];
    if (kind !== "images" && children.length === 1) nodes.push(children[0]);
    else {
      const usage = sum(children);
      nodes.push({ name: holder.label, usage, kind, holder, children: complete(children, usage) });
    }
  }
  if (shared.length) {
    const usage = sum(shared), children = complete(shared, usage);
    nodes.push({ name: "shared by several images", usage, kind, children, isShared: true });
  }
  return nodes;
}

/** The tree of everything: kinds, what holds them, things, and files in things. */
function wholeTree() {
  const kinds = data.categories.filter((one) => one.usage > 0).map((one) => {
    const nodes = kindNodes(one.category);
    for (const more of data.more.filter((rest) => rest.category === one.category)) {
      nodes.push({ name: `${grouped(more.number)} more`, usage: more.usage, kind: one.category, isRest: true });
    }
    const children = complete(nodes, one.usage, { name: "the rest", kind: one.category });
    return { name: kindWord(one.category), usage: one.usage, kind: one.category, sum: one, children };
  });
  const name = data.about.root;
  if (data.about.command === "scan" && kinds.length) return { ...kinds[0], name };
  return { name, usage: data.total, children: complete(kinds, data.total, { name: "the rest" }) };
}
