// The owner's images: a list that goes on as one scrolls, and what can be done
// to one or many of them.

import { ask, bulk, path } from './api.js';
import { $, attempt, button, bytes, count, element, fromLocal, question,
  sentence, spelled, tell, toLocal, when, words } from './dom.js';

const PAGE = 24;

const cards = new Map();        // id => { node, box, document }
let next = '';                  // cursor of the next page, null at the end
let loading = null;             // AbortController of the list on its way
let changed = () => {};         // what is stored is another now


function filters() {
  const [sort, order] = $('sort').value.split(' ');
  const query = { limit: PAGE, cursor: next, sort, order,
                  type: $('type').value, q: $('q').value,
                  public: $('public').value, tag: $('tag').value.trim() };

  // an empty argument counts as absent, save cursor
  return query;
}


// why a picture does not show: the interface says it in JSON
async function explain(picture, id) {
  let why = 'this picture can\u2019t be shown';
  try {
    await ask('get', { id });
  } catch (e) {
    why = (e.code === 'blocked' ? 'blocked: ' : '') + e.message;
  }
  picture.replaceWith(element('p', { className: 'lost error' },
    sentence(why)));
}


export function thumbnail(image) {
  const picture = element('img', {
    alt: image.originalName, loading: 'lazy', decoding: 'async',
  });
  if (image.dimensions) {
    picture.width = image.dimensions.width;
    picture.height = image.dimensions.height;
  }
  picture.addEventListener('error', () => explain(picture, image.id),
    { once: true });
  picture.src = path('view', image.id);
  return picture;
}


function facts(image) {
  const list = [];
  if (image.dimensions) {
    list.push(image.dimensions.width + ' \u00d7 ' + image.dimensions.height);
  }
  list.push(bytes(image.size));
  list.push(when(image.metadata.uploadedAt));
  if (image.access.isPublic) {
    list.push('public');
  }
  if (image.access.sharedWith.length) {
    list.push('shared with ' + spelled(image.access.sharedWith));
  }
  if (image.access.expiresAt) {
    list.push('until ' + when(image.access.expiresAt));
  }
  return list.join(' \u00b7 ');
}


function tags(image) {
  return (image.metadata.tags || []).map((tag) => button(tag, () => {
    $('tag').value = tag;
    reload();
  }, 'Show images with the tag ' + tag));
}


function card(image) {
  const name = image.originalName;
  const box = element('input', { type: 'checkbox', onchange: selected });
  box.setAttribute('aria-label', 'Select ' + name);

  const node = element('li', {},
    element('a', { href: path('view', image.id), className: 'picture' },
      thumbnail(image)),
    element('div', { className: 'name' }, box, element('span', {}, name)),
    element('p', { className: 'facts' }, facts(image)),
    element('p', { className: 'tags' }, ...tags(image)),
    element('div', { className: 'links' },
      element('a', { href: path('download', image.id),
                     ariaLabel: 'Download ' + name }, 'Download'),
      button('Link', () => attempt(() => link(image)), 'Link to ' + name),
      button('Edit', () => attempt(() => edit(image.id)), 'Edit ' + name),
      button('Delete', () => attempt(() => remove(image)), 'Delete ' + name)));

  return { node, box, image };
}


function put(image) {
  const now = card(image);
  const old = cards.get(image.id);

  if (old) {
    now.box.checked = old.box.checked;
    old.node.replaceWith(now.node);
  } else {
    $('images').append(now.node);
  }
  cards.set(image.id, now);
}


function drop(ids) {
  for (const id of ids) {
    cards.get(id).node.remove();
    cards.delete(id);
  }
  selected();
  summary();
  changed();
}


function summary() {
  $('empty').hidden = cards.size > 0 || next !== null;
  $('more').hidden = next === null;
  $('shown').textContent = cards.size === 0 ? ''
    : count(cards.size, 'image') + (next === null ? '' : ' so far');
}


// the next page
async function more() {
  if (next === null || loading) {
    return;
  }

  const mine = loading = new AbortController();
  const fine = await attempt(async () => {
    const { data } = await ask('list', {
      query: filters(), signal: mine.signal,
    });
    next = data.pagination.next;
    data.images.forEach(put);
  });

  if (loading !== mine) {
    return;                     // another list has begun meanwhile
  }
  loading = null;
  summary();
  if (fine) {
    seen();
  }
}


// a page may be shorter than the window, where nothing scrolls
function seen() {
  if (next !== null
      && $('more').getBoundingClientRect().top < innerHeight + 400) {
    more();
  }
}


export function reload() {
  if (loading) {
    loading.abort();
    loading = null;
  }
  next = '';
  cards.clear();
  $('images').replaceChildren();
  selected();
  return more();
}


