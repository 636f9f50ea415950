// Pieces of pages.  Text from outside becomes a text node, never markup.

export const $ = (id) => document.getElementById(id);


// element('a', { className: 'x', href: '…' }, 'text', child, …)
export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}


export function button(text, onclick, label) {
  const node = element('button', { type: 'button', onclick }, text);
  if (label) {
    node.setAttribute('aria-label', label);
  }
  return node;
}


// what has happened, for eyes and screen readers
export function tell(text, bad = false) {
  $('notice').textContent = text;
  $('notice').className = bad ? 'error' : '';
}


// runs it and tells what went wrong; true if nothing did
export async function attempt(what) {
  try {
    await what();
    return true;
  } catch (e) {
    if (e.name !== 'AbortError') {
      tell(sentence(e.message), true);
    }
    return false;
  }
}


export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1)
    + (/[.?!]$/.test(text) ? '' : '.');
}


// a question in a dialog: null if it is cancelled, else the value of its
// field, or true where there is none
export function question(text, yes, field) {
  const dialog = $('question');

  $('question-text').textContent = text;
  $('question-yes').textContent = yes;
  $('question-label').hidden = !field;
  $('question-field').disabled = !field;
  $('question-name').textContent = field ? field.label : '';
  $('question-field').value = field ? field.value || '' : '';
  $('question-field').maxLength = (field && field.max) || 500;
  $('question-field').required = Boolean(field && field.required);
  $('question-field').readOnly = Boolean(field && field.readOnly);
  dialog.returnValue = '';
  dialog.showModal();
  if (field) {
    $('question-field').select();
  }

  return new Promise((resolve) => {
    dialog.onclose = () => {
      if (dialog.returnValue !== 'yes') {
        resolve(null);
      } else {
        resolve(field ? $('question-field').value : true);
      }
    };
  });
}


export function bytes(n) {
  for (const [size, unit, digits] of [[1073741824, 'GB', 1],
    [1048576, 'MB', 1], [1024, 'KB', 0]]) {
    if (n >= size) {
      return Number((n / size).toFixed(digits)) + ' ' + unit;
    }
  }
  return count(n, 'byte');
}


export function count(n, what) {
  return n + ' ' + what + (n === 1 ? '' : 's');
}


export function when(date) {
  return new Date(date).toLocaleString([], {
    dateStyle: 'medium', timeStyle: 'short',
  });
}


// "a, b" to ["a", "b"] and back
export function words(text) {
  return text.split(',').map((w) => w.trim()).filter((w) => w);
}

export const spelled = (list) => (list || []).join(', ');


// of <input type="datetime-local">, which knows no time zone
export function toLocal(date) {
  if (!date) {
    return '';
  }
  const d = new Date(date);
  return new Date(d - d.getTimezoneOffset() * 60000).toISOString()
    .slice(0, 19);
}

export const fromLocal = (text) => (text ? new Date(text).toISOString() : null);
