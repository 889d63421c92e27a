// @ts-check
/** The table of ranked collections. The server sorts and filters; the view says how. */

import { byId, el, nameOf, say, visible } from './dom.js';
import { amount, change, count, usd } from './format.js';
import { address, choose, view } from './view.js';

/** @typedef {{start: number | null, size: number, total: number, columns: string[], rows: any[][]}} RankingMessage */

/** Title, the value to sort by, and the index of the value in a row. */
const COLUMNS = [
  ['Collection', 'name'], ['Chain', 'chain'], ['Volume (USD)', 'usd'], ['Change', 'usd_change'], ['Volume (ETH)', 'eth'],
  ['Sales', 'sales'], ['Change', 'sales_change'], ['Floor sold', 'floor'], ['Average', 'average'], ['Transfers', 'transfers'],
];
const HINTS = { floor: 'The lowest price at which an item was sold in this window', average: 'Volume divided by the items sold' };
const TEXTS = new Set(['name', 'chain']);
const ROWS = ['25', '100', '500'];

/** @param {RankingMessage} message */
export function showRanking(message) {
  const at = Object.fromEntries(message.columns.map((name, i) => [name, i]));
  const most = Math.max(...message.rows.map((row) => row[at.usd] ?? 0), 0);
  const body = el('tbody', {}, ...message.rows.map((row, i) => rowOf(row, i, at, most)));
  const table = byId('ranking');
  showHead(table);
  table.querySelector('tbody')?.remove();
  const isFiltered = view().has('find') || view().has('chain');
  if (!message.rows.length) {
    const text = isFiltered ? 'No collection fits. Clear the search or choose all chains.' : 'No sales or transfers in this window.';
    body.append(el('tr', {}, el('td', { colspan: COLUMNS.length + 1, class: 'empty' }, text)));
  }
  table.append(body);
  say(byId('ranking-count'), `${count(message.total)}${isFiltered ? ' that fit' : ''}`);
  byId('more').hidden = message.rows.length >= message.total || message.rows.length >= 500;
  byId('csv').setAttribute('href', `/collections.csv?${view()}`);
}

/** @param {any[]} row @param {number} i @param {Record<string, number>} at @param {number} most */
function rowOf(row, i, at, most) {
  const name = row[at.name];
  const bar = el('i', { 'aria-hidden': 'true' });
  bar.style.setProperty('--share', String(most ? (row[at.usd] ?? 0) / most : 0));
  const link = el('a', { href: address('/collection', { name }), title: visible(name) }, nameOf(name));
  return el('tr', {},
    el('td', { class: 'rank num' }, i + 1),
    el('th', { scope: 'row', class: 'name' }, link),
    el('td', { class: 'muted chain' }, visible(row[at.chain], 30) || '–'),
    el('td', { class: 'num amount' }, bar, usd(row[at.usd])),
    changeCell(row[at.usd_change]),
    el('td', { class: 'num' }, amount(row[at.eth])),
    el('td', { class: 'num' }, count(row[at.sales])),
    changeCell(row[at.sales_change]),
    el('td', { class: 'num' }, usd(row[at.floor])),
    el('td', { class: 'num' }, usd(row[at.average])),
    el('td', { class: 'num' }, count(row[at.transfers])));
}

/** @param {number | null} fraction */
function changeCell(fraction) {
  const { text, kind } = change(fraction);
  return el('td', { class: `num ${kind || 'none'}` }, text);
}

/** @param {HTMLElement} table */
function showHead(table) {
  const sort = view().get('sort') ?? 'usd';
  const order = view().get('order') ?? 'desc';
  if (!table.querySelector('thead')) {
    const cells = COLUMNS.map(([title, name]) => {
      const button = el('button', { type: 'button', title: HINTS[/** @type {keyof HINTS} */ (name)] ?? null }, title);
      button.addEventListener('click', () => sortBy(name));
      return el('th', { scope: 'col', 'data-sort': name, class: name === 'chain' ? 'chain' : TEXTS.has(name) ? null : 'num' }, button);
    });
    table.append(el('caption', { class: 'unseen' }, 'Collections of the window, ranked'),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col', class: 'rank num' }, '#'), ...cells)));
  }
  for (const cell of /** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll('th[data-sort]'))) {
    cell.setAttribute('aria-sort', cell.dataset.sort !== sort ? 'none' : order === 'desc' ? 'descending' : 'ascending');
  }
}

/** @param {string} name */
function sortBy(name) {
  const isSame = (view().get('sort') ?? 'usd') === name;
  const order = isSame ? ((view().get('order') ?? 'desc') === 'desc' ? 'asc' : 'desc') : TEXTS.has(name) ? 'asc' : 'desc';
  choose({ sort: name, order });
}

export function wireRanking() {
  const find = /** @type {HTMLInputElement} */ (byId('find'));
  find.value = view().get('find') ?? '';
  find.addEventListener('input', () => choose({ find: find.value }, true));
  byId('more').addEventListener('click', () => choose({ rows: ROWS[ROWS.indexOf(view().get('rows') ?? '25') + 1] ?? '500' }));
}