// a public image has a path that stays, any other a URL that ends
async function link(image) {
  let url = path('view', image.id), until = 'Anybody may open this link.';

  if (!image.access.isPublic) {
    const { data } = await ask('sign', {
      body: { imageId: image.id, purpose: 'view' },
    });
    url = data.url;
    until = 'Who has this link may open it until ' + when(data.expiresAt) + '.';
  }

  const field = { label: 'Link', value: url, max: 8192, readOnly: true };
  if (await question(until, 'Copy', field) !== null) {
    // navigator.clipboard is for https only
    if (!navigator.clipboard) {
      throw new Error('this browser copies on https only');
    }
    await navigator.clipboard.writeText(url);
    tell('The link is copied.');
  }
}


async function remove(image) {
  if (await question('Delete ' + image.originalName + '?', 'Delete')) {
    const beside = cards.get(image.id).node.nextElementSibling;
    await ask('remove', { id: image.id });
    drop([image.id]);
    (beside ? beside.querySelector('input') : $('more')).focus();
    tell(image.originalName + ' is deleted.');
  }
}


// what differs from the image as it was when the dialog opened
function difference(was) {
  const now = {
    originalName: $('edit-name').value,
    tags: words($('edit-tags').value),
    sharedWith: words($('edit-shared').value),
    isPublic: $('edit-public').checked,
  };
  const before = {
    originalName: was.originalName,
    // as the field shows them: a tag may hold a comma
    tags: words(spelled(was.metadata.tags)),
    sharedWith: was.access.sharedWith,
    isPublic: was.access.isPublic,
  };
  const change = {};

  for (const key of Object.keys(now)) {
    if (JSON.stringify(now[key]) !== JSON.stringify(before[key])) {
      change[key] = now[key];
    }
  }
  // the field has no milliseconds: compare what it shows
  if ($('edit-expires').value !== toLocal(was.access.expiresAt)) {
    change.expiresAt = fromLocal($('edit-expires').value);
  }
  return change;
}


async function edit(id, note = '') {
  const { data, etag } = await ask('get', { id });
  const was = data.image.metadata;

  $('edit-note').textContent = note;
  $('edit-name').value = was.originalName;
  $('edit-tags').value = spelled(was.metadata.tags);
  $('edit-shared').value = spelled(was.access.sharedWith);
  $('edit-public').checked = was.access.isPublic;
  $('edit-expires').value = toLocal(was.access.expiresAt);
  $('edit').returnValue = '';
  $('edit').showModal();
  $('edit').onclose = () => {
    if ($('edit').returnValue === 'yes') {
      attempt(() => save(id, etag, difference(was)));
    }
  };
}


async function save(id, etag, change) {
  try {
    const { data } = await ask('change', { id, ifMatch: etag, body: change });
    put(data.image.metadata);
    tell(data.image.metadata.originalName + ' is changed.');
  } catch (e) {
    if (e.status !== 412) {
      throw e;
    }
    await edit(id, 'Somebody else has changed this image meanwhile. '
                   + 'This is how it is now.');
  }
}


function chosen() {
  return [...cards].filter(([, c]) => c.box.checked).map(([id]) => id);
}


function selected() {
  const n = chosen().length;
  $('bulk').hidden = n === 0;
  $('bulk-count').textContent = count(n, 'image') + ' selected';
}


async function doBulk(action, ids, members) {
  const results = await bulk(action, ids, members);
  const done = results.filter((r) => r.success).map((r) => r.id);
  const codes = [...new Set(results.filter((r) => !r.success)
    .map((r) => r.code))];

  if (action === 'delete') {
    drop(done);
  } else {
    await reload();
  }
  tell(count(done.length, 'image') + (action === 'delete' ? ' deleted'
    : ' changed') + (codes.length ? ', ' + (results.length - done.length)
    + ' not: ' + spelled(codes) : '') + '.', codes.length > 0);
}


async function onBulk(action) {
  const ids = chosen();
  const field = { label: 'Tags, with commas between', required: true };
  let members = {};

  if (action === 'delete') {
    if (!await question('Delete ' + count(ids.length, 'image') + '?',
      'Delete')) {
      return;
    }
  } else if (action === 'tag' || action === 'untag') {
    const text = await question((action === 'tag' ? 'Tag ' : 'Untag ')
      + count(ids.length, 'image'), 'Save', field);
    members = { tags: words(text || '') };
    if (!members.tags.length) {
      return;
    }
  }
  await doBulk(action, ids, members);
}


export function startGallery(onchange) {
  let timer = 0;
  changed = onchange;

  $('filters').addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(reload, 250);
  });
  $('filters').addEventListener('submit', (e) => e.preventDefault());
  $('filters').addEventListener('reset', () => setTimeout(reload));
  $('more').addEventListener('click', more);
  new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting)) {
      more();
    }
  }, { rootMargin: '400px' }).observe($('more'));

  for (const node of $('bulk').querySelectorAll('[data-action]')) {
    node.addEventListener('click',
      () => attempt(() => onBulk(node.dataset.action)));
  }
  $('bulk-none').addEventListener('click', () => {
    cards.forEach((c) => { c.box.checked = false; });
    selected();
  });
}
