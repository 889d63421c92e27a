// @ts-check
/** The tables of a collection's top assets. */

import { byId, el, nameOf, outside, say } from './dom.js';
import { count, usd } from './format.js';

/**
 * @typedef {{id: string, value: number, name: string | null, sales: number | null, url: string | null, image: string | null}} Asset
 * @typedef {{start: number, sold: number, byVolume: Asset[], byTransfers: Asset[]}} Assets
 */

/** @param {Assets | null} assets */
export function showAssets(assets) {
  say(byId('sold-count'), assets ? `${count(assets.sold)} ${assets.sold === 1 ? 'asset' : 'different assets'} sold in this window` : '');
  fill(byId('by-volume'), assets?.byVolume ?? [], 'Volume (USD)', usd, true);
  fill(byId('by-transfers'), assets?.byTransfers ?? [], 'Transfers', count, false);
}

/**
 * @param {HTMLElement} table
 * @param {Asset[]} assets
 * @param {string} title
 * @param {(value: number | null) => string} format
 * @param {boolean} withSales
 */
function fill(table, assets, title, format, withSales) {
  const head = el('tr', {}, el('th', { scope: 'col', class: 'rank num' }, '#'), el('th', { scope: 'col' }, 'Asset'),
    ...(withSales ? [el('th', { scope: 'col', class: 'num' }, 'Sales')] : []), el('th', { scope: 'col', class: 'num' }, title));
  const rows = assets.map((asset, i) => el('tr', {},
    el('td', { class: 'rank num' }, i + 1),
    el('th', { scope: 'row', class: 'name', title: null }, pictured(asset)),
    ...(withSales ? [el('td', { class: 'num' }, count(asset.sales))] : []),
    el('td', { class: 'num' }, format(asset.value))));
  if (!rows.length) rows.push(el('tr', {}, el('td', { class: 'empty', colspan: withSales ? 4 : 3 }, 'None in this window.')));
  table.replaceChildren(el('caption', { class: 'unseen' }, title), el('thead', {}, head), el('tbody', {}, ...rows));
}

/** @param {Asset} asset */
function pictured(asset) {
  const name = outside(asset.url, nameOf(asset.name || asset.id));
  if (!asset.image) return name;
  const picture = el('img', { src: asset.image, alt: '', width: 28, height: 28, loading: 'lazy', referrerpolicy: 'no-referrer' });
  return el('span', { class: 'pictured' }, picture, name);
}
