"""The Grafana dashboard, and a picture of it that is drawn from a real run.

panels   what it shows, made of `model`: groups of panels with queries    grafana  the same as Grafana imports it
run      a run with faults, which a real `prometheus` scrapes      picture  the answers, drawn with `charts`
"""
