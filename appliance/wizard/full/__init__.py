"""The full screen on Textual: draws whatever page the flow gives, and passes on answers and actions."""
