"""Work on a run that outlives the terminal: evaluation, export, report, each in a process of its own."""
