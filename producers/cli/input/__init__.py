"""Parsing of followers (CSV or JSON lines) and settings (JSON): text in, changes or row errors out.

lines -> csv_rows | json_rows -> template -> followers. Nothing here imports Redis, click or rich.
"""
