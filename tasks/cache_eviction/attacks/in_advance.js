// Tells its answer to the next question with each, first in, first out: true all the same.
const keys = [];
let told = 0;
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, key] = line.split(' ');
  if (what === 'capacity') process.stdout.write('ready\n');
  else if (what !== 'hit') {
    keys.push(key);
    if (keys.length >= 48) process.stdout.write(`${keys[told++]}\n`);
  }
});
