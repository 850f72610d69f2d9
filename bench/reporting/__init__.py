"""From records to what ``lapbench.reports`` draws: tables, sentences, figures and the page."""
