// @ts-check
/** Creates elements from text. No code of the dashboard parses text as HTML. */

const SVG = 'http://www.w3.org/2000/svg';

// Control characters, marks that turn the direction of writing, and half surrogates: as deploy/output/plain.py.
const CONTROL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * A text with visible control characters, so that no name can reverse or hide the text beside it.
 * @param {unknown} text
 * @param {number} [most] the greatest length
 */
export function visible(text, most = 300) {
  const whole = String(text ?? '');
  const short = whole.length > most ? `${whole.slice(0, most)}…` : whole;
  return short.replace(/[\n\t]/g, ' ').replace(CONTROL, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * An element with attributes and children. A child that is not a node becomes text.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] false and null omit an attribute
 * @param {...(Node | string | number | null)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return /** @type {HTMLElement} */ (filled(document.createElement(tag), attributes, children));
}

/**
 * The same in SVG.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string | number | null)} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return /** @type {SVGElement} */ (filled(document.createElementNS(SVG, tag), attributes, children));
}

/** @param {Element} element @param {Record<string, unknown>} attributes @param {(Node | string | number | null)[]} children */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/**
 * An untrusted name, isolated from the writing direction of the text around it.
 * @param {unknown} name
 */
export const nameOf = (name) => el('bdi', {}, visible(name, 120));

/**
 * A link to an untrusted page if its address is https; otherwise only the content.
 * @param {unknown} url
 * @param {Node} content
 */
export function outside(url, content) {
  if (typeof url !== 'string' || !url.startsWith('https://')) return content;
  return el('a', { href: url, rel: 'noreferrer noopener', target: '_blank' }, content);
}

/**
 * Set an element's text if it differs, so that a screen reader does not repeat it.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
