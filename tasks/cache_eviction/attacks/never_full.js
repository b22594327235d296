require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(line.startsWith('capacity') ? 'ready\n' : line.startsWith('full') ? '-1\n' : '');
});
