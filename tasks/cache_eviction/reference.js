// Least recently used, with the same conversation: what times are compared with.
'use strict';

const order = new Map(); // key -> true, the least recently used first
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, key] = line.split(' ');
  if (what === 'capacity') {
    process.stdout.write('ready\n');
    return;
  }
  if (what === 'full') {
    const victim = order.keys().next().value;
    order.delete(victim);
    process.stdout.write(`${victim}\n`);
  }
  order.delete(key);
  order.set(key, true);
});
