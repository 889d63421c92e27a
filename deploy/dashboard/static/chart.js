// @ts-check
/** A chart over time with uPlot, and the same values as a table. */

import { el, say } from './dom.js';
import { bothTimes, utc } from './format.js';

/**
 * @typedef {{label: string, values: (number | null)[], colour: string, isBars?: boolean}} Line
 * @typedef {{starts: number[], size: number, lines: Line[], isLog?: boolean, format: (value: number | null) => string}} ChartData
 */

const HINT = 'Point at the chart to read its values';
const DAY = 86_400;

export class Chart {
  /**
   * @param {HTMLElement} box
   * @param {HTMLElement | null} numbers where the table goes
   * @param {(start: number) => void} [onWindow] is called with a window that the user chose
   */
  constructor(box, numbers, onWindow) {
    this.box = box;
    this.numbers = numbers;
    this.hint = onWindow ? `${HINT}, and click to choose a window.` : `${HINT}.`;
    this.said = el('p', { class: 'chart-said' }, this.hint);
    box.after(this.said);
    this.onWindow = onWindow;
    this.key = '';
    /** @type {any} */
    this.plot = null;
    /** @type {ChartData} */
    this.data = { starts: [], size: 0, lines: [], format: String };
    new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(box);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw(true));
    if (numbers) numbers.closest('details')?.addEventListener('toggle', () => this.#table());
  }

  /** @param {ChartData} data */
  show(data) {
    this.data = data;
    this.#draw(false);
    this.#table();
  }

  #size() {
    const style = getComputedStyle(this.box);
    return { width: Math.max(200, this.box.clientWidth - parseFloat(style.paddingLeft) * 2), height: this.box.clientHeight - 8 };
  }

  /** @param {boolean} anew */
  #draw(anew) {
    const { starts, lines } = this.data;
    const rows = [starts.map((ms) => ms / 1000), ...lines.map((line) => line.values)];
    const key = lines.map((line) => line.label).join();
    if (this.plot && key === this.key && !anew) {
      this.plot.setData(rows);
      return;
    }
    this.plot?.destroy();
    this.key = key;
    this.plot = new /** @type {any} */ (globalThis).uPlot(this.#options(), rows, this.box);
    this.plot.over.addEventListener('click', () => {
      const at = this.plot.cursor.idx;
      if (at !== null && this.onWindow) this.onWindow(this.data.starts[at]);
    });
  }

  #options() {
    const css = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => css.getPropertyValue(name).trim();
    const { uPlot } = /** @type {any} */ (globalThis);
    const axis = { stroke: colour('--muted'), grid: { stroke: colour('--line-soft'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    const isBars = this.data.lines.some((line) => line.isBars);
    const { isLog } = this.data;
    return {
      ...this.#size(),
      tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at * 1000), 'UTC'),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: {
        x: { range: (/** @type {any} */ _, /** @type {number} */ from, /** @type {number} */ to) => [from, isBars ? to + this.data.size / 1000 : to === from ? to + 1 : to] },
        y: isLog ? { distr: 3 } : { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, (most || 1) * 1.08] },
      },
      series: [{}, ...this.data.lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: line.isBars ? 0 : 2,
        fill: line.isBars ? `${colour(line.colour)}b3` : undefined,
        paths: line.isBars ? uPlot.paths.bars({ size: [0.8, 160], align: 1, radius: 0.08 }) : undefined,
        points: { show: !line.isBars, size: 4 },
        spanGaps: true,
      }))],
      axes: [{ ...axis, space: 80, values: clockTexts }, { ...axis, size: 76, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((v) => (v === null ? '' : this.data.format(v))) }],
      hooks: { setCursor: [(/** @type {any} */ plot) => this.#sayAt(plot.cursor.idx)] },
    };
  }

  /** @param {number | null} at */
  #sayAt(at) {
    const { starts, lines, format } = this.data;
    const text = at === null || at === undefined || !starts[at] ? this.hint : `${bothTimes(starts[at])}  ${lines.map((line) => `${line.label} ${format(line.values[at])}`).join(', ')}`;
    say(this.said, text);
  }

  #table() {
    if (!this.numbers || !this.numbers.closest('details')?.open) return;
    const { starts, lines, format } = this.data;
    const head = el('tr', {}, el('th', { scope: 'col' }, 'Window from (UTC)'), ...lines.map((line) => el('th', { scope: 'col', class: 'num' }, line.label)));
    const rows = starts.map((start, i) => el('tr', {}, el('td', {}, utc(start)), ...lines.map((line) => el('td', { class: 'num' }, format(line.values[i]))))).reverse();
    this.numbers.replaceChildren(el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows)));
  }
}

/**
 * Times of a day in 24 hours, and the date where it changes.
 * @param {any} _
 * @param {number[]} at seconds since 1970
 */
function clockTexts(_, at) {
  const isDays = at.length > 1 && at[1] - at[0] >= DAY;
  return at.map((second, i) => {
    const text = new Date(second * 1000).toISOString();
    const isNewDay = i === 0 || Math.floor(second / DAY) !== Math.floor(at[i - 1] / DAY);
    const clock = at.length > 1 && at[1] - at[0] < 60 ? text.slice(11, 19) : text.slice(11, 16);
    return isDays ? text.slice(5, 10) : isNewDay ? `${clock}\n${text.slice(0, 10)}` : clock;
  });
}
