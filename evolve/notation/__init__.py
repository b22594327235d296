"""What a model's reply says: search/replace blocks or whole files, made into a program or refused with a reason."""

from evolve.notation.diff import apply_diff as apply_diff
from evolve.notation.full import apply_full as apply_full
from evolve.notation.full import read_files as read_files
from evolve.notation.refusal import EditRefused as EditRefused
