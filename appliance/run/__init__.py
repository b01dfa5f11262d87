"""The run folder, the plan and the events: where training, evaluation and export meet."""
