"""The data sets of a site: canonical rows under a name and a number, where they came from, and until when.

    datasets/NAME/3/rows.parquet      the rows, as `appliance.data.canonical` writes them
    datasets/NAME/3/dataset.json      what they are (record), never changed
    datasets/NAME/3/retention.json    until when they may be kept
    datasets/NAME/2.removed.json      what was there, who removed it and why; its number never comes again

A version is there whole or not at all, and never changed. Who may write what is for the folders' modes.
"""
