"""What the keys do, for the help. No letter is a command: with an input method on, letters do not arrive."""

from appliance.sentence import say

KEYS = (
    (say("Tab, arrows"), say("move; Shift+Tab moves back")),
    (say("Enter"), say("choose what the cursor is on; in a line, keep it and go on")),
    (say("Space"), say("choose, or change a box")),
    ("PgUp, PgDn", say("show more of the page")),
    ("Esc", say("one page back; nothing is lost")),
    (say("F1 or ?"), say("this help")),
    ("F2", say("the other language")),
    (say("F3, F5 to F8"), say("what the buttons of a page say")),
    (say("F4 or Ctrl+L"), say("draw the screen anew")),
    ("F9", say("save and leave; a training run goes on")),
    ("Ctrl+C", say("asks whether to leave")),
)
