// @ts-check
/** The page of the market. */

import { Chart } from './chart.js';
import { byId, el } from './dom.js';
import { amount, bothTimes, count, shortUsd } from './format.js';
import { showProblem } from './notice.js';
import { radios, showPickers } from './pickers.js';
import { showRanking, wireRanking } from './ranking.js';
import { Series } from './series.js';
import { follow } from './stream.js';
import { showMarketTiles } from './tiles.js';
import { choose, onView, view } from './view.js';
import { windowed } from './windowed.js';

/** @type {Record<string, Series>} */
let series = {};
/** @type {Chart | null} */
let chart = null;

const VALUES = [
  ['usd', 'Volume (USD)', 'USD_VOLUME', shortUsd], ['eth', 'Volume (ETH)', 'ETH_VOLUME', amount], ['sales', 'Sales', 'SALES', count],
  ['transfers', 'Transfers', 'TRANSFERS', count], ['traders', 'Traders', 'TRADERS', count],
];

function show() {
  const rows = series.market ?? series.trading;
  const start = Number(view().get('at')) || (rows?.newest() ?? null);
  showMarketTiles(series, start);
  if (rows && start !== null) showWindow(start, rows.size, rows.newest());
  const [, label, column, format] = VALUES.find(([id]) => id === (view().get('value') ?? 'usd')) ?? VALUES[0];
  const source = [series.market, series.trading].find((s) => s?.columns.includes(String(column)));
  const choices = VALUES.filter(([, , c]) => [series.market, series.trading].some((s) => s?.columns.includes(String(c))));
  radios('chart-choice', 'value', choices.map(([id, text]) => [String(id), String(text)]), view().get('value') ?? 'usd', (value) => choose({ value }));
  if (!source) return;
  const { starts, values } = source.values(String(column), 0);
  chart ??= new Chart(byId('chart'), byId('chart-numbers'), (at) => choose({ at: String(at) }));
  byId('chart-title').textContent = `${String(label).replace(/ \(.*/, '')} in windows of ${labelOf()}`;
  chart.show({ starts, size: source.size, lines: [{ label: String(label), values, colour: '--accent', isBars: true }], format: /** @type {any} */ (format) });
}

/** @type {import('./pickers.js').Catalog | null} */
let catalog = null;
const labelOf = () => catalog?.windows.find((w) => w.suffix === catalog?.window)?.label ?? '';

/** @param {number} start @param {number} size @param {number | null} newest */
function showWindow(start, size, newest) {
  const isNewest = start === newest && !view().has('from');
  const text = [el('strong', {}, `${bothTimes(start)} to ${new Date(start + size).toISOString().slice(11, 19)}`)];
  const line = byId('window-line');
  line.replaceChildren(...text, isNewest ? ' · the newest window, compared with the one before' : ' · compared with the window before ');
  if (view().has('at')) {
    const back = el('button', { type: 'button', class: 'plain' }, 'Back to the newest');
    back.addEventListener('click', () => choose({ at: null }));
    line.append(back);
  }
}

follow('/live/market', {
  begin: () => { series = {}; },
  ...windowed((data) => {
    catalog = data;
    showProblem(data.problem);
  }),
  market: (data) => { (series.market ??= new Series()).take(data); show(); },
  trading: (data) => { (series.trading ??= new Series()).take(data); show(); },
  ranking: showRanking,
});
wireRanking();
onView(() => catalog && showPickers(catalog));
