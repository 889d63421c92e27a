// @ts-check
/** The page of one collection. */

import { Chart } from './chart.js';
import { showAssets } from './assets.js';
import { byId, el, nameOf, visible } from './dom.js';
import { bothTimes, count, shortUsd, usd } from './format.js';
import { showProblem } from './notice.js';
import { showPickers } from './pickers.js';
import { Series } from './series.js';
import { follow } from './stream.js';
import { prepareTiles, showTile } from './tiles.js';
import { address, choose, onView, view } from './view.js';
import { windowed } from './windowed.js';

/** @type {Record<string, Series>} */
let series = {};
/** @type {import('./pickers.js').Catalog | null} */
let catalog = null;
const prices = new Chart(byId('prices'), byId('prices-numbers'), (at) => choose({ at: String(at) }));
const volume = new Chart(byId('volume'), byId('volume-numbers'), (at) => choose({ at: String(at) }));

const LINES = [['Floor sold', 'collection', 'FLOOR_USD', '--up'], ['Median', 'trading', 'MEDIAN_USD', '--accent'], ['Average', 'collection', 'AVG_USD', '--down']];
const TILES = [
  { id: 'floor', label: 'Floor sold', hint: 'The lowest price at which an item was sold in this window, not the lowest price asked', source: 'collection', column: 'FLOOR_USD', format: usd, isPrice: true },
  { id: 'median', label: 'Median price', source: 'trading', column: 'MEDIAN_USD', format: usd, isPrice: true },
  { id: 'average', label: 'Average price', source: 'collection', column: 'AVG_USD', format: usd, isPrice: true },
  { id: 'usd', label: 'Volume', source: 'collection', column: 'USD_VOLUME', format: shortUsd },
  { id: 'sales', label: 'Sales', source: 'collection', column: 'SALES', format: count },
  { id: 'transfers', label: 'Transfers', source: 'collection', column: 'TRANSFERS', format: count },
  { id: 'traders', label: 'Traders', source: 'trading', column: 'TRADERS', format: count },
];

function show() {
  const rows = series.collection;
  if (!rows) return;
  const newest = rows.newest();
  if (newest === null) {
    const name = visible(view().get('name'), 80);
    const text = `The windows that are kept have no sale and no transfer of a collection with the slug “${name}”. Check the spelling, choose a longer range, or find it on the page of the market.`;
    showProblem({ title: 'Nothing is known about this collection', text, commands: [] });
    return;
  }
  showProblem(null);
  const start = Number(view().get('at')) || newest;
  byId('window-line').replaceChildren(el('strong', {}, `${bothTimes(start)} to ${new Date(start + rows.size).toISOString().slice(11, 19)}`),
    start === newest ? ' · the newest window with events of this collection' : ' · ');
  if (view().has('at')) {
    const back = el('button', { type: 'button', class: 'plain' }, 'Back to the newest');
    back.addEventListener('click', () => choose({ at: null }));
    byId('window-line').append(back);
  }
  for (const tile of TILES) {
    const source = series[tile.source];
    if (source) showTile(tile, source, start);
  }
  showWash(start);
  showCharts(rows);
}

const WASH = { id: 'wash', label: 'Wash share', hint: 'The share of the volume that is trades between the accounts of one owner' };

/** @param {number} start */
function showWash(start) {
  const trading = series.trading;
  if (!trading) return;
  const organic = trading.at(start, 'ORGANIC_USD_VOLUME');
  const all = trading.at(start, 'USD_VOLUME');
  const share = all && organic !== null ? (all - organic) / all : null;
  const said = share === null ? '–' : share > 0 && share < 0.001 ? '< 0.1 %' : share ? `${(share * 100).toFixed(1)} %` : '0 %';
  showTile({ ...WASH, column: '', format: () => said, sub: share ? usd(Number(all) - Number(organic)) : 'of the volume' }, trading, start);
}

/** @param {Series} rows */
function showCharts(rows) {
  const known = LINES.filter(([, source]) => series[source]);
  const { starts } = rows.values('FLOOR_USD', null);
  const lines = known.map(([label, source, column, colour]) => ({
    label, colour, values: starts.map((start) => series[source].at(start, column) || null),
  }));
  prices.show({ starts, size: rows.size, lines, isLog: true, format: usd });
  byId('prices-legend').replaceChildren(...known.map(([label, , , colour]) => el('li', { 'data-colour': colour.slice(2) }, label)));
  const sums = rows.values('USD_VOLUME', 0);
  volume.show({ starts: sums.starts, size: rows.size, lines: [{ label: 'Volume', values: sums.values, colour: '--accent', isBars: true }], format: shortUsd });
}

function showName() {
  const name = view().get('name') ?? '';
  byId('name').replaceChildren(nameOf(name || 'No collection'));
  document.title = `${visible(name, 60)} – OpenSea metrics`;
  byId('back').setAttribute('href', address('/'));
}

follow('/live/collection', {
  begin: () => { series = {}; },
  ...windowed((data) => {
    catalog = data;
    if (data.problem) showProblem(data.problem);
  }),
  collection: (data) => { (series.collection ??= new Series()).take(data); show(); },
  trading: (data) => { (series.trading ??= new Series()).take(data); show(); },
  assets: showAssets,
});
onView(() => { showName(); if (catalog) showPickers(catalog); });
showName();
prepareTiles([...TILES, WASH]);
