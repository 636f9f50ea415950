// Several files go up in one form.  The answer tells which of them were stored
// and which were refused: one bad file spoils no other.

import { BROKEN, Refused, path } from './api.js';
import { $, button, element, fromLocal, sentence, words } from './dom.js';

const MOST = 50;            // image_vault_max_files

let queue = Promise.resolve();


// a row for each file, with what has become of it
class Row {
  constructor(file) {
    this.state = element('span', {}, 'waiting');
    this.node = element('li', {}, element('b', {}, file.name), ' ', this.state);
  }

  say(text, className = '') {
    this.state.textContent = text;
    this.state.className = className;
  }
}


// crypto.randomUUID() is for https only
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)),
    (b) => b.toString(16).padStart(2, '0')).join('');
}


// the fields of the page's form, then the files
function parcel(files) {
  const body = new FormData();
  const expires = fromLocal($('up-expires').value);

  for (const tag of words($('up-tags').value)) {
    body.append('tags', tag);
  }
  for (const user of words($('up-shared').value)) {
    body.append('sharedWith', user);
  }
  if (expires) {
    body.append('expiresAt', expires);
  }
  body.append('isPublic', $('up-public').checked ? 'true' : 'false');
  for (const file of files) {
    body.append('images', file, file.name);
  }
  return body;
}


// XMLHttpRequest, since fetch() tells nothing of what has been sent
function post(body, key, onprogress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();

    request.upload.addEventListener('progress', onprogress);
    request.addEventListener('error', () => reject(new Error(BROKEN)));
    request.addEventListener('load', () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch (e) {
        // an error page of nginx's own
      }
      if (request.status >= 300 || !answer) {
        reject(new Refused(request.status, answer));
      } else {
        resolve(answer);
      }
    });

    request.open('POST', path('upload'));
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Idempotency-Key', key);
    request.send(body);
  });
}


// which file is on its way, judged by the bytes that are
function follow(files, rows, event) {
  let left = event.loaded - (event.total
    - files.reduce((sum, file) => sum + file.size, 0));

  files.forEach((file, i) => {
    rows[i].say(left >= file.size ? 'sent'
      : left > 0 ? Math.floor(100 * left / file.size) + ' %' : 'waiting');
    left -= file.size;
  });
}


// the rows after an answer: `failures` count the files of the form
function settle(rows, failures, others) {
  rows.forEach((row) => others(row));
  for (const failure of failures) {
    if (rows[failure.index]) {
      rows[failure.index].say(sentence(failure.message), 'error');
    }
  }
}


async function send(files, body, rows, done, key = newKey()) {
  const bar = element('progress', { max: 1, value: 0 });
  bar.setAttribute('aria-label', 'Upload');
  rows[0].node.before(element('li', { className: 'bar' }, bar));

  try {
    const answer = await post(body, key, (event) => {
      if (event.lengthComputable && event.total) {
        bar.value = event.loaded / event.total;
        follow(files, rows, event);
      }
    });
    settle(rows, answer.failures || [], (row) => row.say('stored', 'done'));
    done();
  } catch (e) {
    settle(rows, e.failures || [], (row) => row.say(sentence(e.message),
      'error'));
    if (e.status === 401) {
      rows[0].state.append(' ', element('a', { href: '/sign-in' }, 'Sign in'));
    } else if (!e.status || e.status >= 500) {
      // the same key: what was stored though its answer was lost is not
      // stored again
      const again = button('Try again', () => {
        again.remove();
        enqueue(() => send(files, body, rows, done, key));
      });
      rows[rows.length - 1].node.append(' ', again);
    }
  } finally {
    bar.parentNode.remove();
  }
}


// one form after the other
function enqueue(what) {
  queue = queue.then(what);
}


function take(files, done) {
  if (files.length) {
    $('uploads').replaceChildren();
  }
  for (let i = 0; i < files.length; i += MOST) {
    const some = files.slice(i, i + MOST);
    const rows = some.map((file) => new Row(file));
    const body = parcel(some);
    $('uploads').append(...rows.map((row) => row.node));
    enqueue(() => send(some, body, rows, done));
  }
}


export function startUploads(done) {
  const drop = $('drop');

  $('files').addEventListener('change', (e) => {
    take([...e.target.files], done);
    e.target.value = '';
  });

  // a file dropped beside the field must not replace the page
  for (const name of ['dragover', 'drop']) {
    window.addEventListener(name, (e) => e.preventDefault());
  }
  for (const name of ['dragenter', 'dragover']) {
    drop.addEventListener(name, () => drop.classList.add('over'));
  }
  for (const name of ['dragleave', 'drop']) {
    drop.addEventListener(name, () => drop.classList.remove('over'));
  }
  drop.addEventListener('drop', (e) => take([...e.dataTransfer.files], done));
}
