// Pure arithmetic of a virtual list: which of many rows of one height are to be in the page.

/** First row and the one after the last, for a window of `height` pixels at `top`, with some rows to spare around. */
export function windowOf(top, height, rowHeight, count, spare = 6) {
  const first = Math.max(0, Math.floor(top / rowHeight) - spare);
  const after = Math.min(count, Math.ceil((top + height) / rowHeight) + spare);
  return { first: Math.min(first, Math.max(0, count - 1)), after: Math.max(after, 0) };
}

/** Where to scroll so that a row is seen whole; the place itself where it is already. */
export function scrollTo(index, top, height, rowHeight) {
  const start = index * rowHeight;
  if (start < top) return start;
  return start + rowHeight > top + height ? start + rowHeight - height : top;
}

/** The row that a key moves to; null for a key that moves to none. */
export function rowAfterKey(key, index, count, page) {
  const moves = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: count - 1, PageDown: index + page, PageUp: index - page };
  if (!Object.hasOwn(moves, key) || count === 0) return null;
  return Math.max(0, Math.min(count - 1, moves[key]));
}
