// @ts-check
/** Rows by window, as the server sends them: all of them at first, and then those that changed. */

/** @typedef {{full: boolean, columns: string[], size: number, advance: number, first: number, rows: any[][]}} SeriesMessage */

export class Series {
  /** @type {Map<number, any[]>} */
  #rows = new Map();
  /** @type {string[]} */
  columns = [];
  size = 0;
  advance = 0;

  /** @param {SeriesMessage} message */
  take(message) {
    if (message.full) this.#rows.clear();
    this.columns = message.columns;
    this.size = message.size;
    this.advance = message.advance;
    for (const row of message.rows) this.#rows.set(row[0], row);
    for (const start of this.#rows.keys()) if (start < message.first) this.#rows.delete(start);
  }

  /** @returns {number[]} the starts of the windows that have rows, sorted */
  starts() {
    return [...this.#rows.keys()].sort((a, b) => a - b);
  }

  /** @returns {number | null} the start of the newest window */
  newest() {
    return this.#rows.size ? Math.max(...this.#rows.keys()) : null;
  }

  /**
   * A column's value in a window; null if there is no row.
   * @param {number} start
   * @param {string} column
   * @returns {number | null}
   */
  at(start, column) {
    return this.#rows.get(start)?.[this.columns.indexOf(column)] ?? null;
  }

  /**
   * A column over all windows from the first to the last.
   * @param {string} column
   * @param {number | null} missing the value of a window without a row: 0 for sums, null for prices
   * @returns {{starts: number[], values: (number | null)[]}}
   */
  values(column, missing) {
    const known = this.starts();
    if (!known.length) return { starts: [], values: [] };
    const starts = [];
    const step = this.advance || 1;
    if ((known[known.length - 1] - known[0]) / step > 5000) starts.push(...known);
    else for (let at = known[0]; at <= known[known.length - 1]; at += step) starts.push(at);
    return { starts, values: starts.map((start) => (this.#rows.has(start) ? this.at(start, column) : missing)) };
  }
}
