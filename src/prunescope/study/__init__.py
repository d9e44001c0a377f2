"""One study file: its settings, its plan, its steps and their results."""
