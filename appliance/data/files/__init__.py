"""From a path to items, streaming: which file it is, how its bytes are packed, what one row of it holds.

Knows no format of rows: what an item means is judged elsewhere. `open_sources` looks at a file once (its
hash, its encoding, its container); `Source.items` then gives its rows, in constant memory, as often as asked.
Rows in = items out: what cannot be read as a row comes out as a `RowRefused`, never not at all; a file whose
rows cannot be told apart any more is refused as a whole.
"""

from appliance.data.files.opening import open_sources, sheet_names
from appliance.data.files.source import Source

__all__ = ["Source", "open_sources", "sheet_names"]
