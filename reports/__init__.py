"""Tables, statistics, figures and the page: functions of tidy tables, which know nobody."""
