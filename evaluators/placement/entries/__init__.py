"""Entries: what a task calls, made of a policy and a forecaster whose text comes before theirs.

A file here says by a bare annotation which functions it expects to find, and defines none of their names.
"""
