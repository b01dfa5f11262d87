"""Good files of rows: every shape in every container that can hold it, made up, the same bytes every time.

`GOODS` names them; a test that changes one knows how many rows it had and how each was to be read.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

Item = dict[str, Any]
RELATIONSHIPS = "application/vnd.openxmlformats-package.relationships+xml"

ROWS = 12
QUESTIONS = (
    "儿科在几楼？",
    "How long is the clinic open?",
    "阿司匹林和华法林能一起吃吗？",
    "What is 高血压?",
)
ANSWERS = (
    "在门诊楼三楼，\n电梯左侧。",
    'Until "five" o\'clock, on weekdays.',
    "需要先问医生；会增加出血。",
    "120/80, or less.",
)
CALL = {"name": "find_bed", "arguments": {"ward": "儿科", "floor": 3}}
TOOL = {
    "name": "find_bed",
    "description": "空床",
    "parameters": {"type": "object", "properties": {"ward": {"type": "string"}}},
}


def question(number: int) -> str:
    """A question that no other row has."""
    return f"{QUESTIONS[number % 4]} ({number})"


def answer(number: int) -> str:
    """An answer that no other row has."""
    return f"{ANSWERS[number % 4]} [{number}]"


def _talk(number: int, user: str = "user", assistant: str = "assistant") -> list[tuple[str, str]]:
    turns = [(user, question(number)), (assistant, answer(number))]
    return turns * 2 if number % 3 == 0 else turns


def _messages(number: int) -> Item:
    turns = [{"role": who, "content": what} for who, what in _talk(number)]
    return {
        "messages": [{"role": "system", "content": "你是导医台。"}, *turns] if number % 2 else turns,
        "id": number,
    }


def _sharegpt(number: int) -> Item:
    turns = [{"from": who, "value": what} for who, what in _talk(number, "human", "gpt")]
    return {"conversations": turns, "system": "你是导医台。"}


def _called(number: int) -> Item:
    function = {"name": "find_bed", "arguments": json.dumps(CALL["arguments"], ensure_ascii=False)}
    return {
        "messages": [
            {"role": "user", "content": question(number)},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "12床"},
            {"role": "assistant", "content": answer(number)},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }


def _sharegpt_called(number: int) -> Item:
    turns = (
        ("human", question(number)),
        ("function_call", json.dumps(CALL, ensure_ascii=False)),
        ("observation", "12床"),
        ("gpt", answer(number)),
    )
    tools = json.dumps([TOOL], ensure_ascii=False)
    return {"conversations": [{"from": who, "value": what} for who, what in turns], "tools": tools}


def _preferred(number: int) -> Item:
    said = {"role": "user", "content": question(number)}
    return {
        "messages": [said],
        "chosen": {"role": "assistant", "content": answer(number)},
        "rejected": {"role": "assistant", "content": "不知道。"},
    }


SHAPES: dict[str, Callable[[int], Item]] = {
    "alpaca": lambda n: {"instruction": question(n), "input": "补充" if n % 2 else "", "output": answer(n)},
    "alpaca history": lambda n: {
        "instruction": question(n),
        "input": "",
        "output": answer(n),
        "system": "你是导医台。",
        "history": [["谢谢", "不客气"]] * (n % 3),
    },
    "alpaca pairs": lambda n: {"instruction": question(n), "chosen": answer(n), "rejected": "不知道。"},
    "sharegpt": _sharegpt,
    "sharegpt tools": _sharegpt_called,
    "messages": _messages,
    "messages tools": _called,
    "messages pairs": _preferred,
    "prompt": lambda n: {"prompt": question(n), "completion": answer(n)},
    "query": lambda n: {"query": question(n), "response": answer(n)},
    "question": lambda n: {"question": question(n), "thinking": f"先看楼层表 {n}。", "answer": answer(n)},
    "labels": lambda n: {"prompt": question(n), "completion": answer(n), "label": n % 2 == 0},
    "text": lambda n: {"text": f"{question(n)}\n{answer(n)}"},
}
FLAT = ("alpaca", "alpaca pairs", "prompt", "query", "question", "labels", "text")
"""Shapes whose rows are cells."""

ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "utf-16")


@dataclass(frozen=True)
class Good:
    """A good file, and what it was made of."""

    shape: str
    container: str
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.shape}-{self.encoding}.{self.container.partition(' ')[0]}".replace(" ", "-")

    def items(self) -> list[Item]:
        """Its rows; they may be changed."""
        return [deepcopy(SHAPES[self.shape](number)) for number in range(1, ROWS + 1)]

    def write(self, items: Sequence[Item]) -> bytes:
        """A file of this container with other rows; raises TypeError or ValueError where it cannot."""
        return WRITERS[self.container](items, self.encoding)

    def count(self, items: Sequence[Item]) -> int:
        """How many rows `write` writes: in a table, a line without anything is none."""
        if self.container not in TABLES:
            return len(items)
        return sum(any(cell.strip() for cell in row) for row in _cells(items)[1:])


def _json(items: Sequence[Item], encoding: str) -> bytes:
    return json.dumps(items, ensure_ascii=False, indent=1).encode(encoding, "surrogatepass")


def _lines(items: Sequence[Item], encoding: str) -> bytes:
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    return text.encode(encoding, "surrogatepass")


def _table(delimiter: str) -> Callable[[Sequence[Item], str], bytes]:
    def write(items: Sequence[Item], encoding: str) -> bytes:
        text = io.StringIO(newline="")
        table = csv.writer(text, delimiter=delimiter)
        table.writerows(_cells(items))
        return text.getvalue().encode(encoding, "surrogatepass")

    return write


def _cells(items: Sequence[Item]) -> list[list[str]]:
    """Header and rows as text; what is no text is written as JSON."""
    columns = list(dict.fromkeys(str(name) for item in items for name in item))
    rows = [[item.get(name, "") for name in columns] for item in items]
    texts = [
        [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in row]
        for row in rows
    ]
    return [columns, *texts]


def _sheet(items: Sequence[Item], encoding: str) -> bytes:
    return workbook({"问答": _cells(items)})


def workbook(sheets: dict[str, list[list[str]]]) -> bytes:
    """The smallest workbook that there is with these rows of text, by the sheet's name."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml."

    def cell(text: str) -> str:
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'

    def rows_of(rows: list[list[str]]) -> str:
        return "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)

    numbered = list(enumerate(sheets.items(), start=1))
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types">'
        f'<Default Extension="rels" ContentType="{RELATIONSHIPS}"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}worksheet+xml"/>'
            for n, _ in numbered
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}relationships">'
        f'<Relationship Id="rId1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, (name, _) in numbered)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n, _ in numbered
        )
        + "</Relationships>",
    } | {
        f"xl/worksheets/sheet{n}.xml": f'<worksheet xmlns="{main}"><sheetData>{rows_of(rows)}'
        "</sheetData></worksheet>"
        for n, (_, rows) in numbered
    }
    return packed(
        {name: f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode() for name, text in parts.items()}
    )


