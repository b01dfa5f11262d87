"""Which rows a method can learn from: a pair of answers is no plain answer, and is never taken for one."""

from dataclasses import replace

from appliance.data.read import Reading
from appliance.run.rows import Problem, Row, RowKind
from appliance.sentence import Sentence, say


def of_kind(reading: Reading, kind: RowKind) -> Reading:
    """`reading` with every row of another kind as a problem that says what such a row is for."""
    rows = tuple(row for row in reading.rows if row.kind == kind)
    if len(rows) == len(reading.rows):
        return reading
    problems = tuple(_problem(row, kind) for row in reading.rows if row.kind != kind)
    return replace(reading, rows=rows, problems=(*reading.problems, *problems))


def _problem(row: Row, kind: RowKind) -> Problem:
    return Problem(row.file, row.row, "row", _said(row.kind), _wanted(kind))


def _said(kind: RowKind) -> Sentence:
    return {
        "chat": say("is a question with an answer, which supervised training learns from"),
        "preference": say("is a pair of a better and a worse answer, which DPO learns from"),
        "label": say("is an answer marked as good or bad, which KTO learns from"),
        "text": say("is plain text, which continued pre-training learns from"),
    }[kind]


def _wanted(kind: RowKind) -> Sentence:
    return {
        "chat": say(
            "name rows of questions and answers, or leave out the mark: --column kto_tag= or rejected="
        ),
        "preference": say("name rows with a better and a worse answer"),
        "label": say("name rows with a mark"),
        "text": say("name rows of plain text"),
    }[kind]
