// Runs the script of the status page over a stand-in of a browser, and prints what a person would read.
// Arguments: the page, a file with an array of answers of the daemon, what the address ends with. Prints one JSON
// object per answer.
"use strict";
const fs = require("node:fs");
const [page, answers] = process.argv.slice(2, 4).map(file => fs.readFileSync(file, "utf8"));
const location = { search: process.argv[4] };

class Element {
  constructor(tag) { Object.assign(this, { tag, children: [], dataset: {}, attributes: {}, hidden: false, text: "" }); }
  get textContent() { return this.children.length ? this.children.map(String).join("") : this.text; }
  set textContent(text) { this.children = []; this.text = String(text); }
  append(...parts) {
    for (const part of parts) {
      // What a browser would show as "[object Object]" or "undefined" is a mistake.
      if (!(part instanceof Element) && typeof part !== "string") throw new Error("not a text: " + String(part));
      this.children.push(part);
    }
  }
  replaceChildren(...parts) { this.children = []; this.text = ""; this.append(...parts); }
  setAttribute(name, value) { this.attributes[name] = value; }
  insertCell() { const cell = new Element("td"); this.append(cell); return cell; }
  all() { return this.children.flatMap(child => (child instanceof Element ? [child, ...child.all()] : [])); }
  toString() { return this.textContent; }
}

const ids = new Map([...page.matchAll(/<(\w+) id="([\w-]+)"/g), ...page.matchAll(/<(\w+) [^>]*id="([\w-]+)"/g)]
  .map(([, tag, id]) => [id, new Element(tag)]));
const document = {
  title: "",
  createElement: tag => new Element(tag),
  getElementById: id => { if (!ids.has(id)) throw new Error("no element " + id); return ids.get(id); },
  querySelectorAll: () => [...ids.values()].flatMap(one => one.all()).filter(one => one.dataset.since),
};
const script = page.match(/<script>([\s\S]*)<\/script>/)[1];
const given = JSON.parse(answers);
let refresh, grow;
const timeout = (f, after) => { if (after !== 2000) throw new Error("asks every " + after); refresh = f; };
const interval = f => { grow = f; };
const fetch = async path => {
  if (path !== "api/v1/status") throw new Error("asks for " + path);
  const answer = given.shift();
  return { ok: answer !== null, status: 500, json: async () => answer, headers: new Map([["date", new Date().toUTCString()]]) };
};
const quiet = { warn: error => { if (!/500/.test(error)) throw error; } };
process.on("unhandledRejection", error => { throw error; });
new Function("document", "location", "fetch", "setTimeout", "setInterval", "console", script)(
  document, location, fetch, timeout, interval, quiet);

(async () => {
  while (true) {
    await new Promise(done => setImmediate(done));
    grow();
    const shown = { title: document.title };
    for (const [id, one] of ids) shown[id] = one.hidden ? null : one.textContent;
    const times = document.querySelectorAll().map(one => one.title);
    if (times.some(title => !title || /Invalid/.test(title))) throw new Error("a time without a title");
    shown.times = times.length;
    console.log(JSON.stringify(shown));
    if (given.length === 0) return;
    await refresh();
  }
})();