def packed(files: dict[str, bytes]) -> bytes:
    """A zip of these files, the same bytes every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in files.items():
            archive.writestr(zipfile.ZipInfo(name), held, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _parquet(items: Sequence[Item], encoding: str) -> bytes:
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(_columns(items), sink)
    return sink.getvalue()


def _columns(items: Sequence[Item]) -> Any:
    """One column for every name; what a row lacks is null."""
    import pyarrow

    names = list(dict.fromkeys(name for item in items for name in item))
    return pyarrow.table({name: [item.get(name) for item in items] for name in names})


def _arrow(items: Sequence[Item], encoding: str) -> bytes:
    import pyarrow

    table = _columns(items)
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _zip(items: Sequence[Item], encoding: str) -> bytes:
    return packed({"rows.jsonl": _lines(items, encoding)})


WRITERS: dict[str, Callable[[Sequence[Item], str], bytes]] = {
    "json": _json,
    "jsonl": _lines,
    "csv": _table(","),
    "csv semicolons": _table(";"),
    "tsv": _table("\t"),
    "xlsx": _sheet,
    "parquet": _parquet,
    "arrow": _arrow,
    "zip": _zip,
}
"""Container → its writer; a second word tells two kinds with one suffix apart."""
TABLES = ("csv", "csv semicolons", "tsv", "xlsx")
TEXTS = ("json", "jsonl", "csv", "tsv")
"""Containers whose encoding may be another."""

GOODS = tuple(
    [
        Good(shape, container)
        for shape in SHAPES
        for container in WRITERS
        if shape in FLAT or container not in TABLES
    ]
    + [
        Good(shape, container, encoding)
        for shape in ("alpaca", "prompt")
        for container in TEXTS
        for encoding in ENCODINGS[1:]
    ]
)
