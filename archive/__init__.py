"""Where programs are kept and chosen.

Two rooms share this folder. The *record* is what is on disk: everything a run planned, asked, was told, made, scored and
added, written once and never changed. The *choosers* are what is in memory: populations, screens and embeddings, all of
them folds over the record, so that resuming a run is re-reading it.

The record, from the disk upwards:

* `tables`: the tables, and which few of them ever change.
* `connect`: how a file or a URL becomes a connection, and how the database's errors become messages. All that is a database's
  own lives in `sqlite` and `postgres`; `transactions` says what transactions are for.
* `migrations`: brings the tables of an older archive up to date.
* `texts`: keeps sources, prompts, replies and feedback, each once and compressed; `shared`: rows that several runs write alike.
* `rows`: turns records into rows and back.
* `locks`, `sessions`: who is writing a run, and whether that process still lives.
* `writer`, `loading`, `finding`: write a run, read it back, and find runs and programs by what a user types.
* `store`: `Archive`, which the rest of `evolve` opens; the only module that reads the clock.
* `starts`: what a run was told to start from; `rescorable`: what of it can be scored again.
* `queries`: what the command line and the browser show; `trajectory`: how a run came along.

The choosers: `population` (the protocol), `pool` (what populations share), `islands` with `topology`, `grid` and `cvt` on `cells`,
`front` with `pareto`, `chains`; `selection`, `traits`, `novelty`, `embeddings`, and `tokens` and `canonical`, which the last two
read sources by. What the two rooms exchange is in `records`.
"""

#: Where runs are recorded when nobody says: here, since the command line shows it before it imports a database.
DEFAULT_ARCHIVE = "evolve.db"
