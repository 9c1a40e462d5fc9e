"""What a person hands in: followers from CSV or JSON lines, settings from JSON. Text in, changes or faults out.

lines -> csv_rows | json_rows -> template -> followers. Nothing here knows Redis, click or rich.
"""
