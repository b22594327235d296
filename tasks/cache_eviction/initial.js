// Decides, request by request, what a full cache gives up; everything that it sees is past.
//
// The conversation, a line at a time: "capacity N" is answered with "ready". Then "hit KEY", "add KEY" (there was room) and
// "full KEY" (KEY comes in, and the answer is the key that goes out). Keys are whole numbers.
'use strict';

// EVOLVE-BLOCK-START
const AGE = 1.0;        // time since the key came in
const IDLE = 0.02;      // time since its last use
const USES = 0.5;       // how often it was used, as a logarithm
const FADING = 0.9;     // how much of a use counts after as many requests as the cache has places
const RETURNED = 0.1;   // keys that came back after they had gone out
const REMEMBERED = 0.5; // keys that have gone out and are remembered, in capacities

class Policy {
  constructor(capacity) {
    this.capacity = capacity;
    this.now = 0;
    this.cached = new Map(); // key -> what is known of it
    this.gone = new Map();   // key -> when it went out, oldest first
  }

  hit(key) {
    this.now++;
    this.use(this.cached.get(key));
  }

  add(key) {
    this.now++;
    const back = this.gone.delete(key);
    const entry = { came: this.now, used: this.now, uses: 0, returned: back ? 1 : 0 };
    this.cached.set(key, entry);
    this.use(entry);
  }

  use(entry) {
    const passed = (this.now - entry.used) / this.capacity;
    entry.uses = entry.uses * Math.pow(FADING, passed) + 1;
    entry.used = this.now;
  }

  evict() {
    let victim = -1;
    let worst = -Infinity;
    for (const [key, entry] of this.cached) {
      const age = (this.now - entry.came) / this.capacity;
      const idle = (this.now - entry.used) / this.capacity;
      const uses = Math.log(entry.uses * Math.pow(FADING, idle) + 1);
      const score = AGE * age + IDLE * idle - USES * uses - RETURNED * entry.returned;
      if (score > worst) {
        worst = score;
        victim = key;
      }
    }
    this.cached.delete(victim);
    this.gone.set(victim, this.now);
    while (this.gone.size > REMEMBERED * this.capacity) this.gone.delete(this.gone.keys().next().value);
    return victim;
  }
}
// EVOLVE-BLOCK-END

let policy = null;
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, word] = line.split(' ');
  const number = Number(word);
  if (what === 'capacity') {
    policy = new Policy(number);
    process.stdout.write('ready\n');
  } else if (what === 'hit') {
    policy.hit(number);
  } else {
    const victim = what === 'full' ? policy.evict() : -1;
    policy.add(number);
    if (what === 'full') process.stdout.write(`${victim}\n`);
  }
});
