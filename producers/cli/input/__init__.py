"""Parsing of followers (CSV or JSON lines) and settings (JSON): text in, changes or row errors out.

file_kinds -> lines -> csv_rows | json_rows -> template -> followers. `spreadsheets` has what spreadsheets make of IDs
and numbers. Nothing here imports Redis, click or rich.
"""
