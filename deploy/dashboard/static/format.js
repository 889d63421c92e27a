// @ts-check
/** Formats numbers and times for people. */

const FORMATS = [0, 2, 3, 4].map((digits) => new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const SMALL = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
export const NONE = '–';

/**
 * A number with its significant digits: 12,346 and 12.35 and 0.0123.
 * @param {number | null | undefined} value
 */
export function amount(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return '0';
  return size >= 1000 ? FORMATS[0].format(value) : size >= 1 ? FORMATS[1].format(value) : SMALL.format(value);
}

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? NONE : FORMATS[0].format(value));

/** @param {number | null | undefined} value */
export const usd = (value) => (amount(value) === NONE ? NONE : `$${amount(value)}`);

/**
 * A large number in short form: $12.3 M.
 * @param {number | null | undefined} value
 */
export function shortUsd(value) {
  const size = Math.abs(value ?? 0);
  if (size < 1e6) return usd(value);
  const [unit, letter] = size >= 1e12 ? [1e12, 'T'] : size >= 1e9 ? [1e9, 'B'] : [1e6, 'M'];
  return `$${SMALL.format(/** @type {number} */ (value) / Number(unit))} ${letter}`;
}

/** @param {number | null | undefined} value */
export const eth = (value) => (amount(value) === NONE ? NONE : `${amount(value)} ETH`);

/**
 * A change as text with a sign, so that it is readable without colours: ▲ 12.3 %.
 * @param {number | null | undefined} fraction
 * @returns {{text: string, kind: '' | 'up' | 'down'}}
 */
export function change(fraction) {
  if (fraction === null || fraction === undefined || !Number.isFinite(fraction)) return { text: NONE, kind: '' };
  const percent = fraction * 100;
  const size = Math.abs(percent);
  if (size < 0.05) return { text: '0 %', kind: '' };
  const digits = size >= 999 ? '> 999' : size >= 100 ? size.toFixed(0) : size.toFixed(1);
  return percent > 0 ? { text: `▲ ${digits} %`, kind: 'up' } : { text: `▼ ${digits} %`, kind: 'down' };
}

/**
 * @param {number} ms since 1970
 * @returns {string} 2026-09-15 11:30:00
 */
export const utc = (ms) => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

/**
 * A UTC time, followed by the local time if the two differ: 2026-09-15 11:30:00 UTC (13:30 local).
 * @param {number} ms
 */
export function bothTimes(ms) {
  const date = new Date(ms);
  if (date.getTimezoneOffset() === 0) return `${utc(ms)} UTC`;
  const local = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  const isOtherDay = date.getDate() !== date.getUTCDate();
  return `${utc(ms)} UTC (${isOtherDay ? `${date.toLocaleDateString('en-CA')} ` : ''}${local} local)`;
}

/**
 * A duration in one unit: 12 s, 5 min, 3 h, 76 days.
 * @param {number} ms
 */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
