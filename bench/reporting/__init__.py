"""From records to what ``lapbench.reports`` draws: tables, sentences, figures and the page.

It knows records and plans; nothing is trained or attacked here.
"""
