// A list of which only the rows in sight are in the document.

import { h } from "./dom.js";

const MARGIN = 12;

export class Windowed {
  // `row(item, index)` makes the element of an item; `key(item)` says which item it is; `end()` is told when the end is near.
  constructor({ height, row, key, end, label, columns }) {
    this.height = height;
    this.row = row;
    this.key = key;
    this.end = end;
    this.items = [];
    this.made = new Map();
    this.at = 0;
    this.space = h("div", { class: "space" });
    this.element = h("div", { class: "window", role: "table", "aria-label": label, "aria-colcount": columns, tabindex: "0" }, this.space);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.element);
  }

  close() { this.watch.disconnect(); }

  show(items) {
    this.items = items;
    this.element.setAttribute("aria-rowcount", items.length);
    this.at = Math.min(this.at, Math.max(0, items.length - 1));
    this.draw(true);
  }

  draw(anew = false) {
    const { height, items, element } = this;
    this.space.style.height = `${items.length * height}px`;
    const first = Math.max(0, Math.floor(element.scrollTop / height) - MARGIN);
    const last = Math.min(items.length, Math.ceil((element.scrollTop + element.clientHeight) / height) + MARGIN);
    const kept = new Map();
    for (let index = first; index < last; index += 1) {
      const item = items[index], key = this.key(item);
      let made = this.made.get(key);
      if (!made || (anew && made.item !== item)) {
        const element = this.row(item, index);
        if (made) made.element.replaceWith(element);
        else this.space.append(element);
        made = { item, element, index: -1 };
      }
      if (made.index !== index) {
        made.index = index;
        made.element.style.transform = `translateY(${index * height}px)`;
        made.element.setAttribute("aria-rowindex", index + 1);
      }
      kept.set(key, made);
    }
    for (const [key, made] of this.made) if (!kept.has(key)) made.element.remove();
    this.made = kept;
    if (this.end && items.length && last > items.length - 40) this.end();
  }

  // The row under the keyboard.
  go(index) {
    if (!this.items.length) return;
    this.at = Math.max(0, Math.min(this.items.length - 1, index));
    const top = this.at * this.height, { element } = this;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + this.height > element.scrollTop + element.clientHeight) element.scrollTop = top + this.height - element.clientHeight;
    this.draw();
    for (const made of this.made.values()) made.element.classList.toggle("at", made.index === this.at);
  }

  get current() { return this.items[this.at]; }
}
