// What is on the page, put together.
"use strict";

/** Show lines in a section that is hidden without any. */
function tell(id, lines, heading) {
  const section = document.getElementById(id);
  section.hidden = !lines.length;
  if (heading) section.querySelector("h2").textContent = heading;
  section.querySelector("ul").replaceChildren(...lines.map((line) => element("li", line)));
}

function tellAbout() {
  const about = data.about;
  document.getElementById("title").replaceChildren(figure(data.total), ` in ${about.root}`);
  const parts = [`${about.kind} store on ${about.host}`, `as of ${about.made.replace("T", " ").replace("+00:00", " UTC")}`];
  if (about.accounting) parts.push(`${about.accounting} accounting`);
  document.getElementById("about").textContent = parts.join(" · ");
  document.getElementById("made").textContent = `Made by layerscan ${about.version}: layerscan ${about.command} --html. This file is whole by itself and loads nothing.`;
}

/** The sums of each kind; to press one goes there. */
function tellKinds(tree, picture) {
  const list = document.getElementById("kinds");
  for (const one of data.categories.filter((kind) => kind.usage || kind.number)) {
    const item = element("li", undefined, `kind-${one.category}`), button = element("button");
    item.dataset.kind = one.category;
    button.type = "button";
    button.append(element("span", kindWord(one.category), "name"), figure(one.usage));
    const notes = [];
    if (one.number) notes.push(element("span", counted(one.number, one.category), "count"));
    if (one.freeable) notes.push(element("span", undefined, "freeable"));
    if (one.freeable) notes[notes.length - 1].append(figure(one.freeable), " could be freed");
    if (one.in_use) notes.push(element("span", undefined, "in-use"));
    if (one.in_use) notes[notes.length - 1].append(figure(one.in_use), " in use");
    button.append(...notes);
    const node = tree.kind === one.category ? tree : tree.children.find((child) => child.kind === one.category);
    button.disabled = !node;
    button.addEventListener("click", () => picture.go(node === tree ? [tree] : [tree, node]));
    item.append(button);
    list.append(item);
  }
}

/** The way from everything to what the picture shows. */
function tellPath(picture) {
  const path = document.getElementById("path");
  path.replaceChildren(...picture.trail.map((node, place) => {
    const button = element("button", node.name);
    button.type = "button";
    if (place === picture.trail.length - 1) button.setAttribute("aria-current", "location");
    button.addEventListener("click", () => picture.go(picture.trail.slice(0, place + 1)));
    return button;
  }));
  const shown = picture.trail[picture.trail.length - 1];
  path.append(figure(shown.usage));
}

const tree = wholeTree();
const picture = new Picture(tree, () => tellPath(picture));
tellAbout();
tellKinds(tree, picture);
picture.draw();
tellPath(picture);
new Listing((freed) => picture.mark(freed));
const problems = data.problems.length;
tell("problems", data.problems, `${grouped(problems)} ${problems === 1 ? "thing" : "things"} could not be read: figures may be too small`);
tell("notes", data.warnings);
tell("cut", data.cut);
document.getElementById("legend").textContent = data.things.some((one) => one.images > 1)
  ? "Hatched: layers that several images share, each drawn once." : "";
