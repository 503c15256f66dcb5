// A list of any length of which only what is seen is in the page. A grid for screen readers: arrow keys move between
// rows, Left and Right between a row and what can be pressed in it.
import { rowAfterKey, scrollTo, windowOf } from "../lib/list.mjs";
import { h } from "./make.mjs";

export class VirtualList {
  /**
   * `fill(element, item)` fills an empty row; `select(item)` is told which row is current. Rows are `rowHeight` pixels.
   * Items are told apart by `key`, a property of theirs.
   */
  constructor({ label, rowHeight, fill, select, key = "key" }) {
    Object.assign(this, { rowHeight, fill, select, key, items: [], current: 0, isChosen: false, rows: new Map(), waiting: 0 });
    this.space = h("div", { class: "cb-space", role: "presentation" });
    this.element = h("div", { class: "cb-list", role: "grid", "aria-label": label, tabindex: -1 }, this.space);
    this.element.addEventListener("scroll", () => this.later(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(this.element);
  }

  /** Other rows; the current one stays the current one where it is still there. */
  show(items) {
    const now = this.items[this.current]?.[this.key];
    this.items = items;
    const place = items.findIndex((item) => item[this.key] === now);
    this.current = Math.max(0, place);
    this.isChosen &&= place >= 0; // the first row can be reached, and is chosen only by whoever chooses it
    this.space.style.height = `${items.length * this.rowHeight}px`;
    this.element.setAttribute("aria-rowcount", items.length);
    const focused = [...this.rows.values()].find((row) => row.contains(document.activeElement));
    const stop = focused ? [...focused.querySelectorAll("button")].indexOf(document.activeElement) : -1;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.draw();
    const row = focused && this.rows.get(this.current);
    if (row) (row.querySelectorAll("button")[stop] ?? row).focus({ preventScroll: true });
  }

  /** Fill one row again, when what it tells has changed. */
  refresh(test) {
    for (const [index, row] of this.rows) {
      if (!test(this.items[index])) continue;
      const focused = row.contains(document.activeElement) && row !== document.activeElement;
      const place = focused ? [...row.querySelectorAll("button")].indexOf(document.activeElement) : -1;
      row.replaceChildren();
      this.fill(row, this.items[index]);
      this.reachable(row, index);
      if (focused) (row.querySelectorAll("button")[place] ?? row).focus({ preventScroll: true });
    }
  }

  later() {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const { first, after } = windowOf(scrollTop, clientHeight, this.rowHeight, this.items.length);
    for (const [index, row] of this.rows) {
      const isKept = index === this.current || row.contains(document.activeElement);
      if ((index < first || index >= after) && !isKept) {
        row.remove();
        this.rows.delete(index);
      }
    }
    for (let index = first; index < after; index++) if (!this.rows.has(index)) this.add(index);
    // The current row is there wherever the list was scrolled to: it is the one that Tab reaches.
    if (this.items.length > 0 && !this.rows.has(this.current)) this.add(this.current);
  }

  add(index) {
    const row = h("div", { class: "cb-item", role: "row", "aria-rowindex": index + 1, "data-index": index });
    row.style.cssText = `top:${index * this.rowHeight}px;height:${this.rowHeight}px`;
    this.fill(row, this.items[index]);
    this.reachable(row, index);
    this.rows.set(index, row);
    const next = [...this.space.children].find((other) => Number(other.dataset.index) > index);
    this.space.insertBefore(row, next ?? null); // in the order of the rows, for Tab and screen readers
  }

  // Only the current row, and what can be pressed in it, is reached with Tab.
  reachable(row, index) {
    const isCurrent = index === this.current;
    row.tabIndex = isCurrent ? 0 : -1;
    row.setAttribute("aria-selected", String(isCurrent && this.isChosen));
    for (const inner of row.querySelectorAll("button")) inner.tabIndex = isCurrent ? 0 : -1;
  }

  move(index, focus = true) {
    if (!this.items[index]) return;
    const before = this.current;
    this.current = index;
    this.isChosen = true;
    const { scrollTop, clientHeight } = this.element;
    this.element.scrollTop = scrollTo(index, scrollTop, clientHeight, this.rowHeight);
    if (!this.rows.has(index)) this.draw();
    for (const each of [before, index]) if (this.rows.has(each)) this.reachable(this.rows.get(each), each);
    if (focus) this.rows.get(index)?.focus({ preventScroll: true });
    this.select(this.items[index]);
  }

  clicked(event) {
    const row = event.target.closest?.(".cb-item");
    if (row) this.move(Number(row.dataset.index), !event.target.closest("button"));
  }

  pressed(event) {
    const row = event.target.closest?.(".cb-item");
    if (!row) return;
    const next = rowAfterKey(event.key, this.current, this.items.length, Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1));
    if (next !== null) {
      event.preventDefault();
      event.stopPropagation();
      this.move(next);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const stops = [row, ...row.querySelectorAll("button")];
      const place = stops.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : -1);
      stops[Math.max(0, Math.min(stops.length - 1, place))].focus();
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && event.target === row) {
      row.querySelector("button")?.click();
      event.preventDefault();
      event.stopPropagation();
    }
  }

  stop() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.waiting);
  }
}
