// @ts-check
/** Tiles: a value of the window, its change from the window before, and a line over the range. */

import { byId, el } from './dom.js';
import { change, count, eth, shortUsd } from './format.js';
import { spark } from './spark.js';

/**
 * @typedef {import('./series.js').Series} Series
 * @typedef {{id: string, label: string, column: string, hint?: string, sub?: string, isPrice?: boolean,
 *   format: (value: number | null) => string}} Tile
 */

/** The market's tiles, and where their values are in the order of preference. A chain has `trading` only. */
const MARKET = [
  { id: 'usd', label: 'Volume', from: ['market', 'trading'], column: 'USD_VOLUME', format: shortUsd },
  { id: 'sales', label: 'Sales', from: ['market', 'trading'], column: 'SALES', format: count },
  { id: 'transfers', label: 'Transfers', from: ['market'], column: 'TRANSFERS', format: count },
  { id: 'items', label: 'Items sold', from: ['market'], column: 'ITEMS_SOLD', format: count },
  { id: 'traders', label: 'Traders', from: ['trading'], column: 'TRADERS', format: count },
  { id: 'median', label: 'Median price', from: ['trading'], column: 'MEDIAN_USD', format: shortUsd, isPrice: true },
  { id: 'mints', label: 'Mints', from: ['trading'], column: 'MINTS', format: count },
  { id: 'burns', label: 'Burns', from: ['trading'], column: 'BURNS', format: count },
];

/**
 * @param {Record<string, Series>} series by name
 * @param {number | null} start of the window to show
 */
export function showMarketTiles(series, start) {
  for (const tile of MARKET) {
    const source = tile.from.map((name) => series[name]).find((rows) => rows && rows.newest() !== null);
    const box = boxOf(tile);
    box.hidden = !source;
    if (!source || start === null) continue;
    const paid = tile.id === 'usd' ? source.at(start, 'ETH_VOLUME') : null;
    showTile(tile, source, start, paid === null ? '' : eth(paid));
  }
}

/**
 * @param {Tile} tile
 * @param {Series} source
 * @param {number} start of the window
 * @param {string} [extra] a text beside the change
 */
export function showTile(tile, source, start, extra = '') {
  const box = boxOf(tile);
  const value = source.at(start, tile.column);
  const element = /** @type {HTMLElement} */ (box.querySelector('.value'));
  const shown = tile.format(value);
  if (element.textContent !== shown) {
    if (element.textContent) flash(element);
    element.textContent = shown;
  }
  const before = source.at(start - source.size, tile.column);
  const { text, kind } = change(before && value !== null ? value / before - 1 : null);
  const said = tile.sub ?? (text);
  box.querySelector('.sub')?.replaceChildren(el('span', { class: kind }, said), extra && el('span', { class: 'extra' }, extra));
  if (!tile.column) return;
  const { values } = source.values(tile.column, tile.isPrice ? null : 0);
  box.querySelector('.spark')?.replaceWith(spark(tile.isPrice ? values.filter((v) => v !== null) : values));
}

/**
 * Create the boxes of tiles in their order, no matter which value arrives first.
 * @param {{id: string, label: string, hint?: string}[]} tiles
 */
export function prepareTiles(tiles) {
  for (const tile of tiles) boxOf(tile);
}

/** @param {HTMLElement} element */
function flash(element) {
  element.classList.remove('flash');
  void element.offsetWidth; // begins the animation again
  element.classList.add('flash');
}

/** @param {{id: string, label: string, hint?: string}} tile */
function boxOf(tile) {
  const known = document.getElementById(`tile-${tile.id}`);
  if (known) return known;
  const box = el('article', { class: 'tile', id: `tile-${tile.id}`, title: tile.hint ?? null, 'aria-labelledby': `tile-${tile.id}-name` },
    el('h2', { id: `tile-${tile.id}-name` }, tile.label), el('p', { class: 'value' }), el('p', { class: 'sub' }), spark([]));
  byId('tiles').append(box);
  return box;
}
