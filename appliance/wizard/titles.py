"""Titles of all pages, by name: pages speak of each other without knowing each other."""

from appliance.sentence import say

TITLES = {
    "language": say("Language / 语言"),
    "home": say("Home"),
    "health": say("Health of this machine"),
    "model": say("Base model"),
    "data": say("Training data"),
    "columns": say("What the files hold"),
    "check": say("Data check"),
    "plan": say("Plan"),
    "values": say("Plan: values"),
    "result": say("Names and files"),
    "review": say("Review and start"),
    "training": say("Training"),
    "compare": say("Before and after"),
    "export": say("Export"),
    "done": say("Done"),
}
