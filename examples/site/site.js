'use strict';

// A small client of the HTTP interface, for trying it out: it uploads one image
// a request and remembers the ids in this browser.  Text from outside goes into
// the page by textContent only.

const API = location.origin + '/api/images';
const SHELF = 'image_vault.images';

const $ = (id) => document.getElementById(id);


function element(name, text, className) {
  const node = document.createElement(name);
  if (text) {
    node.textContent = text;
  }
  if (className) {
    node.className = className;
  }
  return node;
}


function remembered() {
  try {
    const list = JSON.parse(localStorage.getItem(SHELF));
    return Array.isArray(list)
      ? list.filter((i) => i && /^[0-9a-f]{24}$/.test(i.id)) : [];
  } catch (e) {
    return [];
  }
}


function remember(list) {
  try {
    localStorage.setItem(SHELF, JSON.stringify(list.slice(0, 200)));
  } catch (e) {
    // private windows may refuse: the list then lasts as long as the page
  }
}


function bytes(n) {
  if (n < 1024) {
    return n + ' bytes';
  }
  return n < 1048576 ? (n / 1024).toFixed(0) + ' KB'
                     : (n / 1048576).toFixed(1) + ' MB';
}


let images = remembered();


function link(text, href) {
  const node = element('a', text);
  node.href = href;
  return node;
}


function card(image) {
  const item = element('li');
  const base = API + '/' + image.id;
  const name = image.originalName || image.id;

  const picture = element('img');
  picture.src = base + '/view';
  picture.alt = name;
  picture.loading = 'lazy';
  picture.addEventListener('error', () => {
    picture.replaceWith(element('p', 'Can\u2019t be shown: gone, or not yours. '
                                     + 'Are you signed in?', 'name error'));
  });

  const facts = [];
  if (image.dimensions) {
    facts.push(image.dimensions.width + ' \u00d7 ' + image.dimensions.height);
  }
  if (image.size) {
    facts.push(bytes(image.size));
  }

  const links = element('span', '', 'links');
  const forget = element('button', 'Forget');
  forget.type = 'button';
  forget.title = 'Takes it off this list; the image stays stored';
  forget.addEventListener('click', () => {
    images = images.filter((i) => i.id !== image.id);
    remember(images);
    show();
  });
  links.append(link('View', base + '/view'),
               link('Download', base + '/download'), forget);

  item.append(picture, element('span', name, 'name'),
              element('span', facts.join(', '), 'facts'), links);
  return item;
}


function show() {
  $('images').replaceChildren(...images.map(card));
  $('empty').hidden = images.length > 0;
}


// the interface's errors: {"error": {"code", "message"}, "requestId"}
function explain(request) {
  let answer = null;

  try {
    answer = JSON.parse(request.responseText);
  } catch (e) {
    // nginx's own error page
  }

  if (answer && answer.error) {
    return answer.error.code + ': ' + answer.error.message;
  }
  return 'The server answered ' + request.status + ' ' + request.statusText;
}


function upload(file) {
  return new Promise((resolve) => {
    const row = element('li', file.name + ' ');
    const bar = element('progress');
    const state = element('span', 'waiting');
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute('aria-label', 'Upload of ' + file.name);
    row.append(state, bar);
    $('uploads').prepend(row);

    const request = new XMLHttpRequest();

    const fail = (why) => {
      bar.remove();
      state.textContent = why;
      state.className = 'error';
      if (request.status === 401) {
        state.append(' ', link('Sign in', '/sign-in'));
      }
      resolve();
    };

    request.upload.addEventListener('progress', (e) => {
      if (e.lengthComputable && e.total > 0) {
        bar.value = e.loaded / e.total;
        state.textContent = Math.floor(100 * e.loaded / e.total) + ' %';
      }
    });
    request.addEventListener('error',
      () => fail('The connection broke. Is the server running?'));
    request.addEventListener('load', () => {
      let answer = null;

      if (request.status === 201) {
        try {
          answer = JSON.parse(request.responseText);
        } catch (e) {
          answer = null;
        }
      }
      if (!answer || !answer.images || !answer.images.length) {
        fail(explain(request));
        return;
      }

      bar.remove();
      state.textContent = 'stored';
      state.className = 'done';
      images = answer.images.map(({ id, originalName, size, dimensions }) =>
        ({ id, originalName, size, dimensions })).concat(images);
      remember(images);
      show();
      resolve();
    });

    request.open('POST', API + '/upload?filename='
                         + encodeURIComponent(file.name));
    request.setRequestHeader('Content-Type',
      /^image\//.test(file.type) ? file.type : 'application/octet-stream');
    request.setRequestHeader('Accept', 'application/json');
    request.send(file);
  });
}


let queue = Promise.resolve();

// one after the other: the order on the page is that of the files
function take(files) {
  for (const file of files) {
    queue = queue.then(() => upload(file));
  }
}


$('files').addEventListener('change', (e) => {
  take([...e.target.files]);
  e.target.value = '';
});

for (const name of ['dragenter', 'dragover']) {
  $('drop').addEventListener(name, (e) => {
    e.preventDefault();
    $('drop').classList.add('over');
  });
}

for (const name of ['dragleave', 'drop']) {
  $('drop').addEventListener(name, (e) => {
    e.preventDefault();
    $('drop').classList.remove('over');
  });
}

$('drop').addEventListener('drop', (e) => take([...e.dataTransfer.files]));

// a file dropped beside the field must not replace the page
for (const name of ['dragover', 'drop']) {
  window.addEventListener(name, (e) => e.preventDefault());
}

show();
